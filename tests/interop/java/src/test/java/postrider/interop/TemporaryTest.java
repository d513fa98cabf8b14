package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import javax.jms.TemporaryTopic;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Temporary destinations, for which the client relies on the broker's advisories. */
class TemporaryTest extends BrokerTest {
    private static final String BLIND = "jms.watchTopicAdvisories=false";

    /** Answers every request with its text, to where the request says. */
    private void serve(ActiveMQConnection connection, String requests) throws JMSException {
        Session session = session(connection);
        MessageProducer replies = session.createProducer(null);
        session.createConsumer(queue(requests)).setMessageListener(request -> {
            try {
                TextMessage reply = session.createTextMessage("re: " + text(request));
                reply.setJMSCorrelationID(request.getJMSMessageID());
                replies.send(request.getJMSReplyTo(), reply);
            } catch (JMSException failed) {
                throw new IllegalStateException(failed);
            }
        });
    }

    private Message request(Session session, MessageProducer producer, Destination replyTo, String text) throws JMSException {
        Message request = session.createTextMessage(text);
        request.setJMSReplyTo(replyTo);
        producer.send(request);
        return request;
    }

    @Test
    void requestsAreAnsweredOverTemporaryQueues() throws JMSException {
        String requests = name("requests");
        serve(connect(), requests);
        Session session = session(connect());
        MessageProducer producer = session.createProducer(queue(requests));
        TemporaryQueue replies = session.createTemporaryQueue();
        MessageConsumer consumer = session.createConsumer(replies);
        for (int index = 0; index < 50; index++) {
            Message request = request(session, producer, replies, "r" + index);
            Message reply = receive(consumer);
            assertEquals("re: r" + index, text(reply));
            assertEquals(request.getJMSMessageID(), reply.getJMSCorrelationID());
            assertEquals(replies, reply.getJMSDestination());
        }
    }

    @Test
    void anAnswerNeverOvertakesTheAdvisoryOfItsQueue() throws JMSException {
        String requests = name("fresh");
        serve(connect(), requests);
        Session session = session(connect());
        MessageProducer producer = session.createProducer(queue(requests));
        for (int index = 0; index < 100; index++) {
            TemporaryQueue replies = session.createTemporaryQueue();
            request(session, producer, replies, "r" + index);
            MessageConsumer consumer = session.createConsumer(replies);
            assertEquals("re: r" + index, text(receive(consumer)));
            consumer.close();
            replies.delete();
        }
    }

    @Test
    void connectionOpenedLaterKnowsExistingQueues() throws JMSException {
        String requests = name("later");
        Session session = session(connect());
        List<TemporaryQueue> queues = new ArrayList<>();
        List<MessageConsumer> consumers = new ArrayList<>();
        MessageProducer producer = session.createProducer(queue(requests));
        for (int index = 0; index < 20; index++) {
            queues.add(session.createTemporaryQueue());
            consumers.add(session.createConsumer(queues.get(index)));
            request(session, producer, queues.get(index), "r" + index);
        }
        serve(connect(), requests);
        for (int index = 0; index < 20; index++) {
            assertEquals("re: r" + index, text(receive(consumers.get(index))));
        }
    }

