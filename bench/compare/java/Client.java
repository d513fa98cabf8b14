import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicLong;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * ActiveMQ's Java client as it comes, and what it reaches at a broker: one line of JSON, in the words of `postrider bench --json`.
 *
 * <p>Client URL? one|async|request CLIENTS WARM-UP SECONDS DRAIN-SECONDS BROKER-PID. `one` waits for each persistent send, `async` for
 * none (jms.useAsyncSend); both have CLIENTS producers and as many consumers on one queue. `request` has CLIENTS that each send a
 * non-persistent request and wait for the answer on a temporary queue of their own; a delivery is a round trip there.
 */
public final class Client {
    static final int SIZE = 256;
    static final String QUEUE = "java";
    static final int ANSWER_MILLIS = 20_000;
    /** The most latencies kept by one thread. */
    static final int SAMPLES = 4_000_000;

    static String url;
    static volatile boolean measures, ends;
    static final AtomicLong sent = new AtomicLong(), delivered = new AtomicLong(), wrong = new AtomicLong();
    static final List<Samples> sendTimes = new ArrayList<>(), deliveryTimes = new ArrayList<>();
    static volatile Throwable failure;

    /** Latencies of one thread, in nanoseconds, while it is measured. */
    static final class Samples {
        long[] values = new long[1 << 12];
        int count;

        void add(long value) {
            if (!measures || count == SAMPLES) return;
            if (count == values.length) values = Arrays.copyOf(values, 2 * count);
            values[count++] = value;
        }
    }

    interface Loop { void turn() throws Exception; }

    public static void main(String[] words) throws Exception {
        url = words[0];
        String mode = words[1];
        int clients = Integer.parseInt(words[2]);
        double warmUp = Double.parseDouble(words[3]), seconds = Double.parseDouble(words[4]), drain = Double.parseDouble(words[5]);
        String pid = words[6];
        List<Thread> threads = new ArrayList<>();
        boolean asks = mode.equals("request");
        if (asks) {
            answer();
            for (int i = 0; i < clients; i++) threads.add(thread(requester()));
        } else {
            for (int i = 0; i < clients; i++) consume();
            for (int i = 0; i < clients; i++) threads.add(thread(producer(mode.equals("async"))));
        }
        threads.forEach(Thread::start);
        sleep(warmUp);
        long firstSent = sent.get(), first = delivered.get(), begin = System.nanoTime();
        double cpu = cpuSeconds(pid), ownCpu = cpuSeconds("self");
        measures = true;
        sleep(seconds);
        measures = false;
        double length = (System.nanoTime() - begin) / 1e9;
        cpu = cpuSeconds(pid) - cpu;
        ownCpu = cpuSeconds("self") - ownCpu;
        long sends = sent.get() - firstSent, deliveries = delivered.get() - first;
        ends = true;
        for (Thread thread : threads) thread.join(ANSWER_MILLIS);
        long backlog = sent.get() - delivered.get(), drainBegin = System.nanoTime();
        while (delivered.get() < sent.get() && failure == null && System.nanoTime() - drainBegin < drain * 1e9) Thread.sleep(2);
        double drained = (System.nanoTime() - drainBegin) / 1e9;
        long left = Math.max(sent.get() - delivered.get(), 0);
        if (failure != null) {
            failure.printStackTrace();
            System.err.println(failure);
            System.exit(2);
        }
        double million = Math.max(deliveries, 1) / 1e6;
        System.out.println(String.format(Locale.ROOT,
            "{\"seconds\": %f, \"messages\": {\"sent\": %d, \"delivered\": %d, \"send_rate\": %f, \"delivery_rate\": %f}, \"held\": 0, "
                + "\"receipt_latency_us\": %s, \"delivery_latency_us\": %s, \"cpu\": {\"per\": \"deliveries\", \"broker_seconds\": %f, "
                + "\"broker_seconds_per_million\": %f, \"generator_seconds\": %f}, \"drain\": {\"backlog\": %d, \"left\": %d, "
                + "\"seconds\": %f, \"delivery_rate\": %f}, \"verification\": {\"lost\": %d, \"duplicated\": %d, \"out_of_order\": %d, \"altered\": 0}}",
            length, sends, deliveries, sends / length, deliveries / length, latency(sendTimes), latency(deliveryTimes), cpu,
            cpu / million, ownCpu, backlog, left, drained, (backlog - left) / Math.max(drained, 0.005), left, Math.max(delivered.get() - sent.get(), 0), wrong.get()));
        System.out.flush();
        System.exit(0);
    }

