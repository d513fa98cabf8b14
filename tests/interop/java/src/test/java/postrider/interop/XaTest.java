package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.XASession;
import javax.transaction.xa.XAException;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQXAConnection;
import org.apache.activemq.ActiveMQXAConnectionFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Branches of distributed transactions: what is prepared is done or not, as its coordinator says, whatever ends in between. */
class XaTest extends BrokerTest {
    private static final int MOVED = 60;

    @RegisterExtension
    private final BrokerProcess broker = new BrokerProcess();

    private final List<ActiveMQXAConnection> opened = new ArrayList<>();
    private int named;

    /** The name of a branch. */
    private record Name(String global, String qualifier) implements Xid {
        @Override
        public int getFormatId() {
            return 77;
        }

        @Override
        public byte[] getGlobalTransactionId() {
            return global.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public byte[] getBranchQualifier() {
            return qualifier.getBytes(StandardCharsets.UTF_8);
        }
    }

    @AfterEach
    void closeBranches() {
        for (ActiveMQXAConnection connection : opened) {
            try {
                connection.close();
            } catch (JMSException closedAlready) {
                // Its broker was killed.
            }
        }
    }

    private ActiveMQXAConnection branches(String options) throws JMSException {
        ActiveMQXAConnectionFactory factory = new ActiveMQXAConnectionFactory(options);
        ActiveMQXAConnection connection = (ActiveMQXAConnection) factory.createXAConnection();
        opened.add(connection);
        connection.start();
        return connection;
    }

    private ActiveMQXAConnection branches() throws JMSException {
        return branches(broker.url() + "?jms.redeliveryPolicy.maximumRedeliveries=-1&jms.closeTimeout=1000");
    }

    private ActiveMQConnection own() throws JMSException {
        return connectTo(broker.url() + "?jms.redeliveryPolicy.maximumRedeliveries=-1&jms.closeTimeout=1000");
    }

    private Xid next() {
        return new Name("global" + ++named, "branch");
    }

    private static String name(Xid xid) {
        return new String(xid.getGlobalTransactionId(), StandardCharsets.UTF_8);
    }

    /** The branches that are prepared. */
    private Set<String> prepared() throws Exception {
        XAResource resource = branches().createXASession().getXAResource();
        Set<String> names = new TreeSet<>();
        Arrays.stream(resource.recover(XAResource.TMSTARTRSCAN)).forEach(xid -> names.add(name(xid)));
        return names;
    }

    private List<String> drain(String name) throws JMSException {
        ActiveMQConnection connection = own();
        MessageConsumer consumer = consumer(connection, queue(name, 0));
        List<String> texts = new ArrayList<>();
        for (Message message = consumer.receiveNoWait(); message != null; message = consumer.receiveNoWait()) {
            texts.add(text(message));
        }
        connection.close();
        return texts;
    }

    /** One message goes from one queue to the other within a branch, which is prepared. */
    private void moveOne(XASession session, Xid xid) throws Exception {
        XAResource resource = session.getXAResource();
        MessageConsumer consumer = session.createConsumer(queue("from", 1));
        resource.start(xid, XAResource.TMNOFLAGS);
        Message message = receive(consumer, 1).get(0);
        session.createProducer(queue("to")).send(session.createTextMessage(text(message)));
        resource.end(xid, XAResource.TMSUCCESS);
        // As application servers do: what the branch has acknowledged is its own.
        consumer.close();
        assertEquals(XAResource.XA_OK, resource.prepare(xid));
    }

    private static void assertCode(int expected, ThrowingAct act) {
        assertEquals(expected, assertThrows(XAException.class, act::run).errorCode);
    }

    /** What an XAResource does. */
    private interface ThrowingAct {
        void run() throws XAException;
    }

    @Test
    void whatIsPreparedSurvivesAKillAndIsCommitted() throws Exception {
        send(own(), queue("from"), "m", 0, 3);
        Xid xid = next();
        moveOne(branches().createXASession(), xid);
        broker.restart();
        assertEquals(Set.of(name(xid)), prepared());
        assertEquals(List.of("m1", "m2"), drain("from"), "the first one is claimed");
        assertEquals(List.of(), drain("to"));
        XAResource resource = branches().createXASession().getXAResource();
        resource.commit(xid, false);
        assertEquals(Set.of(), prepared());
        assertEquals(List.of("m0"), drain("to"));
        resource.commit(xid, false);
        assertCode(XAException.XAER_NOTA, () -> resource.rollback(xid));
        broker.restart();
        XAResource again = branches().createXASession().getXAResource();
        again.commit(xid, false);
        assertCode(XAException.XAER_NOTA, () -> again.rollback(xid));
        assertEquals(List.of(), drain("from"));
        assertEquals(List.of(), drain("to"));
    }

    @Test
    void whatIsPreparedSurvivesAKillAndIsRolledBack() throws Exception {
        send(own(), queue("from"), "m", 0, 2);
        Xid xid = next();
        moveOne(branches().createXASession(), xid);
        broker.restart();
        XAResource resource = branches().createXASession().getXAResource();
        resource.rollback(xid);
        assertCode(XAException.XAER_NOTA, () -> resource.commit(xid, false));
        assertEquals(Set.of(), prepared());
        broker.restart();
        assertEquals(List.of("m0", "m1"), drain("from"));
        assertEquals(List.of(), drain("to"));
    }

