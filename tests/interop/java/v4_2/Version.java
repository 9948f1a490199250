import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.remoting.RPCHook;

/** What 4.2.0 does not have. */
final class Version {
    private Version() {
    }

    static RPCHook signing(String user, String secret) {
        return new SigningHook(user, secret);
    }

    /** This client cannot be told to wait. */
    static void awaitTermination(DefaultMQPushConsumer consumer, long millis) {
    }
}
