package postrider.interop;

import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** A relay between clients and the broker that can break connections in the ways in which networks do. */
final class Proxy implements Closeable {
    private static final long NEVER = Long.MAX_VALUE;

    private final InetSocketAddress target;
    private final ServerSocket listener;
    private final List<Pair> pairs = new CopyOnWriteArrayList<>();
    private final AtomicLong bytesToBrokerUntilCut = new AtomicLong(NEVER);
    private final AtomicLong bytesToBroker = new AtomicLong();
    private final AtomicInteger cuts = new AtomicInteger();
    private volatile boolean swallowing;

    Proxy(String host, int port) throws IOException {
        target = new InetSocketAddress(host, port);
        listener = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        daemon(this::accept);
    }

    String url() {
        return "tcp://127.0.0.1:" + listener.getLocalPort();
    }

    /** Connections broken so far. */
    int cuts() {
        return cuts.get();
    }

    /** Bytes relayed from clients so far. */
    long bytesToBroker() {
        return bytesToBroker.get();
    }

    /** Breaks all connections on both sides, without a farewell. */
    void cut() {
        pairs.forEach(Pair::cut);
    }

    /** The clients lose their connections, the broker does not notice: its sockets stay open and silent. */
    void cutClientsOnly() {
        pairs.forEach(Pair::cutClientOnly);
    }

    /** What the broker says next is lost together with the connection, after the broker got everything from the client. */
    void swallowNextAnswer() {
        swallowing = true;
    }

    /** After so many more bytes from clients their connection breaks, most likely within a frame. */
    void cutAfterBytesToBroker(long bytes) {
        bytesToBrokerUntilCut.set(bytes);
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private void accept() {
        while (!listener.isClosed()) {
            try {
                Socket client = listener.accept();
                open(client);
            } catch (IOException closed) {
                // Either the proxy ends, or the broker is away: the client sees its connection closed.
            }
        }
    }

    private void open(Socket client) throws IOException {
        Socket broker = new Socket();
        try {
            broker.connect(target, 5_000);
        } catch (IOException away) {
            client.close();
            return;
        }
        client.setTcpNoDelay(true);
        broker.setTcpNoDelay(true);
        Pair pair = new Pair(client, broker);
        pairs.add(pair);
        daemon(pair::relayToBroker);
        daemon(pair::relayToClient);
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work, "proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private final class Pair {
        private final Socket client;
        private final Socket broker;

        Pair(Socket client, Socket broker) {
            this.client = client;
            this.broker = broker;
        }

        void relayToBroker() {
            byte[] buffer = new byte[65_536];
            try {
                InputStream input = client.getInputStream();
                for (int count = input.read(buffer); count >= 0; count = input.read(buffer)) {
                    long left = bytesToBrokerUntilCut.get();
                    int allowed = (int) Math.min(count, left);
                    broker.getOutputStream().write(buffer, 0, allowed);
                    bytesToBroker.addAndGet(allowed);
                    if (left != NEVER && bytesToBrokerUntilCut.addAndGet(-allowed) <= 0) {
                        bytesToBrokerUntilCut.set(NEVER);
                        cut();
                        return;
                    }
                }
                end();
            } catch (IOException broken) {
                end();
            }
        }

        void relayToClient() {
            byte[] buffer = new byte[65_536];
            try {
                InputStream input = broker.getInputStream();
                for (int count = input.read(buffer); count >= 0; count = input.read(buffer)) {
                    if (swallowing) {
                        swallowing = false;
                        cut();
                        return;
                    }
                    client.getOutputStream().write(buffer, 0, count);
                }
                end();
            } catch (IOException broken) {
                end();
            }
        }

        void cut() {
            if (pairs.remove(this)) {
                cuts.incrementAndGet();
                abort(client);
                abort(broker);
            }
        }

        void cutClientOnly() {
            cuts.incrementAndGet();
            abort(client);
        }

        /** One side has closed, so the other is closed in order; a pair whose client alone was cut stays. */
        private void end() {
            if (!client.isClosed() && pairs.remove(this)) {
                closeQuietly(client);
                closeQuietly(broker);
            }
        }

        private void abort(Socket socket) {
            try {
                socket.setSoLinger(true, 0);
            } catch (IOException closed) {
                // Then it has been closed already.
            }
            closeQuietly(socket);
        }

        private void closeQuietly(Socket socket) {
            try {
                socket.close();
            } catch (IOException ignored) {
                // Nothing is lost with a socket that is not needed.
            }
        }
    }
}
