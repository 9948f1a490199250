import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.LocalTransactionExecuter;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionCheckListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Transactional producers by handle, with the checks that they got, through the two interfaces that 4.2.0 has. */
final class Transactions {
    private final Map<String, Running> running = new HashMap<>();

    /** A started producer; its local transactions and its checks end as the steps say. */
    private static final class Running implements LocalTransactionExecuter, TransactionCheckListener {
        TransactionMQProducer producer;
        LocalTransactionState execute = LocalTransactionState.UNKNOW;
        LocalTransactionState check = LocalTransactionState.UNKNOW;
        final List<Object> checks = new ArrayList<>();

        @Override
        public synchronized LocalTransactionState executeLocalTransactionBranch(Message message, Object argument) {
            return execute;
        }

        @Override
        public synchronized LocalTransactionState checkLocalTransactionState(MessageExt message) {
            Map<String, Object> out = new LinkedHashMap<>();
            out.put("body", new String(message.getBody(), StandardCharsets.UTF_8));
            out.put("topic", message.getTopic());
            out.put("queue", message.getQueueId());
            out.put("transactionId", message.getProperty("UNIQ_KEY")); // `getMsgId` is the offset id here
            out.put("properties", new LinkedHashMap<String, Object>(message.getProperties()));
            checks.add(out);
            notifyAll();
            return check;
        }

        synchronized void set(Step step) {
            execute = LocalTransactionState.valueOf(step.get("execute", execute.name()));
            check = LocalTransactionState.valueOf(step.get("check", check.name()));
        }

        synchronized List<Object> await(int count, long millis) throws InterruptedException {
            long end = System.currentTimeMillis() + millis;
            for (long left = millis; checks.size() < count && left > 0; left = end - System.currentTimeMillis()) {
                wait(left);
            }
            return new ArrayList<>(checks);
        }
    }

    /** Starts a producer, or changes how the transactions of a started one end. */
    void start(Step step) throws Exception {
        Running known = running.get(step.get("handle"));
        if (known != null) {
            known.set(step);
            return;
        }
        Running state = new Running();
        state.set(step);
        TransactionMQProducer producer = new TransactionMQProducer(step.get("group"), step.hook());
        producer.setNamesrvAddr(step.get("namesrv"));
        producer.setPollNameServerInterval(500); // 30 s by default: a test sees new topics sooner
        producer.setHeartbeatBrokerInterval(500); // 30 s by default: how long a client is unknown to a restarted server
        producer.setInstanceName(step.get("handle") + "_" + System.nanoTime());
        producer.setRetryTimesWhenSendFailed(0);
        producer.setSendMsgTimeout(15000);
        producer.setTransactionCheckListener(state);
        producer.start();
        state.producer = producer;
        running.put(step.get("handle"), state);
    }

    void send(Step step, Map<String, Object> answer) throws Exception {
        Running state = running.get(step.get("handle"));
        List<Object> results = new ArrayList<>();
        for (int i = 0; i < step.number("count", 1); i++) {
            Message message = new Message(step.get("topic"), step.get("tag", ""), step.get("key", ""),
                (step.get("body", "message") + "-" + i).getBytes(StandardCharsets.UTF_8));
            TransactionSendResult result = sendHalf(state, message);
            Map<String, Object> out = new LinkedHashMap<>();
            out.put("status", result.getSendStatus());
            out.put("state", result.getLocalTransactionState());
            out.put("msgId", result.getMsgId());
            out.put("transactionId", message.getProperty("UNIQ_KEY"));
            out.put("offset", result.getQueueOffset());
            out.put("queue", result.getMessageQueue().getQueueId());
            results.add(out);
        }
        answer.put("results", results);
    }

    /** Sends a message; a failure is the answer of the broker, which the client wraps. */
    private static TransactionSendResult sendHalf(Running state, Message message) throws Exception {
        try {
            return state.producer.sendMessageInTransaction(message, state, null);
        } catch (MQClientException failure) {
            throw failure.getCause() instanceof Exception ? (Exception) failure.getCause() : failure;
        }
    }

    void checked(Step step, Map<String, Object> answer) throws Exception {
        answer.put("checks", running.get(step.get("handle")).await(step.number("count", 1), step.number("timeout", 45000)));
    }

    void stop(Step step) {
        Running state = running.remove(step.get("handle"));
        if (state != null) {
            state.producer.shutdown();
        }
    }

    void close() {
        running.values().forEach(state -> state.producer.shutdown());
        running.clear();
    }
}