    /** What a connection is told of at its start comes before the answer to what it asks first, however much it is. */
    @Test
    void aFreshConnectionKnowsTheLastOfThousands() throws JMSException {
        Session session = session(connect());
        TemporaryQueue last = session.createTemporaryQueue();
        for (int index = 1; index < 3_000; index++) {
            last = session.createTemporaryQueue();
        }
        for (int times = 0; times < 20; times++) {
            ActiveMQConnection fresh = connect();
            Session sending = session(fresh);
            sending.createProducer(last).send(sending.createMessage());
            fresh.close();
        }
        assertEquals(20, receive(session.createConsumer(last), 20).size());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", BLIND})
    void sendingToADeletedQueueFails(String options) throws JMSException {
        ActiveMQConnection owner = connect();
        Session session = session(owner);
        TemporaryQueue replies = session.createTemporaryQueue();
        ActiveMQConnection stranger = connect(options);
        awaitKnown(stranger, replies);
        Session other = session(stranger);
        MessageProducer producer = other.createProducer(null);
        producer.send(replies, other.createTextMessage("in time"));
        MessageConsumer consumer = session.createConsumer(replies);
        assertEquals("in time", text(receive(consumer)));
        consumer.close();
        replies.delete();
        awaitRefusal(other, producer, replies);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", BLIND})
    void queuesEndWithTheirConnection(String options) throws JMSException {
        ActiveMQConnection owner = connect();
        TemporaryQueue replies = session(owner).createTemporaryQueue();
        ActiveMQConnection stranger = connect(options);
        awaitKnown(stranger, replies);
        Session other = session(stranger);
        MessageProducer producer = other.createProducer(null);
        producer.send(replies, other.createTextMessage("in time"));
        owner.close();
        awaitRefusal(other, producer, replies);
    }

    /** A client that listens to advisories refuses by itself once it has heard; one that does not is refused by the broker at once. */
    private void awaitRefusal(Session session, MessageProducer producer, Destination gone) {
        await("refusal to send to " + gone, () -> {
            try {
                producer.send(gone, session.createTextMessage("too late"));
                return false;
            } catch (JMSException refused) {
                return true;
            }
        });
    }

    @Test
    void brokerRefusesAtOnceWithTheNameOfTheMissingQueue() throws JMSException {
        ActiveMQConnection owner = connect();
        TemporaryQueue replies = session(owner).createTemporaryQueue();
        owner.close();
        Session other = session(connect(BLIND));
        MessageProducer producer = other.createProducer(null);
        JMSException refusal = assertThrows(JMSException.class, () -> producer.send(replies, other.createTextMessage("too late")));
        assertTrue(refusal.getMessage().contains("temp-queue://" + replies.getQueueName()), refusal::getMessage);
    }

    @Test
    void failedAsynchronousSendReachesTheListenerAndTheConnectionLives() throws Exception {
        ActiveMQConnection owner = connect();
        TemporaryQueue replies = session(owner).createTemporaryQueue();
        owner.close();
        ActiveMQConnection sender = connect(BLIND);
        CompletableFuture<JMSException> heard = new CompletableFuture<>();
        sender.setExceptionListener(heard::complete);
        Session session = session(sender);
        session.createProducer(null).send(replies, session.createTextMessage("too late"), DeliveryMode.NON_PERSISTENT, 4, 0);
        assertTrue(heard.get(PATIENCE_MS, TimeUnit.MILLISECONDS).getMessage().contains(replies.getQueueName()));
        String name = name("alive");
        send(sender, queue(name), "m", 0, 1);
        assertEquals(texts("m", 0, 1), receiveTexts(consumer(sender, queue(name)), 1));
    }

    @Test
    void temporaryTopicReachesAllConsumersOfItsConnection() throws JMSException {
        ActiveMQConnection owner = connect();
        TemporaryTopic topic = session(owner).createTemporaryTopic();
        MessageConsumer first = consumer(owner, topic);
        MessageConsumer second = consumer(owner, topic);
        ActiveMQConnection sender = connect();
        awaitKnown(sender, topic);
        send(sender, topic, "m", 0, 20);
        assertEquals(texts("m", 0, 20), receiveTexts(first, 20));
        assertEquals(texts("m", 0, 20), receiveTexts(second, 20));
    }

    @Test
    void manyQueuesAreKeptApart() throws JMSException {
        Session session = session(connect());
        ActiveMQConnection sender = connect();
        List<TemporaryQueue> queues = new ArrayList<>();
        for (int index = 0; index < 500; index++) {
            queues.add(session.createTemporaryQueue());
        }
        awaitKnown(sender, queues.get(499));
        Session other = session(sender);
        MessageProducer producer = other.createProducer(null);
        for (int index = 0; index < 500; index++) {
            producer.send(queues.get(index), other.createTextMessage("m" + index));
        }
        for (int index = 499; index >= 0; index--) {
            MessageConsumer consumer = session.createConsumer(queues.get(index));
            assertEquals("m" + index, text(receive(consumer)));
            consumer.close();
            queues.get(index).delete();
        }
    }
}
