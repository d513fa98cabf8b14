package postrider.clients;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/** Connections to the broker, and messages that go through it one way or there and back. */
final class Traffic {
    private Traffic() {}

    static final int N = Integer.getInteger("count", 1000);

    static String url;

    static final String RUN = Long.toString(System.nanoTime(), 36);

    static ActiveMQConnectionFactory factory(String options) {
        return new ActiveMQConnectionFactory(options.isEmpty() ? url : url + (url.contains("?") ? "&" : "?") + options);
    }

    static Connection connect(String options) throws JMSException {
        Connection c = factory(options).createConnection();
        c.start();
        return c;
    }

    static String name(String what) { return "matrix." + what + "." + RUN; }

    static void oneWay(String options, String what, int mode, int count) throws Exception { oneWay(options, what, mode, count, Session.AUTO_ACKNOWLEDGE); }

    static void oneWay(String options, String what, int mode, int count, int acknowledge) throws Exception {
        Connection out = connect(options);
        Connection in = connect(options);
        try {
            transfer(out, in, name(what), mode, count, acknowledge);
        } finally {
            out.close();
            in.close();
        }
    }

    static void transfer(Connection out, Connection in, String queue, int mode, int count, int acknowledge) throws Exception {
        Session s = out.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer p = s.createProducer(s.createQueue(queue));
        p.setDeliveryMode(mode);
        Session r = in.createSession(false, acknowledge);
        MessageConsumer c = r.createConsumer(r.createQueue(queue));
        for (int i = 0; i < count; i++) {
            TextMessage m = s.createTextMessage("message " + i + " é \u0000 😀");
            m.setIntProperty("number", i);
            m.setStringProperty("text", "value " + i);
            m.setJMSCorrelationID("c" + i);
            m.setJMSType("kind");
            p.send(m);
        }
        for (int i = 0; i < count; i++) {
            Message m = c.receive(20_000);
            Check.expect(m != null, "message " + i + " of " + count + " did not come");
            Check.same("message " + i + " é \u0000 😀", ((TextMessage) m).getText(), "body");
            Check.same(i, m.getIntProperty("number"), "property");
            Check.same("c" + i, m.getJMSCorrelationID(), "correlation");
            Check.same("kind", m.getJMSType(), "type");
            Check.same(mode, m.getJMSDeliveryMode(), "mode");
            Check.expect(!m.getJMSRedelivered(), "marked redelivered");
        }
        Check.expect(c.receive(50) == null, "one too many");
        c.close(); p.close(); s.close(); r.close();
    }

    static void listeners() throws Exception {
        String queue = name("listeners");
        CountDownLatch all = new CountDownLatch(N);
        Set<Integer> seen = Collections.synchronizedSet(new TreeSet<>());
        Connection in = connect("");
        Connection out = connect("");
        try {
            for (int i = 0; i < 4; i++) {
                Session s = in.createSession(false, Session.AUTO_ACKNOWLEDGE);
                s.createConsumer(s.createQueue(queue)).setMessageListener(m -> {
                    try { if (seen.add(m.getIntProperty("n"))) all.countDown(); } catch (JMSException e) { throw new RuntimeException(e); }
                });
            }
            Session s = out.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer p = s.createProducer(s.createQueue(queue));
            for (int i = 0; i < N; i++) { Message m = s.createMessage(); m.setIntProperty("n", i); p.send(m); }
            Check.expect(all.await(20, TimeUnit.SECONDS), all.getCount() + " of " + N + " did not come");
        } finally { out.close(); in.close(); }
    }

