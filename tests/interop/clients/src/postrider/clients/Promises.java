package postrider.clients;

import static postrider.clients.Traffic.RUN;
import static postrider.clients.Traffic.connect;
import static postrider.clients.Traffic.factory;
import static postrider.clients.Traffic.name;

import java.util.Enumeration;
import javax.jms.*;

/** What the broker keeps for a client: transactions, durable subscriptions, and what selectors leave. */
final class Promises {
    private Promises() {}

    private static void expectTexts(MessageConsumer consumer, int from, int to) throws JMSException {
        for (int i = from; i < to; i++) {
            Message m = consumer.receive(5000);
            Check.expect(m != null, i + " did not come");
            Check.same("" + i, ((TextMessage) m).getText(), "body");
        }
    }

    /** Sends and acknowledges in one transaction, rolled back and committed. */
    static void transacted() throws Exception {
        Connection c = factory("jms.redeliveryPolicy.initialRedeliveryDelay=0").createConnection();
        c.start();
        Connection other = connect("");
        try {
            Session plain = other.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue from = plain.createQueue(name("tx-from"));
            Queue to = plain.createQueue(name("tx-to"));
            MessageProducer p = plain.createProducer(from);
            for (int i = 0; i < 100; i++) p.send(plain.createTextMessage("" + i));
            Session s = c.createSession(true, Session.SESSION_TRANSACTED);
            MessageConsumer in = s.createConsumer(from);
            MessageProducer out = s.createProducer(to);
            MessageConsumer result = plain.createConsumer(to);
            for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 100; i++) {
                    Message m = in.receive(5000);
                    Check.expect(m != null, i + " did not come in round " + round);
                    Check.same(round > 0, m.getJMSRedelivered(), "redelivered");
                    out.send(s.createTextMessage(((TextMessage) m).getText()));
                }
                Check.expect(result.receive(50) == null, "seen before the commit");
                if (round == 0) s.rollback(); else s.commit();
            }
            expectTexts(result, 0, 100);
            Check.expect(result.receive(50) == null, "one too many");
            Check.expect(in.receive(50) == null, "acknowledged, and there again");
        } finally { c.close(); other.close(); }
    }

    static void durable() throws Exception {
        Connection out = connect("");
        try {
            Session s = out.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Topic topic = s.createTopic(name("durable"));
            MessageProducer p = s.createProducer(topic);
            for (int round = 0; round < 3; round++) {
                Connection in = factory("").createConnection();
                in.setClientID("durable" + RUN);
                in.start();
                Session r = in.createSession(false, Session.AUTO_ACKNOWLEDGE);
                MessageConsumer c = r.createDurableSubscriber(topic, "name");
                if (round > 0) expectTexts(c, 0, 50);
                Check.expect(c.receive(50) == null, "one too many");
                c.close();
                if (round == 2) r.unsubscribe("name");
                in.close();
                for (int i = 0; i < 50; i++) p.send(s.createTextMessage("" + i));
            }
        } finally { out.close(); }
    }

    static void selectors() throws Exception {
        Connection c = connect("");
        try {
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue(name("selector"));
            MessageProducer p = s.createProducer(q);
            for (int i = 0; i < 200; i++) {
                TextMessage m = s.createTextMessage("" + i);
                m.setIntProperty("n", i);
                m.setStringProperty("color", i % 4 == 0 ? "red" : "blue");
                p.send(m);
            }
            QueueBrowser b = s.createBrowser(q, "color = 'red'");
            int browsed = 0;
            for (Enumeration<?> e = b.getEnumeration(); e.hasMoreElements(); browsed++) e.nextElement();
            b.close();
            Check.same(50, browsed, "browsed");
            MessageConsumer red = s.createConsumer(q, "color = 'red' AND n BETWEEN 100 AND 199");
            for (int i = 100; i < 200; i += 4) {
                Message m = red.receive(5000);
                Check.expect(m != null, i + " did not come");
                Check.same(i, m.getIntProperty("n"), "which came");
            }
            Check.expect(red.receive(50) == null, "one too many");
            red.close();
            MessageConsumer rest = s.createConsumer(q);
            for (int i = 0; i < 175; i++) Check.expect(rest.receive(5000) != null, i + " of the rest did not come");
            Check.expect(rest.receive(50) == null, "one too many");
            rest.close();
            boolean refused = false;
            try { s.createConsumer(q, "color ="); } catch (InvalidSelectorException e) { refused = true; }
            Check.expect(refused, "what is no selector is taken");
        } finally { c.close(); }
    }
}
