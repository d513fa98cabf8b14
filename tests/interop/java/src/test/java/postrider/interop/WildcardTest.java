package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Set;
import java.util.TreeSet;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Consumers of patterns, of both kinds of destination. */
class WildcardTest extends BrokerTest {
    private static ActiveMQDestination destination(boolean topic, String name) {
        return topic ? new ActiveMQTopic(name) : new ActiveMQQueue(name);
    }

    /** Sends one message, whose text is the name's end, to each destination below `root`. */
    private void publish(boolean topic, String root, String... ends) throws JMSException {
        ActiveMQConnection sender = connect();
        for (String end : ends) {
            send(sender, destination(topic, root + end), end, 0, 1);
        }
    }

    /** Each message must name the destination that it was sent to, not the pattern. */
    private void check(MessageConsumer consumer, boolean topic, String root, String... ends) throws JMSException {
        Set<String> expected = new TreeSet<>();
        Set<String> found = new TreeSet<>();
        for (String end : ends) {
            expected.add(end + 0);
            Message message = receive(consumer);
            String text = text(message);
            found.add(text);
            assertEquals(destination(topic, root + text.substring(0, text.length() - 1)), message.getJMSDestination());
        }
        assertEquals(expected, found);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void starMatchesOneElement(boolean topic) throws JMSException {
        String root = name("star");
        MessageConsumer consumer = consumer(connect(), destination(topic, root + ".*"));
        publish(topic, root, "", ".a", ".a.b", ".b", ".*x", ".c");
        check(consumer, topic, root, ".a", ".b", ".*x", ".c");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void greaterMatchesAnyNumberOfElements(boolean topic) throws JMSException {
        String root = name("greater");
        MessageConsumer consumer = consumer(connect(), destination(topic, root + ".>"));
        publish(topic, root, "", ".a", ".a.b", ".a.b.c", "x.a", ".d");
        check(consumer, topic, root, "", ".a", ".a.b", ".a.b.c", ".d");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void starInTheMiddle(boolean topic) throws JMSException {
        String root = name("middle");
        MessageConsumer consumer = consumer(connect(), destination(topic, root + ".*.price"));
        publish(topic, root, ".a.price", ".a.size", ".b.c.price", ".price", ".z.price");
        check(consumer, topic, root, ".a.price", ".z.price");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void kindsDoNotMix(boolean topic) throws JMSException {
        String root = name("kinds");
        MessageConsumer consumer = consumer(connect(), destination(topic, root + ".>"));
        publish(!topic, root, ".other");
        publish(topic, root, ".same");
        check(consumer, topic, root, ".same");
    }

    @ParameterizedTest
    @ValueSource(strings = {".*", ".>"})
    void patternTakesQueuesThatExistAlready(String pattern) throws JMSException {
        String root = name("earlier");
        publish(false, root, ".a", ".b");
        MessageConsumer consumer = consumer(connect(), destination(false, root + pattern));
        check(consumer, false, root, ".a", ".b");
        publish(false, root, ".c");
        check(consumer, false, root, ".c");
        consumer.close();
        assertEmpty(root + ".a");
        assertEmpty(root + ".c");
    }

    @ParameterizedTest
    @ValueSource(strings = {".*", ".>", ".a"})
    void topicConsumersOfPatternAndNameEachGetOneCopy(String pattern) throws JMSException {
        String root = name("both");
        MessageConsumer first = consumer(connect(), destination(true, root + pattern));
        MessageConsumer second = consumer(connect(), destination(true, root + ".a"));
        ActiveMQConnection sender = connect();
        send(sender, destination(true, root + ".a"), "m", 0, 20);
        assertEquals(texts("m", 0, 20), receiveTexts(first, 20));
        assertEquals(texts("m", 0, 20), receiveTexts(second, 20));
    }
}
