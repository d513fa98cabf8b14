import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import org.apache.activemq.command.ActiveMQQueue;
import org.apache.activemq.command.ActiveMQTextMessage;
import org.apache.activemq.command.ActiveMQTopic;
import org.apache.activemq.command.MessageId;
import org.apache.activemq.filter.BooleanExpression;
import org.apache.activemq.filter.MessageEvaluationContext;
import org.apache.activemq.selector.SelectorParser;

/** What ActiveMQ answers to the selectors of its input, one a line. */
public class Answers {
    public static void main(String[] arguments) throws Exception {
        ActiveMQTextMessage message = new ActiveMQTextMessage();
        message.setIntProperty("i", 5);
        message.setDoubleProperty("d", 5.0);
        message.setStringProperty("s", "v5");
        message.setStringProperty("n", "5");
        message.setStringProperty("e", "");
        message.setBooleanProperty("b", true);
        message.setBooleanProperty("c", false);
        message.setByteProperty("by", (byte) 5);
        message.setShortProperty("sh", (short) 5);
        message.setLongProperty("lo", 5L);
        message.setFloatProperty("fl", 1.1f);
        message.setPersistent(true);
        message.setPriority((byte) 5);
        message.setType("kind");
        message.setCorrelationId("c1");
        message.setTimestamp(1700000000000L);
        message.setMessageId(new MessageId("ID:h-1-2-3:1:1:1:9"));
        message.setDestination(new ActiveMQQueue("orders"));
        message.setReplyTo(new ActiveMQTopic("answers"));
        message.setGroupID("g");
        message.setGroupSequence(5);
        message.setRedeliveryCounter(2);
        MessageEvaluationContext context = new MessageEvaluationContext();
        context.setMessageReference(message);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            SelectorParser.clearCache();
            out.println(answer(line.replace("\\n", "\n"), context) + "\t" + line);
        }
        out.flush();
    }

    private static String answer(String selector, MessageEvaluationContext context) {
        BooleanExpression expression;
        try {
            expression = SelectorParser.parse(selector);
        } catch (Throwable refused) {
            return "invalid";
        }
        try {
            return expression.matches(context) ? "match" : "no";
        } catch (Throwable failed) {
            return "error";
        }
    }
}
