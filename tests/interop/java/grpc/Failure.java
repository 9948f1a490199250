import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.apis.ClientException;

/** What the caller of a gRPC client learns from a failure: the code and the message of the server where there is one. */
final class Failure {
    private static final Pattern CODE = Pattern.compile("response-code=(\\d+)");

    private Failure() {
    }

    static Map<String, Object> describe(Throwable failure) {
        Throwable shown = failure;
        while ((shown instanceof ExecutionException || shown instanceof CompletionException) && shown.getCause() != null) {
            shown = shown.getCause();
        }
        Map<String, Object> answer = new LinkedHashMap<>();
        StringBuilder texts = new StringBuilder();
        int code = -1;
        for (Throwable cause = shown; cause != null; cause = cause.getCause()) {
            Matcher found = CODE.matcher(String.valueOf(cause.getMessage()));
            if (code == -1 && cause instanceof ClientException && found.find()) {
                code = Integer.parseInt(found.group(1));
            }
            texts.append(texts.length() == 0 ? "" : " <- ").append(cause.getMessage());
        }
        answer.put("code", code);
        answer.put("error", shown.getClass().getSimpleName());
        answer.put("message", texts.toString());
        return answer;
    }
}
