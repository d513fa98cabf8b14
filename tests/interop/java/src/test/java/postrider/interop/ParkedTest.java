package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import javax.jms.BytesMessage;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Connections whose sends wait for room, which their own acknowledgements make: whoever sends also consumes. */
class ParkedTest extends BrokerTest {
    private static final int BODY = 60_000;

    @RegisterExtension
    final BrokerProcess broker =
            new BrokerProcess("[journal]", "segment_bytes = 1048576", "disk_budget_bytes = 33554432", "hot_bytes = 16777216");

    private ActiveMQConnection asyncConnection() throws JMSException {
        return connectTo(broker.url() + "?jms.useAsyncSend=true&jms.prefetchPolicy.all=50");
    }

    private static void send(ActiveMQConnection connection, String name, int count) throws JMSException {
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        for (int number = 0; number < count; number++) {
            BytesMessage message = session.createBytesMessage();
            message.setIntProperty("number", number);
            message.writeBytes(new byte[BODY]);
            producer.send(message);
        }
    }

    /** Each once, in the order in which they were sent. */
    private static void receiveAll(MessageConsumer consumer, int count) throws JMSException {
        for (int number = 0; number < count; number++) {
            assertEquals(number, receive(consumer).getIntProperty("number"));
        }
    }

    @Test
    void acknowledgementsAndTheEndPassParkedSends() {
        assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
            int count = 400;
            ActiveMQConnection connection = asyncConnection();
            MessageConsumer consumer = consumer(connection, queue("own"));
            send(connection, "own", count);
            receiveAll(consumer, count);
            connection.close();
        });
    }

    @Test
    void connectionsThatWaitForRoomDoNotWaitForOneAnother() {
        assertTimeoutPreemptively(Duration.ofSeconds(60), () -> {
            int connections = 4;
            int count = 150;
            List<ActiveMQConnection> all = new ArrayList<>();
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int index = 0; index < connections; index++) {
                ActiveMQConnection connection = asyncConnection();
                all.add(connection);
                // Each consumes what the next one sends.
                consumers.add(consumer(connection, queue("ring" + (index + 1) % connections)));
            }
            for (int index = 0; index < connections; index++) {
                send(all.get(index), "ring" + index, count);
            }
            List<Callable<Void>> receivers = new ArrayList<>();
            for (MessageConsumer consumer : consumers) {
                receivers.add(() -> {
                    receiveAll(consumer, count);
                    return null;
                });
            }
            ExecutorService threads = Executors.newFixedThreadPool(connections);
            for (Future<Void> received : threads.invokeAll(receivers)) {
                received.get();
            }
            threads.shutdown();
            for (ActiveMQConnection connection : all) {
                connection.close();
            }
        });
    }
}
