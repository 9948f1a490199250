package org.apache.rocketmq.acl.plain;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.acl.common.AclException;
import org.apache.rocketmq.acl.common.Permission;
import org.apache.rocketmq.common.PlainAccessConfig;

/** Answers lines about the white lists and permissions of ACL 1.0, one line each, by Apache's own classes. */
public class AclV1 {
    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, "UTF-8");
        Map<String, PlainAccessResource> accounts = new HashMap<>();
        PlainPermissionManager manager = null;
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = questions.readLine(); line != null; line = questions.readLine()) {
            String[] words = line.split("\t", -1);
            if (words[0].equals("white")) {
                answers.println(white(words));
                continue;
            }
            if (manager == null) {
                manager = new PlainPermissionManager();
                for (PlainAccessConfig config : manager.getAllAclConfig().getPlainAccessConfigs()) {
                    accounts.put(config.getAccessKey(), manager.buildPlainAccessResource(config));
                }
            }
            answers.println(allowed(manager, accounts.get(words[1]), words[2], words[3]));
        }
        System.exit(0);
    }

    private static String white(String[] words) {
        RemoteAddressStrategy strategy;
        try {
            strategy = new RemoteAddressStrategyFactory().getRemoteAddressStrategy(words[1]);
        } catch (RuntimeException error) {
            return "refused";
        }
        StringBuilder answer = new StringBuilder();
        for (int at = 2; at < words.length; at++) {
            PlainAccessResource request = new PlainAccessResource();
            request.setWhiteRemoteAddress(words[at]);
            char letter;
            try {
                letter = strategy.match(request) ? 'y' : 'n';
            } catch (RuntimeException error) {
                letter = 'e';
            }
            answer.append(letter);
        }
        return answer.toString();
    }

    private static String allowed(PlainPermissionManager manager, PlainAccessResource owned, String key, String action) {
        PlainAccessResource request = new PlainAccessResource();
        request.setRequestCode(10);
        request.addResourceAndPerm(key, action.equals("Pub") ? Permission.PUB : Permission.SUB);
        try {
            manager.checkPerm(request, owned);
            return "y";
        } catch (AclException error) {
            return "n";
        }
    }
}
