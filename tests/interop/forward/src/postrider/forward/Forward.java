package postrider.forward;

import java.io.File;
import java.io.IOException;
import java.net.Socket;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Destination;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.broker.BrokerService;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.network.NetworkConnector;
import org.apache.activemq.store.kahadb.KahaDBPersistenceAdapter;

/** An ActiveMQ broker forwards to postrider what consumers there want, one way and with its defaults, and nothing else. */
public final class Forward {
    private static final long PATIENCE = Long.getLong("forward.patience", 60_000);

    private final String binary;
    private final File directory;
    private final int port;
    private final int messages;
    private Process postrider;
    private BrokerService activemq;
    private int failures;

    private Forward(String binary, File directory, int port, int messages) {
        this.binary = binary;
        this.directory = directory;
        this.port = port;
        this.messages = messages;
    }

    public static void main(String[] arguments) throws Exception {
        Forward forward = new Forward(
            arguments[0], new File(arguments[1]), Integer.parseInt(arguments[2]), Integer.parseInt(arguments[3]));
        Runtime.getRuntime().addShutdownHook(new Thread(forward::killPostrider));
        forward.run();
        // What ActiveMQ leaves running is not waited for.
        Runtime.getRuntime().exit(forward.failures == 0 ? 0 : 1);
    }

    private interface Scenario {
        void run() throws Exception;
    }

    private void run() throws Exception {
        startPostrider();
        startActiveMq(false);
        check("a consumer gets all, once and in order", this::all);
        check("the bridge stops when the consumer leaves, and goes on with the next", this::leaves);
        check("a topic, a composite and a pattern", this::others);
        check("many consumers come and go", this::many);
        check("messages that are not persistent, transacted at the other side", this::transacted);
        check("postrider is killed and comes back", this::postriderRestarts);
        check("ActiveMQ stops and comes back", this::activeMqRestarts);
        check("a duplex connector is refused", this::duplex);
        activemq.stop();
        killPostrider();
    }

    private void check(String what, Scenario scenario) {
        long start = System.nanoTime();
        String result = "ok";
        try {
            scenario.run();
        } catch (Exception | AssertionError error) {
            result = "FAILED: " + error;
            error.printStackTrace();
            failures++;
        }
        System.out.printf("%s: %s (%d ms)%n", what, result, (System.nanoTime() - start) / 1_000_000);
    }

    // ---- scenarios

    private void all() throws Exception {
        Destination queue = new ActiveMQQueue("forward.all");
        try (Client consumer = new Client(here()); Client producer = new Client(there())) {
            Heard heard = consumer.listen(queue);
            producer.send(queue, 0, messages, DeliveryMode.PERSISTENT);
            heard.expect(0, messages, true);
        }
    }

    private void leaves() throws Exception {
        ActiveMQQueue queue = new ActiveMQQueue("forward.leaves");
        try (Client producer = new Client(there())) {
            try (Client consumer = new Client(here())) {
                Heard heard = consumer.listen(queue);
                producer.send(queue, 0, 100, DeliveryMode.PERSISTENT);
                heard.expect(0, 100, true);
            }
            await("the other side has no demand", () -> demand(queue) == 0);
            producer.send(queue, 100, 50, DeliveryMode.PERSISTENT);
            Thread.sleep(500);
            require(stored(queue) == 50, "the other side keeps what nobody wants: " + stored(queue));
            try (Client consumer = new Client(here())) {
                consumer.listen(queue).expect(100, 50, true);
            }
            await("all have gone over", () -> stored(queue) == 0);
        }
    }

    private void others() throws Exception {
        ActiveMQTopic topic = new ActiveMQTopic("forward.topic");
        try (Client consumer = new Client(here()); Client producer = new Client(there())) {
            Heard onTopic = consumer.listen(topic);
            Heard onBoth = consumer.listen(new ActiveMQQueue("forward.one,forward.two"));
            Heard onMany = consumer.listen(new ActiveMQQueue("forward.wild.>"));
            await("the topic is wanted", () -> demand(topic) == 1);
            producer.send(topic, 0, 200, DeliveryMode.NON_PERSISTENT);
            producer.send(new ActiveMQQueue("forward.one"), 0, 100, DeliveryMode.PERSISTENT);
            producer.send(new ActiveMQQueue("forward.two"), 100, 100, DeliveryMode.PERSISTENT);
            producer.send(new ActiveMQQueue("forward.wild.a"), 0, 100, DeliveryMode.PERSISTENT);
            producer.send(new ActiveMQQueue("forward.wild.b.c"), 100, 100, DeliveryMode.PERSISTENT);
            onTopic.expect(0, 200, true);
            onBoth.expect(0, 200, false);
            onMany.expect(0, 200, false);
        }
    }

