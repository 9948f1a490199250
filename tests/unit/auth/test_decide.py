import pytest

from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import AclRecord
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest, Reason, Verdict


def entries(text):
    """Return entries from lines of `Allow Pub,Sub Topic:a* 10.0.0.0/8,::1`; the sources may be left out."""
    made = []
    for line in filter(None, map(str.strip, text.split(";"))):
        decision, actions, key, *sources = line.split()
        made.append(
            Entry(
                Resource.parse(key),
                tuple(map(Action.parse, actions.split(","))),
                tuple(map(Source.parse, sources[0].split(","))) if sources else (),
                Decision.parse(decision),
            )
        )
    return tuple(made)


def rights(custom="", default="", kind=UserType.NORMAL, status=UserStatus.ENABLE):
    policies = (Policy(PolicyType.CUSTOM, entries(custom)), Policy(PolicyType.DEFAULT, entries(default)))
    return Rights(User("alice", (), kind, status), Acl(Subject("alice"), policies))


def verdict(custom="", default="", actions="Pub", key="Topic:orders", address="10.1.2.3"):
    kind, _, name = key.partition(":")
    asked = frozenset(map(Action.parse, actions.split(",")))
    return decide(AccessRequest(ResourceType(kind), name, asked, parse_address(address)), rights(custom, default))


@pytest.mark.parametrize(
    ("custom", "reason"),
    [
        ("", "no-match"),
        ("Allow Pub Topic:orders", "allowed"),
        ("Allow pub topic:orders", "allowed"),
        ("Allow All Topic:orders", "allowed"),
        ("Allow Sub Topic:orders", "no-match"),
        ("Allow Pub Topic:Orders", "no-match"),
        ("Allow Pub Group:orders", "no-match"),
        ("Allow Pub Topic:order*", "allowed"),
        ("Allow Pub Topic:orders*", "allowed"),
        ("Allow Pub Topic:ordersx*", "no-match"),
        ("Allow Pub Topic:*", "allowed"),
        ("Allow Pub Group:*", "no-match"),
        ("Allow Pub *", "allowed"),
        ("Deny Pub *", "denied"),
        # A named type before `*`.
        ("Allow Pub Topic:*; Deny Pub *", "allowed"),
        ("Deny Pub Topic:*; Allow Pub *", "denied"),
        # LITERAL before PREFIXED before ANY.
        ("Allow Pub Topic:orders; Deny Pub Topic:order*", "allowed"),
        ("Deny Pub Topic:orders; Allow Pub Topic:orders*", "denied"),
        ("Allow Pub Topic:o*; Deny Pub Topic:*", "allowed"),
        # A longer prefix before a shorter one.
        ("Allow Pub Topic:order*; Deny Pub Topic:o*", "allowed"),
        ("Deny Pub Topic:order*; Allow Pub Topic:o*", "denied"),
        # Deny before Allow.
        ("Allow Pub Topic:orders; Deny Pub Topic:orders", "denied"),
        ("Deny All *; Allow All *", "denied"),
        # Entries that do not match have no effect.
        ("Deny Sub Topic:orders; Allow Pub Topic:*", "allowed"),
        ("Deny Pub Topic:orders 192.168.0.0/16; Allow Pub Topic:*", "allowed"),
        ("Allow Pub Topic:orders 192.168.0.0/16", "no-match"),
        ("Allow Pub Topic:orders 10.0.0.0/8", "allowed"),
        ("Allow Pub Topic:orders 10.1.2.3", "allowed"),
        ("Allow Pub Topic:orders 10.1.2.4,10.1.2.2/31", "allowed"),
        ("Allow Pub Topic:orders 10.1.2.4/31", "no-match"),
        ("Allow Pub Topic:orders ::/0", "no-match"),
        ("Allow Pub Topic:orders ::ffff:10.0.0.0/104", "allowed"),
    ],
)
def test_the_best_matching_entry_decides(custom, reason):
    assert verdict(custom).reason == reason


