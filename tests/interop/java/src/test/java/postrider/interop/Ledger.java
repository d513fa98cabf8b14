package postrider.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.TextMessage;

/** What was sent, what the broker answered for, and what came out: it finds anything lost, invented, altered, or doubled without a mark. */
final class Ledger {
    private static final int BODY_LIMIT = 3_000;

    private final Set<String> attempted = ConcurrentHashMap.newKeySet();
    private final Set<String> receipted = ConcurrentHashMap.newKeySet();
    /** By id, how it was last delivered. */
    private final Map<String, String> seen = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<String> faults = new ConcurrentLinkedQueue<>();
    private final AtomicLong marked = new AtomicLong();
    private final AtomicLong unmarked = new AtomicLong();

    /** A text that carries its id and a checksum of itself. */
    String compose(String id, Random random) {
        StringBuilder body = new StringBuilder(id).append(' ');
        int length = random.nextInt(BODY_LIMIT);
        for (int index = 0; index < length; index++) {
            body.append((char) ('!' + random.nextInt(90)));
        }
        attempted.add(id);
        String checksum = checksum(body);
        return body.append(' ').append(checksum).toString();
    }

    /** The broker has answered for this message, so it must come out. */
    void receipt(String id) {
        receipted.add(id);
    }

    /** The messages that the broker has answered for. */
    int receipts() {
        return receipted.size();
    }

    /** Deliveries so far, repeated ones included. */
    long deliveries() {
        return seen.size() + marked.get();
    }

    /** Roughly how many receipted messages are still to come. */
    int backlog() {
        return receipted.size() - seen.size();
    }

    /** Something went wrong that is no broken connection. */
    void fault(Throwable cause) {
        faults.add(cause.toString());
    }

    /** `consumer` is only used in descriptions. */
    void received(Message message, String consumer) throws JMSException {
        String text = ((TextMessage) message).getText();
        int end = text.lastIndexOf(' ');
        String id = text.substring(0, text.indexOf(' '));
        if (!checksum(text.substring(0, end)).equals(text.substring(end + 1))) {
            faults.add("altered: " + text);
        } else if (!attempted.contains(id)) {
            faults.add("invented: " + id);
        } else {
            String delivery = consumer + " as delivery " + message.getIntProperty("JMSXDeliveryCount");
            String earlier = seen.put(id, delivery);
            if (earlier != null) {
                marked.incrementAndGet();
                if (!message.getJMSRedelivered()) {
                    unmarked.incrementAndGet();
                    faults.add("not marked as redelivered: " + id + " to " + delivery + ", before to " + earlier);
                }
            }
        }
    }

    boolean complete() {
        return seen.keySet().containsAll(receipted);
    }

    /** What is wrong whatever may still come, at most twenty of it. */
    List<String> faultsSoFar() {
        return faults.stream().limit(20).toList();
    }

    /** Everything that is wrong; `complete` should be true first, or time is up. */
    List<String> faults() {
        List<String> all = new ArrayList<>(faults);
        lost().forEach(id -> all.add("lost: " + id));
        return all;
    }

    private Set<String> lost() {
        Set<String> lost = new TreeSet<>(receipted);
        lost.removeAll(seen.keySet());
        return lost;
    }

    @Override
    public String toString() {
        return attempted.size() + " attempted, " + receipted.size() + " receipted, " + seen.size() + " seen, " + marked + " again, "
                + lost().size() + " lost, " + unmarked + " doubled";
    }

    private static String checksum(CharSequence text) {
        CRC32 crc = new CRC32();
        crc.update(text.toString().getBytes(StandardCharsets.UTF_8));
        return Long.toHexString(crc.getValue());
    }
}
