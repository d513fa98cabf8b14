package postrider.clients;

import static postrider.clients.Connections.modern;
import static postrider.clients.Traffic.RUN;
import static postrider.clients.Traffic.connect;
import static postrider.clients.Traffic.factory;
import static postrider.clients.Traffic.name;
import static postrider.clients.Traffic.topic;

import java.util.ArrayList;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQSession;

/** What a queue does for its consumers. */
final class Queues {
    private Queues() {}

    static void clientAcknowledge() throws Exception {
        Connection c = connect("");
        try {
            String queue = name("client");
            Session s = c.createSession(false, Session.CLIENT_ACKNOWLEDGE);
            MessageProducer p = s.createProducer(s.createQueue(queue));
            for (int i = 0; i < 100; i++) p.send(s.createTextMessage("" + i));
            MessageConsumer r = s.createConsumer(s.createQueue(queue));
            Message last = null;
            for (int i = 0; i < 50; i++) { last = r.receive(5000); Check.expect(last != null, "message " + i + " did not come"); }
            last.acknowledge();
            for (int i = 50; i < 60; i++) Check.same("" + i, ((TextMessage) r.receive(5000)).getText(), "body");
            s.recover();
            for (int i = 50; i < 100; i++) {
                last = r.receive(5000);
                Check.expect(last != null, "after recover " + i + " did not come");
                Check.same("" + i, ((TextMessage) last).getText(), "order after recover");
                Check.same(i < 60, last.getJMSRedelivered(), "redelivered of " + i);
            }
            s.close(); // not acknowledged
            Session again = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageConsumer r2 = again.createConsumer(again.createQueue(queue));
            for (int i = 50; i < 100; i++) {
                Message m = r2.receive(5000);
                Check.expect(m != null, "after close " + i + " did not come");
                Check.same("" + i, ((TextMessage) m).getText(), "order after close");
                Check.expect(m.getJMSRedelivered(), "not marked redelivered");
            }
            Check.expect(r2.receive(50) == null, "one too many");
        } finally { c.close(); }
    }

