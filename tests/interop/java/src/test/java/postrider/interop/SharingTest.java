package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How consumers share a queue by what they have taken and not acknowledged. */
class SharingTest extends BrokerTest {
    private AtomicInteger counted(String queue, int prefetch, long milliseconds) throws JMSException {
        AtomicInteger count = new AtomicInteger();
        consumer(connect(), queue(queue, prefetch)).setMessageListener(message -> {
            try {
                Thread.sleep(milliseconds);
            } catch (InterruptedException interrupted) {
                throw new IllegalStateException(interrupted);
            }
            count.incrementAndGet();
        });
        return count;
    }

    @Test
    void theFasterConsumerGetsMore() throws JMSException {
        String name = name("speed");
        AtomicInteger fast = counted(name, 10, 1);
        AtomicInteger slow = counted(name, 10, 10);
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 3_000);
        await("all messages", () -> fast.get() + slow.get() == 3_000);
        double ratio = fast.get() / (double) slow.get();
        // Ten to one, but for how long a sleep really takes.
        assertTrue(ratio > 5 && ratio < 15, () -> fast + " beside " + slow);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 10, 1_000})
    void aTransactionTakesMoreThanThePrefetch(int prefetch) throws JMSException {
        String name = name("extension");
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 5_000);
        ActiveMQConnection connection = connect();
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = session.createConsumer(queue(name, prefetch));
        assertEquals(texts("m", 0, 5_000), receiveTexts(consumer, 5_000));
        session.commit();
        connection.close();
        assertEmpty(name);
    }
}
