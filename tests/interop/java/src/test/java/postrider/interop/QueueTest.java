package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Messages keep what they carry and their order, and consumers share a queue. */
class QueueTest extends BrokerTest {
    @ParameterizedTest
    @EnumSource
    void persistentMessageKeepsHeadersPropertiesAndBody(MessageKind kind) throws JMSException {
        roundTrip(kind, DeliveryMode.PERSISTENT, "");
    }

    @ParameterizedTest
    @EnumSource
    void nonPersistentMessageKeepsHeadersPropertiesAndBody(MessageKind kind) throws JMSException {
        roundTrip(kind, DeliveryMode.NON_PERSISTENT, "");
    }

    @ParameterizedTest
    @EnumSource
    void compressedMessageKeepsHeadersPropertiesAndBody(MessageKind kind) throws JMSException {
        roundTrip(kind, DeliveryMode.PERSISTENT, "jms.useCompression=true");
    }

    private void roundTrip(MessageKind kind, int mode, String options) throws JMSException {
        String name = name("round-trip");
        Session session = session(connect(options));
        Message sent = kind.create(session);
        Envelope.fill(sent);
        session.createProducer(queue(name)).send(sent, mode, 7, 3_600_000);
        Message received = receive(consumer(connect(), queue(name)));
        Envelope.check(sent, received);
        kind.check(received);
    }

    @ParameterizedTest
    @CsvSource({"1048576, 2", "1048576, 1", "20971520, 2", "20971520, 1"})
    void largeBodyComesWhole(int size, int mode) throws JMSException {
        String name = name("large");
        byte[] body = new byte[size];
        new Random(size).nextBytes(body);
        Session session = session(connect());
        BytesMessage sent = session.createBytesMessage();
        sent.writeBytes(body);
        session.createProducer(queue(name)).send(sent, mode, 4, 0);
        BytesMessage received = (BytesMessage) receive(consumer(connect(), queue(name)));
        byte[] copy = new byte[size];
        assertEquals(size, received.getBodyLength());
        assertEquals(size, received.readBytes(copy));
        assertArrayEquals(body, copy);
    }

    @ParameterizedTest
    @ValueSource(ints = {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT})
    void oneConsumerReceivesInTheOrderOfSending(int mode) throws JMSException {
        String name = name("order");
        ActiveMQConnection connection = connect();
        send(connection, queue(name), "before", 0, 300, mode);
        MessageConsumer consumer = consumer(connect(), queue(name));
        send(connection, queue(name), "after", 0, 300, mode);
        assertEquals(texts("before", 0, 300), receiveTexts(consumer, 300));
        assertEquals(texts("after", 0, 300), receiveTexts(consumer, 300));
        consumer.close();
        assertEmpty(name);
    }

    @Test
    void asynchronousSendsKeepTheirOrder() throws JMSException {
        String name = name("asynchronous");
        ActiveMQConnection connection = connect("jms.useAsyncSend=true");
        send(connection, queue(name), "m", 0, 1_000);
        assertEquals(texts("m", 0, 1_000), receiveTexts(consumer(connect(), queue(name)), 1_000));
    }

    @Test
    void priorityDoesNotChangeTheOrder() throws JMSException {
        String name = name("priority");
        Session session = session(connect());
        MessageProducer producer = session.createProducer(queue(name));
        for (int index = 0; index < 40; index++) {
            producer.send(session.createTextMessage("m" + index), DeliveryMode.PERSISTENT, (index * 7) % 10, 0);
        }
        assertEquals(texts("m", 0, 40), receiveTexts(consumer(connect(), queue(name)), 40));
    }

    @Test
    void consumersWithRoomShareEqually() throws JMSException {
        String name = name("round-robin");
        List<MessageConsumer> consumers = new ArrayList<>();
        for (int index = 0; index < 4; index++) {
            consumers.add(consumer(connect(), queue(name, 100)));
        }
        send(connect(), queue(name), "m", 0, 40);
        boolean[] seen = new boolean[40];
        for (MessageConsumer consumer : consumers) {
            int last = -1;
            for (String text : receiveTexts(consumer, 10)) {
                int index = Integer.parseInt(text.substring(1));
                assertTrue(index > last && !seen[index], () -> text + " out of order or twice");
                seen[index] = true;
                last = index;
            }
        }
        assertEmpty(name);
    }

    @Test
    void slowConsumerHoldsNoMoreThanItsPrefetch() throws JMSException {
        String name = name("slow");
        MessageConsumer slow = consumer(connect(), queue(name, 1));
        MessageConsumer fast = consumer(connect(), queue(name, 1));
        send(connect(), queue(name), "m", 0, 20);
        List<String> texts = receiveTexts(fast, 19);
        texts.addAll(receiveTexts(slow, 1));
        assertEquals(20, texts.stream().distinct().count());
        assertEmpty(name);
    }

    @Test
    void queuesDoNotMix() throws JMSException {
        String first = name("apart");
        String second = name("apart");
        ActiveMQConnection connection = connect();
        send(connection, queue(first), "first", 0, 10);
        send(connection, queue(second), "second", 0, 10);
        assertEquals(texts("second", 0, 10), receiveTexts(consumer(connection, queue(second)), 10));
        assertEquals(texts("first", 0, 10), receiveTexts(consumer(connection, queue(first)), 10));
    }
}
