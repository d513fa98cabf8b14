package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import javax.jms.InvalidClientIDException;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import org.apache.activemq.ActiveMQConnection;
import org.apache.activemq.command.ActiveMQTextMessage;
import org.apache.activemq.command.BaseCommand;
import org.apache.activemq.command.ConnectionId;
import org.apache.activemq.command.ConnectionInfo;
import org.apache.activemq.command.ConsumerId;
import org.apache.activemq.command.ConsumerInfo;
import org.apache.activemq.command.ExceptionResponse;
import org.apache.activemq.command.MessageId;
import org.apache.activemq.command.ProducerId;
import org.apache.activemq.command.ProducerInfo;
import org.apache.activemq.command.Response;
import org.apache.activemq.command.SessionId;
import org.apache.activemq.command.SessionInfo;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Clients that do what they should not. Each harms itself only: a bystander is used before and after. */
class ErrorTest extends BrokerTest {
    /** The data structure type of ActiveMQQueue. */
    private static final byte QUEUE = 100;

    private ActiveMQConnection bystander;
    private String bystanderQueue;
    private MessageConsumer bystanderConsumer;

    @BeforeEach
    void openBystander() throws JMSException {
        bystander = connect();
        bystanderQueue = name("bystander");
        bystanderConsumer = consumer(bystander, queue(bystanderQueue));
        send(bystander, queue(bystanderQueue), "before", 0, 3);
    }

    /** Whatever a test did, the bystander and a newcomer are served. */
    @AfterEach
    void checkBystander() throws JMSException {
        send(bystander, queue(bystanderQueue), "after", 0, 3);
        assertEquals(texts("before", 0, 3), receiveTexts(bystanderConsumer, 3));
        assertEquals(texts("after", 0, 3), receiveTexts(bystanderConsumer, 3));
        connect().close();
    }

    private static RawClient raw() throws IOException {
        return new RawClient(Settings.host(), Settings.port());
    }

    @Test
    void clientIdInUseIsRefusedUntilItIsFree() throws JMSException {
        String id = name("client");
        ActiveMQConnection first = connect("jms.clientID=" + id);
        assertThrows(InvalidClientIDException.class, () -> connect("jms.clientID=" + id));
        send(first, queue(name("still-works")), "m", 0, 1);
        first.close();
        connect("jms.clientID=" + id).close();
    }

    @Test
    void missingClientIdIsRefused() throws IOException {
        try (RawClient client = raw()) {
            client.negotiate();
            ExceptionResponse response =
                    (ExceptionResponse) client.request(new ConnectionInfo(new ConnectionId(name("no-client-id"))));
            assertEquals(InvalidClientIDException.class, response.getException().getClass());
        }
    }

    @Test
    void wrongMagicEndsTheConnection() throws IOException {
        try (RawClient client = raw()) {
            byte[] frame = client.encode(RawClient.wireFormatInfo());
            frame[5] = 'a';
            client.sendBytes(frame);
            client.readToEnd();
        }
    }

    @Test
    void otherProtocolEndsTheConnection() throws IOException {
        try (RawClient client = raw()) {
            client.sendBytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".getBytes());
            client.readToEnd();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Integer.MAX_VALUE, 0x7000_0000, -1, Integer.MIN_VALUE})
    void frameOfImpossibleSizeIsRefused(int size) throws IOException {
        try (RawClient client = raw()) {
            client.connect(name("size"));
            client.sendBytes(ByteBuffer.allocate(64).putInt(size).put((byte) 3).array());
            client.readToRefusal();
        }
    }

    @Test
    void frameBeyondTheOfferedLimitIsRefused() throws IOException {
        try (RawClient client = raw()) {
            int limit = (int) client.negotiate().getMaxFrameSize();
            client.sendBytes(ByteBuffer.allocate(64).putInt(limit + 1).put((byte) 3).array());
            client.readToRefusal();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Integer.MAX_VALUE, -1})
    void firstFrameOfImpossibleSizeEndsTheConnection(int size) throws IOException {
        try (RawClient client = raw()) {
            client.sendBytes(ByteBuffer.allocate(64).putInt(size).put((byte) 1).array());
            client.readToEnd();
        }
    }

    @Test
    void truncatedFrameEndsWithItsConnection() throws IOException {
        try (RawClient client = raw()) {
            ConnectionId connection = client.connect(name("truncated"));
            byte[] frame = client.encode(new SessionInfo(new SessionId(connection, 1)));
            client.sendBytes(Arrays.copyOf(frame, frame.length - 3));
            client.endOutput();
            client.readToEnd();
        }
    }

