package postrider.clients;

import static postrider.clients.Traffic.N;
import static postrider.clients.Traffic.RUN;
import static postrider.clients.Traffic.connect;
import static postrider.clients.Traffic.factory;
import static postrider.clients.Traffic.name;
import static postrider.clients.Traffic.transfer;
import static postrider.clients.Traffic.url;

import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/** What a connection does, and the ways to open one. */
final class Connections {
    private Connections() {}

    /** Whether the client has the marshallers of this version. */
    static boolean speaks(int version) {
        try { Class.forName("org.apache.activemq.openwire.v" + version + ".MarshallerFactory"); return true; } catch (ClassNotFoundException e) { return false; }
    }

    /** Whether the client is of ActiveMQ 5.6 or later. */
    static boolean modern() {
        for (int v = 7; v <= 12; v++) if (speaks(v)) return true;
        return false;
    }

    static void clientIdTwice() throws Exception {
        Connection a = factory("").createConnection();
        Connection b = factory("").createConnection();
        try {
            a.setClientID("id" + RUN);
            a.start();
            boolean refused = false;
            try { b.setClientID("id" + RUN); b.start(); } catch (InvalidClientIDException e) { refused = true; }
            Check.expect(refused, "two connections with one client id");
        } finally { a.close(); b.close(); }
    }

    static void failover() throws Exception {
        String u = "failover:(" + url + ")?maxReconnectAttempts=5";
        Connection out = new ActiveMQConnectionFactory(u).createConnection();
        Connection in = new ActiveMQConnectionFactory(u).createConnection();
        out.start(); in.start();
        try { transfer(out, in, name("failover"), DeliveryMode.PERSISTENT, N, Session.AUTO_ACKNOWLEDGE); } finally { out.close(); in.close(); }
    }

    static void nio() throws Exception {
        String u = url.replace("tcp:", "nio:");
        Connection out = new ActiveMQConnectionFactory(u).createConnection();
        Connection in = new ActiveMQConnectionFactory(u).createConnection();
        out.start(); in.start();
        try { transfer(out, in, name("nio"), DeliveryMode.PERSISTENT, 200, Session.AUTO_ACKNOWLEDGE); } finally { out.close(); in.close(); }
    }

    static void keepAlive() throws Exception {
        AtomicReference<JMSException> broken = new AtomicReference<>();
        Connection c = factory("wireFormat.maxInactivityDuration=1000&wireFormat.maxInactivityDurationInitalDelay=500").createConnection();
        c.setExceptionListener(broken::set);
        c.start();
        try {
            Thread.sleep(4000);
            if (broken.get() != null) throw broken.get();
            transfer(c, c, name("alive"), DeliveryMode.NON_PERSISTENT, 10, Session.AUTO_ACKNOWLEDGE);
        } finally { c.close(); }
    }

    static void manySessions() throws Exception {
        Connection c = connect("");
        try {
            for (int i = 0; i < 200; i++) {
                Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                Queue q = s.createQueue(name("sessions"));
                MessageProducer p = s.createProducer(q);
                MessageConsumer r = s.createConsumer(q);
                p.send(s.createTextMessage("" + i));
                Message m = r.receive(5000);
                Check.expect(m != null, i + " did not come");
                Check.same("" + i, ((TextMessage) m).getText(), "body");
                r.close(); p.close(); s.close();
            }
        } finally { c.close(); }
    }

    static void closes() throws Exception {
        for (int i = 0; i < 20; i++) {
            Connection c = connect("");
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            s.createConsumer(s.createTopic(name("close"))).setMessageListener(m -> { });
            s.createProducer(s.createTopic(name("close"))).send(s.createMessage());
            long start = System.nanoTime();
            c.close();
            long ms = (System.nanoTime() - start) / 1_000_000;
            Check.expect(ms < 2000, "close took " + ms + " ms");
        }
        List<String> left = Check.clientThreads();
        Check.expect(left.isEmpty(), "threads left: " + left);
    }
}
