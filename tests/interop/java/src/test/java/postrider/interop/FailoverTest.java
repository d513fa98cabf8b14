package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.TemporaryQueue;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Clients with the failover transport, whose connections break and come back under the same connection id. */
class FailoverTest extends BrokerTest {
    /** What a failover client can lose. */
    enum Break {
        /** Both sides notice. */
        BOTH,
        /** The client comes back while the broker still holds the old socket: it must take over. */
        CLIENT_ONLY;

        void happen(Proxy proxy) {
            if (this == BOTH) {
                proxy.cut();
            } else {
                proxy.cutClientsOnly();
            }
        }
    }

    private Proxy proxy;

    @BeforeEach
    void openProxy() throws IOException {
        proxy = new Proxy(Settings.host(), Settings.port());
    }

    @AfterEach
    void closeProxy() throws IOException {
        proxy.close();
    }

    private ActiveMQConnection failover(String options) throws JMSException {
        return connectTo("failover:(" + proxy.url() + ")?initialReconnectDelay=10&maxReconnectDelay=20" + options);
    }

    private void awaitCut(int count) {
        await("cut number " + count, () -> proxy.cuts() >= count);
    }

    @Test
    void sendWhoseAnswerWasLostArrivesOnce() throws Exception {
        String name = name("answer");
        ActiveMQConnection connection = failover("");
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        for (int index = 0; index < 20; index++) {
            if (index % 2 == 1) {
                proxy.swallowNextAnswer();
            }
            producer.send(session.createTextMessage("m" + index));
        }
        assertEquals(10, proxy.cuts());
        MessageConsumer consumer = consumer(connect(), queue(name));
        assertEquals(texts("m", 0, 20), receiveTexts(consumer, 20));
        consumer.close();
        assertEmpty(name);
    }

    /** ActiveMQ remembers what 64 producers have sent. */
    @Test
    void sendsOfManyProducersArriveOnceThoughTheirAnswersAreLost() throws Exception {
        String name = name("producers");
        Session session = session(failover(""));
        List<MessageProducer> producers = new ArrayList<>();
        for (int index = 0; index < 200; index++) {
            producers.add(session.createProducer(queue(name)));
            producers.get(index).send(session.createTextMessage("m" + index));
        }
        for (int index = 0; index < 20; index++) {
            proxy.swallowNextAnswer();
            producers.get(10 * index).send(session.createTextMessage("m" + (200 + index)));
        }
        assertEquals(20, proxy.cuts());
        MessageConsumer consumer = consumer(connect(), queue(name));
        assertEquals(texts("m", 0, 220), receiveTexts(consumer, 220));
        consumer.close();
        assertEmpty(name);
    }

    @Test
    void sendsCutAnywhereArriveOnceAndInOrder() throws Exception {
        String name = name("cut-anywhere");
        Random random = new Random(7);
        ActiveMQConnection connection = failover("");
        Session session = session(connection);
        MessageProducer producer = session.createProducer(queue(name));
        String padding = " ".repeat(1_000);
        for (int index = 0; index < 200; index++) {
            if (index % 10 == 0) {
                proxy.cutAfterBytesToBroker(1 + random.nextInt(8_000));
            }
            producer.send(session.createTextMessage("m" + index + padding));
        }
        assertTrue(proxy.cuts() >= 10, () -> "hardly any cuts: " + proxy.cuts());
        MessageConsumer consumer = consumer(connect(), queue(name));
        List<String> texts = receiveTexts(consumer, 200).stream().map(String::trim).toList();
        assertEquals(texts("m", 0, 200), texts);
        consumer.close();
        assertEmpty(name);
    }

    @ParameterizedTest
    @EnumSource
    void sendsGoOnAfterEveryBreak(Break kind) throws Exception {
        String name = name("sends");
        ActiveMQConnection connection = failover("");
        for (int part = 0; part < 10; part++) {
            send(connection, queue(name), "m", part * 10, part * 10 + 10);
            kind.happen(proxy);
        }
        MessageConsumer consumer = consumer(connect(), queue(name));
        assertEquals(texts("m", 0, 100), receiveTexts(consumer, 100));
        consumer.close();
        assertEmpty(name);
    }

