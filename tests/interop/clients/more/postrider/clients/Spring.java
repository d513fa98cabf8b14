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
import org.springframework.jms.connection.CachingConnectionFactory;
import org.springframework.jms.connection.JmsTransactionManager;
import org.springframework.jms.connection.SingleConnectionFactory;
import org.springframework.jms.core.JmsTemplate;
import org.springframework.jms.listener.DefaultMessageListenerContainer;
import org.springframework.jms.listener.SimpleMessageListenerContainer;
import org.springframework.transaction.support.TransactionTemplate;

/** Spring's listener containers and template as most applications set them up: `Spring URL LABEL`. */
public final class Spring {
    private Spring() {}

    private static final int N = 1000;

    public static void main(String[] a) throws Exception {
        Check check = new Check(a[1]);
        String run = Long.toString(System.nanoTime(), 36);
        for (String level : new String[] {"CACHE_CONSUMER", "CACHE_SESSION", "CACHE_CONNECTION", "CACHE_NONE"})
            check.that("spring-listener-" + level, () -> container(a[0], "matrix.spring." + level + run, level, true, level.equals("CACHE_NONE") || level.equals("CACHE_CONNECTION") ? 100 : N, false));
        check.that("spring-listener-non-persistent", () -> container(a[0], "matrix.spring.np" + run, "CACHE_CONSUMER", false, N, false));
        check.that("spring-listener-topic", () -> container(a[0], "matrix.spring.topic" + run, "CACHE_CONSUMER", false, N, true));
        check.that("spring-simple-container", () -> {
            CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0]));
            SimpleMessageListenerContainer c = new SimpleMessageListenerContainer();
            CountDownLatch all = new CountDownLatch(N);
            c.setConnectionFactory(f);
            c.setDestinationName("matrix.spring.simple" + run);
            c.setConcurrency("1-4");
            c.setMessageListener((MessageListener) m -> all.countDown());
            c.afterPropertiesSet();
            c.start();
            JmsTemplate t = new JmsTemplate(f);
            for (int i = 0; i < N; i++) t.convertAndSend("matrix.spring.simple" + run, "m" + i);
            Check.expect(all.await(20, TimeUnit.SECONDS), all.getCount() + " did not come");
            c.shutdown();
            f.destroy();
        });
        check.that("spring-template-receive", () -> {
            CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0]));
            f.setSessionCacheSize(10);
            JmsTemplate t = new JmsTemplate(f);
            t.setReceiveTimeout(5000);
            for (int i = 0; i < 200; i++) t.convertAndSend("matrix.spring.template" + run, "m" + i);
            for (int i = 0; i < 200; i++) Check.same("m" + i, "" + t.receiveAndConvert("matrix.spring.template" + run), "body");
            f.destroy();
        });
        check.that("spring-template-uncached", () -> { // a connection, session and producer for every send, as Spring does without a pool
            JmsTemplate t = new JmsTemplate(new ActiveMQConnectionFactory(a[0]));
            t.setReceiveTimeout(5000);
            for (int i = 0; i < 50; i++) t.convertAndSend("matrix.spring.uncached" + run, "m" + i);
            for (int i = 0; i < 50; i++) Check.same("m" + i, "" + t.receiveAndConvert("matrix.spring.uncached" + run), "body");
        });
        check.that("spring-send-and-receive", () -> {
            CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0]));
            DefaultMessageListenerContainer c = new DefaultMessageListenerContainer();
            c.setConnectionFactory(new SingleConnectionFactory(new ActiveMQConnectionFactory(a[0])));
            c.setDestinationName("matrix.spring.rr" + run);
            JmsTemplate t = new JmsTemplate(f);
            c.setMessageListener((MessageListener) m -> {
                try { Destination back = m.getJMSReplyTo(); String text = ((TextMessage) m).getText(); t.send(back, s -> s.createTextMessage("re " + text)); } catch (JMSException e) { throw new RuntimeException(e); }
            });
            c.afterPropertiesSet();
            c.start();
            t.setReceiveTimeout(5000);
            for (int i = 0; i < 50; i++) { int n = i; Message m = t.sendAndReceive("matrix.spring.rr" + run, s -> s.createTextMessage("q" + n)); Check.expect(m != null, "no answer to " + i); Check.same("re q" + i, ((TextMessage) m).getText(), "answer"); }
            c.shutdown();
            f.destroy();
        });
        check.that("spring-browse", () -> {
            JmsTemplate t = new JmsTemplate(new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0])));
            for (int i = 0; i < 10; i++) t.convertAndSend("matrix.spring.browse" + run, "m" + i);
            int n = t.browse("matrix.spring.browse" + run, (s, b) -> Collections.list(b.getEnumeration()).size());
            Check.same(10, n, "browsed");
            ((CachingConnectionFactory) t.getConnectionFactory()).destroy();
        });
        check.that("spring-listener-transacted", () -> { // what Spring Boot does by default
            DefaultMessageListenerContainer c = new DefaultMessageListenerContainer();
            CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0]));
            CountDownLatch all = new CountDownLatch(100);
            c.setConnectionFactory(f);
            c.setDestinationName("matrix.spring.tx" + run);
            c.setSessionTransacted(true);
            c.setMessageListener((MessageListener) m -> all.countDown());
            c.afterPropertiesSet();
            c.start();
            try {
                JmsTemplate t = new JmsTemplate(f);
                for (int i = 0; i < 100; i++) t.convertAndSend("matrix.spring.tx" + run, "m" + i);
                Check.expect(all.await(10, TimeUnit.SECONDS), all.getCount() + " of 100 did not come");
            } finally { c.shutdown(); f.destroy(); }
        });
        check.that("spring-listener-rollback", () -> { // what a listener throws rolls back, and the message comes again
            SingleConnectionFactory f = single(a[0], null);
            DefaultMessageListenerContainer c = listener(f, "matrix.spring.back" + run);
            List<String> seen = Collections.synchronizedList(new ArrayList<>());
            CountDownLatch all = new CountDownLatch(50);
            c.setSessionTransacted(true);
            c.setErrorHandler(thrown -> { });
            c.setMessageListener((MessageListener) m -> {
                try {
                    if (!m.getJMSRedelivered()) throw new IllegalArgumentException("not at the first time");
                    seen.add(((TextMessage) m).getText());
                    all.countDown();
                } catch (JMSException e) { throw new RuntimeException(e); }
            });
            run(c, () -> {
                JmsTemplate t = new JmsTemplate(f);
                for (int i = 0; i < 50; i++) t.convertAndSend("matrix.spring.back" + run, "m" + i);
                Check.expect(all.await(20, TimeUnit.SECONDS), all.getCount() + " of 50 did not come again");
                Check.same(50, new TreeSet<>(seen).size(), "different ones");
                Check.same(50, seen.size(), "in all");
            });
            f.destroy();
        });
        check.that("spring-template-transacted", () -> {
            CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0] + "?jms.redeliveryPolicy.initialRedeliveryDelay=0"));
            String from = "matrix.spring.ttfrom" + run, to = "matrix.spring.ttto" + run;
            JmsTemplate t = new JmsTemplate(f);
            t.setReceiveTimeout(5000);
            t.setSessionTransacted(true);
            t.convertAndSend(from, "moved");
            TransactionTemplate transaction = new TransactionTemplate(new JmsTransactionManager(f));
            for (boolean back : new boolean[] {true, false}) {
                transaction.execute(status -> {
                    t.convertAndSend(to, t.receiveAndConvert(from));
                    if (back) status.setRollbackOnly();
                    return null;
                });
                JmsTemplate plain = new JmsTemplate(f);
                plain.setReceiveTimeout(back ? 100 : 5000);
                Check.same("" + (back ? null : "moved"), "" + plain.receiveAndConvert(to), "what came");
            }
            t.setReceiveTimeout(100);
            Check.same("null", "" + t.receiveAndConvert(from), "what is left");
            f.destroy();
        });
        check.that("spring-selector", () -> {
            String name = "matrix.spring.selector" + run;
            SingleConnectionFactory f = single(a[0], null);
            DefaultMessageListenerContainer c = listener(f, name);
            Set<String> seen = Collections.synchronizedSet(new TreeSet<>());
            CountDownLatch red = new CountDownLatch(25);
            c.setMessageSelector("color = 'red'");
            c.setMessageListener((MessageListener) m -> { try { seen.add(m.getStringProperty("color")); red.countDown(); } catch (JMSException e) { throw new RuntimeException(e); } });
            run(c, () -> {
                JmsTemplate t = new JmsTemplate(f);
                for (int i = 0; i < 100; i++) {
                    int n = i;
                    t.convertAndSend(name, "m" + i, m -> { m.setIntProperty("n", n); m.setStringProperty("color", n % 4 == 0 ? "red" : "blue"); return m; });
                }
                Check.expect(red.await(20, TimeUnit.SECONDS), red.getCount() + " did not come");
                Check.same(Set.of("red"), seen, "colours");
                t.setReceiveTimeout(5000);
                Check.same("m50", "" + t.receiveSelectedAndConvert(name, "n = 50"), "selected");
                Check.same(74, t.browse(name, (s, b) -> Collections.list(b.getEnumeration()).size()), "browsed");
                Check.same(25, t.browseSelected(name, "n > 66", (s, b) -> Collections.list(b.getEnumeration()).size()), "browsed with a selector");
            });
            f.destroy();
        });
        check.that("spring-durable", () -> { // what comes while the container is away it gets when it is there again
            String name = "matrix.spring.durable" + run;
            for (int round = 0; round < 3; round++) {
                SingleConnectionFactory f = single(a[0], "client" + run);
                DefaultMessageListenerContainer c = listener(f, name);
                Set<String> seen = Collections.synchronizedSet(new TreeSet<>());
                CountDownLatch all = new CountDownLatch(round == 0 ? 0 : 50);
                c.setPubSubDomain(true);
                c.setSubscriptionDurable(true);
                c.setDurableSubscriptionName("subscription" + run);
                c.setMessageListener((MessageListener) m -> { try { if (seen.add(((TextMessage) m).getText())) all.countDown(); } catch (JMSException e) { throw new RuntimeException(e); } });
                run(c, () -> {
                    Check.expect(all.await(10, TimeUnit.SECONDS), all.getCount() + " of 50 did not come");
                    Thread.sleep(1000); // the first time nothing says that it is there
                });
                f.destroy();
                CachingConnectionFactory out = new CachingConnectionFactory(new ActiveMQConnectionFactory(a[0]));
                JmsTemplate t = new JmsTemplate(out);
                t.setPubSubDomain(true);
                for (int i = 0; i < 50; i++) t.convertAndSend(name, round + " m" + i);
                out.destroy();
            }
        });
        check.end();
    }

    private static SingleConnectionFactory single(String url, String clientId) {
        SingleConnectionFactory f = new SingleConnectionFactory(new ActiveMQConnectionFactory(url + "?jms.redeliveryPolicy.initialRedeliveryDelay=0"));
        if (clientId != null) f.setClientId(clientId);
        return f;
    }

    private static DefaultMessageListenerContainer listener(ConnectionFactory f, String name) {
        DefaultMessageListenerContainer c = new DefaultMessageListenerContainer();
        c.setConnectionFactory(f);
        c.setDestinationName(name);
        return c;
    }

    private static void run(DefaultMessageListenerContainer c, Check.Scenario scenario) throws Exception {
        c.afterPropertiesSet();
        c.start();
        try { scenario.run(); } finally { c.shutdown(); }
    }

    private static void container(String url, String name, String level, boolean persistent, int count, boolean topic) throws Exception {
        CachingConnectionFactory f = new CachingConnectionFactory(new ActiveMQConnectionFactory(url));
        f.setSessionCacheSize(10);
        DefaultMessageListenerContainer c = new DefaultMessageListenerContainer();
        Set<String> seen = Collections.synchronizedSet(new TreeSet<>());
        CountDownLatch all = new CountDownLatch(count);
        c.setConnectionFactory(f);
        c.setDestinationName(name);
        c.setPubSubDomain(topic);
        c.setCacheLevelName(level);
        c.setConcurrency(topic ? "1" : "2-5");
        c.setSessionTransacted(false);
        c.setMessageListener((MessageListener) m -> { try { if (seen.add(((TextMessage) m).getText())) all.countDown(); } catch (JMSException e) { throw new RuntimeException(e); } });
        c.afterPropertiesSet();
        c.start();
        if (topic) Thread.sleep(1000);
        JmsTemplate t = new JmsTemplate(f);
        t.setPubSubDomain(topic);
        t.setExplicitQosEnabled(true);
        t.setDeliveryPersistent(persistent);
        for (int i = 0; i < count; i++) t.convertAndSend(name, "m" + i);
        boolean came = all.await(25, TimeUnit.SECONDS);
        long left = all.getCount();
        c.shutdown();
        f.destroy();
        Check.expect(came, left + " of " + count + " did not come");
    }
}
