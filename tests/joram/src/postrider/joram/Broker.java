package postrider.joram;

import java.lang.reflect.Proxy;
import java.util.HashMap;
import java.util.Hashtable;
import java.util.Map;
import javax.naming.Context;
import javax.naming.NameNotFoundException;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.ActiveMQConnectionFactory;
import org.apache.activemq.command.ActiveMQDestination;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTopic;
import org.objectweb.jtests.jms.admin.Admin;

/** What the suite asks of a provider, for the broker at the URL in property `broker.url`. It names neither javax.jms nor jakarta.jms. */
public final class Broker implements Admin {
    private static final String URL = System.getProperty("broker.url");
    /**
     * What keeps the client's own habits out of the verdict: it takes a java.util.Vector as an object, refuses maps and lists as
     * properties, as JMS wants it, and gives a message again at once, not after a second, which is how long the suite waits.
     */
    private static final String OPTIONS =
            "?jms.trustAllPackages=true&jms.nestedMapAndListEnabled=false&jms.redeliveryPolicy.initialRedeliveryDelay=0";
    private static final Map<String, Object> NAMES = new HashMap<>();
    private static boolean started;

    private interface Work {
        void on(ActiveMQConnection connection) throws Exception;
    }

    @Override
    public String getName() {
        return "the broker at " + URL;
    }

    @Override
    public Context createContext() {
        return (Context) Proxy.newProxyInstance(Broker.class.getClassLoader(), new Class<?>[] {Context.class}, (proxy, method, arguments) -> {
            switch (method.getName()) {
                case "lookup":
                    Object found = NAMES.get(arguments[0].toString());
                    if (found == null) {
                        throw new NameNotFoundException(arguments[0].toString());
                    }
                    return found;
                case "close":
                    return null;
                case "getEnvironment":
                    return new Hashtable<>();
                default:
                    throw new UnsupportedOperationException(method.toString());
            }
        });
    }

    @Override
    public void createConnectionFactory(String name) {
        NAMES.put(name, new ActiveMQConnectionFactory(URL + OPTIONS));
    }

    @Override
    public void createQueueConnectionFactory(String name) {
        createConnectionFactory(name);
    }

    @Override
    public void createTopicConnectionFactory(String name) {
        createConnectionFactory(name);
    }

    @Override
    public void deleteConnectionFactory(String name) {
        NAMES.remove(name);
    }

    @Override
    public void deleteQueueConnectionFactory(String name) {
        NAMES.remove(name);
    }

    @Override
    public void deleteTopicConnectionFactory(String name) {
        NAMES.remove(name);
    }

    @Override
    public void createQueue(String name) {
        NAMES.put(name, new ActiveMQQueue(name));
    }

    @Override
    public void createTopic(String name) {
        NAMES.put(name, new ActiveMQTopic(name));
    }

    @Override
    public void deleteQueue(String name) {
        remove(name);
    }

    @Override
    public void deleteTopic(String name) {
        remove(name);
    }

    @Override
    public void startServer() {}

    @Override
    public void stopServer() {}

    @Override
    public void start() {
        if (!started) {
            started = true;
            // The suite leaves it behind, and a later run would find what the broker has kept for it.
            attempt("unsubscribe", "subscriberConnection", connection -> connection.unsubscribe("testTopic"));
        }
    }

    @Override
    public void stop() {}

    /** With its messages, so that the next test begins with an empty one. */
    private static void remove(String name) {
        ActiveMQDestination destination = (ActiveMQDestination) NAMES.remove(name);
        if (destination != null) {
            attempt("remove " + name, null, connection -> connection.destroyDestination(destination));
        }
    }

    private static void attempt(String what, String clientId, Work work) {
        try {
            ActiveMQConnection connection = (ActiveMQConnection) new ActiveMQConnectionFactory(URL).createConnection();
            try {
                if (clientId != null) {
                    connection.setClientID(clientId);
                }
                connection.start();
                work.on(connection);
            } finally {
                connection.close();
            }
        } catch (Exception refused) {
            System.out.println("did not " + what + ": " + refused);
        }
    }
}
