import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.resource.RocketMQResource;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.RequestHeaderRegistry;

/** Tells the request codes of this release, and of what fields the headers are whose checks are declared. */
final class Headers {
    private Headers() {
    }

    /** Every request code by its name, and its header's fields. */
    static List<Object> all() throws IllegalAccessException {
        List<Object> codes = new ArrayList<>();
        for (Field constant : RequestCode.class.getFields()) {
            if (constant.getType() == int.class) {
                int number = constant.getInt(null);
                Map<String, Object> code = new LinkedHashMap<>();
                code.put("name", constant.getName());
                code.put("code", number);
                code.put("fields", fields(RequestHeaderRegistry.getInstance().getRequestHeader(number)));
                codes.add(code);
            }
        }
        return codes;
    }

    private static List<Object> fields(Class<?> header) {
        List<Object> found = new ArrayList<>();
        for (Class<?> part = header; part != null && part != Object.class; part = part.getSuperclass()) {
            for (Field field : part.getDeclaredFields()) {
                if (!Modifier.isStatic(field.getModifiers())) {
                    Map<String, Object> said = new LinkedHashMap<>();
                    RocketMQResource resource = field.getAnnotation(RocketMQResource.class);
                    said.put("name", field.getName());
                    said.put("type", field.getType().getSimpleName());
                    said.put("resource", resource == null ? null : resource.value().getName());
                    said.put("splitter", resource == null ? null : resource.splitter());
                    found.add(said);
                }
            }
        }
        return found;
    }
}
