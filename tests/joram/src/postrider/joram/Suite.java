package postrider.joram;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.runner.Description;
import org.junit.runner.JUnitCore;
import org.junit.runner.notification.Failure;
import org.junit.runner.notification.RunListener;

/**
 * Runs test classes: `Suite RESULTS CLASS...`. RESULTS gets a line a test: `ok` or `FAIL`, class#method, milliseconds, and why, with
 * tabs between. A test that hangs is interrupted, and ends all of them if that does not help.
 */
public final class Suite extends RunListener {
    private static final long LIMIT_MS = 30_000;
    private static final long INTERRUPTED_MS = 10_000;

    private final PrintWriter results;
    private String current;
    private long since;
    private Throwable failure;
    private boolean interrupted;

    private Suite(PrintWriter results) {
        this.results = results;
    }

    public static void main(String[] arguments) throws Exception {
        Suite suite = new Suite(new PrintWriter(Files.newBufferedWriter(Path.of(arguments[0])), true));
        Thread tests = new Thread(() -> suite.run(Arrays.copyOfRange(arguments, 1, arguments.length)));
        tests.start();
        while (tests.isAlive()) {
            tests.join(200);
            suite.watch(tests);
        }
        end(suite.results);
    }

    /** Threads and connections that a test has left end with it. */
    private static void end(PrintWriter results) {
        results.close();
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private void run(String[] classes) {
        JUnitCore core = new JUnitCore();
        core.addListener(this);
        for (String name : classes) {
            try {
                core.run(Class.forName(name));
            } catch (ReflectiveOperationException | LinkageError missing) {
                line(name + "#", 0, missing);
            }
        }
    }

    private synchronized void watch(Thread tests) throws IOException {
        long lasted = System.currentTimeMillis() - since;
        if (current == null || lasted < LIMIT_MS) {
            return;
        }
        if (!interrupted) {
            interrupted = true;
            System.out.println("interrupted: " + current + "\n  " + Arrays.toString(tests.getStackTrace()).replace(", ", "\n  "));
            tests.interrupt();
        } else if (lasted > LIMIT_MS + INTERRUPTED_MS) {
            line(current, lasted, new IllegalStateException("hangs"));
            end(results);
        }
    }

    private static String label(Description description) {
        return description.getClassName().replaceFirst("^org\\.objectweb\\.jtests\\.jms\\.conform\\.", "") + "#" + description.getMethodName();
    }

    @Override
    public synchronized void testStarted(Description description) {
        current = label(description);
        since = System.currentTimeMillis();
        failure = null;
        interrupted = false;
    }

    @Override
    public synchronized void testFailure(Failure failed) {
        failure = failed.getException();
        System.out.println("failed: " + failed.getTestHeader() + "\n" + failed.getTrace());
        if (current == null) {
            line(label(failed.getDescription()), 0, failure);
        }
    }

    @Override
    public synchronized void testFinished(Description description) {
        line(current, System.currentTimeMillis() - since, failure);
        current = null;
        Thread.interrupted();
    }

    private void line(String test, long lastedMs, Throwable why) {
        String text = why == null ? "" : why.toString().replaceAll("\\s+", " ");
        results.println(String.join("\t", why == null ? "ok" : "FAIL", test, Long.toString(lastedMs), text));
    }
}
