package postrider.clients;

import static postrider.clients.Traffic.RUN;
import static postrider.clients.Traffic.connect;
import static postrider.clients.Traffic.name;
import static postrider.clients.Traffic.url;

import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.TreeSet;
import javax.jms.*;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.apache.activemq.ActiveMQXAConnectionFactory;

/** Branches of distributed transactions, as a transaction manager has them done. */
final class Branches {
    private Branches() {}

    private static final int COUNT = 10;

    /** A branch: those of one run are told by its name. */
    private record Name(String transaction, String branch) implements Xid {
        @Override public int getFormatId() { return 4711; }

        @Override public byte[] getGlobalTransactionId() { return (RUN + "-" + transaction).getBytes(StandardCharsets.UTF_8); }

        @Override public byte[] getBranchQualifier() { return branch.getBytes(StandardCharsets.UTF_8); }
    }

    private static XAConnection open() throws JMSException {
        ActiveMQXAConnectionFactory factory = new ActiveMQXAConnectionFactory(url + (url.contains("?") ? "&" : "?") + "jms.redeliveryPolicy.initialRedeliveryDelay=0");
        XAConnection connection = factory.createXAConnection();
        connection.start();
        return connection;
    }

    private static void fill(Session session, Queue queue) throws JMSException {
        MessageProducer p = session.createProducer(queue);
        for (int i = 0; i < COUNT; i++) p.send(session.createTextMessage("" + i));
        p.close();
    }

    private static void expectAll(MessageConsumer consumer) throws JMSException {
        for (int i = 0; i < COUNT; i++) {
            Message m = consumer.receive(5000);
            Check.expect(m != null, i + " did not come");
            Check.same("" + i, ((TextMessage) m).getText(), "body");
        }
        Check.expect(consumer.receive(50) == null, "one too many");
    }

    /** What is in one queue goes to another, in a branch that has ended. */
    private static void move(XASession session, Xid branch, Queue from, Queue to, boolean redelivered) throws Exception {
        session.getXAResource().start(branch, XAResource.TMNOFLAGS);
        MessageConsumer in = session.createConsumer(from);
        MessageProducer out = session.createProducer(to);
        for (int i = 0; i < COUNT; i++) {
            Message m = in.receive(5000);
            Check.expect(m != null, i + " did not come");
            Check.same("" + i, ((TextMessage) m).getText(), "body");
            Check.same(redelivered, m.getJMSRedelivered(), "redelivered");
            out.send(session.createTextMessage(((TextMessage) m).getText()));
        }
        session.getXAResource().end(branch, XAResource.TMSUCCESS);
        in.close();
        out.close();
    }

    private static void send(XASession session, Xid branch, Queue to) throws Exception {
        session.getXAResource().start(branch, XAResource.TMNOFLAGS);
        fill(session, to);
        session.getXAResource().end(branch, XAResource.TMSUCCESS);
    }

    /** The branches of this run that are prepared. */
    private static Set<String> prepared(XAResource resource) throws Exception {
        Set<String> found = new TreeSet<>();
        for (Xid xid : resource.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN)) {
            String transaction = new String(xid.getGlobalTransactionId(), StandardCharsets.UTF_8);
            if (transaction.startsWith(RUN + "-")) found.add(transaction.substring(RUN.length() + 1) + "/" + new String(xid.getBranchQualifier(), StandardCharsets.UTF_8));
        }
        return found;
    }

    /** Two branches of one transaction, of which nothing is seen before both are committed. */
    static void twoBranches() throws Exception {
        XAConnection c = open();
        Connection other = connect("");
        try {
            Session plain = other.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue from = plain.createQueue(name("xa-from")), to = plain.createQueue(name("xa-to")), beside = plain.createQueue(name("xa-beside"));
            fill(plain, from);
            MessageConsumer first = plain.createConsumer(to), second = plain.createConsumer(beside);
            XASession one = c.createXASession(), two = c.createXASession();
            Xid a = new Name("two", "a"), b = new Name("two", "b");
            move(one, a, from, to, false);
            send(two, b, beside);
            Check.same(XAResource.XA_OK, one.getXAResource().prepare(a), "answer to prepare");
            Check.same(XAResource.XA_OK, two.getXAResource().prepare(b), "answer to prepare");
            Check.expect(first.receive(50) == null && second.receive(50) == null, "seen before the commit");
            one.getXAResource().commit(a, false);
            two.getXAResource().commit(b, false);
            expectAll(first);
            expectAll(second);
            Check.expect(plain.createConsumer(from).receive(50) == null, "acknowledged, and there again");
            Check.same(Set.of(), prepared(one.getXAResource()), "prepared");
        } finally { c.close(); other.close(); }
    }

    /** Rolled back when prepared, and before; then in one phase. */
    static void rollback() throws Exception {
        XAConnection c = open();
        Connection other = connect("");
        try {
            Session plain = other.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue from = plain.createQueue(name("xa-back-from")), to = plain.createQueue(name("xa-back-to"));
            fill(plain, from);
            MessageConsumer result = plain.createConsumer(to);
            for (int round = 0; round < 3; round++) {
                XASession s = c.createXASession();
                Xid branch = new Name("back" + round, "a");
                move(s, branch, from, to, round > 0);
                if (round == 0) Check.same(XAResource.XA_OK, s.getXAResource().prepare(branch), "answer to prepare");
                if (round < 2) s.getXAResource().rollback(branch); else s.getXAResource().commit(branch, true);
                if (round < 2) Check.expect(result.receive(50) == null, "seen although rolled back");
                s.close();
            }
            expectAll(result);
            XASession s = c.createXASession();
            Xid empty = new Name("empty", "a");
            s.getXAResource().start(empty, XAResource.TMNOFLAGS);
            s.getXAResource().end(empty, XAResource.TMSUCCESS);
            Check.same(XAResource.XA_RDONLY, s.getXAResource().prepare(empty), "answer to prepare without work");
            Check.same(Set.of(), prepared(s.getXAResource()), "prepared");
        } finally { c.close(); other.close(); }
    }

    /** What is prepared outlives its connection, and another one decides. */
    static void recover() throws Exception {
        Connection other = connect("");
        try {
            Session plain = other.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue from = plain.createQueue(name("xa-recover-from")), to = plain.createQueue(name("xa-recover-to")), never = plain.createQueue(name("xa-recover-never"));
            fill(plain, from);
            XAConnection first = open();
            XASession one = first.createXASession(), two = first.createXASession(), three = first.createXASession();
            Xid a = new Name("recover", "a"), b = new Name("recover", "b"), c = new Name("recover", "c");
            move(one, a, from, to, false);
            send(two, b, never);
            send(three, c, never);
            Check.same(XAResource.XA_OK, one.getXAResource().prepare(a), "answer to prepare");
            Check.same(XAResource.XA_OK, two.getXAResource().prepare(b), "answer to prepare");
            first.close();
            XAConnection later = open();
            try {
                XAResource resource = later.createXASession().getXAResource();
                Check.same(Set.of("recover/a", "recover/b"), prepared(resource), "prepared");
                resource.commit(a, false);
                resource.rollback(b);
                Check.same(Set.of(), prepared(resource), "prepared");
            } finally { later.close(); }
            expectAll(plain.createConsumer(to));
            Check.expect(plain.createConsumer(never).receive(50) == null, "seen although rolled back");
            Check.expect(plain.createConsumer(from).receive(50) == null, "acknowledged, and there again");
        } finally { other.close(); }
    }
}
