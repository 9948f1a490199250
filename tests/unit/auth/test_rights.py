from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.records import encode_acl
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject, User, UserType
from mqguard.auth.verdict import AccessRequest

ACL = Acl(
    Subject("u"), (Policy(PolicyType.CUSTOM, (Entry(Resource.parse("Topic:t*"), (Action.PUB,), (), Decision.ALLOW),)),)
)


def ask(rights, name):
    return decide(AccessRequest(ResourceType.TOPIC, name, frozenset({Action.PUB})), rights).allowed


def test_policies_are_compiled_at_first_use():
    rights = Rights(User("u", ()), encode_acl(ACL))
    assert not rights.names
    assert ask(rights, "t1")
    compiled = rights.names
    assert compiled
    rights.compile()
    assert rights.names is compiled
    assert rights.acl == ACL


def test_policies_that_are_not_evaluated_are_not_compiled():
    rights = Rights(User("u", (), UserType.SUPER), ACL)
    assert ask(rights, "t1")
    assert not rights.names


def test_the_cache_does_not_grow_with_the_requested_names():
    """One answer is cached for all names with the prefix `t`, and one for all others; none for Default entries."""
    rights = Rights(User("u", ()), ACL)
    for number in range(1_000):
        assert ask(rights, f"t{number}")
        assert not ask(rights, f"x{number}")
    names = rights.names[ResourceType.TOPIC]
    assert not names.literals
    assert len(names.find("t1").answers) == len(names.find("x").answers) == 1
    assert names.find("t1") is names.find("t2")
    assert names.find("x1") is names.find("x2")


def test_without_policies_nothing_is_allowed():
    rights = Rights(User("u", ()), None)
    assert rights.acl is None
    assert not ask(rights, "t")
