package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQSession;
import org.apache.activemq.command.ActiveMQMessage;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What each acknowledgement mode takes off a queue. */
class AcknowledgeTest extends BrokerTest {
    @Test
    void autoTakesWhatWasReceived() throws JMSException {
        String name = name("auto");
        send(connect(), queue(name), "m", 0, 20);
        ActiveMQConnection connection = connect();
        assertEquals(texts("m", 0, 10), receiveTexts(consumer(connection, queue(name)), 10));
        connection.close();
        List<Message> rest = receive(consumer(connect(), queue(name)), 10);
        for (int index = 0; index < 10; index++) {
            assertEquals("m" + (10 + index), text(rest.get(index)));
            Envelope.checkFresh(rest.get(index));
        }
    }

    @Test
    void listenerTakesWhatItWasGiven() throws Exception {
        String name = name("listener");
        Inbox inbox = new Inbox();
        MessageConsumer consumer = consumer(connect(), queue(name));
        consumer.setMessageListener(inbox);
        send(connect(), queue(name), "m", 0, 200);
        assertEquals(texts("m", 0, 200), inbox.takeTexts(200));
        consumer.close();
        assertEmpty(name);
    }

    @ParameterizedTest
    @ValueSource(ints = {Session.AUTO_ACKNOWLEDGE, Session.DUPS_OK_ACKNOWLEDGE})
    void closingSendsTheLastAcknowledgements(int mode) throws JMSException {
        String name = name("dups-ok");
        send(connect(), queue(name), "m", 0, 25);
        ActiveMQConnection connection = connect();
        assertEquals(texts("m", 0, 25), receiveTexts(session(connection, mode).createConsumer(queue(name, 10)), 25));
        connection.close();
        assertEmpty(name);
    }

    @ParameterizedTest
    @ValueSource(strings = {"jms.optimizeAcknowledge=true", "jms.sendAcksAsync=false", "jms.sendAcksAsync=false&jms.dispatchAsync=false"})
    void acknowledgementOptionsTakeWhatWasReceived(String options) throws JMSException {
        String name = name("options");
        send(connect(), queue(name), "m", 0, 250);
        ActiveMQConnection connection = connect(options);
        assertEquals(texts("m", 0, 250), receiveTexts(consumer(connection, queue(name, 100)), 250));
        connection.close();
        assertEmpty(name);
    }

