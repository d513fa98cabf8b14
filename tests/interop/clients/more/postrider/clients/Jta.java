package postrider.clients;

import com.atomikos.icatch.jta.UserTransactionManager;
import com.atomikos.jms.AtomikosConnectionFactoryBean;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.jms.*;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.ActiveMQXAConnectionFactory;
import org.springframework.jms.core.JmsTemplate;
import org.springframework.jms.listener.DefaultMessageListenerContainer;
import org.springframework.transaction.jta.JtaTransactionManager;
import org.springframework.transaction.support.TransactionTemplate;

/** Spring's containers and template in transactions of Atomikos, over its pool: `Jta URL LABEL`. */
public final class Jta {
    private Jta() {}

    private static final int N = 100;

    public static void main(String[] a) throws Exception {
        Check check = new Check(a[1]);
        String run = Long.toString(System.nanoTime(), 36);
        System.setProperty("com.atomikos.icatch.log_base_dir", System.getProperty("home"));
        System.setProperty("com.atomikos.icatch.tm_unique_name", "matrix" + run);
        UserTransactionManager manager = new UserTransactionManager();
        manager.init();
        JtaTransactionManager jta = new JtaTransactionManager(manager, manager);
        jta.afterPropertiesSet();
        // Two resources: a transaction over both has a branch of each.
        AtomikosConnectionFactoryBean f = xa(a[0], "one" + run), second = xa(a[0], "two" + run);
        check.that("jta-listener", () -> { // from one queue to two others; each fifth fails at first, after it has sent
            String from = "matrix.jta.from" + run, to = "matrix.jta.to" + run, beside = "matrix.jta.beside" + run;
            JmsTemplate one = new JmsTemplate(f), two = new JmsTemplate(second);
            one.setSessionTransacted(true);
            two.setSessionTransacted(true);
            CountDownLatch all = new CountDownLatch(N);
            DefaultMessageListenerContainer c = new DefaultMessageListenerContainer();
            c.setConnectionFactory(f);
            c.setDestinationName(from);
            c.setTransactionManager(jta);
            c.setSessionTransacted(true);
            c.setReceiveTimeout(2000);
            c.setErrorHandler(thrown -> { });
            c.setMessageListener((MessageListener) m -> {
                try {
                    String text = ((TextMessage) m).getText();
                    one.convertAndSend(to, text);
                    two.convertAndSend(beside, text);
                    if (text.endsWith("5") && !m.getJMSRedelivered()) throw new IllegalArgumentException("not at the first time");
                    all.countDown();
                } catch (JMSException e) { throw new RuntimeException(e); }
            });
            JmsTemplate plain = new JmsTemplate(new ActiveMQConnectionFactory(a[0]));
            new TransactionTemplate(jta).execute(status -> { for (int i = 0; i < N; i++) one.convertAndSend(from, "m" + i); return null; });
            c.afterPropertiesSet();
            c.start();
            try { Check.expect(all.await(40, TimeUnit.SECONDS), all.getCount() + " of " + N + " were not moved"); } finally { c.shutdown(); }
            for (String queue : List.of(to, beside)) {
                List<String> found = drain(a[0], queue);
                Check.same(N, new TreeSet<>(found).size(), "different ones in " + queue);
                Check.same(N, found.size(), "in " + queue);
            }
            plain.setReceiveTimeout(100);
            Check.expect(plain.receive(from) == null, "moved, and there again");
        });
        check.that("jta-template", () -> {
            String from = "matrix.jta.tfrom" + run, to = "matrix.jta.tto" + run;
            JmsTemplate one = new JmsTemplate(f), two = new JmsTemplate(second), plain = new JmsTemplate(new ActiveMQConnectionFactory(a[0]));
            for (JmsTemplate t : List.of(one, two)) { t.setSessionTransacted(true); t.setReceiveTimeout(5000); }
            plain.convertAndSend(from, "moved");
            for (boolean back : new boolean[] {true, false}) {
                new TransactionTemplate(jta).execute(status -> {
                    two.convertAndSend(to, "" + one.receiveAndConvert(from));
                    if (back) status.setRollbackOnly();
                    return null;
                });
                plain.setReceiveTimeout(back ? 100 : 5000);
                Check.same(back ? "null" : "moved", "" + plain.receiveAndConvert(to), "what came");
            }
            plain.setReceiveTimeout(100);
            Check.expect(plain.receive(from) == null, "moved, and there again");
        });
        check.that("jta-leaves-nothing", () -> {
            XAConnection c = new ActiveMQXAConnectionFactory(a[0]).createXAConnection();
            XAResource resource = c.createXASession().getXAResource();
            for (Xid xid : resource.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN))
                Check.expect(!new String(xid.getGlobalTransactionId(), StandardCharsets.UTF_8).contains("matrix" + run), "still prepared: " + xid);
            c.close();
        });
        f.close();
        second.close();
        manager.close();
        check.end();
    }

    private static List<String> drain(String url, String queue) throws JMSException {
        List<String> found = new ArrayList<>();
        Connection c = new ActiveMQConnectionFactory(url).createConnection();
        c.start();
        Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageConsumer r = s.createConsumer(s.createQueue(queue));
        for (Message m = r.receive(2000); m != null; m = r.receive(500)) found.add(((TextMessage) m).getText());
        c.close();
        return Collections.unmodifiableList(found);
    }

    private static AtomikosConnectionFactoryBean xa(String url, String name) {
        AtomikosConnectionFactoryBean bean = new AtomikosConnectionFactoryBean();
        bean.setUniqueResourceName(name);
        bean.setXaConnectionFactory(new ActiveMQXAConnectionFactory(url + "?jms.redeliveryPolicy.initialRedeliveryDelay=0&jms.xaAckMode=1"));
        bean.setPoolSize(5);
        return bean;
    }
}
