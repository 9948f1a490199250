import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Reads one step a line, and writes one JSON object a line.
 *
 * <p>A step is {@code verb key=value …} with URL-encoded values. The answer is {@code {"ok":true,…}} or
 * {@code {"ok":false,"code":16,"remark":"…","error":"MQBrokerException"}} as the client's caller got it.
 * The process ends when its input does.
 */
final class Loop {
    /** Does one step, and adds to its answer. */
    interface Runner {
        void run(Step step, Map<String, Object> answer) throws Exception;
    }

    private Loop() {
    }

    static void run(Runner runner) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // what the client prints must not mix with the answers
        BufferedReader steps = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = steps.readLine(); line != null; line = steps.readLine()) {
            answers.println(Json.write(answer(runner, Step.parse(line))));
            answers.flush();
        }
        Runtime.getRuntime().halt(0); // clients that a test left running must not keep the process
    }

    private static Map<String, Object> answer(Runner runner, Step step) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            answer.put("ok", true);
            runner.run(step, answer);
        } catch (Throwable failure) {
            answer.clear();
            answer.put("ok", false);
            answer.putAll(Failure.describe(failure));
        }
        return answer;
    }
}
