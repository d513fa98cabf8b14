package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.jms.JMSException;
import javax.jms.Message;
import org.apache.activemq.command.ActiveMQQueue;

/** Every header that an application can set, and a property of every type. */
final class Envelope {
    // The client reads strings in properties as plain UTF-8, so that U+0000 and characters beyond U+FFFF come out damaged with any
    // broker; such text is tested in bodies only.
    private static final Map<String, Object> PROPERTIES = new LinkedHashMap<>();

    static {
        PROPERTIES.put("aBoolean", true);
        PROPERTIES.put("aByte", (byte) -7);
        PROPERTIES.put("aShort", Short.MIN_VALUE);
        PROPERTIES.put("anInt", Integer.MAX_VALUE);
        PROPERTIES.put("aLong", Long.MIN_VALUE);
        PROPERTIES.put("aFloat", 1.5e-30f);
        PROPERTIES.put("aDouble", -Double.MAX_VALUE);
        PROPERTIES.put("aNaN", Double.NaN);
        PROPERTIES.put("aString", "plain");
        PROPERTIES.put("anEmptyString", "");
        PROPERTIES.put("aForeignString", "größer als 漢字");
        PROPERTIES.put("aLongString", "x".repeat(20_000));
        PROPERTIES.put("aChar", 'ß');
        PROPERTIES.put("aList", List.of(1, "two", 3L));
        PROPERTIES.put("aMap", Map.of("inner", List.of(true, 2.5)));
        PROPERTIES.put("größe_$1", "a name beyond ASCII");
    }

    private Envelope() {}

    static void fill(Message message) throws JMSException {
        message.setJMSCorrelationID("correlation é");
        message.setJMSReplyTo(new ActiveMQQueue("somewhere.else"));
        message.setJMSType("a type");
        message.setStringProperty("JMSXGroupID", "a group");
        message.setIntProperty("JMSXGroupSeq", 3);
        for (Map.Entry<String, Object> property : PROPERTIES.entrySet()) {
            message.setObjectProperty(property.getKey(), property.getValue());
        }
    }

    /** `sent` is the application's own message after the send: the client has put the headers of the send into it. */
    static void check(Message sent, Message received) throws JMSException {
        assertEquals(sent.getJMSMessageID(), received.getJMSMessageID());
        assertEquals(sent.getJMSDestination(), received.getJMSDestination());
        assertEquals(sent.getJMSTimestamp(), received.getJMSTimestamp());
        assertEquals(sent.getJMSExpiration(), received.getJMSExpiration());
        assertEquals(sent.getJMSDeliveryMode(), received.getJMSDeliveryMode());
        assertEquals(sent.getJMSPriority(), received.getJMSPriority());
        assertEquals("correlation é", received.getJMSCorrelationID());
        assertEquals(new ActiveMQQueue("somewhere.else"), received.getJMSReplyTo());
        assertEquals("a type", received.getJMSType());
        assertEquals("a group", received.getStringProperty("JMSXGroupID"));
        assertEquals(3, received.getIntProperty("JMSXGroupSeq"));
        checkFresh(received);
        checkProperties(received);
    }

    /** Never delivered before, by all that the client can tell. */
    static void checkFresh(Message message) throws JMSException {
        assertFalse(message.getJMSRedelivered(), "marked as redelivered");
        assertEquals(1, message.getIntProperty("JMSXDeliveryCount"));
    }

    /** Delivered `times - 1` times before. */
    static void checkRedelivered(Message message, int times) throws JMSException {
        assertTrue(message.getJMSRedelivered(), "not marked as redelivered: " + message);
        assertEquals(times, message.getIntProperty("JMSXDeliveryCount"));
    }

    /** Newer clients read the texts within lists and maps as something else than strings. */
    static Object plain(Object value) {
        if (value instanceof List<?> list) {
            return list.stream().map(Envelope::plain).toList();
        }
        if (value instanceof Map<?, ?> map) {
            Map<Object, Object> plain = new LinkedHashMap<>();
            map.forEach((key, inner) -> plain.put(plain(key), plain(inner)));
            return plain;
        }
        boolean isText = value instanceof CharSequence || value != null && value.getClass().getSimpleName().equals("UTF8Buffer");
        return isText ? value.toString() : value;
    }

    private static void checkProperties(Message message) throws JMSException {
        for (Map.Entry<String, Object> property : PROPERTIES.entrySet()) {
            assertEquals(property.getValue(), plain(message.getObjectProperty(property.getKey())), property.getKey());
        }
        List<String> names = new ArrayList<>();
        for (Object name : Collections.list(message.getPropertyNames())) {
            if (!name.toString().startsWith("JMSX")) {
                names.add(name.toString());
            }
        }
        assertEquals(PROPERTIES.size(), names.size(), () -> "properties came or went: " + names);
    }
}
