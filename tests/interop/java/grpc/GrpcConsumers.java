import java.io.Closeable;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.MessageView;

/** The steps of simple consumers. */
final class GrpcConsumers {
    private final ClientServiceProvider provider = ClientServiceProvider.loadService();
    private final Map<String, Closeable> open;
    private final Map<String, MessageView> views = new HashMap<>();

    GrpcConsumers(Map<String, Closeable> open) {
        this.open = open;
    }

    boolean run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "open": open.put(step.get("handle"), open(step)); break;
            case "receive": receive(step, answer); break;
            case "ack": consumer(step).ack(views.get(step.get("id"))); break;
            case "change": consumer(step).changeInvisibleDuration(views.get(step.get("id")), seconds(step)); break;
            default: return false;
        }
        return true;
    }

    private SimpleConsumer consumer(Step step) {
        SimpleConsumer found = (SimpleConsumer) open.get(step.get("handle"));
        if (found == null) {
            throw new IllegalArgumentException("no simple consumer " + step.get("handle"));
        }
        return found;
    }

    private SimpleConsumer open(Step step) throws Exception {
        return provider.newSimpleConsumerBuilder().setClientConfiguration(GrpcDriver.configuration(step))
            .setConsumerGroup(step.get("group")).setAwaitDuration(Duration.ofSeconds(step.number("await", 5)))
            .setSubscriptionExpressions(Collections.singletonMap(step.get("topic"), GrpcDriver.filter(step))).build();
    }

    private static Duration seconds(Step step) {
        return Duration.ofSeconds(step.number("seconds", 10));
    }

    private void receive(Step step, Map<String, Object> answer) throws Exception {
        List<Object> messages = new ArrayList<>();
        for (MessageView view : consumer(step).receive(step.number("count", 16), seconds(step))) {
            String id = "v" + views.size();
            views.put(id, view);
            Map<String, Object> shown = GrpcDriver.describe(view);
            shown.put("id", id);
            messages.add(shown);
        }
        answer.put("messages", messages);
    }
}
