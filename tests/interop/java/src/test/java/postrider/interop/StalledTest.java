package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.command.ConnectionId;
import org.apache.activemq.command.ConsumerId;
import org.apache.activemq.command.ConsumerInfo;
import org.apache.activemq.command.SessionId;
import org.apache.activemq.command.SessionInfo;
import org.junit.jupiter.api.Test;

/** Clients that have credit for messages but do not read their socket. What fills up is theirs alone. */
class StalledTest extends BrokerTest {
    private static final int MESSAGES = 2_000;
    private static final int BODY_BYTES = 16_384;

    /** Subscribes, and reads nothing after the response. */
    private RawClient stalled(ActiveMQDestination destination, int prefetch) throws IOException {
        RawClient client = new RawClient(Settings.host(), Settings.port());
        ConnectionId connection = client.connect(name("stalled"));
        SessionId session = new SessionId(connection, 1);
        client.send(new SessionInfo(session));
        ConsumerInfo info = new ConsumerInfo(new ConsumerId(session, 1));
        info.setDestination(destination);
        info.setPrefetchSize(prefetch);
        // As the client says by default. Without it ActiveMQ writes to the consumer in the producer's thread.
        info.setDispatchAsync(true);
        client.request(info);
        return client;
    }

    private void sendLarge(ActiveMQConnection connection, ActiveMQDestination destination) throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(destination);
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        for (int index = 0; index < MESSAGES; index++) {
            BytesMessage message = session.createBytesMessage();
            message.writeInt(index);
            message.writeBytes(new byte[BODY_BYTES]);
            producer.send(message);
        }
        session.close();
    }

    private void receiveLarge(MessageConsumer consumer) throws JMSException {
        for (int index = 0; index < MESSAGES; index++) {
            assertEquals(index, ((BytesMessage) receive(consumer)).readInt());
        }
    }

    @Test
    void topicFlowsPastAStalledClient() throws Exception {
        ActiveMQTopic topic = new ActiveMQTopic(name("past"));
        MessageConsumer reading = consumer(connect(), topic);
        try (RawClient client = stalled(topic, 32_766)) {
            sendLarge(connect(), topic);
            receiveLarge(reading);
        }
    }

    @Test
    void whatAStalledClientHoldsComesBackWhenItGoes() throws Exception {
        String name = name("comes-back");
        try (RawClient client = stalled(queue(name), 500)) {
            sendLarge(connect(), queue(name));
        }
        receiveLarge(consumer(connect(), queue(name)));
        assertEmpty(name);
    }

    @Test
    void otherQueuesFlowPastAStalledClient() throws Exception {
        String stuck = name("stuck");
        String flowing = name("flowing");
        ActiveMQConnection connection = connect();
        try (RawClient client = stalled(queue(stuck), 32_766)) {
            sendLarge(connection, queue(stuck));
            sendLarge(connection, queue(flowing));
            receiveLarge(consumer(connect(), queue(flowing)));
        }
    }
}
