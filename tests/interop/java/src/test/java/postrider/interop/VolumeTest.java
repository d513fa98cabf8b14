package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.BytesMessage;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Many messages from four producers to four consumers: none lost, none doubled, each producer's order kept. */
class VolumeTest extends BrokerTest {
    private static final int PRODUCERS = 4;
    private static final int CONSUMERS = 4;
    private static final int BODY_BYTES = 256;
    private static final int MESSAGES = Settings.volume() / PRODUCERS * PRODUCERS;

    private final ExecutorService threads = Executors.newCachedThreadPool();

    @AfterEach
    void stopThreads() {
        threads.shutdownNow();
    }

    @ParameterizedTest
    @ValueSource(ints = {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT})
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void queueDeliversEachMessageToOneConsumer(int mode) throws Exception {
        String name = name("volume");
        Destination queue = queue(name);
        List<Future<int[]>> consumers = startConsumers(queue, new AtomicInteger(MESSAGES), CONSUMERS);
        run(queue, mode);
        int[] total = new int[MESSAGES];
        for (Future<int[]> consumer : consumers) {
            int[] counts = consumer.get();
            Arrays.setAll(total, index -> total[index] + counts[index]);
        }
        checkOnce(total);
        assertEmpty(name);
    }

    @ParameterizedTest
    @ValueSource(ints = {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT})
    @Timeout(value = 20, unit = TimeUnit.MINUTES)
    void topicDeliversEachMessageToEveryConsumer(int mode) throws Exception {
        Destination topic = new ActiveMQTopic(name("volume"));
        List<Future<int[]>> consumers = new ArrayList<>();
        for (int number = 0; number < CONSUMERS; number++) {
            consumers.addAll(startConsumers(topic, new AtomicInteger(MESSAGES), 1));
        }
        run(topic, mode);
        for (Future<int[]> consumer : consumers) {
            checkOnce(consumer.get());
        }
    }

    private void run(Destination destination, int mode) throws Exception {
        List<Future<Void>> producers = new ArrayList<>();
        for (int number = 0; number < PRODUCERS; number++) {
            int producer = number;
            ActiveMQConnection connection = connect();
            producers.add(threads.submit(() -> produce(connection, destination, mode, producer)));
        }
        for (Future<Void> producer : producers) {
            producer.get();
        }
    }

    private Void produce(ActiveMQConnection connection, Destination destination, int mode, int producer) throws JMSException {
        Session session = session(connection);
        MessageProducer sender = session.createProducer(destination);
        sender.setDeliveryMode(mode);
        for (int index = producer; index < MESSAGES; index += PRODUCERS) {
            BytesMessage message = session.createBytesMessage();
            message.writeInt(index);
            message.writeBytes(new byte[BODY_BYTES - Integer.BYTES]);
            sender.send(message);
        }
        return null;
    }

    /** Consumers that share `left`, the number of messages still to come. */
    private List<Future<int[]>> startConsumers(Destination destination, AtomicInteger left, int count) throws JMSException {
        List<Future<int[]>> consumers = new ArrayList<>();
        for (int number = 0; number < count; number++) {
            MessageConsumer consumer = consumer(connect(), destination);
            Callable<int[]> work = () -> consume(consumer, left);
            consumers.add(threads.submit(work));
        }
        return consumers;
    }

    /** How often each message came. A message must not come before an earlier one of the same producer, to the same consumer. */
    private int[] consume(MessageConsumer consumer, AtomicInteger left) throws JMSException {
        int[] counts = new int[MESSAGES];
        int[] last = new int[PRODUCERS];
        Arrays.fill(last, -1);
        long idleSince = System.nanoTime();
        while (left.get() > 0) {
            Message message = consumer.receive(50);
            if (message == null) {
                assertTrue(System.nanoTime() - idleSince < PATIENCE_MS * 1_000_000, () -> left + " messages never came");
                continue;
            }
            idleSince = System.nanoTime();
            int index = ((BytesMessage) message).readInt();
            assertEquals(BODY_BYTES, ((BytesMessage) message).getBodyLength());
            assertTrue(index > last[index % PRODUCERS], () -> index + " came after a later one of its producer");
            last[index % PRODUCERS] = index;
            counts[index]++;
            left.decrementAndGet();
        }
        return counts;
    }

    private static void checkOnce(int[] counts) {
        for (int index = 0; index < counts.length; index++) {
            assertEquals(1, counts[index], "deliveries of message " + index);
        }
    }
}