    static void individual() throws Exception {
        Connection c = connect("");
        try {
            String queue = name("individual");
            Session s = c.createSession(false, ActiveMQSession.INDIVIDUAL_ACKNOWLEDGE);
            MessageProducer p = s.createProducer(s.createQueue(queue));
            for (int i = 0; i < 20; i++) p.send(s.createTextMessage("" + i));
            MessageConsumer r = s.createConsumer(s.createQueue(queue));
            for (int i = 0; i < 20; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); if (i % 2 == 0) m.acknowledge(); }
            s.close();
            Session again = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageConsumer r2 = again.createConsumer(again.createQueue(queue));
            for (int i = 1; i < 20; i += 2) { Message m = r2.receive(5000); Check.expect(m != null, i + " did not come again"); Check.same("" + i, ((TextMessage) m).getText(), "which came again"); }
            Check.expect(r2.receive(50) == null, "one too many");
        } finally { c.close(); }
    }

    static void deadLetters() throws Exception {
        ActiveMQConnectionFactory f = factory("jms.redeliveryPolicy.maximumRedeliveries=2&jms.redeliveryPolicy.initialRedeliveryDelay=10&jms.redeliveryPolicy.redeliveryDelay=10");
        Connection c = f.createConnection();
        c.start();
        try {
            String queue = name("poison");
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            AtomicInteger tries = new AtomicInteger();
            Session ls = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            ls.createConsumer(ls.createQueue(queue)).setMessageListener(m -> { tries.incrementAndGet(); throw new IllegalArgumentException("does not like it"); });
            MessageConsumer dead = s.createConsumer(s.createQueue("ActiveMQ.DLQ"));
            s.createProducer(s.createQueue(queue)).send(s.createTextMessage("poison " + RUN));
            long end = System.currentTimeMillis() + 10_000;
            Message m;
            do {
                m = dead.receive(Math.max(1, end - System.currentTimeMillis()));
                Check.expect(m != null, "not in ActiveMQ.DLQ after " + tries + " tries");
            } while (!(m instanceof TextMessage && ((TextMessage) m).getText().equals("poison " + RUN)));
            Check.same(3, tries.get(), "tries");
            if (modern()) Check.expect(m.getStringProperty("dlqDeliveryFailureCause") != null, "no dlqDeliveryFailureCause");
        } finally { c.close(); }
    }

    static void types() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("types"));
            MessageProducer p = s.createProducer(q);
            MessageConsumer r = s.createConsumer(q);
            BytesMessage b = s.createBytesMessage(); b.writeBytes(new byte[] {1, 2, 3}); b.writeUTF("é"); b.writeDouble(1.5);
            MapMessage map = s.createMapMessage(); map.setInt("i", 7); map.setString("s", "x"); map.setBytes("b", new byte[] {9}); map.setLong("l", Long.MIN_VALUE);
            StreamMessage st = s.createStreamMessage(); st.writeBoolean(true); st.writeLong(5); st.writeString("z");
            ObjectMessage o = s.createObjectMessage(new ArrayList<>(List.of("a", "b")));
            TextMessage empty = s.createTextMessage();
            for (Message m : new Message[] {b, map, st, o, empty, s.createMessage()}) {
                m.setBooleanProperty("bool", true); m.setByteProperty("byte", (byte) 1); m.setShortProperty("short", (short) 2); m.setIntProperty("int", 3);
                m.setLongProperty("long", 4L); m.setFloatProperty("float", 5f); m.setDoubleProperty("double", 6d); m.setStringProperty("string", "");
                m.setStringProperty("JMSXGroupID", "g"); m.setObjectProperty("null", null);
                p.send(m);
                Message got = r.receive(5000);
                Check.expect(got != null, m.getClass().getSimpleName() + " did not come");
                Map<String, Object> props = new HashMap<>();
                for (Enumeration<?> e = got.getPropertyNames(); e.hasMoreElements();) { String k = (String) e.nextElement(); props.put(k, got.getObjectProperty(k)); }
                Check.same(true, props.get("bool"), "bool"); Check.same((byte) 1, props.get("byte"), "byte"); Check.same((short) 2, props.get("short"), "short"); Check.same(3, props.get("int"), "int");
                Check.same(4L, props.get("long"), "long"); Check.same(5f, props.get("float"), "float"); Check.same(6d, props.get("double"), "double"); Check.same("", props.get("string"), "string");
                Check.same("g", got.getStringProperty("JMSXGroupID"), "group");
                Check.same(m.getJMSMessageID(), got.getJMSMessageID(), "id");
                Check.same(m.getJMSTimestamp(), got.getJMSTimestamp(), "time");
                Check.same(q, got.getJMSDestination(), "destination");
                if (got instanceof BytesMessage) { BytesMessage g = (BytesMessage) got; byte[] x = new byte[3]; g.readBytes(x); Check.same(3, (int) x[2], "byte"); Check.same("é", g.readUTF(), "utf"); Check.same(1.5, g.readDouble(), "double"); }
                if (got instanceof MapMessage) { Check.same(7, ((MapMessage) got).getInt("i"), "i"); Check.same(Long.MIN_VALUE, ((MapMessage) got).getLong("l"), "l"); Check.same(9, (int) ((MapMessage) got).getBytes("b")[0], "b"); }
                if (got instanceof StreamMessage) { Check.same(true, ((StreamMessage) got).readBoolean(), "st"); Check.same(5L, ((StreamMessage) got).readLong(), "st"); Check.same("z", ((StreamMessage) got).readString(), "st"); }
                if (got instanceof ObjectMessage) Check.same(List.of("a", "b"), ((ObjectMessage) got).getObject(), "object");
            }
        } finally { c.close(); }
    }

    static void large(String options) throws Exception {
        Connection c = connect(options);
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("large" + options.length()));
            byte[] body = new byte[5 << 20];
            for (int i = 0; i < body.length; i++) body[i] = (byte) (i * 31 >>> 3);
            for (int mode : new int[] {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT}) {
                MessageProducer p = s.createProducer(q);
                p.setDeliveryMode(mode);
                BytesMessage b = s.createBytesMessage();
                b.writeBytes(body);
                p.send(b);
                MessageConsumer r = s.createConsumer(q);
                BytesMessage g = (BytesMessage) r.receive(20_000);
                Check.expect(g != null, "did not come");
                byte[] x = new byte[body.length];
                Check.same(body.length, g.readBytes(x), "length");
                Check.expect(java.util.Arrays.equals(body, x), "body differs");
                r.close();
            }
        } finally { c.close(); }
    }

    static void browser() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("browse"));
            MessageProducer p = s.createProducer(q);
            for (int i = 0; i < 500; i++) p.send(s.createTextMessage("" + i));
            for (int round = 0; round < 2; round++) {
                QueueBrowser b = s.createBrowser(q);
                int n = 0;
                for (Enumeration<?> e = b.getEnumeration(); e.hasMoreElements(); n++) Check.same("" + n, ((TextMessage) e.nextElement()).getText(), "browsed");
                b.close();
                Check.same(500, n, "browsed in round " + round);
            }
            MessageConsumer r = s.createConsumer(q);
            for (int i = 0; i < 500; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.same("" + i, ((TextMessage) m).getText(), "body"); }
            r.close();
            QueueBrowser b = s.createBrowser(q);
            Check.expect(!b.getEnumeration().hasMoreElements(), "an empty queue has something to browse");
            b.close();
        } finally { c.close(); }
    }

    static void expiry() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("expiry"));
            MessageProducer p = s.createProducer(q);
            p.setTimeToLive(100);
            p.send(s.createTextMessage("short"));
            p.setTimeToLive(60_000);
            p.send(s.createTextMessage("long"));
            Thread.sleep(400);
            MessageConsumer r = s.createConsumer(q);
            TextMessage m = (TextMessage) r.receive(5000);
            Check.expect(m != null, "nothing came");
            Check.same("long", m.getText(), "which came");
            Check.expect(m.getJMSExpiration() > System.currentTimeMillis(), "expiration header");
            Check.expect(r.receive(100) == null, "one too many");
        } finally { c.close(); }
    }

    static void compositeSend() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            String a = name("compa"), b = name("compb"), t = name("compt");
            MessageConsumer ta = s.createConsumer(s.createTopic(t));
            MessageProducer p = s.createProducer(s.createQueue(a + "," + b + ",topic://" + t));
            for (int i = 0; i < 20; i++) p.send(s.createTextMessage("" + i));
            for (MessageConsumer r : List.of(s.createConsumer(s.createQueue(a)), s.createConsumer(s.createQueue(b)), ta))
                for (int i = 0; i < 20; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.same("" + i, ((TextMessage) m).getText(), "body"); }
        } finally { c.close(); }
    }

    static void wildcard() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            String base = "wild" + RUN;
            MessageConsumer star = s.createConsumer(s.createTopic(base + ".*.x"));
            MessageConsumer rest = s.createConsumer(s.createTopic(base + ".>"));
            s.createProducer(s.createTopic(base + ".a.x")).send(s.createTextMessage("1"));
            s.createProducer(s.createTopic(base + ".b.y")).send(s.createTextMessage("2"));
            s.createProducer(s.createTopic(base + ".b.x")).send(s.createTextMessage("3"));
            for (String want : List.of("1", "3")) { Message m = star.receive(5000); Check.expect(m != null, want + " did not come to *"); Check.same(want, ((TextMessage) m).getText(), "star"); }
            for (String want : List.of("1", "2", "3")) { Message m = rest.receive(5000); Check.expect(m != null, want + " did not come to >"); Check.same(want, ((TextMessage) m).getText(), "rest"); }
            Check.expect(star.receive(50) == null, "one too many");
            s.createProducer(s.createQueue(base + ".q.1")).send(s.createTextMessage("q1"));
            MessageConsumer qs = s.createConsumer(s.createQueue(base + ".q.*"));
            Message m = qs.receive(5000);
            Check.expect(m != null, "existing queue's message did not come to the wildcard");
            s.createProducer(s.createQueue(base + ".q.2")).send(s.createTextMessage("q2"));
            m = qs.receive(5000);
            Check.expect(m != null, "a later queue's message did not come to the wildcard");
        } finally { c.close(); }
    }

    static void receiveNoWait() throws Exception {
        Connection c = connect("jms.prefetchPolicy.queuePrefetch=0");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("nowait"));
            MessageConsumer r = s.createConsumer(q);
            Check.expect(r.receiveNoWait() == null, "an empty queue gave something");
            s.createProducer(q).send(s.createTextMessage("x"));
            Check.expect(r.receiveNoWait() != null, "nothing from a full queue with prefetch 0");
            Check.expect(r.receive(100) == null, "one too many");
        } finally { c.close(); }
    }
}
