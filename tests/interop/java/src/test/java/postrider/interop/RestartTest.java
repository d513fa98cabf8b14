package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What is left after the broker was killed or stopped. */
class RestartTest extends BrokerTest {
    @RegisterExtension
    private final BrokerProcess broker = new BrokerProcess();

    /** The two ways in which a broker ends. */
    enum End {
        KILL,
        STOP;

        void restart(BrokerProcess broker) throws IOException {
            if (this == KILL) {
                broker.kill();
            } else {
                assertEquals(0, broker.stop());
            }
            broker.start();
        }
    }

    private ActiveMQConnection own(String options) throws JMSException {
        return connectTo(broker.url() + options);
    }

    /** Takes what is in the queue until nothing comes any more; the broker itself says so. */
    private List<Message> drain(String name) throws JMSException {
        MessageConsumer consumer = consumer(own(""), queue(name, 0));
        List<Message> messages = new ArrayList<>();
        for (Message message = consumer.receiveNoWait(); message != null; message = consumer.receiveNoWait()) {
            messages.add(message);
        }
        return messages;
    }

    @ParameterizedTest
    @EnumSource
    void receiptedMessagesAreThereInOrder(End end) throws Exception {
        send(own(""), queue("q"), "m", 0, 500);
        end.restart(broker);
        send(own(""), queue("q"), "newer", 0, 5);
        MessageConsumer consumer = consumer(own(""), queue("q"));
        for (int index = 0; index < 500; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            Envelope.checkFresh(message);
        }
        assertEquals(texts("newer", 0, 5), receiveTexts(consumer, 5));
    }

    @ParameterizedTest
    @EnumSource
    void everyKindOfMessageComesBackUnchanged(MessageKind kind) throws Exception {
        Session session = session(own(""));
        Message sent = kind.create(session);
        Envelope.fill(sent);
        session.createProducer(queue("q")).send(sent, DeliveryMode.PERSISTENT, 6, 3_600_000);
        broker.restart();
        Message received = receive(consumer(own(""), queue("q")));
        Envelope.check(sent, received);
        kind.check(received);
    }

    @ParameterizedTest
    @EnumSource
    void unacknowledgedMessagesComeBackMarked(End end) throws Exception {
        send(own(""), queue("q"), "m", 0, 10);
        MessageConsumer consumer = session(own(""), Session.CLIENT_ACKNOWLEDGE).createConsumer(queue("q", 10));
        receive(consumer, 4);
        end.restart(broker);
        List<Message> messages = drain("q");
        assertEquals(10, messages.size());
        for (int index = 0; index < 10; index++) {
            assertEquals("m" + index, text(messages.get(index)));
            // Those that the application has not seen may be marked, too.
            if (index < 4) {
                assertTrue(messages.get(index).getJMSRedelivered(), "not marked: m" + index);
                assertTrue(messages.get(index).getIntProperty("JMSXDeliveryCount") >= 2);
            }
        }
    }

