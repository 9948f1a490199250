import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.apache.rocketmq.auth.authentication.enums.UserStatus;
import org.apache.rocketmq.auth.authentication.enums.UserType;
import org.apache.rocketmq.auth.authentication.model.Subject;
import org.apache.rocketmq.auth.authentication.model.User;
import org.apache.rocketmq.auth.authorization.enums.PolicyType;
import org.apache.rocketmq.auth.authorization.model.Acl;
import org.apache.rocketmq.auth.authorization.model.Policy;
import org.apache.rocketmq.auth.authorization.model.PolicyEntry;
import org.apache.rocketmq.auth.authorization.model.Resource;

/** Changes users and policies through the module's managers, one operation after the other, beginning with none. */
final class Changes {
    private final Parts module;

    Changes(Parts module) {
        this.module = module;
    }

    /** The outcome of every operation, and what is stored at the end. */
    Map<String, Object> answer(Scenario scenario) {
        List<Object> outcomes = new ArrayList<>();
        for (Scenario operation : scenario.objects("ops")) {
            try {
                outcomes.add(change(operation));
            } catch (Exception error) {
                outcomes.add(Parts.error(error));
            }
        }
        Map<String, Object> stored = new LinkedHashMap<>();
        stored.put("users", users(null));
        stored.put("acls", acls(null, null));
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("ops", outcomes);
        answer.put("final", stored);
        for (User user : module.users.listUser(null).join()) {
            module.users.deleteUser(user.getUsername()).join();
        }
        return answer;
    }

    private Object change(Scenario said) {
        switch (said.text("op")) {
            case "create-user": return done(module.users.createUser(user(said.object("user"))));
            case "update-user": return done(module.users.updateUser(user(said.object("user"))));
            case "delete-user": return done(module.users.deleteUser(said.text("name")));
            case "get-user": return shown(module.users.getUser(said.text("name")).join());
            case "list-users": return users(said.text("filter"));
            case "is-super": return module.users.isSuperUser(said.text("name")).join();
            case "create-acl": return done(module.acls.createAcl(acl(said.object("acl"))));
            case "update-acl": return done(module.acls.updateAcl(acl(said.object("acl"))));
            case "delete-acl": return done(module.acls.deleteAcl(Subject.of(said.text("subject")), type(said), resource(said)));
            case "get-acl": return shown(module.acls.getAcl(Subject.of(said.text("subject"))).join());
            case "list-acls": return acls(said.text("subject_filter"), said.text("resource_filter"));
            default: throw new IllegalArgumentException("unknown operation " + said.text("op"));
        }
    }

    private static String done(CompletableFuture<Void> change) {
        change.join();
        return "ok";
    }

    private static User user(Scenario said) {
        User user = User.of(said.text("username"), said.text("password"));
        user.setUserType(said.has("userType") ? UserType.getByName(said.text("userType")) : null);
        user.setUserStatus(said.has("userStatus") ? UserStatus.getByName(said.text("userStatus")) : null);
        return user;
    }

    private static Acl acl(Scenario said) {
        List<Policy> policies = new ArrayList<>();
        for (Scenario policy : said.objects("policies")) {
            policies.add(Decisions.policy(policy));
        }
        return Acl.of(Subject.of(said.text("subject")), policies);
    }

    private static PolicyType type(Scenario said) {
        return said.has("policy_type") ? PolicyType.getByName(said.text("policy_type")) : null;
    }

    private static Resource resource(Scenario said) {
        return said.has("resource") ? Resource.of(said.text("resource")) : null;
    }

    private List<Object> users(String filter) {
        List<Object> found = new ArrayList<>();
        for (User user : module.users.listUser(filter).join()) {
            found.add(shown(user));
        }
        return found;
    }

    private List<Object> acls(String subjects, String resources) {
        List<Object> found = new ArrayList<>();
        for (Acl acl : module.acls.listAcl(subjects, resources).join()) {
            found.add(shown(acl));
        }
        return found;
    }

    private static Object shown(User user) {
        if (user == null) {
            return null;
        }
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("username", user.getUsername());
        shown.put("password", user.getPassword());
        shown.put("userType", user.getUserType().getName());
        shown.put("userStatus", user.getUserStatus().getName());
        return shown;
    }

    private static Object shown(Acl acl) {
        if (acl == null) {
            return null;
        }
        List<Object> policies = new ArrayList<>();
        for (Policy policy : acl.getPolicies()) {
            List<Object> entries = new ArrayList<>();
            for (PolicyEntry entry : policy.getEntries()) {
                entries.add(shown(entry));
            }
            Map<String, Object> shown = new LinkedHashMap<>();
            shown.put("policyType", policy.getPolicyType().getName());
            shown.put("entries", entries);
            policies.add(shown);
        }
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("subject", acl.getSubject().getSubjectKey());
        shown.put("policies", policies);
        return shown;
    }

    private static Map<String, Object> shown(PolicyEntry entry) {
        boolean anywhere = entry.getEnvironment() == null || entry.getEnvironment().getSourceIps() == null;
        Map<String, Object> shown = new LinkedHashMap<>();
        shown.put("resource", entry.toResourceStr());
        shown.put("actions", entry.toActionsStr());
        shown.put("sourceIps", anywhere ? null : entry.getEnvironment().getSourceIps());
        shown.put("decision", entry.getDecision().getName());
        return shown;
    }
}
