package postrider.clients;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.jms.JmsComponent;
import org.apache.camel.impl.DefaultCamelContext;

/** Camel's JMS component, one way and with answers over temporary queues: `Camel URL LABEL`. */
public final class Camel {
    private Camel() {}

    public static void main(String[] a) throws Exception {
        Check check = new Check(a[1]);
        String run = Long.toString(System.nanoTime(), 36);
        check.that("camel-one-way", () -> {
            CountDownLatch all = new CountDownLatch(1000);
            try (DefaultCamelContext c = new DefaultCamelContext()) {
                c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                c.addRoutes(new RouteBuilder() {
                    @Override public void configure() {
                        from("direct:in").to("jms:queue:matrix.camel.a" + run);
                        from("jms:queue:matrix.camel.a" + run + "?concurrentConsumers=2").to("jms:queue:matrix.camel.b" + run);
                        from("jms:queue:matrix.camel.b" + run).process(e -> all.countDown());
                    }
                });
                c.start();
                ProducerTemplate p = c.createProducerTemplate();
                for (int i = 0; i < 1000; i++) p.sendBody("direct:in", "m" + i);
                Check.expect(all.await(30, TimeUnit.SECONDS), all.getCount() + " did not come");
            }
        });
        check.that("camel-request-reply", () -> {
            try (DefaultCamelContext c = new DefaultCamelContext()) {
                c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                c.addRoutes(new RouteBuilder() {
                    @Override public void configure() { from("jms:queue:matrix.camel.rr" + run).process(e -> e.getMessage().setBody("re " + e.getIn().getBody(String.class))); }
                });
                c.start();
                ProducerTemplate p = c.createProducerTemplate();
                for (int i = 0; i < 50; i++) Check.same("re q" + i, p.requestBody("jms:queue:matrix.camel.rr" + run + "?requestTimeout=5000", "q" + i, String.class), "answer");
            }
        });
        check.that("camel-topic", () -> {
            CountDownLatch all = new CountDownLatch(200);
            try (DefaultCamelContext c = new DefaultCamelContext()) {
                c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                c.addRoutes(new RouteBuilder() {
                    @Override public void configure() { from("jms:topic:matrix.camel.t" + run).process(e -> all.countDown()); from("jms:topic:matrix.camel.t" + run).process(e -> all.countDown()); }
                });
                c.start();
                Thread.sleep(1500);
                ProducerTemplate p = c.createProducerTemplate();
                for (int i = 0; i < 100; i++) p.sendBody("jms:topic:matrix.camel.t" + run, "m" + i);
                Check.expect(all.await(20, TimeUnit.SECONDS), all.getCount() + " did not come");
            }
        });
        check.that("camel-transacted", () -> { // a route that fails rolls back, and takes the message again
            CountDownLatch all = new CountDownLatch(50);
            AtomicInteger failed = new AtomicInteger();
            try (DefaultCamelContext c = new DefaultCamelContext()) {
                c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0] + "?jms.redeliveryPolicy.initialRedeliveryDelay=0")));
                c.addRoutes(new RouteBuilder() {
                    @Override public void configure() {
                        errorHandler(noErrorHandler());
                        from("jms:queue:matrix.camel.tx" + run + "?transacted=true&errorHandlerLoggingLevel=OFF").to("jms:queue:matrix.camel.txto" + run + "?transacted=true").process(e -> {
                            if (!e.getIn().getHeader("JMSRedelivered", Boolean.class)) { failed.incrementAndGet(); throw new IllegalArgumentException("not at the first time"); }
                        });
                        from("jms:queue:matrix.camel.txto" + run).process(e -> all.countDown());
                    }
                });
                c.start();
                ProducerTemplate p = c.createProducerTemplate();
                for (int i = 0; i < 50; i++) p.sendBody("jms:queue:matrix.camel.tx" + run, "m" + i);
                Check.expect(all.await(30, TimeUnit.SECONDS), all.getCount() + " did not come");
                Check.same(50, failed.get(), "failed once");
            }
        });
        check.that("camel-selector", () -> {
            CountDownLatch red = new CountDownLatch(25);
            try (DefaultCamelContext c = new DefaultCamelContext()) {
                c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                AtomicInteger others = new AtomicInteger();
                c.addRoutes(new RouteBuilder() {
                    @Override public void configure() {
                        from("jms:queue:matrix.camel.selector" + run + "?selector=color%3D'red'").process(e -> { if ("red".equals(e.getIn().getHeader("color"))) red.countDown(); else others.incrementAndGet(); });
                    }
                });
                c.start();
                ProducerTemplate p = c.createProducerTemplate();
                for (int i = 0; i < 100; i++) p.sendBodyAndHeader("jms:queue:matrix.camel.selector" + run, "m" + i, "color", i % 4 == 0 ? "red" : "blue");
                Check.expect(red.await(20, TimeUnit.SECONDS), red.getCount() + " did not come");
                Check.same(0, others.get(), "of other colours");
            }
        });
        check.that("camel-durable", () -> { // what comes while the route is away it gets when it is there again
            for (int round = 0; round < 3; round++) {
                CountDownLatch all = new CountDownLatch(round == 0 ? 0 : 50);
                try (DefaultCamelContext c = new DefaultCamelContext()) {
                    c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                    c.addRoutes(new RouteBuilder() {
                        @Override public void configure() { from("jms:topic:matrix.camel.durable" + run + "?clientId=camel" + run + "&durableSubscriptionName=name").process(e -> all.countDown()); }
                    });
                    c.start();
                    Check.expect(all.await(10, TimeUnit.SECONDS), all.getCount() + " did not come");
                    Thread.sleep(1500);
                }
                try (DefaultCamelContext c = new DefaultCamelContext()) {
                    c.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(new ActiveMQConnectionFactory(a[0])));
                    c.start();
                    ProducerTemplate p = c.createProducerTemplate();
                    for (int i = 0; i < 50; i++) p.sendBody("jms:topic:matrix.camel.durable" + run, "m" + i);
                }
            }
        });
        check.end();
    }
}
