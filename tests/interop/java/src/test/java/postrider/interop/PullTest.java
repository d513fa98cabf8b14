package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;

/** Consumers without prefetch, which ask for each message. The client waits for the broker's answer, however long it takes. */
class PullTest extends BrokerTest {
    @Test
    void receiveNoWaitTellsWhetherThereIsAMessage() throws JMSException {
        String name = name("no-wait");
        MessageConsumer consumer = consumer(connect(), queue(name, 0));
        ActiveMQConnection sender = connect();
        assertNull(consumer.receiveNoWait());
        send(sender, queue(name), "m", 0, 3);
        for (int index = 0; index < 3; index++) {
            assertEquals("m" + index, text(consumer.receiveNoWait()));
        }
        assertNull(consumer.receiveNoWait());
    }

    @Test
    void receiveWithTimeoutEndsWithoutAMessage() throws JMSException {
        MessageConsumer consumer = consumer(connect(), queue(name("timeout"), 0));
        assertNull(consumer.receive(200));
        assertNull(consumer.receive(1));
    }

    @Test
    void receiveWithTimeoutGetsWhatComesMeanwhile() throws Exception {
        String name = name("meanwhile");
        MessageConsumer consumer = consumer(connect(), queue(name, 0));
        CompletableFuture<Message> received = later(() -> consumer.receive(PATIENCE_MS));
        send(connect(), queue(name), "m", 0, 1);
        assertEquals("m0", text(received.get(PATIENCE_MS, TimeUnit.MILLISECONDS)));
    }

    @Test
    void receiveWaitsForAMessage() throws Exception {
        String name = name("wait");
        MessageConsumer consumer = consumer(connect(), queue(name, 0));
        for (int index = 0; index < 20; index++) {
            CompletableFuture<Message> received = later(consumer::receive);
            send(connect(), queue(name), "m", index, index + 1);
            assertEquals("m" + index, text(received.get(PATIENCE_MS, TimeUnit.MILLISECONDS)));
        }
    }

    @Test
    void onePullTakesOneMessage() throws JMSException {
        String name = name("one");
        send(connect(), queue(name), "m", 0, 10);
        MessageConsumer pulling = session(connect(), Session.CLIENT_ACKNOWLEDGE).createConsumer(queue(name, 0));
        assertEquals("m0", text(receive(pulling)));
        MessageConsumer other = consumer(connect(), queue(name));
        assertEquals(texts("m", 1, 10), receiveTexts(other, 9));
        assertNull(pulling.receiveNoWait());
        pulling.close();
        Envelope.checkRedelivered(receive(other), 2);
    }

    @Test
    void pullThatTimedOutTakesNothing() throws JMSException {
        String name = name("withdrawn");
        MessageConsumer pulling = consumer(connect(), queue(name, 0));
        assertNull(pulling.receive(50));
        MessageConsumer other = consumer(connect(), queue(name));
        send(connect(), queue(name), "m", 0, 5);
        assertEquals(texts("m", 0, 5), receiveTexts(other, 5));
    }

    @Test
    void twoPullingConsumersShareAQueue() throws JMSException {
        String name = name("share");
        MessageConsumer first = consumer(connect(), queue(name, 0));
        MessageConsumer second = consumer(connect(), queue(name, 0));
        send(connect(), queue(name), "m", 0, 20);
        for (int index = 0; index < 20; index += 2) {
            assertEquals("m" + index, text(receive(first)));
            assertEquals("m" + (index + 1), text(receive(second)));
        }
        assertNull(first.receiveNoWait());
        assertNull(second.receiveNoWait());
    }

    @Test
    void topicConsumerPulls() throws JMSException {
        String name = name("topic");
        MessageConsumer consumer = consumer(connect(), new ActiveMQTopic(name + "?consumer.prefetchSize=0"));
        assertNull(consumer.receiveNoWait());
        send(connect(), new ActiveMQTopic(name), "m", 0, 10);
        assertEquals(texts("m", 0, 10), receiveTexts(consumer, 10));
        assertNull(consumer.receive(50));
    }

    private interface Receiving {
        Message run() throws JMSException;
    }

    private static CompletableFuture<Message> later(Receiving receiving) {
        return CompletableFuture.supplyAsync(() -> {
            try {
                return receiving.run();
            } catch (JMSException failed) {
                throw new IllegalStateException(failed);
            }
        });
    }
}
