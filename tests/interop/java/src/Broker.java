import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.netty.NettyRemotingClient;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** The client's own transport and signing hook, for requests that no public method of the client sends as they are. */
final class Broker {
    private final Map<String, NettyRemotingClient> open = new HashMap<>();

    void invoke(Step step, Map<String, Object> answer) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(step.number("code", 0), null);
        step.arguments.forEach((key, value) -> {
            if (key.startsWith("ext.")) {
                request.addExtField(key.substring(4), value);
            }
        });
        if (request.getExtFields() == null) {
            request.setExtFields(new HashMap<>());
        }
        if (step.arguments.containsKey("body")) {
            request.setBody(step.get("body").getBytes(StandardCharsets.UTF_8));
        }
        RemotingCommand response = client(step).invokeSync(step.get("address"), request, step.number("timeout", 5000));
        answer.put("code", response.getCode());
        answer.put("remark", response.getRemark());
        answer.put("ext", response.getExtFields() == null ? Map.of() : response.getExtFields());
        answer.put("body", response.getBody() == null ? null : new String(response.getBody(), StandardCharsets.UTF_8));
    }

    private NettyRemotingClient client(Step step) {
        return open.computeIfAbsent(step.get("user", "") + "|" + step.get("secret", "") + "|" + step.get("tls", ""), key -> {
            NettyClientConfig config = new NettyClientConfig();
            config.setUseTLS(step.is("tls"));
            NettyRemotingClient client = new NettyRemotingClient(config);
            RPCHook hook = step.hook();
            if (hook != null) {
                client.registerRPCHook(hook);
            }
            client.start();
            return client;
        });
    }

    void close() {
        open.values().forEach(NettyRemotingClient::shutdown);
        open.clear();
    }
}
