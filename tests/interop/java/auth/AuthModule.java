import com.google.gson.Gson;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Asks the unmodified auth module of Apache RocketMQ what it decides: one scenario a line in, its answers a line out.
 *
 * <p>A scenario is a JSON object whose {@code kind} says which part of the module answers: {@code decisions}, {@code admin},
 * {@code contexts}, {@code signatures}, {@code parsing} or {@code headers}. The process ends when its input does. What it
 * keeps, it keeps under the directory of the property {@code user.home}.
 */
public final class AuthModule {
    private final Parts module = new Parts();
    private final Decisions decisions = new Decisions(module);
    private final Changes changes = new Changes(module);
    private final Contexts contexts = new Contexts(module);
    private final Signatures signatures = new Signatures(module);

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // what the module prints must not mix with the answers
        AuthModule asked = new AuthModule();
        Gson gson = new Gson();
        BufferedReader scenarios = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = scenarios.readLine(); line != null; line = scenarios.readLine()) {
            answers.println(Json.write(asked.answer(new Scenario(gson.fromJson(line, Map.class)))));
            if (!scenarios.ready()) {
                answers.flush();
            }
        }
        answers.flush();
        Runtime.getRuntime().halt(0); // threads that the module keeps must not keep the process
    }

    private Object answer(Scenario scenario) throws Exception {
        switch (scenario.text("kind")) {
            case "decisions": return decisions.answer(scenario);
            case "admin": return changes.answer(scenario);
            case "contexts": return contexts.answer(scenario);
            case "signatures": return signatures.answer(scenario);
            case "parsing": return Texts.answer(scenario);
            case "headers": return Headers.all();
            default: throw new IllegalArgumentException("unknown kind " + scenario.text("kind"));
        }
    }
}
