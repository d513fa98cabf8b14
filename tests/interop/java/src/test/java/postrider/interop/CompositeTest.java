package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Set;
import java.util.TreeSet;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.TemporaryQueue;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTopic;
import org.junit.jupiter.api.Test;

/** Names with commas: one send to several destinations, one consumer of several. */
class CompositeTest extends BrokerTest {
    @Test
    void sendToTwoQueuesArrivesInBoth() throws JMSException {
        String first = name("composite");
        String second = name("composite");
        send(connect(), queue(first + "," + second), "m", 0, 10);
        MessageConsumer ofFirst = consumer(connect(), queue(first));
        MessageConsumer ofSecond = consumer(connect(), queue(second));
        for (int index = 0; index < 10; index++) {
            Message one = receive(ofFirst);
            Message two = receive(ofSecond);
            assertEquals("m" + index, text(one));
            assertEquals("m" + index, text(two));
            assertEquals(one.getJMSMessageID(), two.getJMSMessageID());
            assertEquals(queue(first), one.getJMSDestination());
            assertEquals(queue(second), two.getJMSDestination());
            Envelope.checkFresh(two);
        }
        ofFirst.close();
        ofSecond.close();
        assertEmpty(first);
        assertEmpty(second);
    }

    @Test
    void sendToQueueAndTopicArrivesInBoth() throws JMSException {
        String queue = name("composite-queue");
        String topic = name("composite-topic");
        MessageConsumer ofTopic = consumer(connect(), new ActiveMQTopic(topic));
        send(connect(), queue("queue://" + queue + ",topic://" + topic), "m", 0, 10);
        assertEquals(texts("m", 0, 10), receiveTexts(ofTopic, 10));
        assertEquals(texts("m", 0, 10), receiveTexts(consumer(connect(), queue(queue)), 10));
    }

    /** One part that is not there is enough. */
    @Test
    void sendOfWhichOnePartIsRefusedArrivesNowhere() throws JMSException {
        ActiveMQConnection owner = connect();
        TemporaryQueue gone = session(owner).createTemporaryQueue();
        owner.close();
        String name = name("all-or-none");
        for (String parts : new String[] {name + ",temp-queue://" + gone.getQueueName(), "temp-queue://" + gone.getQueueName() + "," + name}) {
            assertThrows(JMSException.class, () -> send(connect(), queue(parts), "m", 0, 1));
        }
        assertEmpty(name);
    }

    @Test
    void namesAreTrimmedAndRepeatedOnesCountOnce() throws JMSException {
        String first = name("trimmed");
        String second = name("trimmed");
        send(connect(), queue(first + " , " + second + ",," + first), "m", 0, 3);
        ActiveMQConnection connection = connect();
        MessageConsumer ofFirst = consumer(connection, queue(first));
        assertEquals(texts("m", 0, 3), receiveTexts(ofFirst, 3));
        assertEquals(texts("m", 0, 3), receiveTexts(consumer(connection, queue(second)), 3));
        ofFirst.close();
        assertEmpty(first);
    }

    @Test
    void consumerOfTwoTopicsGetsBoth() throws JMSException {
        String first = name("topics");
        String second = name("topics");
        MessageConsumer consumer = consumer(connect(), new ActiveMQTopic(first + "," + second));
        ActiveMQConnection sender = connect();
        send(sender, new ActiveMQTopic(first), "first", 0, 3);
        send(sender, new ActiveMQTopic(second), "second", 0, 3);
        assertEquals(texts("first", 0, 3), receiveTexts(consumer, 3));
        assertEquals(texts("second", 0, 3), receiveTexts(consumer, 3));
    }

    @Test
    void consumerOfTwoQueuesEmptiesBoth() throws JMSException {
        String first = name("queues");
        String second = name("queues");
        ActiveMQConnection sender = connect();
        send(sender, queue(first), "first", 0, 3);
        send(sender, queue(second), "second", 0, 3);
        MessageConsumer consumer = consumer(connect(), queue(first + "," + second));
        Set<String> expected = new TreeSet<>(texts("first", 0, 3));
        expected.addAll(texts("second", 0, 3));
        assertEquals(expected, new TreeSet<>(receiveTexts(consumer, 6)));
        consumer.close();
        assertEmpty(first);
        assertEmpty(second);
    }
}
