package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.Session;
import org.apache.activemq.ActiveMQConnection;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How many messages a consumer may hold. */
class PrefetchTest extends BrokerTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 10, 99})
    void consumerHoldsAsManyAsItsPrefetch(int prefetch) throws JMSException {
        String name = name("holds");
        send(connect(), queue(name), "m", 0, 100);
        MessageConsumer holding = consumer(connect(), queue(name, prefetch));
        awaitBuffered(holding, prefetch);
        MessageConsumer other = consumer(connect(), queue(name));
        assertEquals(texts("m", prefetch, 100), receiveTexts(other, 100 - prefetch));
        assertEmpty(name);
        assertEquals(texts("m", 0, prefetch), receiveTexts(holding, prefetch));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 1000, 32766})
    void everyPrefetchDrainsTheQueue(int prefetch) throws JMSException {
        String name = name("drains");
        send(connect("jms.useAsyncSend=true"), queue(name), "m", 0, 500);
        MessageConsumer consumer = consumer(connect(), queue(name, prefetch));
        assertEquals(texts("m", 0, 500), receiveTexts(consumer, 500));
        consumer.close();
        assertEmpty(name);
    }

    @Test
    void acknowledgingOneMakesRoomForOne() throws JMSException {
        String name = name("room");
        MessageConsumer first = consumer(connect(), queue(name, 1));
        MessageConsumer second = consumer(connect(), queue(name, 1));
        ActiveMQConnection sender = connect();
        send(sender, queue(name), "m", 0, 4);
        awaitBuffered(first, 1);
        awaitBuffered(second, 1);
        List<String> texts = new ArrayList<>(receiveTexts(first, 1));
        awaitBuffered(first, 1);
        texts.addAll(receiveTexts(first, 1));
        texts.addAll(receiveTexts(first, 1));
        texts.addAll(receiveTexts(second, 1));
        assertEquals(4, texts.stream().distinct().count());
        assertEquals("m3", texts.get(2));
    }

    @Test
    void consumersOfOneSessionHaveWindowsOfTheirOwn() throws JMSException {
        String first = name("own-window");
        String second = name("own-window");
        Session session = session(connect());
        MessageConsumer idle = session.createConsumer(queue(first, 1));
        MessageConsumer busy = session.createConsumer(queue(second, 1));
        ActiveMQConnection sender = connect();
        send(sender, queue(first), "idle", 0, 5);
        send(sender, queue(second), "busy", 0, 50);
        assertEquals(texts("busy", 0, 50), receiveTexts(busy, 50));
        assertEquals(texts("idle", 0, 5), receiveTexts(idle, 5));
    }
}
