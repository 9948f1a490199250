import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.remoting.RPCHook;

/** One line of input: what to do and with which arguments. */
final class Step {
    final String verb;
    final Map<String, String> arguments = new LinkedHashMap<>();

    private Step(String verb) {
        this.verb = verb;
    }

    static Step parse(String line) {
        String[] words = line.trim().split(" ");
        Step step = new Step(words[0]);
        for (int i = 1; i < words.length; i++) {
            int cut = words[i].indexOf('=');
            step.arguments.put(words[i].substring(0, cut),
                URLDecoder.decode(words[i].substring(cut + 1), StandardCharsets.UTF_8));
        }
        return step;
    }

    String get(String key) {
        String value = arguments.get(key);
        if (value == null) {
            throw new IllegalArgumentException(verb + " needs " + key);
        }
        return value;
    }

    String get(String key, String otherwise) {
        return arguments.getOrDefault(key, otherwise);
    }

    int number(String key, int otherwise) {
        return Integer.parseInt(arguments.getOrDefault(key, Integer.toString(otherwise)));
    }

    boolean is(String key) {
        return Boolean.parseBoolean(arguments.get(key));
    }

    /** The signing hook; no user means a client without credentials. */
    RPCHook hook() {
        return arguments.containsKey("user") ? Version.signing(get("user"), get("secret")) : null;
    }
}
