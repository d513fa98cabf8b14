package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.jms.DeliveryMode;
import javax.jms.InvalidDestinationException;
import javax.jms.InvalidSelectorException;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Durable subscriptions: what was sent while they were away, whoever or whatever ends in between. */
class DurableSubscriptionTest extends BrokerTest {
    private static final int LONGEST_LIFE_MS = 300;

    @RegisterExtension
    private final BrokerProcess broker = new BrokerProcess();

    private ActiveMQConnection own(String clientId) throws JMSException {
        String options = "?jms.redeliveryPolicy.maximumRedeliveries=-1&jms.closeTimeout=1000";
        return connectTo(broker.url() + options + (clientId == null ? "" : "&jms.clientID=" + clientId));
    }

    private static MessageConsumer subscribe(ActiveMQConnection connection, String topic, String name) throws JMSException {
        return session(connection).createDurableSubscriber(new ActiveMQTopic(topic), name);
    }

    private static MessageConsumer subscribe(ActiveMQConnection connection, String topic, String name, String selector, boolean noLocal)
            throws JMSException {
        return session(connection).createDurableSubscriber(new ActiveMQTopic(topic), name, selector, noLocal);
    }

    @Test
    void whatWasSentWhileItWasAwayArrivesInOrderAlsoAfterAKill() throws Exception {
        ActiveMQConnection subscriber = own("c");
        subscribe(subscriber, "T", "s");
        subscriber.close();
        send(own(null), new ActiveMQTopic("T"), "m", 0, 500);
        broker.restart();
        subscriber = own("c");
        MessageConsumer consumer = subscribe(subscriber, "T", "s");
        for (int index = 0; index < 500; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            assertFalse(message.getJMSRedelivered());
        }
        subscriber.close();
        broker.restart();
        subscriber = own("c");
        consumer = subscribe(subscriber, "T", "s");
        assertNull(consumer.receive(200));
        JMSException used = assertThrows(JMSException.class, () -> unsubscribe("c", "s", null));
        assertTrue(used.getMessage().contains("already connected"), used::getMessage);
        ActiveMQConnection active = subscriber;
        used = assertThrows(JMSException.class, () -> session(active).unsubscribe("s"));
        assertTrue(used.getMessage().contains("in use"), used::getMessage);
        consumer.close();
        session(subscriber).unsubscribe("s");
        assertThrows(InvalidDestinationException.class, () -> session(active).unsubscribe("s"));
        send(own(null), new ActiveMQTopic("T"), "late", 0, 3);
        assertNull(subscribe(subscriber, "T", "s").receive(200));
    }

    private void unsubscribe(String clientId, String name, String unused) throws JMSException {
        ActiveMQConnection connection = own(clientId);
        session(connection).unsubscribe(name);
    }

    @Test
    void oneConsumerAtATime() throws Exception {
        ActiveMQConnection connection = own("c");
        MessageConsumer first = subscribe(connection, "T", "s");
        JMSException refused = assertThrows(JMSException.class, () -> subscribe(connection, "T", "s"));
        assertTrue(refused.getMessage().contains("Durable consumer is in use for client: c and subscriptionName: s"), refused::getMessage);
        send(own(null), new ActiveMQTopic("T"), "m", 0, 1);
        assertEquals("m0", text(receive(first)));
        first.close();
        subscribe(connection, "T", "s").close();
    }

    @Test
    void anotherSelectorOrTopicIsAnotherSubscription() throws Exception {
        ActiveMQConnection connection = own("c");
        subscribe(connection, "T", "s").close();
        Session session = session(own(null));
        MessageProducer producer = session.createProducer(new ActiveMQTopic("T"));
        producer.send(session.createTextMessage("gone"));
        MessageConsumer consumer = subscribe(connection, "T", "s", "colour = 'red'", false);
        assertNull(consumer.receive(100));
        consumer.close();
        for (String colour : List.of("red", "blue", "red")) {
            Message message = session.createTextMessage(colour);
            message.setStringProperty("colour", colour);
            producer.send(message);
        }
        broker.restart();
        ActiveMQConnection again = own("c");
        consumer = subscribe(again, "T", "s", "colour = 'red'", false);
        assertEquals(List.of("red", "red"), receiveTexts(consumer, 2));
        assertNull(consumer.receive(100));
        consumer.close();
        consumer = subscribe(again, "U", "s");
        send(own(null), new ActiveMQTopic("T"), "t", 0, 1);
        send(own(null), new ActiveMQTopic("U"), "u", 0, 1);
        assertEquals("u0", text(receive(consumer)));
        assertThrows(InvalidSelectorException.class, () -> subscribe(again, "T", "bad", "= = 1", false));
    }

    @Test
    void patternsAndNoLocal() throws Exception {
        ActiveMQConnection connection = own("c");
        subscribe(connection, "A.>", "pattern").close();
        subscribe(connection, "A.x", "foreign", null, true).close();
        send(connection, new ActiveMQTopic("A.x"), "own", 0, 1);
        send(own(null), new ActiveMQTopic("A.x"), "x", 0, 1);
        send(own(null), new ActiveMQTopic("A.new.y"), "y", 0, 1);
        connection.close();
        broker.restart();
        connection = own("c");
        assertEquals(List.of("own0", "x0", "y0"), receiveTexts(subscribe(connection, "A.>", "pattern"), 3));
        MessageConsumer foreign = subscribe(connection, "A.x", "foreign", null, true);
        assertEquals("x0", text(receive(foreign)));
        assertNull(foreign.receive(100));
    }

    @Test
    void whatIsNotPersistentIsKeptWhileTheBrokerRuns() throws Exception {
        ActiveMQConnection connection = own("c");
        subscribe(connection, "T", "s").close();
        send(own(null), new ActiveMQTopic("T"), "m", 0, 3, DeliveryMode.NON_PERSISTENT);
        MessageConsumer consumer = subscribe(connection, "T", "s");
        assertEquals(texts("m", 0, 3), receiveTexts(consumer, 3));
    }

