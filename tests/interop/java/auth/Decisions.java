import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.auth.authentication.enums.UserStatus;
import org.apache.rocketmq.auth.authentication.enums.UserType;
import org.apache.rocketmq.auth.authentication.model.Subject;
import org.apache.rocketmq.auth.authentication.model.User;
import org.apache.rocketmq.auth.authorization.context.DefaultAuthorizationContext;
import org.apache.rocketmq.auth.authorization.enums.Decision;
import org.apache.rocketmq.auth.authorization.enums.PolicyType;
import org.apache.rocketmq.auth.authorization.model.Acl;
import org.apache.rocketmq.auth.authorization.model.Environment;
import org.apache.rocketmq.auth.authorization.model.Policy;
import org.apache.rocketmq.auth.authorization.model.PolicyEntry;
import org.apache.rocketmq.auth.authorization.model.Resource;
import org.apache.rocketmq.common.action.Action;
import org.apache.rocketmq.common.resource.ResourcePattern;
import org.apache.rocketmq.common.resource.ResourceType;

/** Puts users and policies into the module's stores, through its managers, and has requests judged. */
final class Decisions {
    private final Parts module;

    Decisions(Parts module) {
        this.module = module;
    }

    /** What became of every policy that was created, and of every request. */
    Map<String, Object> answer(Scenario scenario) {
        Set<String> made = new LinkedHashSet<>();
        try {
            for (Scenario user : scenario.objects("users")) {
                module.users.createUser(user(user)).join();
                made.add(user.text("name"));
            }
            List<Object> stored = new ArrayList<>();
            for (Scenario acl : scenario.objects("acls")) {
                stored.add(store(acl, made));
            }
            List<Object> outcomes = new ArrayList<>();
            for (Scenario request : scenario.objects("requests")) {
                outcomes.add(judge(request));
            }
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("acls", stored);
            answer.put("requests", outcomes);
            return answer;
        } finally {
            for (String name : made) {
                module.users.deleteUser(name).join(); // its policies go with it
            }
        }
    }

    private static User user(Scenario said) {
        User user = User.of(said.text("name"), "secret", UserType.getByName(said.text("type")));
        user.setUserStatus(UserStatus.getByName(said.text("status")));
        return user;
    }

    /** Policies are stored of users only; whose subject is none has had a user once. */
    private Object store(Scenario said, Set<String> made) {
        Subject subject = Subject.of(said.text("subject"));
        String name = ((User) subject).getUsername();
        boolean orphan = made.add(name);
        if (orphan) {
            module.users.createUser(User.of(name, "secret")).join();
        }
        try {
            List<Policy> policies = new ArrayList<>();
            for (Scenario policy : said.objects("policies")) {
                policies.add(policy(policy));
            }
            module.acls.createAcl(Acl.of(subject, policies)).join();
            return "ok";
        } catch (Exception error) {
            return Parts.error(error);
        } finally {
            if (orphan) {
                module.userStore.deleteUser(name).join();
            }
        }
    }

    static Policy policy(Scenario said) {
        PolicyType type = PolicyType.getByName(said.text("policyType"));
        List<PolicyEntry> entries = new ArrayList<>();
        for (Scenario entry : said.objects("entries")) {
            Environment from = Environment.of(entry.texts("sourceIps"));
            Decision decision = Decision.getByName(entry.text("decision"));
            entries.add(PolicyEntry.of(Resource.of(entry.text("resource")), known(entry), from, decision));
        }
        return Policy.of(type == null ? PolicyType.CUSTOM : type, entries);
    }

    /** The actions that are known: what reaches the module from a broker has no others. */
    private static List<Action> known(Scenario entry) {
        List<Action> actions = actions(entry);
        actions.removeIf(action -> action == null);
        return actions;
    }

    private static List<Action> actions(Scenario said) {
        List<Action> actions = new ArrayList<>();
        for (String name : said.texts("actions")) {
            actions.add(Action.getByName(name));
        }
        return actions;
    }

    private Object judge(Scenario request) {
        Subject subject = request.has("subject") ? Subject.of(request.text("subject")) : null;
        ResourceType type = ResourceType.getByName(request.text("type"));
        Resource resource = Resource.of(type, request.text("name"), ResourcePattern.LITERAL);
        DefaultAuthorizationContext context =
            DefaultAuthorizationContext.of(subject, resource, actions(request), request.text("ip"));
        try {
            module.authorization.evaluate(Collections.singletonList(context));
            return "allow";
        } catch (Exception error) {
            return Parts.error(error);
        }
    }
}
