package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A broker of the test's own, on an empty data directory, which it may stop, kill and start again. Registered as an extension it starts
 * before each test, and after a failure its log is printed and its directory kept.
 */
final class BrokerProcess implements BeforeEachCallback, AfterEachCallback {
    private static final long START_MS = 30_000;
    private static final int LOG_LINES = 200;

    private final List<String> settings;
    private Path directory;
    private Path log;
    private int port;
    private Process process;

    /** With these lines in its configuration. */
    BrokerProcess(String... settings) {
        this.settings = List.of(settings);
    }

    @Override
    public void beforeEach(ExtensionContext context) throws Exception {
        Settings.binary();
        directory = Files.createTempDirectory("postrider-interop-");
        log = directory.resolve("broker.log");
        port = freePort();
        start();
    }

    @Override
    public void afterEach(ExtensionContext context) throws Exception {
        if (directory == null) {
            return;
        }
        kill();
        if (context.getExecutionException().isPresent()) {
            printLog();
            System.out.println("[kept] " + directory);
        } else {
            delete(directory);
        }
    }

    String url() {
        return "tcp://127.0.0.1:" + port;
    }

    int port() {
        return port;
    }

    /** Starts on what the last life has left, and returns once the broker speaks OpenWire. */
    void start() throws IOException {
        process = launch(port, log);
        long deadline = System.nanoTime() + START_MS * 1_000_000;
        while (!answers()) {
            if (!process.isAlive()) {
                throw new IOException("the broker ended with " + process.exitValue() + " instead of starting");
            }
            if (System.nanoTime() > deadline) {
                throw new IOException("the broker does not answer on port " + port);
            }
            pause(2);
        }
    }

    /** A further broker on the same data directory, as an operator might start one by mistake. */
    Process startSecond() throws IOException {
        return launch(freePort(), directory.resolve("second.log"));
    }

    String secondLog() throws IOException {
        return Files.readString(directory.resolve("second.log"));
    }

    /** SIGKILL: the process gets no chance to write anything more. */
    void kill() {
        process.destroyForcibly();
        await(process);
    }

    /** SIGTERM; returns the exit code. */
    int stop() {
        process.destroy();
        return await(process);
    }

    void restart() throws IOException {
        kill();
        start();
    }

    static int await(Process process) {
        try {
            assertTrue(process.waitFor(30, TimeUnit.SECONDS), "the broker does not end");
            return process.exitValue();
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private Process launch(int port, Path log) throws IOException {
        List<String> command = new ArrayList<>(List.of(Settings.binary().toString(), "serve", "--data-dir",
                directory.resolve("data").toString(), "--listen", "openwire://127.0.0.1:" + port));
        if (!settings.isEmpty()) {
            command.addAll(List.of("--config", Files.write(directory.resolve("postrider.toml"), settings).toString()));
        }
        command.addAll(Settings.arguments());
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                .start();
    }

    private boolean answers() {
        try (RawClient client = new RawClient("127.0.0.1", port)) {
            client.negotiate();
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    /**
     * A port below the range from which the kernel takes ports of outgoing connections. From within the range a client that tries
     * again and again, while the broker is down, comes to connect to itself, and the broker finds its port taken.
     */
    private static int freePort() throws IOException {
        for (int tries = 0; ; tries++) {
            int port = ThreadLocalRandom.current().nextInt(20_000, 30_000);
            try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getByName("127.0.0.1"))) {
                return socket.getLocalPort();
            } catch (IOException taken) {
                if (tries >= 100) {
                    throw taken;
                }
            }
        }
    }

    private static void pause(long milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException interrupted) {
            throw new IllegalStateException(interrupted);
        }
    }

    private void printLog() throws IOException {
        List<String> lines = Files.readAllLines(log);
        System.out.println("[log] the last lines of " + log);
        lines.subList(Math.max(0, lines.size() - LOG_LINES), lines.size()).forEach(System.out::println);
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> paths = Files.walk(directory)) {
            paths.sorted(Comparator.reverseOrder()).forEach(path -> {
                try {
                    Files.delete(path);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            });
        }
    }
}
