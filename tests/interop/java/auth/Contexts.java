import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.auth.authorization.context.AuthorizationContext;
import org.apache.rocketmq.auth.authorization.context.DefaultAuthorizationContext;
import org.apache.rocketmq.auth.authorization.factory.AuthorizationFactory;
import org.apache.rocketmq.common.action.Action;
import org.apache.rocketmq.common.constant.HAProxyConstants;
import org.apache.rocketmq.remoting.netty.AttributeKeys;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Has the module say which checks a request leads to. */
final class Contexts {
    private final Parts module;

    Contexts(Parts module) {
        this.module = module;
    }

    /** The checks, or an error. */
    Object answer(Scenario scenario) throws Exception {
        return scenario.text("what").equals("grpc") ? call(scenario) : request(scenario);
    }

    private Object call(Scenario scenario) throws Exception {
        try {
            return checks(AuthorizationFactory.newContexts(module.config, Rpc.headers(scenario), Rpc.message(scenario)));
        } catch (RuntimeException error) {
            return Parts.error(error);
        }
    }

    private Object request(Scenario scenario) throws Exception {
        Channel channel = new Channel(scenario.object("remote"));
        try {
            Scenario proxy = scenario.object("proxy");
            if (proxy != null) {
                channel.attr(AttributeKeys.PROXY_PROTOCOL_ADDR).set(proxy.text("ip"));
                channel.attr(AttributeKeys.PROXY_PROTOCOL_PORT).set(proxy.text("port"));
            }
            module.config.setClusterName(scenario.says("cluster") ? scenario.text("cluster") : "DefaultCluster");
            return checks(AuthorizationFactory.newContexts(module.config, channel.context, command(scenario)));
        } catch (Exception error) {
            return Parts.error(error);
        } finally {
            channel.close();
        }
    }

    /** The request as a server has it from the wire. */
    static RemotingCommand command(Scenario scenario) {
        RemotingCommand command = RemotingCommand.createRequestCommand(scenario.number("code"), null);
        Map<String, String> fields = scenario.fields("ext");
        command.setExtFields(fields == null ? null : new HashMap<>(fields));
        command.setBody(scenario.bytes("body"));
        return command;
    }

    private static List<Object> checks(List<AuthorizationContext> contexts) {
        if (contexts == null) {
            return null;
        }
        List<Object> checks = new ArrayList<>();
        for (AuthorizationContext each : contexts) {
            DefaultAuthorizationContext context = (DefaultAuthorizationContext) each;
            List<String> actions = new ArrayList<>();
            for (Action action : context.getActions()) {
                actions.add(action.getName());
            }
            Map<String, Object> check = new LinkedHashMap<>();
            check.put("subject", context.getSubject() == null ? null : context.getSubjectKey());
            check.put("type", context.getResource().getResourceType().getName());
            check.put("name", context.getResource().getResourceName());
            check.put("actions", actions);
            check.put("ip", context.getSourceIp());
            check.put("rpc_code", context.getRpcCode());
            checks.add(check);
        }
        return checks;
    }

    /** A connection from where it is said. */
    static final class Channel extends EmbeddedChannel {
        final ChannelHandlerContext context;
        private final SocketAddress from;

        Channel(Scenario remote) throws Exception {
            super(new ChannelInboundHandlerAdapter());
            context = pipeline().firstContext();
            from = remote == null ? null
                : new InetSocketAddress(InetAddress.getByName(remote.text("ip")), remote.number("port"));
        }

        @Override
        public SocketAddress remoteAddress() {
            return from;
        }
    }
}
