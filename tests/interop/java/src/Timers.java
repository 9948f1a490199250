import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/** Messages for a time, their recall, and messages with a priority; by reflection, because clients 4.x lack them. */
final class Timers {
    private Timers() {
    }

    static void send(DefaultMQProducer producer, Step step, Map<String, Object> answer) throws Exception {
        Message message = new Message(step.get("topic"), step.get("body").getBytes(StandardCharsets.UTF_8));
        for (String setter : new String[] {"setDelayTimeSec", "setDelayTimeMs", "setDeliverTimeMs"}) {
            if (step.arguments.containsKey(setter)) {
                invoke(Message.class.getMethod(setter, long.class), message, Long.parseLong(step.get(setter)));
            }
        }
        if (step.arguments.containsKey("setPriority")) {
            invoke(Message.class.getMethod("setPriority", int.class), message, step.number("setPriority", 0));
        }
        SendResult result = producer.send(message);
        answer.put("msgId", result.getMsgId());
        answer.put("queue", result.getMessageQueue().getQueueId());
        answer.put("handle", invoke(SendResult.class.getMethod("getRecallHandle"), result));
    }

    static void recall(DefaultMQProducer producer, Step step, Map<String, Object> answer) throws Exception {
        Method recall = DefaultMQProducer.class.getMethod("recallMessage", String.class, String.class);
        answer.put("msgId", invoke(recall, producer, step.get("topic"), step.get("recallHandle")));
    }

    private static Object invoke(Method method, Object target, Object... arguments) throws Exception {
        try {
            return method.invoke(target, arguments);
        } catch (InvocationTargetException failure) {
            if (failure.getCause() instanceof Exception cause) {
                throw cause;
            }
            throw failure;
        }
    }
}
