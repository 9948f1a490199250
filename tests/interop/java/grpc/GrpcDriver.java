import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.SessionCredentialsProvider;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;

/** Drives the official gRPC client for Java. */
public final class GrpcDriver {
    private final ClientServiceProvider provider = ClientServiceProvider.loadService();
    private final Map<String, SimpleConsumer> consumers = new HashMap<>();
    private final Map<String, MessageView> views = new HashMap<>();
    private final Map<String, PushConsumer> pushers = new HashMap<>();
    private final Map<String, List<Map<String, Object>>> pushed = new HashMap<>();

    public static void main(String[] args) throws Exception {
        Loop.run(new GrpcDriver()::run);
    }

    private void run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "send": send(step, answer); break;
            case "open": consumers.put(step.get("handle"), open(step)); break;
            case "receive": receive(step, answer); break;
            case "ack": consumers.get(step.get("handle")).ack(views.get(step.get("id"))); break;
            case "change":
                consumers.get(step.get("handle")).changeInvisibleDuration(views.get(step.get("id")), seconds(step));
                break;
            case "push": push(step); break;
            case "pushed": pushed(step, answer); break;
            case "stop": pushers.remove(step.get("handle")).close(); break;
            default: throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }

    private ClientConfiguration configuration(Step step) {
        ClientConfigurationBuilder builder = ClientConfiguration.newBuilder()
            .setEndpoints(step.get("endpoint"))
            .enableSsl(false)
            .setRequestTimeout(Duration.ofSeconds(10));
        SessionCredentialsProvider credentials =
            new StaticSessionCredentialsProvider(step.get("user"), step.get("secret"));
        return builder.setCredentialProvider(credentials).build();
    }

    private void send(Step step, Map<String, Object> answer) throws Exception {
        List<Object> ids = new ArrayList<>();
        try (Producer producer = provider.newProducerBuilder()
                .setClientConfiguration(configuration(step)).setTopics(step.get("topic")).build()) {
            for (int number = 0; number < step.number("count", 1); number++) {
                MessageBuilder builder = provider.newMessageBuilder().setTopic(step.get("topic"))
                    .setBody((step.get("body") + "-" + number).getBytes(StandardCharsets.UTF_8));
                if (step.arguments.containsKey("fifo")) {
                    builder.setMessageGroup(step.get("fifo"));
                }
                Message message = builder.build();
                ids.add(producer.send(message).getMessageId().toString());
            }
        }
        answer.put("ids", ids);
    }

    private Map<String, FilterExpression> subscription(Step step) {
        FilterExpression all = new FilterExpression(step.get("expression", "*"), FilterExpressionType.TAG);
        return Collections.singletonMap(step.get("topic"), all);
    }

    private SimpleConsumer open(Step step) throws Exception {
        return provider.newSimpleConsumerBuilder().setClientConfiguration(configuration(step))
            .setConsumerGroup(step.get("group")).setAwaitDuration(Duration.ofSeconds(5))
            .setSubscriptionExpressions(subscription(step)).build();
    }

    private static Duration seconds(Step step) {
        return Duration.ofSeconds(step.number("seconds", 10));
    }

    private void receive(Step step, Map<String, Object> answer) throws Exception {
        List<Object> messages = new ArrayList<>();
        for (MessageView view : consumers.get(step.get("handle")).receive(step.number("count", 16), seconds(step))) {
            String id = "v" + views.size();
            views.put(id, view);
            Map<String, Object> shown = describe(view);
            shown.put("id", id);
            messages.add(shown);
        }
        answer.put("messages", messages);
    }

    private void push(Step step) throws Exception {
        List<Map<String, Object>> seen = new ArrayList<>();
        pushed.put(step.get("handle"), seen);
        int failures = step.number("failures", 0);
        pushers.put(step.get("handle"), provider.newPushConsumerBuilder().setClientConfiguration(configuration(step))
            .setConsumerGroup(step.get("group")).setSubscriptionExpressions(subscription(step))
            .setMessageListener(view -> {
                synchronized (seen) {
                    seen.add(describe(view));
                    seen.notifyAll();
                }
                return view.getDeliveryAttempt() > failures ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE;
            }).build());
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

    private static Map<String, Object> describe(MessageView view) {
        Map<String, Object> out = new LinkedHashMap<>();
        byte[] body = new byte[view.getBody().remaining()];
        view.getBody().duplicate().get(body);
        out.put("body", new String(body, StandardCharsets.UTF_8));
        out.put("topic", view.getTopic());
        out.put("attempt", view.getDeliveryAttempt());
        out.put("messageId", view.getMessageId().toString());
        return out;
    }
}
