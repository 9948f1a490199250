import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** A lite pull consumer for one step, which clients have since 4.6. */
final class LitePull {
    private LitePull() {
    }

    static void receive(Step step, Map<String, Object> answer) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(step.get("group"), step.hook());
        consumer.setHeartbeatBrokerInterval(1000); // 30 s by default: how long the broker may have an old version of the subscription
        consumer.setNamesrvAddr(step.get("namesrv"));
        consumer.setPollNameServerInterval(500); // 30 s by default: a test sees new topics sooner
        consumer.setHeartbeatBrokerInterval(1000); // 30 s by default: how long a client is unknown to a restarted server
        consumer.setInstanceName("lite_" + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        if (step.get("language", "TAG").equals("SQL92")) {
            consumer.subscribe(step.get("topic"), MessageSelector.bySql(step.get("expression")));
        } else {
            consumer.subscribe(step.get("topic"), step.get("expression", "*"));
        }
        consumer.setAutoCommit(false);
        consumer.start();
        try {
            List<Object> messages = new ArrayList<>();
            long end = System.currentTimeMillis() + step.number("timeout", 45000);
            while (messages.size() < step.number("count", 1) && System.currentTimeMillis() < end) {
                for (MessageExt message : consumer.poll(200)) {
                    messages.add(Consumers.describe(message));
                }
            }
            consumer.commitSync();
            answer.put("messages", messages);
        } finally {
            consumer.shutdown();
        }
    }
}
