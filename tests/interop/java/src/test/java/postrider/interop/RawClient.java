package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import org.apache.activemq.command.BaseCommand;
import org.apache.activemq.command.ConnectionError;
import org.apache.activemq.command.ConnectionId;
import org.apache.activemq.command.ConnectionInfo;
import org.apache.activemq.command.ExceptionResponse;
import org.apache.activemq.command.Response;
import org.apache.activemq.command.WireFormatInfo;
import org.apache.activemq.openwire.OpenWireFormat;
import org.apache.activemq.util.ByteSequence;

/** A socket that speaks OpenWire, version 12, loose and without a cache, and also whatever it should not. */
final class RawClient implements Closeable {
    private final Socket socket = new Socket();
    private final OpenWireFormat format = new OpenWireFormat(12);
    private final DataInputStream input;
    private int lastCommandId;

    RawClient(String host, int port) throws IOException {
        socket.connect(new InetSocketAddress(host, port), 5_000);
        socket.setSoTimeout((int) BrokerTest.PATIENCE_MS);
        input = new DataInputStream(socket.getInputStream());
    }

    /** Exchanges the first frames. */
    WireFormatInfo negotiate() throws IOException {
        send(wireFormatInfo());
        return (WireFormatInfo) format.unmarshal(input);
    }

    /** Negotiates and announces a connection with an id of its own. */
    ConnectionId connect(String name) throws IOException {
        negotiate();
        ConnectionInfo info = new ConnectionInfo(new ConnectionId(name));
        info.setClientId(name);
        Response response = request(info);
        if (response.isException()) {
            throw new IOException("refused: " + response);
        }
        return info.getConnectionId();
    }

    static WireFormatInfo wireFormatInfo() throws IOException {
        WireFormatInfo info = new WireFormatInfo();
        info.setVersion(12);
        info.setMaxFrameSize(Long.MAX_VALUE);
        info.setMaxInactivityDuration(0);
        info.setMaxInactivityDurationInitalDelay(0);
        return info;
    }

    byte[] encode(Object command) throws IOException {
        ByteSequence bytes = format.marshal(command);
        byte[] copy = new byte[bytes.length];
        System.arraycopy(bytes.data, bytes.offset, copy, 0, bytes.length);
        return copy;
    }

    void send(Object command) throws IOException {
        sendBytes(encode(command));
    }

    void sendBytes(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
    }

    /** Sends nothing more, and still reads. */
    void endOutput() throws IOException {
        socket.shutdownOutput();
    }

    /** Sends a command that wants a response, and waits for it. */
    Response request(BaseCommand command) throws IOException {
        command.setCommandId(++lastCommandId);
        command.setResponseRequired(true);
        send(command);
        while (true) {
            Object answer = format.unmarshal(input);
            if (answer instanceof Response response && response.getCorrelationId() == command.getCommandId()) {
                return response;
            }
        }
    }

    /** Fails if the broker leaves the connection open. */
    void readToEnd() {
        try {
            while (true) {
                format.unmarshal(input);
            }
        } catch (SocketTimeoutException open) {
            throw new AssertionError("the broker left the connection open", open);
        } catch (IOException closed) {
            // As it should.
        }
    }

    /** Reads until the broker reports an error or closes the connection. Fails if it answers as if all were well, or not at all. */
    void readToRefusal() {
        try {
            Object command = format.unmarshal(input);
            while (!(command instanceof ConnectionError || command instanceof ExceptionResponse)) {
                assertFalse(command instanceof Response, "answered with " + command);
                command = format.unmarshal(input);
            }
        } catch (SocketTimeoutException open) {
            throw new AssertionError("neither an error nor the end of the connection", open);
        } catch (IOException closed) {
            // The broker may refuse without words.
        }
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}
