package postrider.interop;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/** What the command line says about the broker under test, all of it by system properties. */
final class Settings {
    private Settings() {}

    /** The running broker that most tests use. */
    static String url() {
        return System.getProperty("postrider.url", "tcp://127.0.0.1:61616");
    }

    static String host() {
        return url().replaceFirst("^[a-z]+://", "").replaceFirst(":.*$", "");
    }

    static int port() {
        return Integer.parseInt(url().replaceFirst("^.*:(\\d+).*$", "$1"));
    }

    /** The broker's executable, for tests that start and kill one of their own. Without it such a test is skipped, or fails if strict. */
    static Path binary() {
        String text = System.getProperty("postrider.binary", "");
        if (text.isEmpty()) {
            skip("needs a broker to start and kill: pass -Dpostrider.binary=PATH");
        }
        return Path.of(text).toAbsolutePath();
    }

    /** Further arguments of `serve`, split at blanks. */
    static List<String> arguments() {
        String text = System.getProperty("postrider.args", "").trim();
        return text.isEmpty() ? List.of() : List.of(text.split("\\s+"));
    }

    /** Messages of each kind in the volume test. */
    static int volume() {
        return Integer.getInteger("postrider.volume", 2_000);
    }

    /** How often the kill test kills the broker. */
    static int kills() {
        return Integer.getInteger("postrider.kills", 5);
    }

    /** Seed of whatever the tests choose at random; printed, so that a failure can be tried again. */
    static long seed() {
        return Optional.ofNullable(Long.getLong("postrider.seed")).orElse(System.nanoTime() & 0xffffff);
    }

    private static void skip(String reason) {
        if (Boolean.getBoolean("postrider.strict")) {
            Assertions.fail("skipped although strict: " + reason);
        }
        System.out.println("[skipped] " + reason);
        Assumptions.abort(reason);
    }
}
