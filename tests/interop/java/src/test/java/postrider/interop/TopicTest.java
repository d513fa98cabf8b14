package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Topics: who gets a copy. Where a consumer must get nothing, a later message that it does get comes first. */
class TopicTest extends BrokerTest {
    private static ActiveMQTopic topic(String name) {
        return new ActiveMQTopic(name);
    }

    @ParameterizedTest
    @ValueSource(ints = {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT})
    void everyConsumerGetsEveryMessageInOrder(int mode) throws JMSException {
        String name = name("fan-out");
        List<MessageConsumer> consumers = new ArrayList<>();
        for (int index = 0; index < 4; index++) {
            consumers.add(consumer(connect(), topic(name)));
        }
        send(connect(), topic(name), "m", 0, 200, mode);
        for (MessageConsumer consumer : consumers) {
            assertEquals(texts("m", 0, 200), receiveTexts(consumer, 200));
        }
    }

    @ParameterizedTest
    @EnumSource
    void messageKeepsHeadersPropertiesAndBody(MessageKind kind) throws JMSException {
        String name = name("round-trip");
        MessageConsumer consumer = consumer(connect(), topic(name));
        Session session = session(connect());
        Message sent = kind.create(session);
        Envelope.fill(sent);
        session.createProducer(topic(name)).send(sent, DeliveryMode.NON_PERSISTENT, 2, 3_600_000);
        Message received = receive(consumer);
        Envelope.check(sent, received);
        kind.check(received);
    }

    @Test
    void lateConsumerGetsOnlyWhatFollows() throws JMSException {
        String name = name("late");
        ActiveMQConnection sender = connect();
        send(sender, topic(name), "early", 0, 10);
        MessageConsumer consumer = consumer(connect(), topic(name));
        send(sender, topic(name), "m", 0, 10);
        assertEquals(texts("m", 0, 10), receiveTexts(consumer, 10));
    }

    @Test
    void consumerThatLeftMissesWhatWasSentMeanwhile() throws JMSException {
        String name = name("gap");
        ActiveMQConnection sender = connect();
        Session session = session(connect());
        MessageConsumer consumer = session.createConsumer(topic(name));
        send(sender, topic(name), "first", 0, 3);
        assertEquals(texts("first", 0, 3), receiveTexts(consumer, 3));
        consumer.close();
        send(sender, topic(name), "missed", 0, 3);
        MessageConsumer again = session.createConsumer(topic(name));
        send(sender, topic(name), "last", 0, 3);
        assertEquals(texts("last", 0, 3), receiveTexts(again, 3));
    }

    @Test
    void noLocalSkipsTheOwnConnectionOnly() throws JMSException {
        String name = name("no-local");
        ActiveMQConnection own = connect();
        Session session = session(own);
        MessageConsumer deaf = session.createConsumer(topic(name), null, true);
        MessageConsumer hearing = session.createConsumer(topic(name), null, false);
        send(own, topic(name), "own", 0, 5);
        send(connect(), topic(name), "other", 0, 5);
        assertEquals(texts("other", 0, 5), receiveTexts(deaf, 5));
        assertEquals(texts("own", 0, 5), receiveTexts(hearing, 5));
        assertEquals(texts("other", 0, 5), receiveTexts(hearing, 5));
    }

    @Test
    void consumerThatDoesNotReadHoldsNobodyUp() throws JMSException {
        String name = name("stuck");
        MessageConsumer stuck = consumer(connect(), new ActiveMQTopic(name + "?consumer.prefetchSize=1"));
        MessageConsumer reading = consumer(connect(), topic(name));
        send(connect(), topic(name), "m", 0, 500);
        assertEquals(texts("m", 0, 500), receiveTexts(reading, 500));
        assertEquals(texts("m", 0, 500), receiveTexts(stuck, 500));
    }

    @ParameterizedTest
    @ValueSource(ints = {Session.AUTO_ACKNOWLEDGE, Session.CLIENT_ACKNOWLEDGE, Session.DUPS_OK_ACKNOWLEDGE})
    void everyAcknowledgementModeMovesASmallWindow(int mode) throws JMSException {
        String name = name("window");
        MessageConsumer consumer = session(connect(), mode).createConsumer(new ActiveMQTopic(name + "?consumer.prefetchSize=10"));
        send(connect(), topic(name), "m", 0, 300, DeliveryMode.NON_PERSISTENT);
        for (int index = 0; index < 300; index++) {
            Message message = receive(consumer);
            assertEquals("m" + index, text(message));
            if (mode == Session.CLIENT_ACKNOWLEDGE && index % 7 == 0) {
                message.acknowledge();
            }
        }
    }
}
