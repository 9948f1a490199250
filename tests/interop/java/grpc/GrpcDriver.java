import java.io.Closeable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.time.Duration;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.message.MessageView;

/** Drives the official gRPC client for Java; every client has its default settings unless a step says otherwise. */
public final class GrpcDriver {
    private final Map<String, Closeable> open = new LinkedHashMap<>();
    private final GrpcProducers producers = new GrpcProducers(open);
    private final GrpcConsumers consumers = new GrpcConsumers(open);
    private final GrpcListeners listeners = new GrpcListeners(open);

    public static void main(String[] args) throws Exception {
        Loop.run(new GrpcDriver()::run);
    }

    private void run(Step step, Map<String, Object> answer) throws Exception {
        if (step.verb.equals("stop")) {
            stop(step);
        } else if (!producers.run(step, answer) && !consumers.run(step, answer) && !listeners.run(step, answer)) {
            throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }

    /** Closes one client, or all; a push consumer waits for its open receives, so nobody waits for it unless asked. */
    private void stop(Step step) throws InterruptedException {
        List<Closeable> closed = new ArrayList<>();
        if (step.arguments.containsKey("handle")) {
            closed.add(open.remove(step.get("handle")));
        } else {
            closed.addAll(open.values());
            open.clear();
        }
        for (Closeable client : closed) {
            Thread thread = new Thread(() -> close(client));
            thread.setDaemon(true);
            thread.start();
            if (step.is("wait")) {
                thread.join();
            }
        }
    }

    private static void close(Closeable client) {
        try {
            client.close();
        } catch (IOException | RuntimeException failure) {
            System.err.println("close: " + failure);
        }
    }

    static ClientConfiguration configuration(Step step) {
        ClientConfigurationBuilder builder = ClientConfiguration.newBuilder().setEndpoints(step.get("endpoint"));
        if (step.arguments.containsKey("tls")) {
            builder.enableSsl(step.is("tls"));
        }
        if (step.arguments.containsKey("patience")) {
            builder.setRequestTimeout(Duration.ofSeconds(step.number("patience", 3)));
        }
        if (step.arguments.containsKey("user")) {
            builder.setCredentialProvider(new StaticSessionCredentialsProvider(step.get("user"), step.get("secret")));
        }
        return builder.build();
    }

    static FilterExpression filter(Step step) {
        return new FilterExpression(step.get("expression", "*"),
            step.is("sql") ? FilterExpressionType.SQL92 : FilterExpressionType.TAG);
    }

    static Map<String, Object> describe(MessageView view) throws Exception {
        byte[] body = new byte[view.getBody().remaining()];
        view.getBody().duplicate().get(body);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("body", new String(body, 0, Math.min(body.length, 200), StandardCharsets.UTF_8));
        out.put("size", body.length);
        StringBuilder digest = new StringBuilder();
        for (byte one : MessageDigest.getInstance("MD5").digest(body)) {
            digest.append(String.format("%02x", one));
        }
        out.put("md5", digest);
        out.put("topic", view.getTopic());
        out.put("attempt", view.getDeliveryAttempt());
        out.put("messageId", view.getMessageId().toString());
        out.put("tag", view.getTag().orElse(null));
        out.put("keys", new ArrayList<>(view.getKeys()));
        out.put("properties", view.getProperties());
        out.put("messageGroup", view.getMessageGroup().orElse(null));
        out.put("liteTopic", view.getLiteTopic().orElse(null));
        out.put("priority", view.getPriority().orElse(null));
        out.put("deliveryTimestamp", view.getDeliveryTimestamp().orElse(null));
        out.put("bornTimestamp", view.getBornTimestamp());
        out.put("seen", System.currentTimeMillis());
        return out;
    }
}
