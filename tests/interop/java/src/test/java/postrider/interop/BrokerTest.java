package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQMessageConsumer;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQQueue;
import org.junit.jupiter.api.AfterEach;

/** Connections that are closed after the test, names that no other test uses, and the few calls that every test makes. */
abstract class BrokerTest {
    /** Far beyond what any step takes: reaching it means that something never came. */
    static final long PATIENCE_MS = 15_000;

    private static final AtomicInteger NAMES = new AtomicInteger();
    private static final String RUN = Long.toString(System.currentTimeMillis(), 36);

    private final List<ActiveMQConnection> connections = new CopyOnWriteArrayList<>();

    @AfterEach
    void closeConnections() {
        for (ActiveMQConnection connection : connections) {
            close(connection);
        }
    }

    /** The broker's address with client options, such as `jms.prefetchPolicy.all=1`. */
    static String url(String options) {
        return options.isEmpty() ? Settings.url() : Settings.url() + (Settings.url().contains("?") ? "&" : "?") + options;
    }

    ActiveMQConnection connect() throws JMSException {
        return connect("");
    }

    ActiveMQConnection connect(String options) throws JMSException {
        return connectTo(url(options));
    }

    /** A started connection that the test may leave open. */
    ActiveMQConnection connectTo(String url) throws JMSException {
        ActiveMQConnection connection = open(url);
        connection.start();
        return connection;
    }

    ActiveMQConnection open(String url) throws JMSException {
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(url);
        factory.setCloseTimeout(5_000);
        factory.setTrustedPackages(List.of("java.lang", "java.util"));
        ActiveMQConnection connection = (ActiveMQConnection) factory.createConnection();
        connections.add(connection);
        return connection;
    }

    static void close(ActiveMQConnection connection) {
        try {
            connection.close();
        } catch (JMSException broken) {
            // Some tests break it on purpose.
        }
    }

    /** A name that no other test, and no earlier run against the same broker, has used. */
    static String name(String label) {
        return label + "-" + RUN + "-" + NAMES.incrementAndGet();
    }

    static Session session(ActiveMQConnection connection) throws JMSException {
        return connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
    }

    static Session session(ActiveMQConnection connection, int mode) throws JMSException {
        return connection.createSession(false, mode);
    }

    static MessageConsumer consumer(ActiveMQConnection connection, Destination destination) throws JMSException {
        return session(connection).createConsumer(destination);
    }

    static ActiveMQQueue queue(String name) {
        return new ActiveMQQueue(name);
    }

    /** The same queue as seen by a consumer with this prefetch. */
    static ActiveMQQueue queue(String name, int prefetch) {
        return new ActiveMQQueue(name + "?consumer.prefetchSize=" + prefetch);
    }

    /** Sends `label0`, `label1`, ... persistently, each answered by the broker before the next. */
    static void send(ActiveMQConnection connection, Destination destination, String label, int from, int to) throws JMSException {
        send(connection, destination, label, from, to, DeliveryMode.PERSISTENT);
    }

    static void send(ActiveMQConnection connection, Destination destination, String label, int from, int to, int mode)
            throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(destination);
        producer.setDeliveryMode(mode);
        for (int index = from; index < to; index++) {
            producer.send(session.createTextMessage(label + index));
        }
        session.close();
    }

    static Message receive(MessageConsumer consumer) throws JMSException {
        Message message = consumer.receive(PATIENCE_MS);
        assertNotNull(message, "no message came");
        return message;
    }

    static String text(Message message) throws JMSException {
        return ((TextMessage) message).getText();
    }

    static List<Message> receive(MessageConsumer consumer, int count) throws JMSException {
        List<Message> messages = new ArrayList<>();
        for (int index = 0; index < count; index++) {
            Message message = consumer.receive(PATIENCE_MS);
            assertNotNull(message, "no message after " + index + " of " + count);
            messages.add(message);
        }
        return messages;
    }

    static List<String> receiveTexts(MessageConsumer consumer, int count) throws JMSException {
        List<String> texts = new ArrayList<>();
        for (Message message : receive(consumer, count)) {
            texts.add(text(message));
        }
        return texts;
    }

    /** The texts that `send` makes. */
    static List<String> texts(String label, int from, int to) {
        List<String> texts = new ArrayList<>();
        for (int index = from; index < to; index++) {
            texts.add(label + index);
        }
        return texts;
    }

    /** Waits until so many messages lie in the client's buffer, dispatched but not given to the application. */
    static void awaitBuffered(MessageConsumer consumer, int count) {
        await(count + " messages in the client's buffer", () -> ((ActiveMQMessageConsumer) consumer).getMessageSize() >= count);
    }

    /** Waits until the connection has heard of a temporary destination that another one made, without being told by a message. */
    static void awaitKnown(ActiveMQConnection connection, Destination temporary) {
        await("advisory of " + temporary, () -> !connection.isDeleted((ActiveMQDestination) temporary));
    }

    static void await(String what, Callable<Boolean> condition) {
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000;
        try {
            while (!condition.call()) {
                assertTrue(System.nanoTime() < deadline, () -> "never came: " + what);
                Thread.sleep(1);
            }
        } catch (Exception failed) {
            throw new AssertionError("while waiting for " + what, failed);
        }
    }

    /** Asks the broker itself, by a pull, so that no time needs to pass. What others hold unacknowledged does not count. */
    void assertEmpty(String queue) throws JMSException {
        ActiveMQConnection connection = connect();
        Message message = consumer(connection, queue(queue, 0)).receiveNoWait();
        assertNull(message, () -> "expected nothing in " + queue + ", found " + message);
        connection.close();
    }
}