    @Test
    void clientTakesAllThatTheSessionReceived() throws JMSException {
        String name = name("client");
        send(connect(), queue(name), "m", 0, 15);
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name));
        receive(consumer, 5).get(2).acknowledge();
        receive(consumer, 5);
        connection.close();
        MessageConsumer next = consumer(connect(), queue(name));
        for (int index = 5; index < 15; index++) {
            Message message = receive(next);
            assertEquals("m" + index, text(message));
            if (index < 10) {
                Envelope.checkRedelivered(message, 2);
            } else {
                Envelope.checkFresh(message);
            }
        }
        next.close();
        assertEmpty(name);
    }

    @Test
    void individualTakesOneMessageInAnyOrder() throws JMSException {
        String name = name("individual");
        send(connect(), queue(name), "m", 0, 6);
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = session(connection, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE).createConsumer(queue(name));
        List<Message> messages = receive(consumer, 6);
        for (int index : new int[] {4, 0, 2}) {
            messages.get(index).acknowledge();
        }
        connection.close();
        MessageConsumer next = consumer(connect(), queue(name));
        for (int index : new int[] {1, 3, 5}) {
            Message message = receive(next);
            assertEquals("m" + index, text(message));
            Envelope.checkRedelivered(message, 2);
        }
        next.close();
        assertEmpty(name);
    }

    /** After the first few the client says that it has delivered from the first to the last, of which some are gone by then. */
    @Test
    void individualTakesMoreThanThePrefetch() throws Exception {
        String name = name("individual");
        send(connect(), queue(name), "m", 0, 200);
        ActiveMQConnection connection = connect();
        List<JMSException> broken = new CopyOnWriteArrayList<>();
        connection.setExceptionListener(broken::add);
        MessageConsumer consumer =
                session(connection, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE).createConsumer(queue(name, 10));
        receive(consumer).acknowledge();
        List<Message> held = receive(consumer, 4);
        for (int index = 5; index < 200; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            message.acknowledge();
        }
        for (Message message : held) {
            message.acknowledge();
        }
        connection.close();
        assertEquals(List.of(), broken);
        assertEmpty(name);
    }

    @ParameterizedTest
    @ValueSource(ints = {Session.CLIENT_ACKNOWLEDGE, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE})
    void anAcknowledgementTwiceIsNoError(int mode) throws JMSException {
        String name = name("twice");
        send(connect(), queue(name), "m", 0, 2);
        ActiveMQConnection connection = connect();
        List<JMSException> broken = new CopyOnWriteArrayList<>();
        connection.setExceptionListener(broken::add);
        MessageConsumer consumer = session(connection, mode).createConsumer(queue(name, 1));
        Message message = receive(consumer);
        message.acknowledge();
        message.acknowledge();
        receive(consumer).acknowledge();
        connection.close();
        assertEquals(List.of(), broken);
        assertEmpty(name);
    }

    @Test
    void recoverDeliversAgainFromTheFirstUnacknowledged() throws JMSException {
        String name = name("recover");
        send(connect(), queue(name), "m", 0, 8);
        ActiveMQConnection connection = connect("jms.redeliveryPolicy.initialRedeliveryDelay=0");
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(queue(name));
        receive(consumer, 2).get(1).acknowledge();
        receive(consumer, 3);
        for (int times = 2; times <= 4; times++) {
            session.recover();
            for (int index = 2; index < 5; index++) {
                Message message = receive(consumer);
                assertEquals("m" + index, text(message));
                Envelope.checkRedelivered(message, times);
            }
        }
        List<Message> rest = receive(consumer, 3);
        Envelope.checkFresh(rest.get(0));
        rest.get(2).acknowledge();
        connection.close();
        assertEmpty(name);
    }

    @Test
    void messageThatIsRecoveredTooOftenGoesToTheDeadLetterQueue() throws JMSException {
        String name = name("poison");
        send(connect(), queue(name), name, 0, 2);
        ActiveMQConnection connection =
                connect("jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.redeliveryPolicy.maximumRedeliveries=1");
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(queue(name, 1));
        String poison = receive(consumer).getJMSMessageID();
        session.recover();
        receive(consumer);
        session.recover();
        Message next = receive(consumer);
        assertEquals(name + 1, text(next));
        next.acknowledge();
        connection.close();
        assertEmpty(name);
        assertDeadLetter(poison, name);
    }

    private void assertDeadLetter(String messageId, String origin) throws JMSException {
        MessageConsumer consumer = consumer(connect(), queue("ActiveMQ.DLQ"));
        Message letter = receive(consumer);
        while (!letter.getJMSMessageID().equals(messageId)) {
            letter = receive(consumer);
        }
        assertEquals(origin + 0, text(letter));
        assertEquals(queue("ActiveMQ.DLQ"), letter.getJMSDestination());
        assertEquals(queue(origin), ((ActiveMQMessage) letter).getOriginalDestination());
    }

    @Test
    void unacknowledgedMessagesDoNotStopTheConsumer() throws JMSException {
        String name = name("extension");
        send(connect(), queue(name), "m", 0, 100);
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 10));
        List<Message> messages = receive(consumer, 100);
        messages.get(99).acknowledge();
        connection.close();
        assertEmpty(name);
    }

    @Test
    void acknowledgementsOfOneConsumerLeaveTheOthersMessages() throws JMSException {
        String name = name("two");
        ActiveMQConnection connection = connect();
        ActiveMQConnection other = connect();
        MessageConsumer first = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 5));
        MessageConsumer second = session(other, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 5));
        send(connect(), queue(name), "m", 0, 10);
        List<Message> ofFirst = receive(first, 5);
        List<Message> ofSecond = receive(second, 5);
        ofSecond.get(4).acknowledge();
        other.close();
        connection.close();
        MessageConsumer next = consumer(connect(), queue(name));
        for (Message expected : ofFirst) {
            Message message = receive(next);
            assertEquals(text(expected), text(message));
            Envelope.checkRedelivered(message, 2);
        }
        next.close();
        assertEmpty(name);
    }
}
