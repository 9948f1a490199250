import java.util.Map;

/** Drives the unmodified official Java client 4.2.0, which has neither lite pull consumers nor replies. */
public final class Driver {
    private final Producers producers = new Producers();
    private final Consumers consumers = new Consumers();
    private final Broker broker = new Broker();
    private final Transactions transactions = new Transactions();

    public static void main(String[] args) throws Exception {
        Loop.run(new Driver()::run);
    }

    private void run(Step step, Map<String, Object> answer) throws Exception {
        switch (step.verb) {
            case "send": producers.send(step, answer); break;
            case "createTopic": producers.createTopic(step); break;
            case "offsets": producers.offsets(step, answer); break;
            case "find": producers.find(step, answer); break;
            case "route": producers.route(step, answer); break;
            case "consume": consumers.start(step); break;
            case "received": consumers.received(step, answer); break;
            case "assigned": consumers.assigned(step, answer); break;
            case "heartbeat": consumers.heartbeat(step, answer); break;
            case "stop": consumers.stop(step); break;
            case "pull": consumers.pull(step, answer); break;
            case "invoke": broker.invoke(step, answer); break;
            case "transact": transactions.start(step); break;
            case "half": transactions.send(step, answer); break;
            case "checked": transactions.checked(step, answer); break;
            case "endTransact": transactions.stop(step); break;
            case "close": producers.close(); consumers.close(); broker.close(); transactions.close(); break;
            default: throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }
}
