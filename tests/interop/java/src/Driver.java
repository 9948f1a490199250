import java.util.Map;

/** Drives the unmodified official Java client; `v4_2/Driver.java` drives the client 4.2.0. */
public final class Driver {
    private final Producers producers = new Producers();
    private final Consumers consumers = new Consumers();
    private final Replies replies = new Replies();
    private final Transactions transactions = new Transactions();
    private final Traces traces = new Traces();
    private final Broker broker = new Broker();

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
            case "traced": traces.send(step, answer); break;
            case "consume": consumers.start(step); break;
            case "received": consumers.received(step, answer); break;
            case "assigned": consumers.assigned(step, answer); break;
            case "heartbeat": consumers.heartbeat(step, answer); break;
            case "stop": consumers.stop(step); break;
            case "litePull": LitePull.receive(step, answer); break;
            case "pull": consumers.pull(step, answer); break;
            case "sqlPull": SqlPull.pull(step, answer); break;
            case "sendTimed": Timers.send(producers.producer(step), step, answer); break;
            case "recall": Timers.recall(producers.producer(step), step, answer); break;
            case "request": replies.request(step, answer); break;
            case "respond": replies.respond(step); break;
            case "responded": replies.responded(step, answer); break;
            case "transact": transactions.start(step); break;
            case "half": transactions.send(step, answer); break;
            case "checked": transactions.checked(step, answer); break;
            case "endTransact": transactions.stop(step); break;
            case "invoke": broker.invoke(step, answer); break;
            case "mqadmin": Mqadmin.run(step, answer); break;
            case "close": producers.close(); consumers.close(); replies.close(); transactions.close(); traces.close(); broker.close(); break;
            default: throw new IllegalArgumentException("unknown step " + step.verb);
        }
    }
}
