import java.io.File;
import org.apache.activemq.broker.BrokerService;

/** ActiveMQ with its defaults and KahaDB: `Broker PORT DIRECTORY`. Ends when it is killed. */
public final class Broker {
    public static void main(String[] arguments) throws Exception {
        BrokerService broker = new BrokerService();
        broker.setUseJmx(false);
        broker.setDataDirectoryFile(new File(arguments[1]));
        broker.addConnector("tcp://127.0.0.1:" + arguments[0] + "?wireFormat.maxFrameSize=104857600");
        broker.start();
        broker.waitUntilStopped();
    }
}
