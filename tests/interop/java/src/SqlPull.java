import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** A pull consumer for one step that sends an SQL92 expression with its pull. */
final class SqlPull {
    private SqlPull() {
    }

    /** The client refuses expressions until it knows the broker's version. */
    private static PullResult pull(DefaultMQPullConsumer consumer, MessageQueue queue, Step step) throws Exception {
        consumer.fetchSubscribeMessageQueues(step.get("topic"));
        for (long end = System.currentTimeMillis() + 20000; ; Thread.sleep(100)) {
            try {
                return consumer.pull(queue, MessageSelector.bySql(step.get("expression")), step.number("offset", 0), 32);
            } catch (MQClientException failure) {
                if (System.currentTimeMillis() > end || !String.valueOf(failure.getErrorMessage()).contains("does not upgrade")) {
                    throw failure;
                }
            }
        }
    }

    static void pull(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(step.get("group"), step.hook());
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setHeartbeatBrokerInterval(500); // 30 s by default: the client learns the broker's version from its answer
        consumer.setInstanceName("sql_" + System.nanoTime());
        consumer.start();
        try {
            MessageQueue queue = new MessageQueue(step.get("topic"), step.get("broker"), step.number("queue", 0));
            PullResult result = pull(consumer, queue, step);
            List<Object> messages = new ArrayList<>();
            if (result.getMsgFoundList() != null) {
                for (MessageExt message : result.getMsgFoundList()) {
                    messages.add(Consumers.describe(message));
                }
            }
            answer.put("status", result.getPullStatus());
            answer.put("next", result.getNextBeginOffset());
            answer.put("messages", messages);
        } finally {
            consumer.shutdown();
        }
    }
}