    static void requestReply() throws Exception {
        Connection server = connect("");
        Connection client = connect("");
        try {
            String queue = name("requests");
            Session ss = server.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer answers = ss.createProducer(null);
            ss.createConsumer(ss.createQueue(queue)).setMessageListener(m -> {
                try {
                    TextMessage a = ss.createTextMessage("answer to " + ((TextMessage) m).getText());
                    a.setJMSCorrelationID(m.getJMSMessageID());
                    answers.send(m.getJMSReplyTo(), a);
                } catch (JMSException e) { throw new RuntimeException(e); }
            });
            Session cs = client.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer p = cs.createProducer(cs.createQueue(queue));
            for (int t = 0; t < 10; t++) {
                TemporaryQueue reply = cs.createTemporaryQueue();
                MessageConsumer c = cs.createConsumer(reply);
                for (int i = 0; i < 20; i++) {
                    TextMessage m = cs.createTextMessage("q" + i);
                    m.setJMSReplyTo(reply);
                    p.send(m);
                    TextMessage a = (TextMessage) c.receive(10_000);
                    Check.expect(a != null, "no answer to " + i);
                    Check.same("answer to q" + i, a.getText(), "answer");
                    Check.same(m.getJMSMessageID(), a.getJMSCorrelationID(), "correlation");
                }
                c.close();
                reply.delete();
            }
            QueueConnection qc = factory("").createQueueConnection();
            qc.start();
            QueueSession qs = qc.createQueueSession(false, Session.AUTO_ACKNOWLEDGE);
            QueueRequestor requestor = new QueueRequestor(qs, qs.createQueue(queue));
            Check.same("answer to r", ((TextMessage) requestor.request(qs.createTextMessage("r"))).getText(), "QueueRequestor");
            requestor.close();
            qc.close();
        } finally { client.close(); server.close(); }
    }

    static void temporaryTopic() throws Exception {
        Connection a = connect("");
        Connection b = connect("");
        try {
            Session sa = a.createSession(false, Session.AUTO_ACKNOWLEDGE);
            TemporaryTopic t = sa.createTemporaryTopic();
            MessageConsumer c1 = sa.createConsumer(t);
            MessageConsumer c2 = a.createSession(false, Session.AUTO_ACKNOWLEDGE).createConsumer(t);
            Session sb = b.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer p = sb.createProducer(t);
            for (int i = 0; i < 100; i++) p.send(sb.createTextMessage("t" + i));
            for (int i = 0; i < 100; i++) {
                for (MessageConsumer c : List.of(c1, c2)) {
                    Message m = c.receive(5000);
                    Check.expect(m != null, "message " + i + " did not come");
                    Check.same("t" + i, ((TextMessage) m).getText(), "body");
                }
            }
        } finally { a.close(); b.close(); }
    }

    static void deletedTemporary() throws Exception {
        Connection a = connect("");
        Connection b = connect("");
        try {
            Session sa = a.createSession(false, Session.AUTO_ACKNOWLEDGE);
            TemporaryQueue q = sa.createTemporaryQueue();
            Session sb = b.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Thread.sleep(200); // the client refuses a temporary queue that it has not heard of yet, and it hears of it by an advisory message
            MessageProducer p = sb.createProducer(q);
            p.send(sb.createMessage());
            MessageConsumer c = sa.createConsumer(q);
            Check.expect(c.receive(5000) != null, "nothing came");
            boolean refused = false;
            try { sb.createConsumer(q); } catch (InvalidDestinationException e) { refused = true; } catch (JMSException e) { refused = true; }
            Check.expect(refused, "another connection may consume from it");
            c.close();
            q.delete();
            Thread.sleep(200);
            try { p.send(sb.createMessage()); throw new AssertionError("a send to it after its removal went through"); } catch (InvalidDestinationException e) { /* as it should */ }
        } finally { a.close(); b.close(); }
    }

    static void topic() throws Exception {
        Connection in = connect("");
        Connection out = connect("");
        try {
            String topic = name("topic");
            List<MessageConsumer> consumers = new ArrayList<>();
            for (int i = 0; i < 2; i++) { Session s = in.createSession(false, Session.AUTO_ACKNOWLEDGE); consumers.add(s.createConsumer(s.createTopic(topic))); }
            Session s = out.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer p = s.createProducer(s.createTopic(topic));
            for (int i = 0; i < N; i++) p.send(s.createTextMessage("t" + i));
            for (MessageConsumer c : consumers) for (int i = 0; i < N; i++) {
                TextMessage m = (TextMessage) c.receive(10_000);
                Check.expect(m != null, "message " + i + " did not come");
                Check.same("t" + i, m.getText(), "body");
            }
        } finally { in.close(); out.close(); }
    }
}
