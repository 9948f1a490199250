import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.auth.authentication.AuthenticationEvaluator;
import org.apache.rocketmq.auth.authentication.factory.AuthenticationFactory;
import org.apache.rocketmq.auth.authentication.manager.AuthenticationMetadataManager;
import org.apache.rocketmq.auth.authentication.provider.AuthenticationMetadataProvider;
import org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider;
import org.apache.rocketmq.auth.authorization.AuthorizationEvaluator;
import org.apache.rocketmq.auth.authorization.factory.AuthorizationFactory;
import org.apache.rocketmq.auth.authorization.manager.AuthorizationMetadataManager;
import org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider;
import org.apache.rocketmq.auth.config.AuthConfig;
import org.apache.rocketmq.remoting.protocol.RequestHeaderRegistry;

/** The module as a broker sets it up: authentication and authorization on, users and policies in its own RocksDB. */
final class Parts {
    final AuthConfig config = new AuthConfig();
    final AuthenticationMetadataManager users;
    final AuthenticationMetadataProvider userStore;
    final AuthorizationMetadataManager acls;
    final AuthenticationEvaluator authentication;
    final AuthorizationEvaluator authorization;

    Parts() {
        config.setConfigName("interop");
        config.setClusterName("DefaultCluster");
        config.setAuthConfigPath(System.getProperty("user.home"));
        config.setAuthenticationEnabled(true);
        config.setAuthorizationEnabled(true);
        config.setAuthenticationMetadataProvider(LocalAuthenticationMetadataProvider.class.getName());
        config.setAuthorizationMetadataProvider(LocalAuthorizationMetadataProvider.class.getName());
        users = AuthenticationFactory.getMetadataManager(config);
        userStore = AuthenticationFactory.getMetadataProvider(config);
        acls = AuthorizationFactory.getMetadataManager(config);
        authentication = AuthenticationFactory.getEvaluator(config);
        authorization = AuthorizationFactory.getEvaluator(config);
        RequestHeaderRegistry.getInstance().initialize();
    }

    /** An error as an answer: which, what it says, and what was behind it. */
    static Map<String, Object> error(Throwable thrown) {
        Throwable error = thrown;
        while (error instanceof java.util.concurrent.CompletionException && error.getCause() != null) {
            error = error.getCause();
        }
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("error", error.getClass().getSimpleName());
        answer.put("message", error.getMessage());
        if (error.getCause() != null) {
            answer.put("cause", error.getCause().getClass().getSimpleName());
        }
        return answer;
    }
}
