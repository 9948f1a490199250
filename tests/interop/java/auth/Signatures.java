import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.AclUtils;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.auth.authentication.context.AuthenticationContext;
import org.apache.rocketmq.auth.authentication.context.DefaultAuthenticationContext;
import org.apache.rocketmq.auth.authentication.enums.UserStatus;
import org.apache.rocketmq.auth.authentication.enums.UserType;
import org.apache.rocketmq.auth.authentication.factory.AuthenticationFactory;
import org.apache.rocketmq.auth.authentication.model.User;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Signs requests as the module's client does, and has it believe requests or not. */
final class Signatures {
    private final Parts module;

    Signatures(Parts module) {
        this.module = module;
    }

    /** What was signed, or what was read and whether it was believed. */
    Map<String, Object> answer(Scenario scenario) throws Exception {
        Map<String, Object> answer = new LinkedHashMap<>();
        switch (scenario.text("what")) {
            case "client":
                answer.put("out", signed(scenario));
                return answer;
            case "remoting":
            case "grpc":
                authenticate(scenario, answer);
                return answer;
            default:
                throw new IllegalArgumentException("unknown question " + scenario.text("what"));
        }
    }

    private static Object signed(Scenario scenario) {
        RemotingCommand command = Contexts.command(scenario);
        command.setVersion(scenario.number("version"));
        String key = scenario.text("access_key");
        String secret = scenario.text("secret");
        try {
            new AclClientRPCHook(new SessionCredentials(key, secret, scenario.text("token"))).doBeforeRequest("", command);
        } catch (Exception error) {
            return Parts.error(error);
        }
        TreeMap<String, String> fields = new TreeMap<>(command.getExtFields());
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("ext", new TreeMap<>(fields));
        out.put("signature", fields.remove(SessionCredentials.SIGNATURE));
        out.put("content", base64(AclUtils.combineRequestContent(command, fields)));
        return out;
    }

    private void authenticate(Scenario scenario, Map<String, Object> answer) throws Exception {
        Scenario stored = scenario.object("user");
        if (stored != null) {
            module.userStore.createUser(user(stored)).join(); // as it is, even what the manager would not make
        }
        try {
            believe(scenario, answer);
        } finally {
            if (stored != null) {
                module.userStore.deleteUser(stored.text("name")).join();
            }
        }
    }

    private void believe(Scenario scenario, Map<String, Object> answer) throws Exception {
        DefaultAuthenticationContext context;
        try {
            context = (DefaultAuthenticationContext) read(scenario);
        } catch (RuntimeException error) {
            answer.put("context", Parts.error(error));
            answer.put("verify", null);
            return;
        }
        Map<String, Object> read = new LinkedHashMap<>();
        read.put("username", context.getUsername());
        read.put("content", base64(context.getContent()));
        read.put("signature", context.getSignature());
        read.put("rpc_code", context.getRpcCode());
        answer.put("context", read);
        try {
            module.authentication.evaluate(context);
            answer.put("verify", "ok");
        } catch (Exception error) {
            answer.put("verify", Parts.error(error));
        }
    }

    private AuthenticationContext read(Scenario scenario) throws Exception {
        if (scenario.text("what").equals("grpc")) {
            return AuthenticationFactory.newContext(module.config, Rpc.headers(scenario), Rpc.message(scenario));
        }
        RemotingCommand command = Contexts.command(scenario);
        command.setVersion(scenario.number("version"));
        Contexts.Channel channel = new Contexts.Channel(null);
        try {
            return AuthenticationFactory.newContext(module.config, channel.context, command);
        } finally {
            channel.close();
        }
    }

    private static User user(Scenario said) {
        User user = User.of(said.text("name"), said.text("password"), UserType.getByName(said.text("type")));
        user.setUserStatus(UserStatus.getByName(said.text("status")));
        return user;
    }

    private static String base64(byte[] bytes) {
        return bytes == null ? null : Base64.getEncoder().encodeToString(bytes);
    }
}
