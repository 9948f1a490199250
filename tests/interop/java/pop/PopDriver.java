import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.impl.consumer.DefaultMQPushConsumerImpl;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Drives push consumers of the official Java client whose queues the broker assigns, so that they pop or pull. */
public final class PopDriver {
    private final Map<String, Running> running = new HashMap<>();

    /** A started consumer with all that it was given. */
    private static final class Running {
        final DefaultMQPushConsumer consumer;
        final List<MessageExt> messages = new ArrayList<>();
        final int failures; // deliveries of a message that fail before one succeeds
        final long hold; // milliseconds for which the listener keeps each message

        Running(DefaultMQPushConsumer consumer, int failures, long hold) {
            this.consumer = consumer;
            this.failures = failures;
            this.hold = hold;
        }

        boolean take(List<MessageExt> batch) {
            synchronized (this) {
                messages.addAll(batch);
                notifyAll();
            }
            try {
                Thread.sleep(hold);
            } catch (InterruptedException end) {
                return false;
            }
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

    public static void main(String[] args) throws Exception {
        Loop.run(new PopDriver()::run);
    }

    private void run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "consume": consume(step); break;
            case "received": received(step, answer); break;
            case "modes": modes(step, answer); break;
            case "stop": stop(step); break;
            case "close": close(); break;
            default: throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }

    private void consume(Step step) throws Exception {
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(step.get("group"), step.hook(), new AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setPollNameServerInterval(500);
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.setInstanceName(step.get("handle") + "_" + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setClientRebalance(false);
        consumer.setPopInvisibleTime(step.number("invisible", 5000));
        consumer.setPopBatchNums(step.number("batch", 32));
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.setConsumeThreadMin(8);
        consumer.setConsumeThreadMax(8);
        consumer.subscribe(step.get("topic"), step.get("expression", "*"));
        Running state = new Running(consumer, step.number("failures", 0), step.number("hold", 0));
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) ->
            state.take(batch) ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS : ConsumeConcurrentlyStatus.RECONSUME_LATER);
        shortenRetries(consumer);
        consumer.start();
        running.put(step.get("handle"), state);
    }

    /** Retry after a second. The client has no setting for its first delay, which is ten seconds. */
    private static void shortenRetries(DefaultMQPushConsumer consumer) throws ReflectiveOperationException {
        Field delays = DefaultMQPushConsumerImpl.class.getDeclaredField("popDelayLevel");
        delays.setAccessible(true);
        Arrays.fill((int[]) delays.get(consumer.getDefaultMQPushConsumerImpl()), 1);
    }

    private void received(Step step, Map<String, Object> answer) throws Exception {
        List<Object> messages = new ArrayList<>();
        for (MessageExt message : state(step).await(step.number("count", 1), step.number("timeout", 20000))) {
            messages.add(Consumers.describe(message));
        }
        answer.put("messages", messages);
    }

    /** The queues that the consumer pops, and those that it pulls. */
    private void modes(Step step, Map<String, Object> answer) throws ReflectiveOperationException {
        var balance = state(step).consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl();
        List<Object> pulled = new ArrayList<>();
        balance.getProcessQueueTable().keySet().forEach(queue -> {
            if (queue.getTopic().equals(step.get("topic"))) {
                pulled.add(queue.getQueueId());
            }
        });
        List<Object> popped = new ArrayList<>();
        balance.getPopProcessQueueTable().keySet().forEach(queue -> {
            if (queue.getTopic().equals(step.get("topic"))) {
                popped.add(queue.getQueueId());
            }
        });
        answer.put("pulled", pulled);
        answer.put("popped", popped);
    }

    private void stop(Step step) {
        Running state = running.remove(step.get("handle"));
        if (state != null) {
            state.consumer.shutdown();
        }
    }

    private Running state(Step step) {
        Running state = running.get(step.get("handle"));
        if (state == null) {
            throw new IllegalArgumentException("no consumer " + step.get("handle"));
        }
        return state;
    }

    private void close() {
        running.values().forEach(state -> state.consumer.shutdown());
        running.clear();
    }
}
