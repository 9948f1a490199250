import com.google.gson.Gson;
import com.google.protobuf.GeneratedMessageV3;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.grpc.InternalMetadata;
import io.grpc.Metadata;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** A gRPC call as the module gets to see it: its message, and its headers as they come from the wire. */
final class Rpc {
    private Rpc() {
    }

    /** The message of {@code apache.rocketmq.v2} that {@code type} names, with what {@code json} says. */
    static GeneratedMessageV3 message(Scenario scenario) throws Exception {
        Class<?> type = Class.forName("apache.rocketmq.v2." + scenario.text("type"));
        Message.Builder builder = (Message.Builder) type.getMethod("newBuilder").invoke(null);
        if (scenario.has("json")) {
            JsonFormat.parser().merge(new Gson().toJson(scenario.value("json")), builder);
        }
        return (GeneratedMessageV3) builder.build();
    }

    /** The headers, in their order; values were sent as UTF-8. */
    static Metadata headers(Scenario scenario) {
        List<?> pairs = (List<?>) scenario.value("metadata");
        byte[][] wire = new byte[2 * pairs.size()][];
        int place = 0;
        for (Object pair : pairs) {
            for (Object part : (List<?>) pair) {
                wire[place++] = ((String) part).getBytes(StandardCharsets.UTF_8);
            }
        }
        return InternalMetadata.newMetadata(wire);
    }
}
