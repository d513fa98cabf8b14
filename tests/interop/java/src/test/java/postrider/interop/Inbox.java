package postrider.interop;

import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageListener;

/** A listener whose messages the test takes in its own thread. */
final class Inbox implements MessageListener {
    private final BlockingQueue<Message> messages = new LinkedBlockingQueue<>();

    @Override
    public void onMessage(Message message) {
        messages.add(message);
    }

    Message take() throws InterruptedException {
        Message message = messages.poll(BrokerTest.PATIENCE_MS, TimeUnit.MILLISECONDS);
        assertNotNull(message, "no message came to the listener");
        return message;
    }

    List<String> takeTexts(int count) throws InterruptedException, JMSException {
        List<String> texts = new ArrayList<>();
        for (int index = 0; index < count; index++) {
            texts.add(BrokerTest.text(take()));
        }
        return texts;
    }
}