    @Test
    void whatIsNotPreparedGoesWithItsConnection() throws Exception {
        send(own(), queue("from"), "m", 0, 2);
        ActiveMQXAConnection first = branches();
        XASession session = first.createXASession();
        Xid xid = next();
        MessageConsumer consumer = session.createConsumer(queue("from", 1));
        session.getXAResource().start(xid, XAResource.TMNOFLAGS);
        receive(consumer, 1);
        session.createProducer(queue("to")).send(session.createTextMessage("never"));
        XASession joined = branches().createXASession();
        joined.getXAResource().start(xid, XAResource.TMJOIN);
        joined.createProducer(queue("to")).send(joined.createTextMessage("never"));
        joined.getXAResource().end(xid, XAResource.TMSUCCESS);
        assertEquals(Set.of(), prepared());
        first.close();
        assertCode(XAException.XAER_NOTA, () -> joined.getXAResource().prepare(xid));
        assertEquals(List.of("m0", "m1"), drain("from"));
        assertEquals(List.of(), drain("to"));
    }

    @Test
    void eachMistakeHasItsCode() throws Exception {
        XASession session = branches().createXASession();
        XAResource resource = session.getXAResource();
        MessageProducer producer = session.createProducer(queue("q"));
        assertCode(XAException.XAER_NOTA, () -> resource.prepare(new Name("nobody", "knows")));
        assertCode(XAException.XAER_NOTA, () -> resource.commit(new Name("nobody", "knows"), true));
        assertCode(XAException.XAER_NOTA, () -> resource.rollback(new Name("nobody", "knows")));
        assertCode(XAException.XAER_NOTA, () -> resource.forget(new Name("nobody", "knows")));
        assertCode(XAException.XAER_INVAL, () -> resource.commit(new Name("x".repeat(65), ""), true));
        Xid empty = next();
        resource.start(empty, XAResource.TMNOFLAGS);
        resource.end(empty, XAResource.TMSUCCESS);
        assertEquals(XAResource.XA_RDONLY, resource.prepare(empty));
        Xid xid = new Name("x".repeat(64), "y".repeat(64));
        resource.start(xid, XAResource.TMNOFLAGS);
        producer.send(session.createTextMessage("m0"));
        resource.end(xid, XAResource.TMSUSPEND);
        resource.start(xid, XAResource.TMRESUME);
        producer.send(session.createTextMessage("m1"));
        resource.end(xid, XAResource.TMSUCCESS);
        assertCode(XAException.XAER_PROTO, () -> resource.commit(xid, false));
        assertEquals(XAResource.XA_OK, resource.prepare(xid));
        assertEquals(XAResource.XA_OK, resource.prepare(xid));
        assertEquals(0, resource.recover(XAResource.TMNOFLAGS).length);
        assertEquals(1, resource.recover(XAResource.TMSTARTRSCAN).length);
        resource.commit(xid, false);
        Xid refused = next();
        resource.start(refused, XAResource.TMNOFLAGS);
        producer.send(session.createTextMessage("never"));
        session.createProducer(null).send(queue("x".repeat(20_000)), session.createTextMessage("refused"));
        resource.end(refused, XAResource.TMSUCCESS);
        assertCode(XAException.XA_RBROLLBACK, () -> resource.prepare(refused));
        Xid onePhase = next();
        resource.start(onePhase, XAResource.TMNOFLAGS);
        producer.send(session.createTextMessage("m2"));
        resource.end(onePhase, XAResource.TMSUCCESS);
        resource.commit(onePhase, true);
        assertEquals(texts("m", 0, 3), drain("q"));
    }

    /** A coordinator decides what was prepared when the broker was killed; it is asked for exactly that. */
    @Test
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void recoverListsExactlyWhatWasPrepared() throws Exception {
        long seed = Settings.seed();
        System.out.println("[kills] between prepare and commit: " + Settings.kills() + " with -Dpostrider.seed=" + seed);
        Random random = new Random(seed);
        int listed = 0;
        send(own(), queue("from"), "m", 0, MOVED);
        for (int count = 0; count < Settings.kills(); count++) {
            Set<String> undecided = new TreeSet<>();
            List<Xid> all = new ArrayList<>();
            XASession session = branches().createXASession();
            XAResource resource = session.getXAResource();
            for (int left = 1 + random.nextInt(4); left > 0; left--) {
                Xid xid = next();
                moveOne(session, xid);
                switch (random.nextInt(4)) {
                    case 0 -> resource.commit(xid, false);
                    case 1 -> resource.rollback(xid);
                    default -> {
                        undecided.add(name(xid));
                        all.add(xid);
                    }
                }
                if (random.nextInt(3) == 0) {
                    resource.start(next(), XAResource.TMNOFLAGS);
                    session.createProducer(queue("to")).send(session.createTextMessage("never"));
                    session = branches().createXASession();
                    resource = session.getXAResource();
                }
            }
            broker.restart();
            assertEquals(undecided, prepared());
            listed += undecided.size();
            XAResource coordinator = branches().createXASession().getXAResource();
            for (Xid xid : all) {
                if (random.nextBoolean()) {
                    coordinator.commit(xid, false);
                } else {
                    coordinator.rollback(xid);
                }
            }
            assertEquals(Set.of(), prepared());
            if (random.nextInt(3) == 0) {
                List<String> moved = drain("to");
                assertTrue(moved.stream().allMatch(text -> text.startsWith("m")), () -> "of what was rolled back: " + moved);
                ActiveMQConnection connection = own();
                for (String text : moved) {
                    int number = Integer.parseInt(text.substring(1));
                    send(connection, queue("from"), "m", number, number + 1);
                }
            }
            opened.clear();
        }
        List<String> found = new ArrayList<>(drain("from"));
        found.addAll(drain("to"));
        int different = new TreeSet<>(found).size();
        System.out.println("[kills] between prepare and commit: " + listed + " branches listed, no other; of " + MOVED + " messages "
                + (MOVED - different) + " lost, " + (found.size() - different) + " doubled");
        found.sort(null);
        List<String> expected = texts("m", 0, MOVED);
        expected.sort(null);
        assertEquals(expected, found);
    }
}
