import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Producers that ask and wait for a reply, and consumers that reply. */
final class Replies {
    private final Map<String, Responder> responders = new HashMap<>();

    private static final class Responder {
        DefaultMQPushConsumer consumer;
        DefaultMQProducer producer;
        final List<String> failures = new ArrayList<>();
    }

    private static DefaultMQProducer producer(Step step, String group) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(group, step.hook());
        producer.setNamesrvAddr(step.get("namesrv"));
        producer.setInstanceName(group + "_" + System.nanoTime());
        producer.start();
        return producer;
    }

    /** Sends requests and gives the bodies of their replies; each waits for its reply, or all wait together. */
    void request(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQProducer producer = producer(step, "interop_asker");
        List<Object> replies = new ArrayList<>();
        List<CompletableFuture<Message>> pending = new ArrayList<>();
        boolean async = step.get("mode", "sync").equals("async");
        long timeout = step.number("timeout", 10000);
        try {
            for (int i = 0; i < step.number("count", 1); i++) {
                byte[] body = (step.get("body", "question") + "-" + i).getBytes(StandardCharsets.UTF_8);
                Message message = new Message(step.get("topic"), body);
                CompletableFuture<Message> reply = new CompletableFuture<>();
                pending.add(reply);
                if (!async) {
                    reply.complete(producer.request(message, timeout));
                    continue;
                }
                producer.request(message, new RequestCallback() {
                    @Override
                    public void onSuccess(Message received) {
                        if (received != null) { // it is null when only the request was sent
                            reply.complete(received);
                        }
                    }

                    @Override
                    public void onException(Throwable failure) {
                        reply.completeExceptionally(failure);
                    }
                }, timeout);
            }
            for (CompletableFuture<Message> reply : pending) {
                replies.add(new String(reply.get().getBody(), StandardCharsets.UTF_8));
            }
        } finally {
            producer.shutdown();
        }
        answer.put("replies", replies);
    }

    /** Starts a consumer that replies to each message with its body and a word. */
    void respond(Step step) throws Exception {
        Responder responder = new Responder();
        responder.producer = producer(step, "interop_responder");
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(step.get("group"), step.hook(),
            new org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setHeartbeatBrokerInterval(1000); // 30 s by default: how long the broker may have an old version of the subscription
        consumer.setInstanceName(step.get("handle") + "_" + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAwaitTerminationMillisWhenShutdown(10_000);
        consumer.subscribe(step.get("topic"), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            for (MessageExt message : batch) {
                try {
                    String body = new String(message.getBody(), StandardCharsets.UTF_8) + "-answered";
                    responder.producer.send(MessageUtil.createReplyMessage(message, body.getBytes(StandardCharsets.UTF_8)));
                } catch (Exception failure) {
                    synchronized (responder.failures) {
                        responder.failures.add(failure.toString());
                    }
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        responder.consumer = consumer;
        responders.put(step.get("handle"), responder);
    }

    /** Ends a responder and gives what it could not send. */
    void responded(Step step, Map<String, Object> answer) {
        Responder responder = responders.remove(step.get("handle"));
        responder.consumer.shutdown();
        responder.producer.shutdown();
        synchronized (responder.failures) {
            answer.put("failures", new ArrayList<Object>(responder.failures));
        }
    }

    void close() {
        for (Responder responder : responders.values()) {
            responder.consumer.shutdown();
            responder.producer.shutdown();
        }
        responders.clear();
    }
}
