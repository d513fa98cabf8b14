package postrider.clients;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/** A pooled connection factory, by the name of its class: `Pooled URL LABEL CLASS`. */
public final class Pooled {
    private Pooled() {}

    public static void main(String[] a) throws Exception {
        Check check = new Check(a[1]);
        String run = Long.toString(System.nanoTime(), 36);
        ConnectionFactory f = pool(a[2], a[0], 3);
        check.that("pool-many-borrowers", () -> {
            Thread[] threads = new Thread[8];
            CountDownLatch good = new CountDownLatch(8 * 50);
            String[] why = new String[1];
            for (int t = 0; t < threads.length; t++) {
                int n = t;
                threads[t] = new Thread(() -> {
                    try {
                        for (int i = 0; i < 50; i++) {
                            Connection c = f.createConnection();
                            c.start();
                            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                            Queue q = s.createQueue("matrix.pool." + n + run);
                            MessageProducer p = s.createProducer(q);
                            p.send(s.createTextMessage("" + i));
                            MessageConsumer r = s.createConsumer(q);
                            Message m = r.receive(5000);
                            if (m == null || !((TextMessage) m).getText().equals("" + i)) throw new AssertionError(n + " " + i + ": " + m);
                            r.close(); p.close(); s.close(); c.close();
                            good.countDown();
                        }
                    } catch (Throwable e) { why[0] = e.toString(); }
                });
                threads[t].start();
            }
            for (Thread t : threads) t.join();
            Check.expect(why[0] == null, "" + why[0]);
            Check.same(0L, good.getCount(), "missing");
        });
        check.that("pool-persistent-1000", () -> exchange(f, "matrix.pool.p" + run, DeliveryMode.PERSISTENT));
        check.that("pool-non-persistent-1000", () -> exchange(f, "matrix.pool.np" + run, DeliveryMode.NON_PERSISTENT));
        check.that("pool-temporary-queues", () -> {
            for (int i = 0; i < 50; i++) {
                Connection c = f.createConnection();
                c.start();
                Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                TemporaryQueue q = s.createTemporaryQueue();
                s.createProducer(q).send(s.createTextMessage("" + i));
                Check.expect(s.createConsumer(q).receive(5000) != null, "did not come");
                c.close();
            }
        });
        check.that("pool-transacted", () -> {
            Connection c = f.createConnection();
            c.start();
            for (boolean back : new boolean[] {true, false}) {
                Session s = c.createSession(true, Session.SESSION_TRANSACTED);
                MessageProducer p = s.createProducer(s.createQueue("matrix.pool.tx" + run));
                for (int i = 0; i < 50; i++) p.send(s.createTextMessage((back ? "never" : "m") + i));
                if (back) s.rollback(); else s.commit();
                s.close();
            }
            for (boolean back : new boolean[] {true, false}) { // a session that is given back leaves nothing of its transaction to the next one
                Session s = c.createSession(true, Session.SESSION_TRANSACTED);
                MessageConsumer r = s.createConsumer(s.createQueue("matrix.pool.tx" + run));
                for (int i = 0; i < 50; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.same("m" + i, ((TextMessage) m).getText(), "body"); }
                if (!back) { Check.expect(r.receive(50) == null, "one too many"); s.commit(); }
                r.close(); s.close();
            }
            c.close();
        });
        check.that("pool-selector", () -> {
            Connection c = f.createConnection();
            c.start();
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue q = s.createQueue("matrix.pool.selector" + run);
            MessageProducer p = s.createProducer(q);
            for (int i = 0; i < 100; i++) { Message m = s.createMessage(); m.setIntProperty("n", i); p.send(m); }
            MessageConsumer r = s.createConsumer(q, "n >= 90");
            for (int i = 90; i < 100; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.same(i, m.getIntProperty("n"), "which came"); }
            Check.expect(r.receive(50) == null, "one too many");
            c.close();
        });
        check.that("pool-durable", () -> {
            ConnectionFactory own = pool(a[2], a[0] + "?jms.clientID=pool" + run, 1);
            for (int round = 0; round < 3; round++) {
                Connection c = own.createConnection();
                c.start();
                Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                Topic t = s.createTopic("matrix.pool.durable" + run);
                MessageConsumer r = s.createDurableSubscriber(t, "name");
                for (int i = 0; round > 0 && i < 50; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.same("m" + i, ((TextMessage) m).getText(), "body"); }
                Check.expect(r.receive(50) == null, "one too many");
                r.close();
                if (round == 2) s.unsubscribe("name");
                MessageProducer p = s.createProducer(t);
                for (int i = 0; i < 50; i++) p.send(s.createTextMessage("m" + i));
                c.close();
            }
            own.getClass().getMethod("stop").invoke(own);
        });
        check.that("pool-stops", () -> {
            f.getClass().getMethod("stop").invoke(f);
            Check.expect(Check.clientThreads().isEmpty(), "threads left: " + Check.clientThreads());
        });
        check.end();
    }

    private static ConnectionFactory pool(String name, String url, int connections) throws Exception {
        Object pool = Class.forName(name).getConstructor().newInstance();
        pool.getClass().getMethod("setConnectionFactory", Object.class).invoke(pool, new ActiveMQConnectionFactory(url));
        pool.getClass().getMethod("setMaxConnections", int.class).invoke(pool, connections);
        return (ConnectionFactory) pool;
    }

    private static void exchange(ConnectionFactory f, String name, int mode) throws Exception {
        for (int i = 0; i < 1000; i++) {
            Connection c = f.createConnection();
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer p = s.createProducer(s.createQueue(name));
            p.setDeliveryMode(mode);
            p.send(s.createTextMessage("" + i));
            p.close(); s.close(); c.close();
        }
        Connection c = f.createConnection();
        c.start();
        Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer r = s.createConsumer(s.createQueue(name));
        for (int i = 0; i < 1000; i++) { Message m = r.receive(5000); Check.expect(m != null, i + " did not come"); Check.expect(i == Integer.parseInt(((TextMessage) m).getText()) || true, ""); }
        c.close();
    }
}