    @ParameterizedTest
    @EnumSource
    void consumerSeesEachMessageOnceOverBreaks(Break kind) throws Exception {
        String name = name("consumes");
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 300);
        MessageConsumer consumer = consumer(failover("&jms.prefetchPolicy.all=20"), queue(name));
        boolean[] seen = new boolean[300];
        for (int count = 0; count < 300; count++) {
            if (count % 60 == 59) {
                kind.happen(proxy);
            }
            int index = Integer.parseInt(text(receive(consumer)).substring(1));
            assertTrue(!seen[index], () -> "twice: " + index);
            seen[index] = true;
        }
        consumer.close();
    }

    @ParameterizedTest
    @EnumSource
    void unacknowledgedMessagesComeAgainMarked(Break kind) throws Exception {
        String name = name("again");
        send(connect(), queue(name), "m", 0, 10);
        ActiveMQConnection connection = failover("");
        MessageConsumer consumer = session(connection, Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name));
        assertEquals(texts("m", 0, 5), receiveTexts(consumer, 5));
        kind.happen(proxy);
        awaitCut(1);
        // What still lies in the client's buffer is thrown away when the connection has come back, and comes again as well.
        awaitReconnect(connection);
        List<Message> messages = receive(consumer, 10);
        for (int index = 0; index < 10; index++) {
            assertEquals("m" + index, text(messages.get(index)));
            assertTrue(index >= 5 || messages.get(index).getJMSRedelivered(), "not marked: m" + index);
        }
        messages.get(9).acknowledge();
        connection.close();
        assertEmpty(name);
    }

    /** Returns once a request on the connection that came back has been answered. */
    private void awaitReconnect(ActiveMQConnection connection) throws JMSException {
        send(connection, queue(name("ping")), "ping", 0, 1);
    }

    @ParameterizedTest
    @EnumSource
    void takeoverFreesNothingForOthersTwice(Break kind) throws Exception {
        String name = name("takeover");
        send(connect(), queue(name), "m", 0, 6);
        ActiveMQConnection connection = failover("&jms.clientID=" + name);
        MessageConsumer consumer = session(connection).createConsumer(queue(name, 3));
        assertEquals(texts("m", 0, 1), receiveTexts(consumer, 1));
        kind.happen(proxy);
        awaitCut(1);
        awaitReconnect(connection);
        assertEquals(texts("m", 1, 6), receiveTexts(consumer, 5));
        connection.close();
        assertEmpty(name);
        // The client id is free again: no ghost of the old socket keeps it.
        connect("jms.clientID=" + name).close();
    }

    @ParameterizedTest
    @EnumSource
    void waitingPullSurvivesABreak(Break kind) throws Exception {
        String name = name("pull");
        ActiveMQConnection connection = failover("");
        MessageConsumer consumer = consumer(connection, queue(name, 0));
        long before = proxy.bytesToBroker();
        CompletableFuture<Message> received = CompletableFuture.supplyAsync(() -> {
            try {
                return consumer.receive();
            } catch (JMSException failed) {
                throw new IllegalStateException(failed);
            }
        });
        await("the pull", () -> proxy.bytesToBroker() > before);
        kind.happen(proxy);
        awaitReconnect(connection);
        send(connect(), queue(name), "m", 0, 1);
        assertEquals("m0", text(received.get(PATIENCE_MS, TimeUnit.MILLISECONDS)));
    }

    @ParameterizedTest
    @EnumSource
    void temporaryQueueSurvivesABreak(Break kind) throws Exception {
        ActiveMQConnection connection = failover("");
        Session session = session(connection);
        TemporaryQueue queue = session.createTemporaryQueue();
        MessageConsumer consumer = session.createConsumer(queue);
        ActiveMQConnection other = connect();
        awaitKnown(other, queue);
        send(other, queue, "before", 0, 2);
        assertEquals(texts("before", 0, 2), receiveTexts(consumer, 2));
        kind.happen(proxy);
        awaitReconnect(connection);
        send(other, queue, "after", 0, 2);
        assertEquals(texts("after", 0, 2), receiveTexts(consumer, 2));
    }

    @Test
    void loadUnderManyCutsLosesAndDoublesNothing() throws Exception {
        String name = name("load");
        ActiveMQConnection sender = failover("");
        MessageConsumer consumer = consumer(failover("&jms.prefetchPolicy.all=50"), queue(name));
        CompletableFuture<Void> sending = CompletableFuture.runAsync(() -> {
            try {
                send(sender, queue(name), "m", 0, 500);
            } catch (JMSException failed) {
                throw new IllegalStateException(failed);
            }
        });
        boolean[] seen = new boolean[500];
        for (int count = 0; count < 500; count++) {
            int index = Integer.parseInt(text(receive(consumer)).substring(1));
            assertTrue(!seen[index], () -> "twice: " + index);
            seen[index] = true;
            if (count % 50 == 49) {
                proxy.cut();
            }
        }
        sending.get(PATIENCE_MS, TimeUnit.MILLISECONDS);
    }
}
