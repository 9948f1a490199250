import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Drives the unmodified official Java client: one step a line in, one JSON object a line out.
 *
 * <p>A step is {@code verb key=value …} with URL-encoded values. The answer is {@code {"ok":true,…}} or
 * {@code {"ok":false,"code":16,"remark":"…","error":"MQBrokerException"}} as the client's caller got it.
 * The process ends when its input does.
 */
public final class Driver {
    private final Producers producers = new Producers();
    private final Consumers consumers = new Consumers();
    private final Replies replies = new Replies();
    private final Broker broker = new Broker();

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // what the client prints must not mix with the answers
        Driver driver = new Driver();
        BufferedReader steps = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = steps.readLine(); line != null; line = steps.readLine()) {
            answers.println(Json.write(driver.answer(Step.parse(line))));
            answers.flush();
        }
        Runtime.getRuntime().halt(0); // clients that a test left running must not keep the process
    }

    private Map<String, Object> answer(Step step) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            answer.put("ok", true);
            run(step, answer);
        } catch (Throwable failure) {
            answer.clear();
            answer.put("ok", false);
            answer.putAll(Failure.describe(failure));
        }
        return answer;
    }

    private void run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "send": producers.send(step, answer); break;
            case "createTopic": producers.createTopic(step); break;
            case "offsets": producers.offsets(step, answer); break;
            case "find": producers.find(step, answer); break;
            case "route": producers.route(step, answer); break;
            case "consume": consumers.start(step); break;
            case "received": consumers.received(step, answer); break;
            case "assigned": consumers.assigned(step, answer); break;
            case "heartbeat": consumers.heartbeat(step, answer); break;
            case "stop": consumers.stop(step); break;
            case "litePull": consumers.litePull(step, answer); break;
            case "pull": consumers.pull(step, answer); break;
            case "request": replies.request(step, answer); break;
            case "respond": replies.respond(step); break;
            case "responded": replies.responded(step, answer); break;
            case "invoke": broker.invoke(step, answer); break;
            case "mqadmin": Mqadmin.run(step, answer); break;
            case "close": producers.close(); consumers.close(); replies.close(); broker.close(); break;
            default: throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }
}