@pytest.mark.parametrize(
    ("custom", "default", "reason", "policy"),
    [
        ("", "Allow Pub Topic:orders", "allowed", PolicyType.DEFAULT),
        ("Allow Pub Topic:other", "Allow Pub Topic:orders", "allowed", PolicyType.DEFAULT),
        ("Allow Sub Topic:orders", "Allow Pub Topic:orders", "no-match", PolicyType.CUSTOM),
        ("Allow Pub Topic:orders 192.168.0.1", "Allow Pub Topic:orders", "no-match", PolicyType.CUSTOM),
        ("Deny Sub *", "Allow Pub Topic:orders", "no-match", PolicyType.CUSTOM),
        ("Allow Pub *", "Deny Pub Topic:orders", "allowed", PolicyType.CUSTOM),
        ("", "Allow Pub Topic:orders; Deny Pub Topic:orders", "denied", PolicyType.DEFAULT),
        ("", "", "no-match", None),
    ],
)
def test_default_applies_only_to_resources_that_no_custom_entry_covers(custom, default, reason, policy):
    found = verdict(custom, default)
    assert (found.reason, found.policy) == (reason, policy)


@pytest.mark.parametrize(
    ("custom", "actions", "reason", "decider"),
    [
        ("Deny Pub Topic:orders; Allow Sub Topic:*", "Pub,Sub", "allowed", 1),
        ("Deny Pub,Sub Topic:orders; Allow Sub Topic:*", "Pub,Sub", "denied", 0),
        ("Deny Pub Topic:orders", "Pub,Sub", "denied", 0),
        ("Allow Get Topic:orders", "Pub,Sub,Get", "allowed", 0),
        ("Deny All Topic:orders; Allow Get Topic:*", "Pub,Get", "denied", 0),
        ("Allow Pub,Sub,Create,Update,Delete,Get,List Topic:orders", "All", "no-match", None),
        ("Allow All Topic:orders", "All", "allowed", 0),
    ],
)
def test_each_action_is_evaluated_alone_and_one_is_enough(custom, actions, reason, decider):
    found = verdict(custom, actions=actions)
    assert found.reason == reason
    assert found.decided_by == (entries(custom)[decider] if decider is not None else None)


@pytest.mark.parametrize(
    ("source", "address", "matches"),
    [
        ("0.0.0.0/0", "1.2.3.4", True),
        ("0.0.0.0/0", "::1", False),
        ("0.0.0.0/0", "::ffff:1.2.3.4", True),
        ("::/0", "::1", True),
        ("::/0", "1.2.3.4", False),
        ("::/0", "::ffff:1.2.3.4", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("::1", "[::1]", True),
        ("2001:DB8::1", "2001:db8:0::1", True),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("::ffff:1.2.0.0/16", "1.2.3.4", True),
        ("::ffff:1.2.0.0/112", "1.2.3.4", True),
        ("::ffff:1.2.0.0/112", "1.3.0.0", False),
        ("::1/128", "0.0.0.1", False),
        ("1.2.3.4", "", False),
        ("0.0.0.0/0", "nonsense", False),
        ("255.255.255.255", "255.255.255.255", True),
        ("fe80::/10", "fe80::1%eth0", True),
    ],
)
def test_addresses_are_compared_as_addresses_of_one_family(source, address, matches):
    assert verdict(f"Allow Pub Topic:orders {source}", address=address).allowed is matches


@pytest.mark.parametrize("custom", ["", "Allow All *", "Deny All *"])
def test_super_is_allowed_and_disabled_is_refused_whatever_policies_say(custom):
    ask = AccessRequest(ResourceType.TOPIC, "orders", frozenset({Action.PUB}))
    on, off = UserStatus.ENABLE, UserStatus.DISABLE
    assert decide(ask, rights(custom, kind=UserType.SUPER, status=on)).reason is Reason.SUPER
    assert decide(ask, rights(custom, kind=UserType.SUPER, status=off)).reason is Reason.DISABLED
    assert decide(ask, rights(custom, status=off)).reason is Reason.DISABLED
    assert decide(ask, None).reason is Reason.UNKNOWN_USER


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (AccessRequest(ResourceType.TOPIC, "", frozenset({Action.PUB})), Reason.MISSING_NAME),
        (AccessRequest(ResourceType.TOPIC, " \t\u00a0", frozenset({Action.PUB})), Reason.MISSING_NAME),
        (AccessRequest(ResourceType.ANY, "t", frozenset({Action.PUB})), Reason.NO_RESOURCE),
        (AccessRequest(ResourceType.TOPIC, "t", frozenset()), Reason.NO_ACTION),
    ],
)
def test_a_request_without_a_name_or_an_action_is_denied(ask, reason):
    assert decide(ask, rights("Allow All *", "Allow All *")).reason is reason


