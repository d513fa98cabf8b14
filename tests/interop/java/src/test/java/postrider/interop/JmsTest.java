package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQMessage;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;

/** What JMS promises, where no other class is about it. `docs/features.md` says which feature has which test. */
class JmsTest extends BrokerTest {
    /** With ActiveMQ a session stops at its prefetch in a transaction that follows a rollback: tests that run with that, too, stay within it. */
    private static final int WINDOW = 20;
    private static final String DEAD_LETTERS = "ActiveMQ.DLQ";
    private static final String AT_ONCE = "jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.redeliveryDelay=0";

    @Test
    void eachOfManyMessagesGoesToOneOfTwoConsumers() throws JMSException {
        String name = name("point-to-point");
        Set<String> seen = Collections.synchronizedSet(new TreeSet<>());
        AtomicInteger count = new AtomicInteger();
        for (int index = 0; index < 2; index++) {
            consumer(connect(), queue(name)).setMessageListener(message -> {
                seen.add(textOf(message));
                count.incrementAndGet();
            });
        }
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 10_000);
        await("all messages", () -> seen.size() == 10_000);
        assertEmpty(name);
        assertEquals(10_000, count.get());
    }

    @Test
    void everySubscriberGetsAllAndALateOneWhatFollows() throws JMSException {
        ActiveMQTopic topic = new ActiveMQTopic(name("publish"));
        List<MessageConsumer> subscribers = new ArrayList<>();
        for (int index = 0; index < 3; index++) {
            subscribers.add(consumer(connect(), topic));
        }
        ActiveMQConnection sender = connect("jms.useAsyncSend=true");
        send(sender, topic, "m", 0, 1_000);
        for (MessageConsumer subscriber : subscribers) {
            assertEquals(texts("m", 0, 1_000), receiveTexts(subscriber, 1_000));
        }
        subscribers.add(consumer(connect(), topic));
        send(sender, topic, "m", 1_000, 1_010);
        for (MessageConsumer subscriber : subscribers) {
            assertEquals(texts("m", 1_000, 1_010), receiveTexts(subscriber, 10));
        }
    }

    @Test
    void theSendSetsWhatTheApplicationMayNot() throws JMSException {
        String name = name("headers");
        Session session = session(connect());
        Message message = session.createTextMessage("text");
        message.setJMSDeliveryMode(DeliveryMode.NON_PERSISTENT);
        message.setJMSExpiration(5);
        message.setJMSPriority(9);
        message.setJMSMessageID("ID:mine");
        message.setJMSTimestamp(7);
        message.setJMSDestination(queue("elsewhere"));
        message.setJMSRedelivered(true);
        long before = System.currentTimeMillis();
        session.createProducer(queue(name)).send(message, DeliveryMode.PERSISTENT, 3, 3_600_000);
        Message received = receive(consumer(connect(), queue(name)));
        assertEquals(DeliveryMode.PERSISTENT, received.getJMSDeliveryMode());
        assertEquals(3, received.getJMSPriority());
        assertNotEquals("ID:mine", received.getJMSMessageID());
        assertTrue(received.getJMSTimestamp() >= before, "its own timestamp");
        assertEquals(received.getJMSTimestamp() + 3_600_000, received.getJMSExpiration());
        assertEquals(queue(name), received.getJMSDestination());
        assertFalse(received.getJMSRedelivered());
    }

    @Test
    void theBrokersTimesAreProperties() throws JMSException {
        String name = name("properties");
        long before = System.currentTimeMillis();
        send(connect(), queue(name), "m", 0, 1);
        Message received = receive(consumer(connect(), queue(name)));
        long in = received.getLongProperty("JMSActiveMQBrokerInTime");
        long out = received.getLongProperty("JMSActiveMQBrokerOutTime");
        assertTrue(before <= in && in <= out && out <= System.currentTimeMillis(), () -> "in at " + in + ", out at " + out);
        assertEquals(1, received.getIntProperty("JMSXDeliveryCount"));
    }

    @Test
    void whatHasExpiredIsADeadLetterIfItWasPersistent() throws Exception {
        String name = name("expiry");
        Session session = session(connect());
        MessageProducer producer = session.createProducer(queue(name));
        producer.send(session.createTextMessage("expires"), DeliveryMode.PERSISTENT, 4, 300);
        producer.send(session.createTextMessage("vanishes"), DeliveryMode.NON_PERSISTENT, 4, 300);
        producer.send(session.createTextMessage("stays"));
        Thread.sleep(1_000);
        MessageConsumer consumer = consumer(connect(), queue(name));
        assertEquals("stays", text(receive(consumer)));
        assertNull(consumer.receive(100));
        assertEquals("expires", text(deadLetterOf(name)));
        send(connect(), queue(DEAD_LETTERS), "last", 0, 1);
        MessageConsumer letters = consumer(connect(), queue(DEAD_LETTERS));
        for (String text = ""; !text.equals("last0"); text = textOf(receive(letters))) {
            assertNotEquals("vanishes", text);
        }
    }

    @Test
    void aHundredAreMovedOrNone() throws JMSException {
        String from = name("from");
        String to = name("to");
        send(connect(), queue(from), "m", 0, 100);
        Session session = connect(AT_ONCE).createSession(true, Session.SESSION_TRANSACTED);
        MessageConsumer consumer = session.createConsumer(queue(from));
        MessageProducer producer = session.createProducer(queue(to));
        for (boolean commits : new boolean[] {false, true}) {
            for (Message message : receive(consumer, 100)) {
                producer.send(message);
            }
            assertEmpty(to);
            if (commits) {
                session.commit();
            } else {
                session.rollback();
            }
        }
        session.close();
        assertEmpty(from);
        assertEquals(texts("m", 0, 100), receiveTexts(consumer(connect(), queue(to)), 100));
    }

    @Test
    void aTemporaryQueueIsForConsumersOfItsConnection() throws JMSException {
        ActiveMQConnection owner = connect();
        TemporaryQueue temporary = session(owner).createTemporaryQueue();
        ActiveMQConnection stranger = connect();
        awaitKnown(stranger, temporary);
        assertThrows(JMSException.class, () -> consumer(stranger, temporary));
        send(stranger, temporary, "m", 0, 3);
        assertEquals(texts("m", 0, 3), receiveTexts(consumer(owner, temporary), 3));
    }

    @Test
    void browsingTakesNothingFromAConsumer() throws JMSException {
        String name = name("browse");
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 5_000);
        MessageConsumer consumer = consumer(connect(), queue(name, 1));
        awaitBuffered(consumer, 1);
        QueueBrowser browser = session(connect()).createBrowser(queue(name));
        List<String> browsed = new ArrayList<>();
        for (Object message : Collections.list(browser.getEnumeration())) {
            browsed.add(text((Message) message));
        }
        // What the consumer has may be there or not.
        assertEquals(texts("m", 5_000 - browsed.size(), 5_000), browsed);
        assertTrue(browsed.size() >= 4_999, () -> browsed.size() + " browsed");
        browser.close();
        assertEquals(texts("m", 0, 5_000), receiveTexts(consumer, 5_000));
        consumer.close();
        assertEmpty(name);
    }

    @Test
    void deadLettersSayWhereTheyWereAndWhy() throws JMSException {
        for (String name : new String[] {name("poison"), name("poison")}) {
            send(connect(), queue(name), "m", 0, 2);
            ActiveMQConnection connection = connect(AT_ONCE + "&jms.redeliveryPolicy.maximumRedeliveries=1");
            Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = session.createConsumer(queue(name));
            for (int times = 0; times < 2; times++) {
                assertEquals("m0", text(receive(consumer)));
                session.rollback();
            }
            assertEquals("m1", text(receive(consumer)));
            session.commit();
            connection.close();
            assertEmpty(name);
            Message letter = deadLetterOf(name);
            assertEquals("m0", text(letter));
            assertEquals(queue(DEAD_LETTERS), letter.getJMSDestination());
            String cause = letter.getStringProperty("dlqDeliveryFailureCause");
            assertTrue(cause.contains("RedeliveryPolicy"), cause);
        }
    }

    private Message deadLetterOf(String queue) throws JMSException {
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = consumer(connection, queue(DEAD_LETTERS, 1));
        Message letter = receive(consumer);
        while (!queue(queue).equals(((ActiveMQMessage) letter).getOriginalDestination())) {
            letter = receive(consumer);
        }
        connection.close();
        return letter;
    }

    @Test
    void everyReplyOfAThousandAtATimeIsToItsRequest() throws JMSException {
        String requests = name("requests");
        for (int index = 0; index < 4; index++) {
            Session session = session(connect());
            MessageProducer replies = session.createProducer(null);
            session.createConsumer(queue(requests)).setMessageListener(request -> reply(session, replies, request));
        }
        Map<MessageConsumer, Map<String, String>> waiting = new HashMap<>();
        for (int requester = 0; requester < 20; requester++) {
            Session session = session(connect());
            MessageProducer producer = session.createProducer(queue(requests));
            TemporaryQueue replies = session.createTemporaryQueue();
            Map<String, String> expected = new HashMap<>();
            for (int index = 0; index < 50; index++) {
                TextMessage request = session.createTextMessage(requester + "/" + index);
                request.setJMSReplyTo(replies);
                producer.send(request, DeliveryMode.NON_PERSISTENT, 4, 0);
                expected.put(request.getJMSMessageID(), "re: " + request.getText());
            }
            waiting.put(session.createConsumer(replies), expected);
        }
        for (Map.Entry<MessageConsumer, Map<String, String>> requester : waiting.entrySet()) {
            for (Message reply : receive(requester.getKey(), 50)) {
                assertEquals(requester.getValue().remove(reply.getJMSCorrelationID()), text(reply));
            }
        }
    }

    private static void reply(Session session, MessageProducer replies, Message request) {
        try {
            Destination to = request.getJMSReplyTo();
            Message reply = session.createTextMessage("re: " + text(request));
            reply.setJMSCorrelationID(request.getJMSMessageID());
            replies.send(to, reply);
        } catch (JMSException failed) {
            throw new IllegalStateException(failed);
        }
    }

    @Test
    void oneConsumerKeepsTheOrderThroughRollbacksAndReconnects() throws JMSException {
        String name = name("order");
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 400);
        Random random = new Random(23);
        List<String> committed = new ArrayList<>();
        while (committed.size() < 400) {
            ActiveMQConnection connection = connect(AT_ONCE + "&jms.redeliveryPolicy.maximumRedeliveries=-1");
            Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = session.createConsumer(queue(name, WINDOW));
            for (int transactions = random.nextInt(10); transactions >= 0 && committed.size() < 400; transactions--) {
                int count = Math.min(1 + random.nextInt(WINDOW), 400 - committed.size());
                List<String> texts = receiveTexts(consumer, count);
                if (transactions > 0 && random.nextInt(3) > 0) {
                    session.commit();
                    committed.addAll(texts);
                } else if (transactions > 0) {
                    session.rollback();
                }
            }
            connection.close();
        }
        assertEquals(texts("m", 0, 400), committed);
        assertEmpty(name);
    }

    private static String textOf(Message message) {
        try {
            return message instanceof TextMessage ? text(message) : "";
        } catch (JMSException failed) {
            throw new IllegalStateException(failed);
        }
    }
}