    @Test
    void whatIsRolledBackIsNeverSeenAndWhatIsCommittedIs() throws Exception {
        ActiveMQConnection connection = own("c");
        subscribe(connection, "T", "s").close();
        Session session = own(null).createSession(true, Session.SESSION_TRANSACTED);
        MessageProducer producer = session.createProducer(new ActiveMQTopic("T"));
        producer.send(session.createTextMessage("never"));
        session.rollback();
        producer.send(session.createTextMessage("m0"));
        subscribe(connection, "T", "between").close();
        producer.send(session.createTextMessage("m1"));
        session.commit();
        broker.restart();
        connection = own("c");
        assertEquals(texts("m", 0, 2), receiveTexts(subscribe(connection, "T", "s"), 2));
        assertEquals(texts("m", 0, 2), receiveTexts(subscribe(connection, "T", "between"), 2), "it was there before the commit");
    }

    @Test
    void whatComesBackIsRedelivered() throws Exception {
        ActiveMQConnection connection = own("c");
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = session.createDurableSubscriber(new ActiveMQTopic("T"), "s");
        send(own(null), new ActiveMQTopic("T"), "m", 0, 4);
        receive(consumer, 2);
        session.rollback();
        for (int index = 0; index < 2; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            assertTrue(message.getJMSRedelivered());
        }
        session.commit();
        connection.close();
        broker.restart();
        assertEquals(texts("m", 2, 4), receiveTexts(subscribe(own("c"), "T", "s"), 2));
    }

    /** Two subscribers come and go, and the broker is killed: each gets all that was answered, and nothing twice unmarked. */
    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void eachGetsAllThatWasAnsweredWhateverIsKilled() throws Exception {
        long seed = Settings.seed();
        System.out.println("[kills] of subscriptions: " + Settings.kills() + " with -Dpostrider.seed=" + seed);
        Random random = new Random(seed);
        List<Subscriber> subscribers = List.of(new Subscriber("one", random.nextLong()), new Subscriber("two", random.nextLong()));
        for (Subscriber subscriber : subscribers) {
            subscriber.attach().close();
        }
        List<String> answered = Collections.synchronizedList(new ArrayList<>());
        int number = 0;
        for (int count = 0; count < Settings.kills(); count++) {
            AtomicBoolean ends = new AtomicBoolean();
            List<Thread> threads = new ArrayList<>();
            int first = number;
            number += 1_000_000;
            threads.add(new Thread(() -> publish(first, answered)));
            for (Subscriber subscriber : subscribers) {
                threads.add(new Thread(() -> subscriber.comeAndGo(ends)));
            }
            threads.forEach(thread -> thread.setDaemon(true));
            threads.forEach(Thread::start);
            Thread.sleep(100 + random.nextInt(LONGEST_LIFE_MS));
            ends.set(true);
            broker.restart();
            for (Thread thread : threads) {
                thread.join(PATIENCE_MS);
                assertTrue(!thread.isAlive(), () -> "does not end: " + thread);
            }
        }
        for (Subscriber subscriber : subscribers) {
            subscriber.drain();
            Set<String> missing = new HashSet<>(answered);
            missing.removeAll(subscriber.seen);
            System.out.println("[kills] of subscriptions: " + answered.size() + " messages were answered, of those to " + subscriber.name
                    + " " + missing.size() + " lost, " + subscriber.doubled.size() + " doubled");
            assertEquals(Set.of(), missing, subscriber.name);
            assertEquals(List.of(), subscriber.doubled, subscriber.name);
        }
    }

    /** Until the broker is killed. */
    private void publish(int first, List<String> answered) {
        try (ActiveMQConnection connection = own(null)) {
            Session session = session(connection);
            MessageProducer producer = session.createProducer(new ActiveMQTopic("T"));
            for (int number = first;; number++) {
                producer.send(session.createTextMessage("m" + number));
                answered.add("m" + number);
            }
        } catch (JMSException killed) {
            // What was not answered may be there or not.
        }
    }

    private final class Subscriber {
        private final String name;
        private final Random random;
        private final Set<String> seen = Collections.synchronizedSet(new HashSet<>());
        private final List<String> doubled = Collections.synchronizedList(new ArrayList<>());

        Subscriber(String name, long seed) {
            this.name = name;
            random = new Random(seed);
        }

        ActiveMQConnection attach() throws JMSException {
            ActiveMQConnection connection = own(name);
            subscribe(connection, "T", name);
            return connection;
        }

        private void take(Message message) throws JMSException {
            if (!seen.add(text(message)) && !message.getJMSRedelivered()) {
                doubled.add(text(message));
            }
        }

        void comeAndGo(AtomicBoolean ends) {
            try {
                while (!ends.get()) {
                    try (ActiveMQConnection connection = own(name)) {
                        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
                        MessageConsumer consumer = session.createDurableSubscriber(new ActiveMQTopic("T"), name);
                        for (int left = random.nextInt(40); left > 0; left--) {
                            Message message = consumer.receive(20);
                            if (message != null) {
                                take(message);
                                if (random.nextInt(3) == 0) {
                                    message.acknowledge();
                                }
                            }
                        }
                    }
                }
            } catch (JMSException killed) {
                // It goes on when the broker is there again.
            }
        }

        void drain() throws JMSException {
            ActiveMQConnection connection = own(name);
            MessageConsumer consumer = subscribe(connection, "T", name);
            for (Message message = consumer.receive(2_000); message != null; message = consumer.receive(2_000)) {
                take(message);
            }
            connection.close();
        }
    }
}
