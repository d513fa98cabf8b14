package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Enumeration;
import java.util.List;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.InvalidSelectorException;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;

/** Consumers and browsers with selectors. */
class SelectorTest extends BrokerTest {
    private static final String[] COLORS = {"red", "green", "blue"};

    /** Sends `m0`, `m1`, ... with a number and a color each. */
    private static void sendColored(ActiveMQConnection connection, Destination destination, int from, int to) throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(destination);
        for (int index = from; index < to; index++) {
            TextMessage message = session.createTextMessage("m" + index);
            message.setIntProperty("number", index);
            message.setStringProperty("color", COLORS[index % COLORS.length]);
            message.setJMSCorrelationID("c" + index);
            producer.send(message);
        }
        session.close();
    }

    private static MessageConsumer selecting(ActiveMQConnection connection, Destination destination, String selector)
            throws JMSException {
        return session(connection).createConsumer(destination, selector);
    }

    private static List<String> every(int step, int from, int to) {
        List<String> texts = new ArrayList<>();
        for (int index = from; index < to; index += step) {
            texts.add("m" + index);
        }
        return texts;
    }

    @Test
    void eachConsumerOfAQueueGetsWhatItWants() throws JMSException {
        String name = name("selected");
        ActiveMQConnection connection = connect();
        sendColored(connection, queue(name), 0, 30);
        MessageConsumer red = selecting(connection, queue(name), "color = 'red'");
        assertEquals(every(3, 0, 30), receiveTexts(red, 10));
        MessageConsumer late = selecting(connection, queue(name), "color = 'green' AND number BETWEEN 30 AND 60");
        sendColored(connection, queue(name), 30, 60);
        assertEquals(every(3, 30, 60), receiveTexts(red, 10));
        assertEquals(every(3, 31, 60), receiveTexts(late, 10));
        assertNull(red.receiveNoWait());
        MessageConsumer rest = consumer(connection, queue(name));
        assertEquals(40 - 10, receive(rest, 30).size());
        assertEmpty(name);
    }

    @Test
    void onePersistentMatchFarBehindIsMarkedByItself() throws JMSException {
        String name = name("behind");
        ActiveMQConnection connection = connect();
        sendColored(connection, queue(name), 0, 3_000);
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer one = session.createConsumer(queue(name), "JMSCorrelationID = 'c2900'");
        assertEquals("m2900", text(receive(one)));
        session.close();
        Message again = receive(selecting(connection, queue(name), "JMSCorrelationID='c2900'"));
        assertTrue(again.getJMSRedelivered());
        assertFalse(receive(consumer(connection, queue(name))).getJMSRedelivered());
    }

    @Test
    void pullsFindWhatTheyWantOrHearThatThereIsNothing() throws JMSException {
        String name = name("pulled");
        ActiveMQConnection connection = connect();
        sendColored(connection, queue(name), 0, 3_000);
        MessageConsumer last = selecting(connection, queue(name, 0), "number = 2999");
        assertEquals("m2999", text(last.receiveNoWait()));
        assertNull(last.receiveNoWait());
        assertNull(last.receive(50));
        assertNull(selecting(connection, queue(name, 0), "number > 5000").receiveNoWait());
    }

    @Test
    void repliesAreFoundByTheirCorrelation() throws JMSException {
        String name = name("replies");
        ActiveMQConnection connection = connect();
        List<MessageConsumer> waiting = new ArrayList<>();
        for (int index = 0; index < 200; index++) {
            waiting.add(selecting(connection, queue(name), "JMSCorrelationID = 'c" + index + "'"));
        }
        sendColored(connect(), queue(name), 0, 200);
        for (int index = 0; index < 200; index++) {
            assertEquals("m" + index, text(receive(waiting.get(index))));
        }
    }

    @Test
    void topicsBringWhatIsWanted() throws JMSException {
        String name = name("topic");
        ActiveMQConnection connection = connect();
        MessageConsumer red = selecting(connection, new ActiveMQTopic(name), "color = 'red'");
        MessageConsumer all = consumer(connection, new ActiveMQTopic(name));
        MessageConsumer like = selecting(connection, new ActiveMQTopic(name.substring(0, 5) + ">"), "color LIKE '%e' AND number < 9");
        sendColored(connect(), new ActiveMQTopic(name), 0, 30);
        assertEquals(every(3, 0, 30), receiveTexts(red, 10));
        assertEquals(texts("m", 0, 30), receiveTexts(all, 30));
        like.close();
        assertNull(red.receiveNoWait());
    }

    @Test
    void browsersShowWhatIsWanted() throws JMSException {
        String name = name("browsed");
        ActiveMQConnection connection = connect();
        sendColored(connection, queue(name), 0, 3_000);
        QueueBrowser browser = session(connection).createBrowser(queue(name), "color = 'blue'");
        List<String> seen = new ArrayList<>();
        for (Enumeration<?> messages = browser.getEnumeration(); messages.hasMoreElements();) {
            seen.add(text((Message) messages.nextElement()));
        }
        assertEquals(every(3, 2, 3_000), seen);
    }

    @Test
    void redeliveryIsSeenBySelectors() throws JMSException {
        String name = name("again");
        ActiveMQConnection connection = connect();
        send(connection, queue(name), "m", 0, 1);
        MessageConsumer again = selecting(connection, queue(name), "JMSRedelivered = TRUE");
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        assertEquals("m0", text(receive(session.createConsumer(queue(name)))));
        session.close();
        assertEquals("m0", text(receive(again)));
    }

    @Test
    void headersAreRead() throws JMSException {
        String name = name("headers");
        ActiveMQConnection connection = connect();
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        producer.send(session.createTextMessage("low"), DeliveryMode.NON_PERSISTENT, 1, 0);
        producer.send(session.createTextMessage("high"), DeliveryMode.PERSISTENT, 9, 0);
        assertEquals("high", text(receive(selecting(connection, queue(name), "JMSPriority > 4 AND JMSDeliveryMode = 'PERSISTENT'"))));
        assertEquals("low", text(receive(selecting(connection, queue(name), "JMSDeliveryMode = 'NON_PERSISTENT'"))));
    }

    @Test
    void whatIsNoSelectorIsRefused() throws JMSException {
        Session session = session(connect());
        for (String text : List.of("color = ", "1", "NOT", "color LIKE 5", "f(1) = 2", "(".repeat(100))) {
            assertThrows(InvalidSelectorException.class, () -> session.createConsumer(queue(name("refused")), text), text);
        }
        assertThrows(InvalidSelectorException.class, () -> session.createConsumer(queue(name("long")), "a = '" + "x".repeat(10_000) + "'"));
        String name = name("after");
        send(connect(), queue(name), "m", 0, 1);
        assertEquals("m0", text(receive(session.createConsumer(queue(name)))), "the session lives");
    }

    /** It takes a regular expression that backtracks 29 seconds for one message. */
    @Test
    void aSlowPatternTakesNoTime() throws JMSException {
        String name = name("slow");
        ActiveMQConnection connection = connect();
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        TextMessage message = session.createTextMessage("slow");
        message.setStringProperty("x", "a".repeat(2_000));
        producer.send(message);
        MessageConsumer none = selecting(connection, queue(name, 0), "x LIKE '%a%a%a%a%b'");
        long start = System.nanoTime();
        assertNull(none.receiveNoWait());
        long taken = (System.nanoTime() - start) / 1_000_000;
        assertTrue(taken < 1_000, taken + " ms");
    }
}