    @Test
    void deliveriesCountedBeforeAKillAreNotForgotten() throws Exception {
        send(own(""), queue("q"), "m", 0, 1);
        for (int times = 1; times <= 3; times++) {
            ActiveMQConnection connection = own("");
            receive(session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue("q")));
            connection.close();
        }
        broker.restart();
        Message message = receive(consumer(own(""), queue("q")));
        assertTrue(message.getJMSRedelivered());
        assertTrue(message.getIntProperty("JMSXDeliveryCount") >= 2);
    }

    @ParameterizedTest
    @EnumSource
    void answeredAcknowledgementsStand(End end) throws Exception {
        send(own(""), queue("q"), "m", 0, 20);
        ActiveMQConnection connection = own("?jms.sendAcksAsync=false");
        receive(consumer(connection, queue("q", 10)), 12);
        end.restart(broker);
        List<String> texts = new ArrayList<>();
        for (Message message : drain("q")) {
            texts.add(text(message));
        }
        assertEquals(texts("m", 12, 20), texts);
    }

    @Test
    void acknowledgementsOfAClosedConnectionStandAfterAStop() throws Exception {
        send(own(""), queue("q"), "m", 0, 20);
        ActiveMQConnection connection = own("");
        receive(consumer(connection, queue("q")), 20);
        connection.close();
        assertEquals(0, broker.stop());
        broker.start();
        assertEquals(0, drain("q").size());
    }

    @Test
    void unansweredAcknowledgementsMayBeLostButNoMessageIsAndTheRestIsMarked() throws Exception {
        send(own(""), queue("q"), "m", 0, 200);
        receive(consumer(own(""), queue("q", 50)), 100);
        broker.kill();
        broker.start();
        List<Message> messages = drain("q");
        int first = 200 - messages.size();
        assertTrue(first <= 100, "lost: " + (first - 100));
        for (int index = first; index < 200; index++) {
            Message message = messages.get(index - first);
            assertEquals("m" + index, text(message));
            assertTrue(index >= 100 || message.getJMSRedelivered(), "seen before, and not marked: m" + index);
        }
    }

    @Test
    void persistentMessagesSurviveAmongOthers() throws Exception {
        Session session = session(own(""));
        MessageProducer producer = session.createProducer(queue("q"));
        for (int index = 0; index < 100; index++) {
            producer.setDeliveryMode(index % 2 == 0 ? DeliveryMode.PERSISTENT : DeliveryMode.NON_PERSISTENT);
            producer.send(session.createTextMessage("m" + index));
        }
        broker.restart();
        List<String> persistent = new ArrayList<>();
        for (Message message : drain("q")) {
            if (message.getJMSDeliveryMode() == DeliveryMode.PERSISTENT) {
                persistent.add(text(message));
            }
        }
        assertEquals(texts("m", 0, 100).stream().filter(text -> Integer.parseInt(text.substring(1)) % 2 == 0).toList(), persistent);
    }

    @Test
    void killsInARowLoseNothing() throws Exception {
        for (int life = 0; life < 5; life++) {
            send(own(""), queue("q"), "m", life * 10, life * 10 + 10);
            broker.restart();
        }
        assertEquals(texts("m", 0, 50), receiveTexts(consumer(own(""), queue("q")), 50));
    }

    @Test
    void failoverClientGoesOnAfterAKillWithoutLossOrDoubles() throws Exception {
        ActiveMQConnection sender = connectTo("failover:(" + broker.url() + ")?initialReconnectDelay=10&maxReconnectDelay=50");
        AtomicInteger answered = new AtomicInteger();
        CompletableFuture<Void> sending = CompletableFuture.runAsync(() -> {
            try {
                Session session = session(sender);
                MessageProducer producer = session.createProducer(queue("q"));
                while (answered.get() < 600) {
                    producer.send(session.createTextMessage("m" + answered.get()));
                    answered.incrementAndGet();
                }
            } catch (JMSException failed) {
                throw new IllegalStateException(failed);
            }
        });
        for (int count = 1; count <= 3; count++) {
            int enough = count * 150;
            await("sends to be answered", () -> answered.get() >= enough || sending.isDone());
            broker.restart();
        }
        sending.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
        List<String> texts = new ArrayList<>();
        for (Message message : drain("q")) {
            texts.add(text(message));
        }
        assertEquals(texts("m", 0, 600), texts);
    }

    @Test
    void stoppingWithClientsConnectedEndsWithZero() throws Exception {
        ActiveMQConnection connection = own("");
        MessageConsumer consumer = consumer(connection, queue("q"));
        send(connection, queue("q"), "m", 0, 3);
        assertEquals(texts("m", 0, 3), receiveTexts(consumer, 3));
        assertEquals(0, broker.stop());
    }

    @Test
    void secondBrokerOnTheSameDirectoryIsRefused() throws Exception {
        send(own(""), queue("q"), "m", 0, 3);
        Process second = broker.startSecond();
        assertNotEquals(0, BrokerProcess.await(second));
        assertFalse(broker.secondLog().isBlank(), "it gave no reason");
        assertEquals(texts("m", 0, 3), receiveTexts(consumer(own(""), queue("q")), 3));
    }
}
