import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.AccessChannel;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Producers that send traces; they are kept open, since traces are sent later than their messages. */
final class Traces {
    private final List<DefaultMQProducer> open = new ArrayList<>();

    void send(Step step, Map<String, Object> answer) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer(step.get("group", "traced_producer"), step.hook(), true, null);
        producer.setNamesrvAddr(step.get("namesrv"));
        producer.setInstanceName("traced_" + System.nanoTime());
        producer.setAccessChannel(AccessChannel.valueOf(step.get("channel")));
        producer.setSendMsgTimeout(30000);
        open.add(producer);
        producer.start();
        Message message = new Message(step.get("topic"), step.get("body").getBytes(StandardCharsets.UTF_8));
        answer.put("status", producer.send(message).getSendStatus());
    }

    void close() {
        open.forEach(DefaultMQProducer::shutdown);
        open.clear();
    }
}
