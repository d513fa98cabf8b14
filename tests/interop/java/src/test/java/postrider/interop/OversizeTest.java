package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.BytesMessage;
import javax.jms.JMSException;
import javax.jms.MessageProducer;
import javax.jms.ResourceAllocationException;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.transport.DefaultTransportListener;
import org.junit.jupiter.api.Test;

/** Messages beyond the largest frame: the sender is told, and its connection lives. A reconnect would send the same again, for ever. */
class OversizeTest extends BrokerTest {
    /** More than the 100 MiB of `openwire.max_frame_bytes`. Loose frames, as the broker offers them, are not checked by the client. */
    private static final int BYTES = 105 << 20;

    private final AtomicInteger reconnects = new AtomicInteger();

    private ActiveMQConnection connectWithFailover(String options) throws JMSException {
        ActiveMQConnection connection = connectTo("failover:(" + Settings.url() + ")" + options);
        connection.addTransportListener(new DefaultTransportListener() {
            @Override
            public void transportResumed() {
                reconnects.incrementAndGet();
            }
        });
        return connection;
    }

    private static void sendLarge(ActiveMQConnection connection, String queue) throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(queue));
        BytesMessage message = session.createBytesMessage();
        message.writeBytes(new byte[BYTES]);
        producer.send(message);
    }

    private void checkUse(ActiveMQConnection connection, String queue) throws JMSException {
        send(connection, queue(queue), "after", 0, 3);
        assertEquals(texts("after", 0, 3), receiveTexts(consumer(connection, queue(queue)), 3));
        assertEquals(0, reconnects.get(), "the connection was never lost");
    }

    @Test
    void aSenderThatWaitsGetsTheReason() throws JMSException {
        ActiveMQConnection connection = connectWithFailover("");
        String queue = name("oversize");
        JMSException refused = assertThrows(ResourceAllocationException.class, () -> sendLarge(connection, queue));
        for (String part : List.of("1101", "104857600", "`openwire.max_frame_bytes`")) {
            assertTrue(refused.getMessage().contains(part), refused.getMessage());
        }
        checkUse(connection, queue);
    }

    @Test
    void aSenderThatDoesNotWaitIsToldByItsListener() throws JMSException {
        ActiveMQConnection connection = connectWithFailover("?jms.useAsyncSend=true&jms.producerWindowSize=1000000");
        List<JMSException> told = new CopyOnWriteArrayList<>();
        connection.setExceptionListener(told::add);
        String queue = name("oversize");
        sendLarge(connection, queue);
        await("the refusal", () -> !told.isEmpty());
        assertTrue(told.get(0).getMessage().contains("`openwire.max_frame_bytes`"), told.get(0).getMessage());
        checkUse(connection, queue);
        assertEquals(1, told.size());
    }
}
