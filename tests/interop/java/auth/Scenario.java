import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A JSON object that was read, with its members as what they should be. What is absent is null or empty. */
final class Scenario {
    private final Map<?, ?> members;

    Scenario(Map<?, ?> members) {
        this.members = members;
    }

    boolean has(String name) {
        return members.get(name) != null;
    }

    /** Whether it is said, if only as null. */
    boolean says(String name) {
        return members.containsKey(name);
    }

    Object value(String name) {
        return members.get(name);
    }

    String text(String name) {
        return (String) members.get(name);
    }

    int number(String name) {
        return ((Number) members.get(name)).intValue();
    }

    byte[] bytes(String name) {
        return has(name) ? Base64.getDecoder().decode(text(name)) : null;
    }

    Scenario object(String name) {
        return has(name) ? new Scenario((Map<?, ?>) members.get(name)) : null;
    }

    List<Scenario> objects(String name) {
        List<Scenario> found = new ArrayList<>();
        for (Object item : list(name)) {
            found.add(new Scenario((Map<?, ?>) item));
        }
        return found;
    }

    List<String> texts(String name) {
        List<String> found = new ArrayList<>();
        for (Object item : list(name)) {
            found.add((String) item);
        }
        return found;
    }

    /** Texts by name, in their order; null where there are none. */
    Map<String, String> fields(String name) {
        if (!has(name)) {
            return null;
        }
        Map<String, String> found = new LinkedHashMap<>();
        for (Map.Entry<?, ?> field : ((Map<?, ?>) members.get(name)).entrySet()) {
            found.put((String) field.getKey(), (String) field.getValue());
        }
        return found;
    }

    private List<?> list(String name) {
        return has(name) ? (List<?>) members.get(name) : List.of();
    }
}
