import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.HashMap;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Signs the requests of clients 4.2 and 4.3, which have no hook of their own for it. */
public class SigningHook implements RPCHook {
    private final String accessKey;
    private final String secretKey;

    public SigningHook(String accessKey, String secretKey) {
        this.accessKey = accessKey;
        this.secretKey = secretKey;
    }

    @Override
    public void doBeforeRequest(String address, RemotingCommand request) {
        if (request.getExtFields() == null) {
            request.setExtFields(new HashMap<>());
        }
        request.makeCustomHeaderToNet();
        request.getExtFields().put("AccessKey", accessKey);
        TreeMap<String, String> signed = new TreeMap<>(request.getExtFields());
        signed.remove("Signature"); // of an earlier attempt
        signed.remove("_UNIQUE_KEY_QUERY"); // clients before 4.9.4 do not sign it
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        for (String value : signed.values()) {
            byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
            content.write(bytes, 0, bytes.length);
        }
        if (request.getBody() != null) {
            content.write(request.getBody(), 0, request.getBody().length);
        }
        try {
            Mac mac = Mac.getInstance("HmacSHA1");
            mac.init(new SecretKeySpec(secretKey.getBytes(StandardCharsets.UTF_8), "HmacSHA1"));
            byte[] signature = mac.doFinal(content.toByteArray());
            request.getExtFields().put("Signature", Base64.getEncoder().encodeToString(signature));
        } catch (GeneralSecurityException failure) {
            throw new IllegalStateException(failure);
        }
    }

    @Override
    public void doAfterResponse(String address, RemotingCommand request, RemotingCommand response) {
    }
}
