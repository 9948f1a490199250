from mqguard.auth.action import Action
from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import Metadata, PutUser
from mqguard.auth.records import encode_acl
from mqguard.auth.request import AccessRequest
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.rights import MAX_ANSWERS, Budget, Rights
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.subject import Subject
from mqguard.auth.user import User, UserType

ACL = Acl(
    Subject("u"), (Policy(PolicyType.CUSTOM, (Entry(Resource.parse("Topic:t*"), (Action.PUB,), (), Decision.ALLOW),)),)
)


def ask(rights, name):
    return decide(AccessRequest(ResourceType.TOPIC, name, frozenset({Action.PUB})), rights).allowed


def test_policies_are_compiled_when_first_asked():
    rights = Rights(User("u", ()), encode_acl(ACL))
    assert rights._index is None
    assert ask(rights, "t1")
    assert rights.index is rights.index
    assert rights.acl == ACL


def test_nothing_is_remembered_of_users_whose_policies_are_not_asked():
    rights = Rights(User("u", (), UserType.SUPER), ACL)
    assert ask(rights, "t1")
    assert not rights.answers


def test_the_answers_of_one_user_are_bounded():
    rights = Rights(User("u", ()), ACL)
    for number in range(MAX_ANSWERS + 10):
        assert ask(rights, f"t{number}")
    assert 0 < len(rights.answers) <= MAX_ANSWERS


def test_the_answers_of_all_users_are_bounded():
    budget = Budget(10)
    users = [Rights(User(f"u{number}", ()), ACL, budget) for number in range(6)]
    for _ in range(3):
        for rights in users:
            for name in ("t1", "t2", "t3", "x"):
                assert ask(rights, name) == name.startswith("t")
                assert sum(len(one.answers) for one in users) <= 10


def test_forgetting_gives_room_back():
    budget = Budget(2)
    first, second = (Rights(User(name, ()), ACL, budget) for name in "ab")
    ask(first, "t1")
    ask(first, "t2")
    first.forget()
    first.forget()
    ask(second, "t1")
    ask(second, "t2")
    assert len(second.answers) == 2
    ask(second, "t3")
    assert len(second.answers) == 1


def test_without_policies_there_is_no_index():
    rights = Rights(User("u", ()), None)
    assert rights.index is None
    assert rights.acl is None
    assert not ask(rights, "t")


def test_a_version_that_is_replaced_forgets_what_it_remembered():
    before = Snapshot.of(Metadata([User("u", ())], [ACL]))
    assert ask(before.rights("u"), "t1")
    assert before.rights("u").answers
    after = before.after([PutUser(User("u", ()))])
    assert not before.rights("u").answers
    assert ask(after.rights("u"), "t1")
