package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.Session;
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

    @Test
    void afterTheLastSeenWasAcknowledgedAloneNothingCounts() throws JMSException {
        String name = name("last-gone");
        send(connect(), queue(name), "m", 0, 5);
        ActiveMQConnection connection = connect();
        MessageConsumer consumer = session(connection, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE).createConsumer(queue(name));
        receive(consumer, 3).get(2).acknowledge();
        connection.close();
        MessageConsumer next = consumer(connect(), queue(name));
        checkFresh(next, 0, 2);
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
