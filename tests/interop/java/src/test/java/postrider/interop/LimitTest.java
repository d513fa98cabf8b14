package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import javax.jms.BytesMessage;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.ResourceAllocationException;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Persistent sends until the disk budget is used up. */
class LimitTest extends BrokerTest {
    private static final Duration SOON = Duration.ofMillis(PATIENCE_MS);

    @RegisterExtension
    final BrokerProcess broker =
            new BrokerProcess("[journal]", "segment_bytes = 1048576", "disk_budget_bytes = 33554432", "hot_bytes = 16777216");

    private static int sendUntilRefused(MessageProducer producer, BytesMessage message) {
        int[] taken = {0};
        JMSException refused = assertTimeoutPreemptively(SOON, () -> assertThrows(ResourceAllocationException.class, () -> {
            for (; taken[0] < 1_000; taken[0]++) {
                producer.send(message);
            }
        }), () -> "the sender hangs after " + taken[0]);
        assertTrue(refused.getMessage().contains("`journal.disk_budget_bytes`"), refused.getMessage());
        return taken[0];
    }

    @Test
    void theSenderIsToldAndGoesOnWhenThereIsRoom() throws JMSException {
        ActiveMQConnection connection = connectTo(broker.url());
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue("limit"));
        BytesMessage message = session.createBytesMessage();
        message.writeBytes(new byte[60_000]);
        int taken = sendUntilRefused(producer, message);
        assertTrue(taken > 50, taken + " taken");
        MessageConsumer consumer = consumer(connection, queue("limit"));
        assertEquals(taken, receive(consumer, taken).size());
        assertTimeoutPreemptively(SOON, () -> await("room", () -> {
            try {
                producer.send(message);
                return true;
            } catch (ResourceAllocationException notYet) {
                return false;
            }
        }));
        receive(consumer);
    }
}
