import java.io.Closeable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.LitePushConsumer;
import org.apache.rocketmq.client.apis.consumer.MessageListener;
import org.apache.rocketmq.client.apis.message.MessageView;

/** The steps of push consumers and lite push consumers. */
final class GrpcListeners {
    private final ClientServiceProvider provider = ClientServiceProvider.loadService();
    private final Map<String, Closeable> open;
    private final Map<String, List<Map<String, Object>>> pushed = new HashMap<>();

    GrpcListeners(Map<String, Closeable> open) {
        this.open = open;
    }

    boolean run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "push": push(step); break;
            case "lite": lite(step); break;
            case "subscribe": lite(step.get("handle")).subscribeLite(step.get("lite")); break;
            case "unsubscribe": lite(step.get("handle")).unsubscribeLite(step.get("lite")); break;
            case "pushed": pushed(step, answer); break;
            default: return false;
        }
        return true;
    }

    private LitePushConsumer lite(String handle) {
        return (LitePushConsumer) open.get(handle);
    }

    private void push(Step step) throws Exception {
        MessageListener listener = listener(step);
        open.put(step.get("handle"), provider.newPushConsumerBuilder()
            .setClientConfiguration(GrpcDriver.configuration(step)).setConsumerGroup(step.get("group"))
            .setSubscriptionExpressions(Collections.singletonMap(step.get("topic"), GrpcDriver.filter(step)))
            .setMessageListener(listener).build());
    }

    private void lite(Step step) throws Exception {
        MessageListener listener = listener(step);
        LitePushConsumer consumer = provider.newLitePushConsumerBuilder()
            .setClientConfiguration(GrpcDriver.configuration(step)).setConsumerGroup(step.get("group"))
            .bindTopic(step.get("topic")).setMessageListener(listener).build();
        open.put(step.get("handle"), consumer);
        for (String name : step.get("lites").split(",")) {
            consumer.subscribeLite(name);
        }
    }

    /** A listener that takes {@code busy} milliseconds, and fails the first {@code failures} times for each message. */
    private MessageListener listener(Step step) {
        List<Map<String, Object>> seen = new ArrayList<>();
        pushed.put(step.get("handle"), seen);
        int failures = step.number("failures", 0);
        int busy = step.number("busy", 0);
        return view -> {
            int times = note(seen, view);
            try {
                Thread.sleep(busy);
            } catch (InterruptedException stopped) {
                return ConsumeResult.FAILURE;
            }
            return times > failures ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
        };
    }

    /** Keeps what the listener got, and returns how often it has got this message. */
    private static int note(List<Map<String, Object>> seen, MessageView view) {
        synchronized (seen) {
            try {
                seen.add(GrpcDriver.describe(view));
            } catch (Exception failure) {
                throw new IllegalStateException(failure);
            }
            seen.notifyAll();
            String id = view.getMessageId().toString();
            return (int) seen.stream().filter(one -> one.get("messageId").equals(id)).count();
        }
    }

    private void pushed(Step step, Map<String, Object> answer) throws Exception {
        List<Map<String, Object>> seen = pushed.get(step.get("handle"));
        long end = System.currentTimeMillis() + step.number("timeout", 20000);
        synchronized (seen) {
            while (seen.size() < step.number("count", 1) && System.currentTimeMillis() < end) {
                seen.wait(100);
            }
            answer.put("messages", new ArrayList<>(seen));
        }
    }
}
