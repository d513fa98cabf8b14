package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.ResourceAllocationException;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQTopic;
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

    private static void send(ActiveMQConnection connection, Destination destination, int... sizes) throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(destination);
        for (int size : sizes) {
            BytesMessage message = session.createBytesMessage();
            message.writeBytes(new byte[size]);
            producer.send(message);
        }
        session.close();
    }

    private static List<Long> sizes(MessageConsumer consumer, int count) throws JMSException {
        List<Long> sizes = new ArrayList<>();
        for (Message message : receive(consumer, count)) {
            sizes.add(((BytesMessage) message).getBodyLength());
        }
        return sizes;
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

    /** The client announces that it takes no more than this; a message beyond would break its connection, and the next one. */
    private static final String SMALL = "wireFormat.maxFrameSize=100000";

    @Test
    void whatAConsumerDoesNotTakeGoesToTheDeadLetters() throws JMSException {
        ActiveMQConnection whole = connect();
        String queue = name("too-large");
        send(whole, queue(queue), 10, 200_000, 20, 300_000, 30);
        MessageConsumer small = consumer(connect(SMALL), queue(queue, 1));
        assertEquals(List.of(10L, 20L, 30L), sizes(small, 3));
        assertEmpty(queue);
        List<Long> dead = new ArrayList<>();
        MessageConsumer deadLetters = consumer(whole, queue("ActiveMQ.DLQ"));
        while (dead.size() < 2) {
            Message message = receive(deadLetters);
            if (((ActiveMQMessage) message).getOriginalDestination().getPhysicalName().equals(queue)) {
                dead.add(((BytesMessage) message).getBodyLength());
                String cause = message.getStringProperty("dlqDeliveryFailureCause");
                assertTrue(cause.contains("the peer takes at most 100000"), cause);
            }
        }
        assertEquals(List.of(200_000L, 300_000L), dead);
    }

    @Test
    void aSubscriberAndABrowserGoOnWithoutIt() throws JMSException {
        ActiveMQConnection whole = connect();
        ActiveMQConnection small = connect(SMALL);
        ActiveMQTopic topic = new ActiveMQTopic(name("too-large"));
        MessageConsumer all = consumer(whole, topic);
        MessageConsumer some = consumer(small, topic);
        send(whole, topic, 10, 200_000, 20);
        assertEquals(List.of(10L, 200_000L, 20L), sizes(all, 3));
        assertEquals(List.of(10L, 20L), sizes(some, 2));
        String queue = name("too-large");
        send(whole, queue(queue), 10, 200_000, 20);
        int seen = 0;
        for (Enumeration<?> messages = session(small).createBrowser(queue(queue)).getEnumeration(); messages.hasMoreElements(); seen++) {
            messages.nextElement();
        }
        assertEquals(2, seen);
        assertEquals(List.of(10L, 200_000L, 20L), sizes(consumer(whole, queue(queue)), 3));
    }

    @Test
    void aPullGetsTheNextOne() throws JMSException {
        ActiveMQConnection whole = connect();
        String queue = name("too-large");
        send(whole, queue(queue), 200_000, 10, 300_000);
        MessageConsumer puller = consumer(connect(SMALL), queue(queue, 0));
        assertEquals(10L, ((BytesMessage) puller.receive(PATIENCE_MS)).getBodyLength());
        assertNull(puller.receiveNoWait());
    }

    /** It is given up, and what is not persistent is no dead letter, unless configured. */
    @Test
    void whatIsNotPersistentAndNotTakenIsGone() throws JMSException {
        ActiveMQConnection whole = connect();
        String queue = name("too-large");
        Session session = session(whole);
        MessageProducer producer = session.createProducer(queue(queue));
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        for (int size : new int[] {10, 200_000, 20}) {
            BytesMessage message = session.createBytesMessage();
            message.writeBytes(new byte[size]);
            producer.send(message);
        }
        assertEquals(List.of(10L, 20L), sizes(consumer(connect(SMALL), queue(queue, 1)), 2));
        assertEmpty(queue);
    }

    /** It has nowhere else to go: who takes less gets the next one, and others get it. */
    @Test
    void aDeadLetterThatAConsumerDoesNotTakeStaysForOthers() throws JMSException {
        ActiveMQConnection whole = connect();
        ActiveMQConnection small = connect(SMALL);
        String queue = "ActiveMQ.DLQ";
        MessageConsumer some = consumer(small, queue(queue));
        send(whole, queue(queue), 200_001, 11);
        long size = 0;
        while (size != 11) {
            size = receive(some) instanceof BytesMessage bytes ? bytes.getBodyLength() : 0;
        }
        small.close();
        MessageConsumer all = consumer(whole, queue(queue));
        while (size != 200_001) {
            size = receive(all) instanceof BytesMessage bytes ? bytes.getBodyLength() : 0;
        }
    }
}
