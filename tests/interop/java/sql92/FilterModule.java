import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.expression.MQFilterException;

/**
 * Asks the unmodified filter module of Apache RocketMQ: one expression with messages a line in, its answers a line out.
 *
 * <p>A line has an expression and the properties of messages, separated by tabs and in the form of URL queries. The answer is
 * {@code rejected CAUSE}, or {@code accepted RESULTS} with a letter per message: T and F for true and false, N for null, E for
 * an error. The process ends when its input does.
 */
public final class FilterModule {
    private FilterModule() {
    }

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        System.setOut(System.err); // what the module prints must not mix with the answers
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.println(answer(line.split("\t", -1)));
            if (!lines.ready()) {
                answers.flush();
            }
        }
        answers.flush();
    }

    private static String answer(String[] parts) {
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(decode(parts[0]));
        } catch (MQFilterException refusal) {
            return "rejected " + refusal.getCause().getClass().getSimpleName();
        }
        StringBuilder results = new StringBuilder("accepted ");
        for (int i = 1; i < parts.length; i++) {
            results.append(result(expression, properties(parts[i])));
        }
        return results.toString();
    }

    private static char result(Expression expression, Map<String, Object> properties) {
        try {
            Object value = expression.evaluate(new Properties(properties));
            return value == null ? 'N' : (Boolean) value ? 'T' : 'F';
        } catch (Exception failure) {
            return 'E';
        }
    }

    private static Map<String, Object> properties(String text) {
        Map<String, Object> found = new HashMap<>();
        for (String pair : text.split("&")) {
            int at = pair.indexOf('=');
            if (at >= 0) {
                found.put(decode(pair.substring(0, at)), decode(pair.substring(at + 1)));
            }
        }
        return found;
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static final class Properties implements EvaluationContext {
        private final Map<String, Object> values;

        Properties(Map<String, Object> values) {
            this.values = values;
        }

        @Override
        public Object get(String name) {
            return values.get(name);
        }

        @Override
        public Map<String, Object> keyValues() {
            return values;
        }
    }
}
