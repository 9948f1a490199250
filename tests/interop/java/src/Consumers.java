import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;

/** Push consumers by handle, and pull consumers for one step each. */
final class Consumers {
    private final Map<String, Running> running = new HashMap<>();

    /** A started push consumer with all that it was given. */
    private static final class Running {
        final DefaultMQPushConsumer consumer;
        final List<MessageExt> messages = new ArrayList<>();
        final int failures; // deliveries of a message that fail before one succeeds

        Running(DefaultMQPushConsumer consumer, int failures) {
            this.consumer = consumer;
            this.failures = failures;
        }

        synchronized boolean take(List<MessageExt> batch) {
            messages.addAll(batch);
            notifyAll();
            return batch.get(0).getReconsumeTimes() >= failures;
        }

        synchronized List<MessageExt> await(int count, long millis) throws InterruptedException {
            long end = System.currentTimeMillis() + millis;
            for (long left = millis; messages.size() < count && left > 0; left = end - System.currentTimeMillis()) {
                wait(left);
            }
            return new ArrayList<>(messages);
        }
    }

    void start(Step step) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(step.get("group"), step.hook(),
            new org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setPollNameServerInterval(500); // 30 s by default: a test sees new topics sooner
        consumer.setHeartbeatBrokerInterval(1000); // 30 s by default: how long a client is unknown to a restarted server
        consumer.setInstanceName(step.get("handle") + "_" + System.nanoTime());
        consumer.setUseTLS(step.is("tls"));
        consumer.setConsumeFromWhere(ConsumeFromWhere.valueOf(step.get("from", "CONSUME_FROM_FIRST_OFFSET")));
        consumer.setMessageModel(Enum.valueOf(modelType(), step.get("model", "CLUSTERING")));
        Version.awaitTermination(consumer, 5000); // else it may end before it has noted what it consumed last
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(4);
        if (step.arguments.containsKey("maxReconsume")) {
            consumer.setMaxReconsumeTimes(step.number("maxReconsume", -1));
        }
        if (step.get("language", "TAG").equals("SQL92")) {
            consumer.subscribe(step.get("topic"), MessageSelector.bySql(step.get("expression")));
        } else {
            consumer.subscribe(step.get("topic"), step.get("expression", "*"));
        }
        Running state = new Running(consumer, step.number("failures", 0));
        if (step.is("orderly")) {
            consumer.registerMessageListener((MessageListenerOrderly) (batch, context) -> {
                context.setSuspendCurrentQueueTimeMillis(step.number("suspend", 200));
                return state.take(batch) ? ConsumeOrderlyStatus.SUCCESS : ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            });
        } else {
            consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
                context.setDelayLevelWhenNextConsume(step.number("level", 1));
                return state.take(batch) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER;
            });
        }
        consumer.start();
        running.put(step.get("handle"), state);
    }

    /** The enum moved to another package between 4.x and 5.x; both clients take it here. */
    @SuppressWarnings({"unchecked", "rawtypes"})
    private static <T extends Enum> Class<T> modelType() throws ReflectiveOperationException {
        return (Class<T>) DefaultMQPushConsumer.class.getMethod("getMessageModel").getReturnType();
    }

    void received(Step step, Map<String, Object> answer) throws Exception {
        List<Object> messages = new ArrayList<>();
        for (MessageExt message : state(step).await(step.number("count", 1), step.number("timeout", 45000))) {
            messages.add(describe(message));
        }
        answer.put("messages", messages);
    }

    void assigned(Step step, Map<String, Object> answer) {
        List<Object> queues = new ArrayList<>();
        for (MessageQueue queue : state(step).consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(step.get("topic"))) {
                queues.add(queue.getQueueId());
            }
        }
        answer.put("queues", queues);
    }

    /** Sends the heartbeat that the running client would send and says what the broker answered. */
    void heartbeat(Step step, Map<String, Object> answer) throws Exception {
        try {
            MQClientInstance client = state(step).consumer.getDefaultMQPushConsumerImpl().getmQClientFactory();
            Object data = null;
            for (Method method : MQClientInstance.class.getDeclaredMethods()) {
                if (method.getName().equals("prepareHeartbeatData")) {
                    method.setAccessible(true);
                    data = method.getParameterCount() == 0 ? method.invoke(client) : method.invoke(client, false);
                }
            }
            for (Method method : MQClientAPIImpl.class.getMethods()) {
                if (method.getName().matches("sendHear?t?beat")) { // misspelt in 4.2.0
                    answer.put("version", method.invoke(client.getMQClientAPIImpl(), step.get("broker"), data, 5000L));
                }
            }
        } catch (InvocationTargetException failure) {
            throw new IllegalStateException(failure.getCause());
        }
    }

    void stop(Step step) {
        Running state = running.remove(step.get("handle"));
        if (state != null) {
            state.consumer.shutdown();
        }
    }

    void pull(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(step.get("group"), step.hook());
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setPollNameServerInterval(500); // 30 s by default: a test sees new topics sooner
        consumer.setHeartbeatBrokerInterval(1000); // 30 s by default: how long a client is unknown to a restarted server
        consumer.setInstanceName("pull_" + System.nanoTime());
        consumer.start();
        try {
            MessageQueue queue = new MessageQueue(step.get("topic"), step.get("broker"), step.number("queue", 0));
            PullResult result = consumer.pull(queue, step.get("expression", "*"), Long.parseLong(step.get("offset", "0")), step.number("count", 32));
            List<Object> messages = new ArrayList<>();
            if (result.getMsgFoundList() != null) {
                for (MessageExt message : result.getMsgFoundList()) {
                    messages.add(describe(message));
                }
            }
            answer.put("status", result.getPullStatus());
            answer.put("next", result.getNextBeginOffset());
            answer.put("min", result.getMinOffset());
            answer.put("max", result.getMaxOffset());
            answer.put("messages", messages);
        } finally {
            consumer.shutdown();
        }
    }

    static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("topic", message.getTopic());
        out.put("body", new String(message.getBody(), StandardCharsets.UTF_8));
        out.put("msgId", message.getMsgId());
        out.put("tag", message.getTags());
        out.put("key", message.getKeys());
        out.put("queue", message.getQueueId());
        out.put("offset", message.getQueueOffset());
        out.put("reconsumed", message.getReconsumeTimes());
        out.put("born", message.getBornTimestamp());
        out.put("stored", message.getStoreTimestamp());
        out.put("properties", message.getProperties());
        return out;
    }

    private Running state(Step step) {
        Running state = running.get(step.get("handle"));
        if (state == null) {
            throw new IllegalArgumentException("no consumer " + step.get("handle"));
        }
        return state;
    }

    void close() {
        running.values().forEach(state -> state.consumer.shutdown());
        running.clear();
    }
}
