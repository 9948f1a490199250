import java.io.Closeable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.ProducerBuilder;
import org.apache.rocketmq.client.apis.producer.SendReceipt;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** The steps of producers. */
final class GrpcProducers {
    private final ClientServiceProvider provider = ClientServiceProvider.loadService();
    private final Map<String, Closeable> open;
    private final Map<String, Transaction> transactions = new HashMap<>();
    private final Map<String, TransactionResolution> resolutions = new ConcurrentHashMap<>();
    private final Map<String, List<Object>> checks = new ConcurrentHashMap<>();
    private final Map<String, Flood> floods = new HashMap<>();

    GrpcProducers(Map<String, Closeable> open) {
        this.open = open;
    }

    boolean run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "produce": open.put(step.get("handle"), produce(step)); break;
            case "send": send(step, answer); break;
            case "flood": flood(step); break;
            case "flooded": flooded(step, answer); break;
            case "half": half(step, answer); break;
            case "end": end(step); break;
            case "resolve": resolutions.put(step.get("handle"), TransactionResolution.valueOf(step.get("as"))); break;
            case "checks": answer.put("checks", new ArrayList<>(checks.get(step.get("handle")))); break;
            case "recall":
                answer.put("id", producer(step).recallMessage(step.get("topic"), step.get("recall")).getMessageId()
                    .toString());
                break;
            default: return false;
        }
        return true;
    }

    private Producer producer(Step step) {
        Producer found = (Producer) open.get(step.get("handle"));
        if (found == null) {
            throw new IllegalArgumentException("no producer " + step.get("handle"));
        }
        return found;
    }

    private Producer produce(Step step) throws Exception {
        ProducerBuilder builder = provider.newProducerBuilder().setClientConfiguration(GrpcDriver.configuration(step));
        if (step.arguments.containsKey("topics")) {
            builder.setTopics(step.get("topics").split(","));
        }
        if (step.arguments.containsKey("checker")) {
            String handle = step.get("handle");
            resolutions.put(handle, TransactionResolution.valueOf(step.get("checker")));
            List<Object> seen = Collections.synchronizedList(new ArrayList<>());
            checks.put(handle, seen);
            builder.setTransactionChecker(view -> {
                TransactionResolution resolution = resolutions.get(handle);
                try {
                    Map<String, Object> shown = GrpcDriver.describe(view);
                    shown.put("resolution", resolution.name());
                    seen.add(shown);
                } catch (Exception failure) {
                    throw new IllegalStateException(failure);
                }
                return resolution;
            });
        }
        return builder.build();
    }

    private Message message(Step step, int number) {
        byte[] body = (step.get("body") + "-" + number).getBytes(StandardCharsets.UTF_8);
        int size = step.number("size", 0);
        if (size > 0) {
            int used = body.length;
            body = Arrays.copyOf(body, size);
            Arrays.fill(body, Math.min(used, size), size, (byte) '.');
        }
        MessageBuilder builder = provider.newMessageBuilder().setTopic(step.get("topic")).setBody(body);
        Map<String, String> given = step.arguments;
        for (Map.Entry<String, String> one : given.entrySet()) {
            switch (one.getKey()) {
                case "tag": builder.setTag(one.getValue()); break;
                case "keys": builder.setKeys(one.getValue().split(",")); break;
                case "fifo": builder.setMessageGroup(one.getValue()); break;
                case "lite": builder.setLiteTopic(one.getValue()); break;
                case "priority": builder.setPriority(Integer.parseInt(one.getValue())); break;
                case "delay":
                    builder.setDeliveryTimestamp(System.currentTimeMillis() + Long.parseLong(one.getValue()));
                    break;
                default:
                    if (one.getKey().startsWith("p.")) {
                        builder.addProperty(one.getKey().substring(2), one.getValue());
                    }
            }
        }
        return builder.build();
    }

    private void send(Step step, Map<String, Object> answer) throws Exception {
        if (step.arguments.containsKey("handle")) {
            answer.put("sent", send(step, producer(step)));
            return;
        }
        try (Producer producer = produce(step)) {
            answer.put("sent", send(step, producer));
        }
    }

    private List<Object> send(Step step, Producer producer) throws Exception {
        List<Object> sent = new ArrayList<>();
        List<CompletableFuture<SendReceipt>> started = new ArrayList<>();
        for (int number = 0; number < step.number("count", 1); number++) {
            Message message = message(step, number);
            if (step.is("async")) {
                started.add(producer.sendAsync(message));
            } else {
                sent.add(describe(producer.send(message)));
            }
        }
        for (CompletableFuture<SendReceipt> one : started) {
            sent.add(describe(one.get()));
        }
        return sent;
    }

    /** Starts to send one message after the other, whatever fails. */
    private void flood(Step step) {
        Flood flood = new Flood();
        floods.put(step.get("handle"), flood);
        Producer producer = producer(step);
        Thread thread = new Thread(() -> {
            for (int number = 0; !flood.stopped; number++) {
                try {
                    producer.send(message(step, number));
                    flood.acknowledged.add(step.get("body") + "-" + number);
                } catch (Exception failure) {
                    flood.failed++;
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    private void flooded(Step step, Map<String, Object> answer) {
        Flood flood = floods.get(step.get("handle"));
        flood.stopped = step.is("last");
        synchronized (flood.acknowledged) {
            answer.put("acknowledged", new ArrayList<>(flood.acknowledged));
        }
        answer.put("failed", flood.failed);
    }

    private static final class Flood {
        final List<Object> acknowledged = Collections.synchronizedList(new ArrayList<>());
        volatile int failed;
        volatile boolean stopped;
    }

    private static Map<String, Object> describe(SendReceipt receipt) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("id", receipt.getMessageId().toString());
        out.put("recall", receipt.getRecallHandle());
        return out;
    }

    private void half(Step step, Map<String, Object> answer) throws Exception {
        Producer producer = producer(step);
        Transaction transaction = producer.beginTransaction();
        answer.put("sent", describe(producer.send(message(step, 0), transaction)));
        transactions.put(step.get("transaction", "t"), transaction);
    }

    private void end(Step step) throws Exception {
        Transaction transaction = transactions.remove(step.get("transaction", "t"));
        if (step.get("as").equals("COMMIT")) {
            transaction.commit();
        } else {
            transaction.rollback();
        }
    }
}