def test_a_user_without_policies_is_refused():
    ask = AccessRequest(ResourceType.TOPIC, "t", frozenset({Action.PUB}))
    assert decide(ask, Rights(User("a", ()), None)).reason is Reason.NO_MATCH


def test_policies_that_cannot_be_read_allow_nothing():
    ask = AccessRequest(ResourceType.TOPIC, "t", frozenset({Action.PUB}))
    broken = Rights(User("a", ()), AclRecord(Subject("a"), b"{"))
    assert decide(ask, broken) == Verdict(Decision.DENY, Reason.UNREADABLE)
    assert decide(ask, broken).reason is Reason.UNREADABLE


def test_the_considered_entries_end_with_the_deciding_one():
    custom = "Deny Pub Topic:orders; Allow Sub Topic:order*; Allow All *"
    found = verdict(custom, actions="Pub,Sub")
    assert found.considered == entries(custom)[:2]
    assert found.decided_by == entries(custom)[1]
    assert verdict("Allow Pub Topic:other").considered == ()


def test_a_cached_verdict_does_not_depend_on_the_address():
    held = rights("Allow Pub Topic:orders 10.0.0.0/8,0.0.0.1,::2")
    expected = {
        "10.0.0.1": True,
        "11.0.0.1": False,
        "0.0.0.1": True,
        "::1": False,
        "0.0.0.2": False,
        "::2": True,
        "": False,
    }
    for _ in range(3):
        for address, is_allowed in expected.items():
            ask = AccessRequest(ResourceType.TOPIC, "orders", frozenset({Action.PUB}), parse_address(address))
            assert decide(ask, held).allowed is is_allowed, address


@pytest.mark.parametrize(
    ("custom", "key", "reason"),
    [
        ("Allow Pub Namespace:n", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:n", "Group:n%orders", "allowed"),
        ("Allow Pub Namespace:n", "Cluster:n%orders", "no-match"),
        ("Allow Pub Namespace:n", "Topic:orders", "no-match"),
        ("Allow Pub Namespace:n", "Topic:nx%orders", "no-match"),
        ("Allow Pub Namespace:n*", "Topic:nx%orders", "allowed"),
        ("Allow Pub Namespace:n*", "Topic:nx", "no-match"),
        ("Allow Pub Namespace:n%*", "Topic:n%orders", "no-match"),
        ("Allow Pub Namespace:*", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:*", "Topic:orders", "no-match"),
        ("Allow Pub Namespace:*", "Topic:%n", "no-match"),
        # A request never names a namespace.
        ("Allow Pub Namespace:n; Allow Pub *", "Namespace:n", "no-resource"),
        # The precedence is that of the prefix `n%`.
        ("Allow Pub Namespace:n; Deny Pub Topic:n%*", "Topic:n%orders", "denied"),
        ("Deny Pub Namespace:n; Allow Pub Topic:n%o*", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:n; Deny Pub Topic:n*", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:n; Deny Pub Namespace:n*", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:n*; Deny Pub Namespace:*", "Topic:n%orders", "allowed"),
        ("Allow Pub Namespace:*; Deny Pub Topic:n*", "Topic:n%orders", "denied"),
        ("Allow Pub Namespace:*; Deny Pub Topic:*", "Topic:n%orders", "denied"),
        ("Deny Pub Namespace:*; Allow Pub Topic:*", "Topic:orders", "allowed"),
        ("Deny Pub Namespace:*; Allow Pub Topic:n%orders", "Topic:n%orders", "allowed"),
        ("Deny Pub Namespace:*; Allow Pub Topic:orders", "Topic:orders", "allowed"),
    ],
)
def test_a_namespace_matches_its_topics_and_groups(custom, key, reason):
    assert verdict(custom, key=key).reason.value == reason
