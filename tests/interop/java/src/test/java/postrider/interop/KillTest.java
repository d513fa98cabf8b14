package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQMessageConsumer;
import org.apache.activemq.ActiveMQSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Many kills at random moments, under load from clients that connect anew each time. */
class KillTest extends BrokerTest {
    private static final int PRODUCERS = 3;
    private static final int MAX_BACKLOG = 5_000;
    private static final int LONGEST_LIFE_MS = 300;
    private static final long IDLE_LIMIT_MS = 30_000;
    private static final List<String> QUEUES = List.of("one", "two");
    /** Its messages lie through all later kills, up to KEPT_SENDS / 10 for each producer. */
    private static final String KEPT = "kept";
    private static final int KEPT_SENDS = 10_000;
    private static final int[] MODES = {
        Session.AUTO_ACKNOWLEDGE, Session.CLIENT_ACKNOWLEDGE, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE
    };
    // By default the client sends a message that was delivered more than six times to the dead letter queue.
    private static final String OPTIONS = "?jms.redeliveryPolicy.maximumRedeliveries=-1&jms.closeTimeout=1000";

    @RegisterExtension
    private final BrokerProcess broker = new BrokerProcess();

    private final Ledger ledger = new Ledger();
    private volatile boolean sending = true;
    private volatile boolean receiving = true;
    private volatile long lastReceived;

    @Test
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void nothingReceiptedIsLostAlteredOrDoubledUnmarked() throws Exception {
        long seed = Settings.seed();
        System.out.println("[kills] of single messages: " + Settings.kills() + " with -Dpostrider.seed=" + seed);
        List<Thread> producers = startProducers(seed);
        List<Thread> consumers = startConsumers(QUEUES, seed);
        Random random = new Random(seed);
        for (int count = 0; count < Settings.kills(); count++) {
            awaitProgress();
            Thread.sleep(random.nextInt(LONGEST_LIFE_MS));
            broker.restart();
        }
        awaitProgress();
        sending = false;
        join(producers);
        consumers.addAll(startConsumers(List.of(KEPT), seed + 1));
        awaitDelivery();
        receiving = false;
        join(consumers);
        System.out.println("[kills] of single messages: " + ledger);
        assertEquals(List.of(), ledger.faults().stream().limit(20).toList(), () -> "of " + ledger);
        assertTrue(ledger.receipts() > Settings.kills(), () -> "hardly any load: " + ledger);
    }

    /** Each life of the broker answers for something and delivers something before it ends. */
    private void awaitProgress() {
        int receipts = ledger.receipts();
        long deliveries = ledger.deliveries();
        assertEquals(List.of(), ledger.faultsSoFar());
        await("progress in this life of the broker", () -> ledger.receipts() > receipts && ledger.deliveries() > deliveries);
    }

    /** Until all that was receipted has come, or nothing comes any more. */
    private void awaitDelivery() throws InterruptedException {
        lastReceived = System.nanoTime();
        while (!ledger.complete() && System.nanoTime() - lastReceived < IDLE_LIMIT_MS * 1_000_000) {
            Thread.sleep(10);
        }
    }

    private List<Thread> startProducers(long seed) {
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < PRODUCERS; number++) {
            String prefix = "p" + number + "-";
            Random random = new Random(seed + number);
            threads.add(start(() -> produce(prefix, random)));
        }
        return threads;
    }

    private List<Thread> startConsumers(List<String> queues, long seed) {
        List<Thread> threads = new ArrayList<>();
        for (String queue : queues) {
            for (int mode : MODES) {
                Random random = new Random(seed * 31 + threads.size());
                threads.add(start(() -> consume(queue, mode, random)));
            }
        }
        return threads;
    }

    /** An id is used for one attempt only: what fails may have arrived, and is not sent again. */
    private void produce(String prefix, Random random) {
        for (int next = 0; sending; next++) {
            try (ActiveMQConnection connection = open(broker.url() + OPTIONS)) {
                connection.start();
                Session session = session(connection);
                MessageProducer producer = session.createProducer(null);
                for (; sending; next++) {
                    await("consumers to catch up", () -> !sending || ledger.backlog() < MAX_BACKLOG);
                    String text = ledger.compose(prefix + next, random);
                    String queue = next % 10 == 9 && next < KEPT_SENDS ? KEPT : QUEUES.get(next % QUEUES.size());
                    producer.send(queue(queue), session.createTextMessage(text));
                    ledger.receipt(prefix + next);
                }
            } catch (JMSException killed) {
                pause();
            }
        }
    }

    private void consume(String queue, int mode, Random random) {
        while (receiving) {
            try (ActiveMQConnection connection = open(broker.url() + OPTIONS)) {
                connection.start();
                MessageConsumer consumer = session(connection, mode).createConsumer(queue(queue, 1 + random.nextInt(100)));
                String label = queue + "/" + mode + "/" + ((ActiveMQMessageConsumer) consumer).getConsumerId();
                consumeUntilBroken(consumer, label, mode, random);
            } catch (JMSException killed) {
                pause();
            }
        }
    }

    private void consumeUntilBroken(MessageConsumer consumer, String label, int mode, Random random) throws JMSException {
        // Now and then a consumer goes with messages that it has not acknowledged. Not in INDIVIDUAL mode: if its last message was
        // acknowledged, the broker is not told what else it saw.
        int left = mode == Session.CLIENT_ACKNOWLEDGE ? 1 + random.nextInt(2_000) : Integer.MAX_VALUE;
        while (receiving && left > 0) {
            Message message = consumer.receive(100);
            // At the end INDIVIDUAL consumers do go, and what comes from them to others proves nothing.
            if (message != null && receiving) {
                lastReceived = System.nanoTime();
                ledger.received(message, label);
                left--;
                if (mode != Session.AUTO_ACKNOWLEDGE && random.nextInt(10) < 3) {
                    message.acknowledge();
                }
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(5);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private Thread start(Runnable work) {
        Thread thread = new Thread(work);
        thread.setUncaughtExceptionHandler((ended, cause) -> {
            cause.printStackTrace();
            ledger.fault(cause);
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private static void join(List<Thread> threads) throws InterruptedException {
        for (Thread thread : threads) {
            thread.join(PATIENCE_MS * 2);
            assertTrue(!thread.isAlive(), () -> "does not end: " + thread);
        }
    }
}
