package postrider.clients;

import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/** The simplified interface of JMS 2.0 as far as ActiveMQ 6 has it (5.18 and 5.19 refuse createContext): `Jms2 URL LABEL`. */
public final class Jms2 {
    private Jms2() {}

    public static void main(String[] a) throws Exception {
        Check check = new Check(a[1]);
        String run = Long.toString(System.nanoTime(), 36);
        ActiveMQConnectionFactory f = new ActiveMQConnectionFactory(a[0]);
        for (int mode : new int[] {DeliveryMode.PERSISTENT, DeliveryMode.NON_PERSISTENT}) {
            check.that("jms2-context-" + (mode == DeliveryMode.PERSISTENT ? "" : "non-") + "persistent", () -> {
                try (JMSContext c = f.createContext(JMSContext.AUTO_ACKNOWLEDGE)) {
                    Queue q = c.createQueue("matrix.jms2." + mode + run);
                    JMSProducer p = c.createProducer().setDeliveryMode(mode);
                    for (int i = 0; i < 1000; i++) p.setProperty("n", i).send(q, "m" + i);
                    try (JMSConsumer r = c.createConsumer(q)) {
                        for (int i = 0; i < 1000; i++) {
                            Message m = r.receive(5000);
                            Check.expect(m != null, i + " did not come");
                            Check.same("m" + i, ((TextMessage) m).getText(), "body");
                            Check.same("m" + i, m.getBody(String.class), "body by getBody");
                        }
                    }
                }
            });
        }
        check.that("jms2-temporary", () -> {
            try (JMSContext c = f.createContext()) {
                TemporaryQueue q = c.createTemporaryQueue();
                c.createProducer().send(q, "x");
                try (JMSConsumer r = c.createConsumer(q)) { Check.expect(r.receive(5000) != null, "did not come"); }
            }
        });
        check.that("jms2-client-acknowledge", () -> {
            try (JMSContext c = f.createContext(JMSContext.CLIENT_ACKNOWLEDGE)) {
                Queue q = c.createQueue("matrix.jms2.ack" + run);
                c.createProducer().send(q, "x");
                try (JMSConsumer r = c.createConsumer(q)) { Message m = r.receive(5000); Check.expect(m != null, "did not come"); c.acknowledge(); }
            }
        });
        check.end();
    }
}
