import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.remoting.RPCHook;

/** What 4.2.0 does not have; `v4_2/Version.java` is its counterpart. */
final class Version {
    private Version() {
    }

    static RPCHook signing(String user, String secret) {
        return new AclClientRPCHook(new SessionCredentials(user, secret));
    }

    static void awaitTermination(DefaultMQPushConsumer consumer, long millis) {
        consumer.setAwaitTerminationMillisWhenShutdown(millis);
    }
}
