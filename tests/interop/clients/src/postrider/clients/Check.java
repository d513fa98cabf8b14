package postrider.clients;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Runs scenarios one after another, each with a time limit, and prints a line for each: verdict, client, scenario, milliseconds, why not. */
final class Check {
    interface Scenario { void run() throws Exception; }

    private static final long LIMIT = Long.getLong("limit", 60);
    private final String client;
    private final String only = System.getProperty("only", "");
    private int run, failed;

    Check(String client) { this.client = client; }

    void that(String name, Scenario scenario) {
        if (!only.isEmpty() && !(("," + only + ",").contains("," + name + ","))) return;
        run++;
        ExecutorService one = Executors.newSingleThreadExecutor(r -> { Thread t = new Thread(r, "scenario"); t.setDaemon(true); return t; });
        long start = System.nanoTime();
        String why = "";
        try {
            Future<?> f = one.submit((Callable<Void>) () -> { scenario.run(); return null; });
            f.get(LIMIT, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            Throwable t = e.getCause();
            why = t.toString();
            for (Throwable c = t.getCause(); c != null && c != t; c = c.getCause()) why += " <- " + c;
            if (Boolean.getBoolean("trace")) t.printStackTrace();
        } catch (TimeoutException e) {
            StringBuilder where = new StringBuilder("not done in " + LIMIT + " s:");
            Thread.getAllStackTraces().forEach((t, s) -> { if (t.getName().equals("scenario")) for (StackTraceElement x : s) where.append(" < ").append(x.getMethodName()).append(':').append(x.getLineNumber()); });
            why = where.toString();
        } catch (InterruptedException e) {
            why = e.toString();
        }
        one.shutdownNow();
        if (!why.isEmpty()) failed++;
        System.out.printf("%s %s %s %d ms %s%n", why.isEmpty() ? "ok" : "FAIL", client, name, (System.nanoTime() - start) / 1_000_000, why.replaceAll("\\s+", " "));
    }

    /** Threads of the client that a clean close must have ended. */
    static List<String> clientThreads() throws InterruptedException {
        List<String> left = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            left.clear();
            for (Thread t : Thread.getAllStackTraces().keySet()) if (t.isAlive() && (t.getName().startsWith("ActiveMQ Transport") || t.getName().startsWith("ActiveMQ Connection"))) left.add(t.getName());
            if (left.isEmpty()) break;
            Thread.sleep(100);
        }
        return left;
    }

    static void expect(boolean holds, String what) { if (!holds) throw new AssertionError(what); }

    static void same(Object wanted, Object found, String what) { if (!wanted.equals(found)) throw new AssertionError(what + ": wanted " + wanted + ", found " + found); }

    void end() {
        System.out.println(client + ": " + run + " run, " + failed + " failed");
        System.out.flush();
        Runtime.getRuntime().halt(failed == 0 ? 0 : 1);
    }
}
