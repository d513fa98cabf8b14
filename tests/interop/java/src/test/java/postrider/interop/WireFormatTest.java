package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.command.WireFormatInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The same traffic in every version and encoding, as the client negotiates them. */
class WireFormatTest extends BrokerTest {
    static Stream<String> formats() {
        List<String> formats = new ArrayList<>();
        for (int version = 1; version <= 12; version++) {
            for (boolean tight : new boolean[] {true, false}) {
                for (boolean cache : new boolean[] {true, false}) {
                    formats.add("wireFormat.version=" + version + "&wireFormat.tightEncodingEnabled=" + tight
                            + "&wireFormat.cacheEnabled=" + cache);
                }
            }
        }
        return formats.stream();
    }

    @ParameterizedTest
    @MethodSource("formats")
    void everyFormatCarriesTheSame(String format) throws JMSException {
        ActiveMQConnection old = connect(format);
        ActiveMQConnection current = connect();
        carry(old, current);
        carry(current, old);
        requestAndReply(old, current);
    }

    private void carry(ActiveMQConnection from, ActiveMQConnection to) throws JMSException {
        String name = name("format");
        MessageConsumer ofTopic = consumer(to, new ActiveMQTopic(name));
        MessageConsumer ofQueue = session(to, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name));
        Session session = session(from);
        MessageProducer producer = session.createProducer(null);
        for (MessageKind kind : MessageKind.values()) {
            Message sent = kind.create(session);
            Envelope.fill(sent);
            producer.send(queue(name), sent);
            check(kind, sent, receive(ofQueue));
            producer.send(new ActiveMQTopic(name), sent, DeliveryMode.NON_PERSISTENT, 4, 0);
            check(kind, sent, receive(ofTopic));
        }
        send(from, queue(name), "m", 0, 20);
        Message last = receive(ofQueue, 20).get(19);
        last.acknowledge();
        assertEquals("m19", text(last));
        ofQueue.close();
        assertEmpty(name);
    }

    private void check(MessageKind kind, Message sent, Message received) throws JMSException {
        Envelope.check(sent, received);
        kind.check(received);
    }

    private void requestAndReply(ActiveMQConnection asking, ActiveMQConnection answering) throws JMSException {
        Session session = session(asking);
        TemporaryQueue replies = session.createTemporaryQueue();
        MessageConsumer consumer = session.createConsumer(replies);
        awaitKnown(answering, replies);
        send(answering, replies, "reply", 0, 3);
        assertEquals(texts("reply", 0, 3), receiveTexts(consumer, 3));
    }

    @ParameterizedTest
    @ValueSource(ints = {100, 128, 300, 0})
    void cacheThatOverflowsConfusesNothing(int size) throws JMSException {
        ActiveMQConnection connection = connect("wireFormat.cacheSize=" + size);
        Session session = session(connection);
        MessageProducer producer = session.createProducer(null);
        String prefix = name("cache");
        for (int round = 0; round < 2; round++) {
            for (int index = 0; index < 400; index++) {
                producer.send(queue(prefix + "." + index), session.createTextMessage("m" + index), DeliveryMode.NON_PERSISTENT, 4, 0);
            }
        }
        MessageConsumer consumer = session.createConsumer(queue(prefix + ".*"));
        for (Message message : receive(consumer, 800)) {
            assertEquals(queue(prefix + "." + text(message).substring(1)), message.getJMSDestination());
        }
    }

    @Test
    void brokerOffersWhatTheClientCanUse() throws Exception {
        try (RawClient client = new RawClient(Settings.host(), Settings.port())) {
            WireFormatInfo offer = client.negotiate();
            assertEquals(12, offer.getVersion());
            assertTrue(offer.getMaxFrameSize() > 0 && offer.getMaxFrameSize() < Integer.MAX_VALUE, offer::toString);
            // With a size from 1 to 99 the client's encoder never ends.
            assertTrue(offer.getCacheSize() == 0 || offer.getCacheSize() >= 100, offer::toString);
        }
        ActiveMQConnection connection = connect();
        await("BrokerInfo", () -> connection.getBrokerInfo() != null);
        assertNotNull(connection.getBrokerInfo().getBrokerId());
    }

    @Test
    void idleConnectionIsKeptAlive() throws Exception {
        String name = name("idle");
        ActiveMQConnection connection =
                connect("wireFormat.maxInactivityDuration=900&wireFormat.maxInactivityDurationInitalDelay=100");
        MessageConsumer consumer = consumer(connection, queue(name));
        // Both sides close a connection that is silent for twice the duration.
        Thread.sleep(3_000);
        send(connection, queue(name), "m", 0, 3);
        assertEquals(texts("m", 0, 3), receiveTexts(consumer, 3));
    }

    @Test
    void silentClientIsNoticedAndItsMessagesComeBack() throws Exception {
        String name = name("silent");
        send(connect(), queue(name), "m", 0, 3);
        try (Proxy proxy = new Proxy(Settings.host(), Settings.port())) {
            ActiveMQConnection silent = connectTo(
                    proxy.url() + "?wireFormat.maxInactivityDuration=900&wireFormat.maxInactivityDurationInitalDelay=100");
            MessageConsumer holding = session(silent, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name));
            receive(holding, 3);
            proxy.cutClientsOnly();
            for (Message message : receive(consumer(connect(), queue(name)), 3)) {
                Envelope.checkRedelivered(message, 2);
            }
        }
    }

    /** The client's tight encoder refuses by itself and its connection lives; its loose one does not look, and the broker ends it. */
    @Test
    void messageBeyondTheAgreedFrameFailsAlone() throws JMSException {
        String name = name("frame");
        // With the cache on, the client believes afterwards that the broker has seen what was in the frame that it did not send.
        ActiveMQConnection connection = connect("wireFormat.maxFrameSize=65536&wireFormat.cacheEnabled=false");
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        BytesMessage large = session.createBytesMessage();
        large.writeBytes(new byte[100_000]);
        JMSException refusal = assertThrows(JMSException.class, () -> producer.send(large));
        boolean alive = "41300".equals(refusal.getErrorCode());
        send(alive ? connection : connect(), queue(name), "small", 0, 1);
        assertEquals(texts("small", 0, 1), receiveTexts(consumer(connect(), queue(name)), 1));
    }
}
