package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.JMSException;
import javax.jms.MapMessage;
import javax.jms.Message;
import javax.jms.MessageEOFException;
import javax.jms.ObjectMessage;
import javax.jms.Session;
import javax.jms.StreamMessage;
import javax.jms.TextMessage;

/** The six kinds of JMS messages, each with a body that uses all that the kind can hold. */
enum MessageKind {
    PLAIN {
        @Override
        Message create(Session session) throws JMSException {
            return session.createMessage();
        }

        @Override
        void check(Message message) {
            assertFalse(message instanceof TextMessage || message instanceof BytesMessage || message instanceof MapMessage);
        }
    },
    TEXT {
        @Override
        Message create(Session session) throws JMSException {
            return session.createTextMessage(UNUSUAL_TEXT);
        }

        @Override
        void check(Message message) throws JMSException {
            assertEquals(UNUSUAL_TEXT, assertInstanceOf(TextMessage.class, message).getText());
        }
    },
    BYTES {
        @Override
        Message create(Session session) throws JMSException {
            BytesMessage message = session.createBytesMessage();
            message.writeBoolean(true);
            message.writeLong(Long.MIN_VALUE);
            message.writeUTF("größer");
            message.writeBytes(BYTES_OF_ALL_VALUES);
            return message;
        }

        @Override
        void check(Message message) throws JMSException {
            BytesMessage bytes = assertInstanceOf(BytesMessage.class, message);
            assertEquals(true, bytes.readBoolean());
            assertEquals(Long.MIN_VALUE, bytes.readLong());
            assertEquals("größer", bytes.readUTF());
            byte[] rest = new byte[256];
            assertEquals(256, bytes.readBytes(rest));
            assertArrayEquals(BYTES_OF_ALL_VALUES, rest);
            assertEquals(-1, bytes.readBytes(rest));
        }
    },
    MAP {
        @Override
        Message create(Session session) throws JMSException {
            MapMessage message = session.createMapMessage();
            message.setBytes("bytes", BYTES_OF_ALL_VALUES);
            for (Map.Entry<String, Object> entry : entries().entrySet()) {
                message.setObject(entry.getKey(), entry.getValue());
            }
            return message;
        }

        @Override
        void check(Message message) throws JMSException {
            MapMessage map = assertInstanceOf(MapMessage.class, message);
            assertArrayEquals(BYTES_OF_ALL_VALUES, map.getBytes("bytes"));
            for (Map.Entry<String, Object> entry : entries().entrySet()) {
                assertEquals(entry.getValue(), Envelope.plain(map.getObject(entry.getKey())), entry.getKey());
            }
            assertEquals(entries().size() + 1, Collections.list(map.getMapNames()).size());
        }

        private Map<String, Object> entries() {
            return Map.of("boolean", false, "byte", (byte) 1, "short", (short) -2, "char", 'ü', "int", 3, "long", 4L, "float", 5f,
                    "double", 6d, "string", "seven", "list", List.of("nested", Map.of("deeper", 1)));
        }
    },
    STREAM {
        @Override
        Message create(Session session) throws JMSException {
            StreamMessage message = session.createStreamMessage();
            for (Object value : items()) {
                message.writeObject(value);
            }
            message.writeBytes(BYTES_OF_ALL_VALUES);
            return message;
        }

        @Override
        void check(Message message) throws JMSException {
            StreamMessage stream = assertInstanceOf(StreamMessage.class, message);
            for (Object value : items()) {
                assertEquals(value, stream.readObject());
            }
            assertArrayEquals(BYTES_OF_ALL_VALUES, (byte[]) stream.readObject());
            assertThrows(MessageEOFException.class, stream::readObject);
        }

        private List<Object> items() {
            List<Object> values = new ArrayList<>(List.of(true, (byte) 1, (short) -2, 'ü', 3, 4L, 5f, 6d, UNUSUAL_TEXT));
            values.add(null);
            return values;
        }
    },
    OBJECT {
        @Override
        Message create(Session session) throws JMSException {
            return session.createObjectMessage(new ArrayList<>(List.of("serialized", 1, 2L)));
        }

        @Override
        void check(Message message) throws JMSException {
            assertEquals(List.of("serialized", 1, 2L), assertInstanceOf(ObjectMessage.class, message).getObject());
        }
    },
    NULL_TEXT {
        @Override
        Message create(Session session) throws JMSException {
            return session.createTextMessage();
        }

        @Override
        void check(Message message) throws JMSException {
            assertNull(assertInstanceOf(TextMessage.class, message).getText());
        }
    },
    EMPTY_TEXT {
        @Override
        Message create(Session session) throws JMSException {
            return session.createTextMessage("");
        }

        @Override
        void check(Message message) throws JMSException {
            assertEquals("", assertInstanceOf(TextMessage.class, message).getText());
        }
    },
    EMPTY_BYTES {
        @Override
        Message create(Session session) throws JMSException {
            return session.createBytesMessage();
        }

        @Override
        void check(Message message) throws JMSException {
            assertEquals(0, assertInstanceOf(BytesMessage.class, message).getBodyLength());
        }
    };

    // NUL, a pair of surrogates, and a surrogate without its partner: where modified UTF-8 and UTF-8 differ.
    private static final String UNUSUAL_TEXT = "größer \u0000 漢字 \uD83D\uDE00 \uD800.";
    private static final byte[] BYTES_OF_ALL_VALUES = allBytes();

    abstract Message create(Session session) throws JMSException;

    abstract void check(Message message) throws JMSException;

    private static byte[] allBytes() {
        byte[] bytes = new byte[256];
        for (int index = 0; index < bytes.length; index++) {
            bytes[index] = (byte) index;
        }
        return bytes;
    }
}