    @Test
    void frameShorterThanItsContentEndsTheConnection() throws IOException {
        try (RawClient client = raw()) {
            ConnectionId connection = client.connect(name("short"));
            byte[] frame = client.encode(new SessionInfo(new SessionId(connection, 1)));
            byte[] cut = Arrays.copyOf(frame, frame.length - 6);
            ByteBuffer.wrap(cut).putInt(cut.length - 4);
            client.sendBytes(cut);
            client.endOutput();
            client.readToEnd();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {77, 99, 200, 255})
    void unknownCommandEndsTheConnection(int type) throws IOException {
        try (RawClient client = raw()) {
            client.connect(name("unknown"));
            client.sendBytes(ByteBuffer.allocate(14).putInt(10).put((byte) type).array());
            client.readToEnd();
        }
    }

    @Test
    void garbageEndsTheConnection() throws IOException {
        Random random = new Random(11);
        for (int attempt = 0; attempt < 50; attempt++) {
            byte[] garbage = new byte[4 + random.nextInt(200)];
            random.nextBytes(garbage);
            ByteBuffer.wrap(garbage).putInt(garbage.length - 4);
            try (RawClient client = raw()) {
                client.connect(name("garbage"));
                client.sendBytes(garbage);
                client.endOutput();
                client.readToEnd();
            }
        }
    }

    @Test
    void producerBeforeItsConnectionIsRefused() {
        checkRefused(true, connection -> new ProducerInfo(new ProducerId(new SessionId(connection, 1), 1)));
    }

    @Test
    void consumerBeforeItsConnectionIsRefused() {
        checkRefused(true, connection -> consumerInfo(connection, 1, "some.queue"));
    }

    @Test
    void messageBeforeItsConnectionIsRefused() {
        checkRefused(true, connection -> {
            ProducerId producer = new ProducerId(new SessionId(connection, 1), 1);
            ActiveMQTextMessage message = new ActiveMQTextMessage();
            message.setMessageId(new MessageId(producer, 1));
            message.setProducerId(producer);
            message.setDestination(queue(name("never")));
            message.setPersistent(true);
            return message;
        });
    }

    @Test
    void consumerOfAnUnknownSessionIsRefused() {
        checkRefused(false, connection -> consumerInfo(connection, 77, "some.queue"));
    }

    @Test
    void producerOfAnUnknownSessionIsRefused() {
        checkRefused(false, connection -> new ProducerInfo(new ProducerId(new SessionId(connection, 77), 1)));
    }

    private static ConsumerInfo consumerInfo(ConnectionId connection, long session, String name) {
        ConsumerInfo info = new ConsumerInfo(new ConsumerId(new SessionId(connection, session), 1));
        info.setDestination(queue(name));
        info.setPrefetchSize(10);
        return info;
    }

    private interface Making {
        BaseCommand command(ConnectionId connection) throws Exception;
    }

    /** Either an ExceptionResponse or the end of the connection; a plain Response or silence is wrong. */
    private void checkRefused(boolean beforeConnection, Making making) {
        try (RawClient client = raw()) {
            ConnectionId connection = new ConnectionId(name("refused"));
            if (beforeConnection) {
                client.negotiate();
            } else {
                connection = client.connect(name("refused"));
            }
            Response response = client.request(making.command(connection));
            assertTrue(response.isException(), () -> "answered with " + response);
        } catch (SocketTimeoutException silent) {
            throw new AssertionError("neither answered nor closed", silent);
        } catch (IOException closed) {
            // As good as an answer.
        } catch (Exception failed) {
            throw new AssertionError(failed);
        }
    }

    @Test
    void emptyNameIsRefused() throws IOException {
        try (RawClient client = raw()) {
            ConnectionId connection = client.connect(name("empty"));
            client.send(new SessionInfo(new SessionId(connection, 1)));
            ConsumerInfo info = consumerInfo(connection, 1, "X");
            info.setCommandId(100);
            info.setResponseRequired(true);
            client.sendBytes(withEmptyName(client.encode(info)));
            client.readToRefusal();
        }
    }

    /** The client's classes cannot hold an empty name: it is cut out of a frame whose name is `X`. */
    private static byte[] withEmptyName(byte[] frame) {
        for (int at = 4; at < frame.length - 2; at++) {
            if (frame[at] == 0 && frame[at + 1] == 1 && frame[at + 2] == 'X' && frame[at - 1] == 1 && frame[at - 2] == QUEUE) {
                byte[] shorter = new byte[frame.length - 1];
                System.arraycopy(frame, 0, shorter, 0, at + 2);
                System.arraycopy(frame, at + 3, shorter, at + 2, frame.length - at - 3);
                shorter[at + 1] = 0;
                ByteBuffer.wrap(shorter).putInt(shorter.length - 4);
                return shorter;
            }
        }
        throw new AssertionError("no name in the frame");
    }
}
