import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;

/** What a client's caller learns from a failure: the response code and remark where there is one. */
final class Failure {
    private Failure() {
    }

    static Map<String, Object> describe(Throwable failure) {
        Map<String, Object> answer = new LinkedHashMap<>();
        int code = -1;
        String remark = null;
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof MQBrokerException broker) {
                code = broker.getResponseCode();
                remark = broker.getErrorMessage();
            } else if (cause instanceof MQClientException client && code == -1) {
                code = client.getResponseCode();
                remark = client.getErrorMessage();
            }
        }
        answer.put("code", code);
        answer.put("remark", remark);
        answer.put("error", failure.getClass().getSimpleName());
        answer.put("message", String.valueOf(failure.getMessage()));
        return answer;
    }
}
