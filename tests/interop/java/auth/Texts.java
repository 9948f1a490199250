import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.auth.authentication.enums.SubjectType;
import org.apache.rocketmq.auth.authentication.enums.UserStatus;
import org.apache.rocketmq.auth.authentication.enums.UserType;
import org.apache.rocketmq.auth.authentication.model.Subject;
import org.apache.rocketmq.auth.authentication.model.User;
import org.apache.rocketmq.auth.authorization.enums.Decision;
import org.apache.rocketmq.auth.authorization.enums.PolicyType;
import org.apache.rocketmq.auth.authorization.model.Resource;
import org.apache.rocketmq.common.action.Action;
import org.apache.rocketmq.common.resource.ResourceType;
import org.apache.rocketmq.common.utils.IPAddressUtils;

/** Has the module read a text of policies: a resource, a subject, a source address, a word. */
final class Texts {
    private Texts() {
    }

    /** What the text means, null where it means nothing, or an error. */
    static Object answer(Scenario scenario) {
        try {
            return read(scenario.text("what"), scenario.text("in"), scenario);
        } catch (RuntimeException error) {
            return Parts.error(error);
        }
    }

    private static Object read(String what, String text, Scenario scenario) {
        switch (what) {
            case "resource": return resource(Resource.of(text));
            case "subject": return subject(Subject.of(text));
            case "ip": return source(text);
            case "ip-match": return IPAddressUtils.isIPInRange(text, scenario.text("range"));
            default: return word(what, text);
        }
    }

    private static String word(String what, String text) {
        switch (what) {
            case "action": return named(Action.getByName(text), Action::getName);
            case "resource-type": return named(ResourceType.getByName(text), ResourceType::getName);
            case "decision": return named(Decision.getByName(text), Decision::getName);
            case "policy-type": return named(PolicyType.getByName(text), PolicyType::getName);
            case "user-type": return named(UserType.getByName(text), UserType::getName);
            case "user-status": return named(UserStatus.getByName(text), UserStatus::getName);
            case "subject-type": return named(SubjectType.getByName(text), SubjectType::getName);
            default: throw new IllegalArgumentException("unknown text " + what);
        }
    }

    private static <T> String named(T value, java.util.function.Function<T, String> name) {
        return value == null ? null : name.apply(value);
    }

    private static Object resource(Resource resource) {
        if (resource == null) {
            return null;
        }
        Map<String, Object> read = new LinkedHashMap<>();
        read.put("type", resource.getResourceType().getName());
        read.put("name", resource.getResourceName());
        read.put("pattern", resource.getResourcePattern().name());
        read.put("key", resource.getResourceKey());
        return read;
    }

    private static Object subject(Subject subject) {
        if (subject == null) {
            return null;
        }
        Map<String, Object> read = new LinkedHashMap<>();
        read.put("type", subject.getSubjectType().getName());
        read.put("username", ((User) subject).getUsername());
        read.put("key", subject.getSubjectKey());
        return read;
    }

    private static Object source(String text) {
        Map<String, Object> read = new LinkedHashMap<>();
        read.put("accepted", IPAddressUtils.isValidIPOrCidr(text));
        read.put("ip", IPAddressUtils.isValidIp(text));
        read.put("ipv4", IPAddressUtils.isValidIPv4(text));
        read.put("ipv6", IPAddressUtils.isValidIPv6(text));
        read.put("cidr4", IPAddressUtils.isValidIPv4Cidr(text));
        read.put("cidr6", IPAddressUtils.isValidIPv6Cidr(text));
        return read;
    }
}
