package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Enumeration;
import java.util.List;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Unacknowledged messages of a consumer that goes: where they come back, and which count as delivered. */
class RedeliveryTest extends BrokerTest {
    /** The ways in which a consumer ends in good order. */
    enum End {
        CONSUMER,
        SESSION,
        CONNECTION;

        void close(ActiveMQConnection connection, Session session, MessageConsumer consumer) throws JMSException {
            switch (this) {
                case CONSUMER -> consumer.close();
                case SESSION -> session.close();
                case CONNECTION -> connection.close();
            }
        }
    }

    /** The session names one message as delivered last, of one consumer; the others had theirs before. */
    @Test
    void eachConsumerOfASessionHasItsMessagesMarked() throws JMSException {
        List<String> names = List.of(name("one"), name("other"), name("third"));
        ActiveMQConnection connection = connect();
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        for (String name : names) {
            send(connection, queue(name), "m", 0, 1);
            receive(session.createConsumer(queue(name)));
        }
        session.close();
        for (String name : names) {
            Envelope.checkRedelivered(receive(consumer(connection, queue(name))), 2);
        }
    }

    /** The broker looks for expired messages every 30 seconds, also among those that came back. */
    @Test
    void whatCameBackExpires() throws JMSException {
        String name = name("back");
        ActiveMQConnection connection = connect();
        Session sending = session(connection);
        MessageProducer producer = sending.createProducer(queue(name));
        producer.setTimeToLive(1_500);
        TextMessage message = sending.createTextMessage(name);
        producer.send(message);
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        receive(session.createConsumer(queue(name)));
        session.close();
        Session looking = session(connection);
        long deadline = System.nanoTime() + 45_000_000_000L;
        boolean found = false;
        while (!found && System.nanoTime() < deadline) {
            for (Enumeration<?> dead = looking.createBrowser(queue("ActiveMQ.DLQ")).getEnumeration(); dead.hasMoreElements(); ) {
                found |= dead.nextElement() instanceof TextMessage letter && name.equals(letter.getText());
            }
            pause(500);
        }
        assertTrue(found, "nobody listens, and it is not among the dead letters");
        assertEmpty(name);
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    @ParameterizedTest
    @EnumSource
    void whatTheApplicationSawCountsAsDelivered(End end) throws JMSException {
        String name = name("seen");
        send(connect(), queue(name), "m", 0, 5);
        ActiveMQConnection connection = connect();
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(queue(name));
        receive(consumer, 2);
        end.close(connection, session, consumer);
        send(connect(), queue(name), "newer", 0, 2);
        MessageConsumer next = consumer(connect(), queue(name));
        checkRedelivered(next, 0, 2, 2);
        checkFresh(next, 2, 5);
        assertEquals(texts("newer", 0, 2), receiveTexts(next, 2));
        next.close();
        assertEmpty(name);
    }

    @ParameterizedTest
    @EnumSource
    void whatWaitedAtTheClientOnlyDoesNotCount(End end) throws JMSException {
        String name = name("unseen");
        send(connect(), queue(name), "m", 0, 5);
        ActiveMQConnection connection = connect();
        Session session = session(connection, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(queue(name, 5));
        awaitBuffered(consumer, 5);
        end.close(connection, session, consumer);
        checkFresh(consumer(connect(), queue(name)), 0, 5);
    }

    @Test
    void everyDeliveryCounts() throws JMSException {
        String name = name("count");
        send(connect(), queue(name), "m", 0, 3);
        for (int times = 1; times <= 5; times++) {
            ActiveMQConnection connection = connect();
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name));
            for (int index = 0; index < 3; index++) {
                Message message = receive(consumer);
                assertEquals("m" + index, text(message));
                assertEquals(times > 1, message.getJMSRedelivered());
                assertEquals(times, message.getIntProperty("JMSXDeliveryCount"));
            }
            connection.close();
        }
    }

    /** A session names its last message though that may be another consumer's, or gone: older ones had been given out before it. */
    @Test
    void whatStandsBeforeTheLastSeenCountsThoughThatIsGone() throws JMSException {
        String name = name("last-gone");
        send(connect(), queue(name), "m", 0, 5);
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = session(connection, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE).createConsumer(queue(name));
        receive(consumer, 3).get(2).acknowledge();
        connection.close();
        MessageConsumer next = consumer(connect(), queue(name));
        checkRedelivered(next, 0, 2, 2);
        checkFresh(next, 3, 5);
    }

    @Test
    void returnedMessagesGoToALiveConsumerAheadOfWaitingOnes() throws JMSException {
        String name = name("ahead");
        ActiveMQConnection connection = connect();
        MessageConsumer leaving = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 3));
        ActiveMQConnection sender = connect();
        send(sender, queue(name), "m", 0, 3);
        // Not received: from half of the prefetch on, the client asks for more than it.
        awaitBuffered(leaving, 3);
        MessageConsumer staying = consumer(connect(), queue(name, 1));
        send(sender, queue(name), "m", 3, 6);
        awaitBuffered(staying, 1);
        connection.close();
        for (int index : new int[] {3, 0, 1, 2, 4, 5}) {
            assertEquals("m" + index, text(receive(staying)));
        }
    }

    @Test
    void whenTheSocketBreaksAllThatWasSentCounts() throws JMSException, IOException {
        String name = name("cut");
        send(connect(), queue(name), "m", 0, 8);
        try (Proxy proxy = new Proxy(Settings.host(), Settings.port())) {
            ActiveMQConnection connection = connectTo(proxy.url());
            MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 6));
            List<Message> messages = receive(consumer, 3);
            messages.get(2).acknowledge();
            // The acknowledgement makes room for the last two.
            awaitBuffered(consumer, 5);
            proxy.cut();
            MessageConsumer next = consumer(connect(), queue(name));
            checkRedelivered(next, 3, 8, 2);
            next.close();
            assertEmpty(name);
        }
    }

    @Test
    void optimizedAcknowledgementsLostWithTheSocketLoseNoMessage() throws JMSException, IOException {
        String name = name("optimize-cut");
        send(connect(), queue(name), "m", 0, 100);
        try (Proxy proxy = new Proxy(Settings.host(), Settings.port())) {
            ActiveMQConnection connection = connectTo(proxy.url() + "?jms.optimizeAcknowledge=true");
            MessageConsumer consumer = consumer(connection, queue(name, 100));
            awaitBuffered(consumer, 100);
            receive(consumer, 30);
            proxy.cut();
            MessageConsumer next = consumer(connect(), queue(name));
            Message first = receive(next);
            int index = Integer.parseInt(text(first).substring(1));
            Envelope.checkRedelivered(first, 2);
            assertTrue(index <= 30, () -> "30 were received, the first of the rest is " + index);
            checkRedelivered(next, index + 1, 100, 2);
        }
    }

    private void checkRedelivered(MessageConsumer consumer, int from, int to, int times) throws JMSException {
        for (int index = from; index < to; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            Envelope.checkRedelivered(message, times);
        }
    }

    private void checkFresh(MessageConsumer consumer, int from, int to) throws JMSException {
        for (int index = from; index < to; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            Envelope.checkFresh(message);
        }
    }
}
