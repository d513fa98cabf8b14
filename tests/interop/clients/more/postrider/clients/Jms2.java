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
        check.that("jms2-transacted", () -> {
            try (JMSContext c = f.createContext(JMSContext.SESSION_TRANSACTED); JMSContext other = f.createContext()) {
                Queue q = c.createQueue("matrix.jms2.tx" + run);
                try (JMSConsumer r = other.createConsumer(q)) {
                    c.createProducer().send(q, "never");
                    c.rollback();
                    c.createProducer().send(q, "x");
                    Check.expect(r.receive(50) == null, "seen before the commit");
                    c.commit();
                    Check.same("x", body(r), "what came");
                }
            }
        });
        check.that("jms2-durable", () -> {
            for (int round = 0; round < 3; round++) {
                try (JMSContext c = f.createContext()) {
                    c.setClientID("jms2" + run);
                    Topic t = c.createTopic("matrix.jms2.durable" + run);
                    try (JMSConsumer r = c.createDurableConsumer(t, "name")) {
                        for (int i = 0; round > 0 && i < 50; i++) Check.same("m" + i, body(r), "body");
                        Check.expect(r.receive(50) == null, "one too many");
                    }
                    if (round == 2) c.unsubscribe("name");
                    for (int i = 0; i < 50; i++) c.createProducer().send(t, "m" + i);
                }
            }
        });
        check.that("jms2-selector", () -> {
            try (JMSContext c = f.createContext()) {
                Queue q = c.createQueue("matrix.jms2.selector" + run);
                for (int i = 0; i < 100; i++) c.createProducer().setProperty("n", i).send(q, "m" + i);
                try (JMSConsumer r = c.createConsumer(q, "n >= 90")) {
                    for (int i = 90; i < 100; i++) Check.same("m" + i, body(r), "body");
                    Check.expect(r.receive(50) == null, "one too many");
                }
            }
        });
        check.end();
    }

    private static String body(JMSConsumer consumer) throws JMSException { // the client has no receiveBody
        Message m = consumer.receive(5000);
        return m == null ? "nothing" : m.getBody(String.class);
    }
}
