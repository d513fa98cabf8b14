package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Local transactions: all of one, or nothing, whoever or whatever ends in between. */
class TransactionTest extends BrokerTest {
    private static final int MOVED = 200;
    private static final int LONGEST_LIFE_MS = 200;

    @RegisterExtension
    private final BrokerProcess broker = new BrokerProcess();

    private ActiveMQConnection own() throws JMSException {
        return connectTo(broker.url() + "?jms.redeliveryPolicy.maximumRedeliveries=-1&jms.closeTimeout=1000");
    }

    private static Session transacted(ActiveMQConnection connection) throws JMSException {
        return connection.createSession(true, Session.SESSION_TRANSACTED);
    }

    /** Takes what is in the queue until nothing comes any more; the broker itself says so. */
    private List<String> drain(String name) throws JMSException {
        ActiveMQConnection connection = own();
        MessageConsumer consumer = consumer(connection, queue(name, 0));
        List<String> texts = new ArrayList<>();
        for (Message message = consumer.receiveNoWait(); message != null; message = consumer.receiveNoWait()) {
            texts.add(text(message));
        }
        connection.close();
        return texts;
    }

    @Test
    void whatIsSentShowsWithTheCommit() throws Exception {
        ActiveMQConnection connection = own();
        Session session = transacted(connection);
        MessageProducer producer = session.createProducer(queue("q"));
        MessageConsumer consumer = consumer(own(), queue("q"));
        for (int mode : new int[] {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT}) {
            producer.setDeliveryMode(mode);
            for (int index = 0; index < 5; index++) {
                producer.send(session.createTextMessage("never" + index));
            }
            session.rollback();
            for (int index = 0; index < 5; index++) {
                producer.send(session.createTextMessage("m" + index));
            }
            assertNull(consumer.receive(100));
            session.commit();
            assertEquals(texts("m", 0, 5), receiveTexts(consumer, 5));
        }
    }

    @Test
    void whatIsReceivedComesAgainAfterARollback() throws Exception {
        send(own(), queue("q"), "m", 0, 10);
        Session session = transacted(own());
        MessageConsumer consumer = session.createConsumer(queue("q", 4));
        for (int times = 0; times < 3; times++) {
            List<Message> messages = receive(consumer, 6);
            for (int index = 0; index < 6; index++) {
                assertEquals("m" + index, text(messages.get(index)));
                assertEquals(times > 0, messages.get(index).getJMSRedelivered());
            }
            session.rollback();
        }
        assertEquals(texts("m", 0, 10), receiveTexts(consumer, 10));
        session.commit();
        assertNull(consumer.receive(100));
        session.close();
        broker.restart();
        assertEquals(List.of(), drain("q"));
    }

    @Test
    void aConsumerThatClosesLeavesWhatItsTransactionHas() throws Exception {
        send(own(), queue("q"), "m", 0, 4);
        Session session = transacted(own());
        MessageConsumer consumer = session.createConsumer(queue("q", 1));
        receive(consumer, 2);
        consumer.close();
        session.commit();
        assertEquals(texts("m", 2, 4), drain("q"));
    }

    @Test
    void aKillBeforeTheCommitLeavesNothingAndAfterItAll() throws Exception {
        send(own(), queue("from"), "m", 0, 10);
        for (boolean commits : new boolean[] {false, true}) {
            Session session = transacted(own());
            MessageConsumer consumer = session.createConsumer(queue("from"));
            MessageProducer producer = session.createProducer(queue("to"));
            for (Message message : receive(consumer, 10)) {
                producer.send(message);
            }
            if (commits) {
                session.commit();
            }
            broker.restart();
            if (!commits) {
                assertEquals(List.of(), drain("to"));
            }
        }
        assertEquals(List.of(), drain("from"));
        assertEquals(texts("m", 0, 10), drain("to"));
    }

    @Test
    void theEndOfAConnectionRollsBack() throws Exception {
        send(own(), queue("q"), "m", 0, 3);
        ActiveMQConnection connection = own();
        Session session = transacted(connection);
        receive(session.createConsumer(queue("q")), 2);
        session.createProducer(queue("other")).send(session.createTextMessage("never"));
        connection.close();
        assertEquals(texts("m", 0, 3), drain("q"));
        assertEquals(List.of(), drain("other"));
    }

    @Test
    void whatCannotBeTakenRollsBackAllOfIt() throws Exception {
        Session session = transacted(own());
        MessageProducer producer = session.createProducer(null);
        producer.send(queue("q"), session.createTextMessage("never"));
        producer.send(queue("x".repeat(20_000)), session.createTextMessage("refused"));
        JMSException refused = assertThrows(JMSException.class, session::commit);
        assertTrue(refused.getMessage().contains("rolled back"), refused::getMessage);
        producer.send(queue("q"), session.createTextMessage("m0"));
        session.commit();
        assertEquals(texts("m", 0, 1), drain("q"));
    }

    /** Messages move from queue to queue and back under kills: each is in one of the two, once. */
    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void eachMessageIsInOneQueueWhateverIsKilled() throws Exception {
        long seed = Settings.seed();
        System.out.println("[kills] of transactions: " + Settings.kills() + " with -Dpostrider.seed=" + seed);
        send(own(), queue("one"), "m", 0, MOVED);
        Random random = new Random(seed);
        for (int count = 0; count < Settings.kills(); count++) {
            List<Thread> movers = new ArrayList<>();
            for (int number = 0; number < 3; number++) {
                long own = random.nextLong();
                Thread mover = new Thread(() -> move(new Random(own)));
                mover.setDaemon(true);
                mover.start();
                movers.add(mover);
            }
            Thread.sleep(50 + random.nextInt(LONGEST_LIFE_MS));
            broker.restart();
            for (Thread mover : movers) {
                mover.join(PATIENCE_MS);
                assertTrue(!mover.isAlive(), () -> "does not end: " + mover);
            }
        }
        List<String> all = new ArrayList<>(drain("one"));
        int stayed = all.size();
        all.addAll(drain("two"));
        int different = new HashSet<>(all).size();
        System.out.println("[kills] of transactions: " + stayed + " of " + MOVED + " messages are where they began, "
                + (MOVED - different) + " lost, " + (all.size() - different) + " doubled");
        all.sort(null);
        List<String> expected = texts("m", 0, MOVED);
        expected.sort(null);
        assertEquals(expected, all);
    }

    /** Until the broker is killed. */
    private void move(Random random) {
        try (ActiveMQConnection connection = own()) {
            Session session = transacted(connection);
            boolean there = random.nextBoolean();
            MessageConsumer consumer = session.createConsumer(queue(there ? "one" : "two", 1 + random.nextInt(20)));
            MessageProducer producer = session.createProducer(queue(there ? "two" : "one"));
            while (true) {
                for (int left = 1 + random.nextInt(8); left > 0; left--) {
                    Message message = consumer.receive(20);
                    if (message != null) {
                        producer.send(session.createTextMessage(text(message)));
                    }
                }
                if (random.nextInt(4) == 0) {
                    session.rollback();
                } else {
                    session.commit();
                }
            }
        } catch (JMSException killed) {
            // What was in the transaction is in one of the queues all the same.
        }
    }
}
