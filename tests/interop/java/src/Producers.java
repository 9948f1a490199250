import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Producers, one for each address, user and group, and what else a producer can ask a broker. */
final class Producers {
    private final Map<String, DefaultMQProducer> open = new HashMap<>();

    DefaultMQProducer producer(Step step) throws Exception {
        String group = step.get("group", "interop_producer");
        String key = String.join("|", step.get("namesrv"), step.get("user", ""), step.get("secret", ""), group, step.get("tls", ""));
        DefaultMQProducer producer = open.get(key);
        if (producer == null) {
            producer = new DefaultMQProducer(group, step.hook());
            producer.setNamesrvAddr(step.get("namesrv"));
            producer.setInstanceName("producer" + open.size() + "_" + System.nanoTime());
            producer.setUseTLS(step.is("tls"));
            producer.setSendMsgTimeout(step.number("timeout", 5000));
            producer.setRetryTimesWhenSendFailed(0);
            producer.setRetryTimesWhenSendAsyncFailed(0);
            producer.start();
            open.put(key, producer);
        }
        return producer;
    }

    void send(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQProducer producer = producer(step);
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < step.number("count", 1); i++) {
            messages.add(message(step, i));
        }
        List<Object> results = new ArrayList<>();
        switch (step.get("mode", "sync")) {
            case "sync":
                for (Message message : messages) {
                    results.add(describe(producer.send(message)));
                }
                break;
            case "ordered":
                int shards = step.number("shards", 1);
                for (int i = 0; i < messages.size(); i++) {
                    results.add(describe(producer.send(messages.get(i),
                        (queues, message, shard) -> queues.get((Integer) shard % queues.size()), i % shards)));
                }
                break;
            case "queue":
                MessageQueue queue = new MessageQueue(step.get("topic"), step.get("broker"), step.number("queue", 0));
                for (Message message : messages) {
                    results.add(describe(producer.send(message, queue)));
                }
                break;
            case "oneway":
                for (Message message : messages) {
                    producer.sendOneway(message);
                }
                break;
            case "batch":
                results.add(describe(producer.send(messages)));
                break;
            case "async":
                sendAsync(producer, messages, results);
                break;
            default:
                throw new IllegalArgumentException("unknown mode " + step.get("mode"));
        }
        answer.put("results", results);
    }

    private static void sendAsync(DefaultMQProducer producer, List<Message> messages, List<Object> results) throws Exception {
        CountDownLatch done = new CountDownLatch(messages.size());
        for (Message message : messages) {
            producer.send(message, new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    note(describe(result));
                }

                @Override
                public void onException(Throwable failure) {
                    note(Failure.describe(failure));
                }

                private void note(Map<String, Object> result) {
                    synchronized (results) {
                        results.add(result);
                    }
                    done.countDown();
                }
            });
        }
        if (!done.await(20, TimeUnit.SECONDS)) {
            throw new IllegalStateException("an asynchronous send was never answered");
        }
    }

    private static Message message(Step step, int i) {
        String body = step.get("body", "message") + "-" + i;
        if (step.number("size", 0) > body.length()) {
            body = body + "x".repeat(step.number("size", 0) - body.length());
        }
        Message message = new Message(step.get("topic"), step.get("tag", ""), step.get("key", ""),
            body.getBytes(StandardCharsets.UTF_8));
        for (Map.Entry<String, String> argument : step.arguments.entrySet()) {
            if (argument.getKey().startsWith("property.")) {
                message.putUserProperty(argument.getKey().substring("property.".length()), argument.getValue().replace("{}", "" + i));
            }
        }
        if (step.number("level", 0) > 0) {
            message.setDelayTimeLevel(step.number("level", 0));
        }
        return message;
    }

    private static Map<String, Object> describe(SendResult result) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("status", result.getSendStatus());
        out.put("msgId", result.getMsgId());
        out.put("offsetMsgId", result.getOffsetMsgId());
        out.put("broker", result.getMessageQueue().getBrokerName());
        out.put("queue", result.getMessageQueue().getQueueId());
        out.put("offset", result.getQueueOffset());
        return out;
    }

    void createTopic(Step step) throws Exception {
        DefaultMQProducer producer = producer(step);
        // 4.x: (key, topic, queues, sysFlag); 5.x adds a map of attributes
        for (var method : DefaultMQProducer.class.getMethods()) {
            Class<?>[] types = method.getParameterTypes();
            if (method.getName().equals("createTopic") && types.length == 3) {
                method.invoke(producer, step.get("template", "TBW102"), step.get("topic"), step.number("queues", 4));
                return;
            }
            if (method.getName().equals("createTopic") && types.length == 4 && types[3] == Map.class) {
                method.invoke(producer, step.get("template", "TBW102"), step.get("topic"), step.number("queues", 4), new HashMap<>());
                return;
            }
        }
        throw new IllegalStateException("this client has no createTopic");
    }

    void offsets(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQProducer producer = producer(step);
        List<Object> queues = new ArrayList<>();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(step.get("topic"))) {
            Map<String, Object> out = new LinkedHashMap<>();
            out.put("queue", queue.getQueueId());
            out.put("min", producer.minOffset(queue));
            out.put("max", producer.maxOffset(queue));
            out.put("at", producer.searchOffset(queue, Long.parseLong(step.get("timestamp", "0"))));
            queues.add(out);
        }
        answer.put("queues", queues);
    }

    void find(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQProducer producer = producer(step);
        List<Object> found = new ArrayList<>();
        if (step.arguments.containsKey("msgId")) {
            found.add(Consumers.describe(producer.viewMessage(step.get("topic"), step.get("msgId"))));
        } else {
            QueryResult result = producer.queryMessage(step.get("topic"), step.get("key"), 32, 0, Long.MAX_VALUE);
            for (MessageExt message : result.getMessageList()) {
                found.add(Consumers.describe(message));
            }
        }
        answer.put("messages", found);
    }

    void route(Step step, Map<String, Object> answer) throws Exception {
        Object route = producer(step).getDefaultMQProducerImpl().getmQClientFactory().getMQClientAPIImpl()
            .getTopicRouteInfoFromNameServer(step.get("topic"), 5000);
        answer.put("route", String.valueOf(route));
    }

    void close() {
        open.values().forEach(DefaultMQProducer::shutdown);
        open.clear();
    }
}