    static Loop producer(boolean async) throws JMSException {
        Session session = connect(async ? "jms.useAsyncSend=true" : "").createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(session.createQueue(QUEUE));
        Samples times = kept(sendTimes);
        String padding = "x".repeat(SIZE);
        long[] number = {0};
        int stream = sendTimes.size();
        return () -> {
            long begin = System.nanoTime();
            String head = stream + " " + number[0]++ + " " + begin + " ";
            producer.send(session.createTextMessage(head + padding.substring(head.length())));
            times.add(System.nanoTime() - begin);
            sent.incrementAndGet();
        };
    }

    static void consume() throws JMSException {
        Session session = connect("").createSession(false, Session.AUTO_ACKNOWLEDGE);
        Samples times = kept(deliveryTimes);
        long[] last = new long[1 << 10];
        session.createConsumer(session.createQueue(QUEUE)).setMessageListener(message -> {
            try {
                String[] words = ((TextMessage) message).getText().split(" ", 4);
                times.add(System.nanoTime() - Long.parseLong(words[2]));
                int stream = Integer.parseInt(words[0]);
                long number = Long.parseLong(words[1]) + 1;
                if (number <= last[stream]) wrong.incrementAndGet();
                last[stream] = number;
                delivered.incrementAndGet();
            } catch (Throwable error) {
                fail(error);
            }
        });
    }

    static void answer() throws JMSException {
        Session session = connect("").createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer answers = session.createProducer(null);
        answers.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        session.createConsumer(session.createQueue(QUEUE)).setMessageListener(request -> {
            try {
                TextMessage answer = session.createTextMessage(((TextMessage) request).getText());
                answer.setJMSCorrelationID(request.getJMSMessageID());
                answers.send(request.getJMSReplyTo(), answer);
            } catch (Throwable error) {
                fail(error);
            }
        });
    }

    static Loop requester() throws JMSException {
        Session session = connect("").createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(session.createQueue(QUEUE));
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        TemporaryQueue own = session.createTemporaryQueue();
        MessageConsumer consumer = session.createConsumer(own);
        Samples times = kept(deliveryTimes);
        String text = "x".repeat(SIZE);
        return () -> {
            TextMessage request = session.createTextMessage(text);
            request.setJMSReplyTo(own);
            long begin = System.nanoTime();
            producer.send(request);
            sent.incrementAndGet();
            Message answer = consumer.receive(ANSWER_MILLIS);
            if (answer == null) throw new JMSException("no answer within " + ANSWER_MILLIS + " ms");
            if (!request.getJMSMessageID().equals(answer.getJMSCorrelationID())) wrong.incrementAndGet();
            times.add(System.nanoTime() - begin);
            delivered.incrementAndGet();
        };
    }

    static Thread thread(Loop loop) {
        Thread thread = new Thread(() -> {
            try {
                while (!ends) loop.turn();
            } catch (Throwable error) {
                fail(error);
            }
        });
        thread.setDaemon(true);
        return thread;
    }

    static Connection connect(String options) throws JMSException {
        Connection connection = new ActiveMQConnectionFactory(url + (url.endsWith("?") ? "" : "&") + options).createConnection();
        connection.setExceptionListener(Client::fail);
        connection.start();
        return connection;
    }

    /** What went wrong first is why the rest does. */
    static synchronized void fail(Throwable error) {
        if (failure == null) failure = error;
    }

    static Samples kept(List<Samples> all) {
        Samples samples = new Samples();
        all.add(samples);
        return samples;
    }

    static void sleep(double seconds) throws InterruptedException {
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (System.nanoTime() < end && failure == null) Thread.sleep(5);
    }

    /** User and system time of all threads of a process. */
    static double cpuSeconds(String pid) throws Exception {
        String stat = Files.readString(Path.of("/proc", pid, "stat"));
        String[] words = stat.substring(stat.lastIndexOf(')') + 2).split(" ");
        return (Long.parseLong(words[11]) + Long.parseLong(words[12])) / 100.0;
    }

    static String latency(List<Samples> all) {
        long[] values = all.stream().flatMapToLong(samples -> Arrays.stream(samples.values, 0, samples.count)).sorted().toArray();
        if (values.length == 0) return "null";
        return String.format(Locale.ROOT, "{\"count\": %d, \"p50\": %f, \"p99\": %f, \"max\": %f}",
            values.length, at(values, 0.5), at(values, 0.99), at(values, 1));
    }

    static double at(long[] values, double part) {
        return values[Math.min((int) (values.length * part), values.length - 1)] / 1e3;
    }
}