    private void many() throws Exception {
        ActiveMQQueue last = new ActiveMQQueue("forward.many.299");
        try (Client producer = new Client(there())) {
            try (Client consumer = new Client(here())) {
                List<Heard> all = new ArrayList<>();
                for (int number = 0; number < 300; number++) {
                    all.add(consumer.listen(new ActiveMQQueue("forward.many." + number)));
                }
                for (int number = 0; number < 300; number++) {
                    producer.send(new ActiveMQQueue("forward.many." + number), number, 1, DeliveryMode.PERSISTENT);
                }
                for (int number = 0; number < 300; number++) {
                    all.get(number).expect(number, 1, true);
                }
                require(demand(last) == 1, "one demands: " + demand(last));
            }
            await("nobody demands", () -> demand(last) == 0 && demand(new ActiveMQQueue("forward.many.0")) == 0);
        }
    }

    private void transacted() throws Exception {
        ActiveMQQueue queue = new ActiveMQQueue("forward.transacted");
        try (Client consumer = new Client(here()); Client producer = new Client(there())) {
            Heard heard = consumer.listen(queue);
            producer.send(queue, 0, 100, DeliveryMode.NON_PERSISTENT);
            Session session = producer.connection.createSession(true, Session.SESSION_TRANSACTED);
            MessageProducer sender = session.createProducer(queue);
            for (int number = 50; number < 150; number++) {
                TextMessage message = session.createTextMessage("transacted");
                message.setIntProperty("number", number < 100 ? -1 : number);
                sender.send(message);
                if (number == 99) {
                    session.rollback();
                }
            }
            session.commit();
            heard.expect(0, 150, false);
        }
    }

    private void postriderRestarts() throws Exception {
        ActiveMQQueue queue = new ActiveMQQueue("forward.restart");
        try (Client consumer = new Client("failover:(" + here() + ")?maxReconnectDelay=500"); Client producer = new Client(there())) {
            Heard heard = consumer.listen(queue);
            producer.send(queue, 0, 500, DeliveryMode.PERSISTENT);
            killPostrider();
            producer.send(queue, 500, 500, DeliveryMode.PERSISTENT);
            startPostrider();
            heard.expectAtLeastOnce(0, 1_000);
        }
    }

    private void activeMqRestarts() throws Exception {
        ActiveMQQueue queue = new ActiveMQQueue("forward.other");
        try (Client consumer = new Client(here())) {
            Heard heard = consumer.listen(queue);
            try (Client producer = new Client(there())) {
                producer.send(queue, 0, 500, DeliveryMode.PERSISTENT);
            }
            activemq.stop();
            activemq.waitUntilStopped();
            startActiveMq(false);
            try (Client producer = new Client(there())) {
                producer.send(queue, 500, 500, DeliveryMode.PERSISTENT);
            }
            heard.expectAtLeastOnce(0, 1_000);
        }
    }

    private void duplex() throws Exception {
        activemq.stop();
        activemq.waitUntilStopped();
        startActiveMq(true);
        ActiveMQQueue queue = new ActiveMQQueue("forward.duplex");
        try (Client consumer = new Client(here()); Client producer = new Client(there())) {
            consumer.listen(queue);
            producer.send(queue, 0, 10, DeliveryMode.PERSISTENT);
            Thread.sleep(3_000);
            require(demand(queue) == 0 && stored(queue) == 10, "nothing is forwarded");
        }
    }

    // ---- the two brokers

    private String here() {
        return "tcp://127.0.0.1:" + port;
    }

    private String there() {
        return "vm://" + activemq.getBrokerName() + "?create=false";
    }

    private void startPostrider() throws Exception {
        ProcessBuilder builder = new ProcessBuilder(
            binary, "serve", "--data-dir", new File(directory, "postrider").getPath(), "--listen", "openwire://127.0.0.1:" + port);
        builder.redirectErrorStream(true);
        builder.redirectOutput(ProcessBuilder.Redirect.appendTo(new File(directory, "broker.log")));
        postrider = builder.start();
        await("postrider listens", () -> {
            require(postrider.isAlive(), "postrider has ended");
            try (Socket socket = new Socket("127.0.0.1", port)) {
                return true;
            } catch (IOException notYet) {
                return false;
            }
        });
    }

