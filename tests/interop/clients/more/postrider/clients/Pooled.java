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
        Object pool = Class.forName(a[2]).getConstructor().newInstance();
        pool.getClass().getMethod("setConnectionFactory", Object.class).invoke(pool, new ActiveMQConnectionFactory(a[0]));
        pool.getClass().getMethod("setMaxConnections", int.class).invoke(pool, 3);
        ConnectionFactory f = (ConnectionFactory) pool;
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
        check.that("pool-stops", () -> {
            pool.getClass().getMethod("stop").invoke(pool);
            Check.expect(Check.clientThreads().isEmpty(), "threads left: " + Check.clientThreads());
        });
        check.end();
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