    private void killPostrider() {
        if (postrider != null) {
            postrider.destroyForcibly();
            try {
                postrider.waitFor();
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private void startActiveMq(boolean duplex) throws Exception {
        activemq = new BrokerService();
        activemq.setBrokerName("east");
        activemq.setUseJmx(false);
        activemq.setUseShutdownHook(false);
        activemq.setDataDirectoryFile(new File(directory, "activemq"));
        KahaDBPersistenceAdapter store = new KahaDBPersistenceAdapter();
        store.setDirectory(new File(directory, "activemq/kahadb"));
        // What is tested is the way over, not the disk of the other side.
        store.setJournalDiskSyncStrategy("never");
        activemq.setPersistenceAdapter(store);
        NetworkConnector connector = activemq.addNetworkConnector("static:(" + here() + ")");
        connector.setDuplex(duplex);
        activemq.start();
        require(activemq.waitUntilStarted(), "ActiveMQ has started");
    }

    /** Consumers of a destination at the other side: the bridge alone. */
    private int demand(ActiveMQDestination destination) throws Exception {
        org.apache.activemq.broker.region.Destination known = activemq.getBroker().getDestinationMap().get(destination);
        return known == null ? 0 : known.getConsumers().size();
    }

    private long stored(ActiveMQDestination destination) throws Exception {
        org.apache.activemq.broker.region.Destination known = activemq.getBroker().getDestinationMap().get(destination);
        return known == null ? 0 : known.getDestinationStatistics().getMessages().getCount();
    }

    // ---- clients

    private static final class Client implements AutoCloseable {
        final Connection connection;

        Client(String url) throws JMSException {
            connection = new ActiveMQConnectionFactory(url).createConnection();
            connection.start();
        }

        Heard listen(Destination destination) throws JMSException {
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Heard heard = new Heard(destination);
            MessageConsumer consumer = session.createConsumer(destination);
            consumer.setMessageListener(heard.messages::add);
            return heard;
        }

        void send(Destination destination, int first, int count, int mode) throws JMSException {
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer producer = session.createProducer(destination);
            producer.setDeliveryMode(mode);
            for (int number = first; number < first + count; number++) {
                TextMessage message = session.createTextMessage("number " + number);
                message.setIntProperty("number", number);
                producer.send(message);
            }
            session.close();
        }

        @Override
        public void close() throws JMSException {
            connection.close();
        }
    }

    private static final class Heard {
        final Destination destination;
        final BlockingQueue<Message> messages = new LinkedBlockingQueue<>();

        Heard(Destination destination) {
            this.destination = destination;
        }

        void expect(int first, int count, boolean inOrder) throws Exception {
            BitSet seen = new BitSet();
            for (int place = 0; place < count; place++) {
                Message message = messages.poll(PATIENCE, TimeUnit.MILLISECONDS);
                require(message != null, destination + ": " + place + " of " + count + " came");
                int number = message.getIntProperty("number");
                require(number >= first && number < first + count, destination + ": got number " + number);
                require(!inOrder || number == first + place, destination + ": number " + number + " at place " + place);
                require(!seen.get(number), destination + ": number " + number + " twice");
                seen.set(number);
            }
            // A moment for what must not come, where it is worth one.
            Message more = messages.poll(count > 1 ? 100 : 0, TimeUnit.MILLISECONDS);
            require(more == null, destination + ": one more than expected");
        }

        void expectAtLeastOnce(int first, int count) throws Exception {
            BitSet seen = new BitSet();
            while (seen.cardinality() < count) {
                Message message = messages.poll(PATIENCE, TimeUnit.MILLISECONDS);
                require(message != null, destination + ": " + seen.cardinality() + " of " + count + " came");
                seen.set(message.getIntProperty("number"));
            }
        }
    }

    private interface Condition {
        boolean holds() throws Exception;
    }

    private static void await(String what, Condition condition) throws Exception {
        long end = System.nanoTime() + PATIENCE * 1_000_000;
        while (!condition.holds()) {
            require(System.nanoTime() < end, what + ": not within " + PATIENCE + " ms");
            Thread.sleep(20);
        }
    }

    private static void require(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }
}
