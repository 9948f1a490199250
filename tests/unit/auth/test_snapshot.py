import random

from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import DeleteAcl, DeleteUser, Metadata, PutAcl, PutUser
from mqguard.auth.resource import Resource
from mqguard.auth.snapshot import _MAX_OVERLAY, Snapshot
from mqguard.auth.user import Subject, User, UserStatus, UserType


def acl(name, key="Topic:t"):
    return Acl(
        Subject(name), (Policy(PolicyType.CUSTOM, (Entry(Resource.parse(key), (Action.PUB,), (), Decision.ALLOW),)),)
    )


def snapshot(*names):
    return Snapshot.of(Metadata([User(name, ()) for name in names], [acl(name) for name in names]))


def test_it_holds_users_with_their_policies():
    found = snapshot("a", "b")
    assert found.rights("a").user == User("a", ())
    assert found.rights("a").acl == acl("a")
    assert found.acl("b") == acl("b")
    assert found.rights("c") is None
    assert found.user("c") is None
    assert found.acl("c") is None


def test_a_change_creates_another_snapshot_and_shares_the_rest():
    before = snapshot("a", "b")
    after = before.after([PutUser(User("a", (), UserType.SUPER))])
    assert (before.version, after.version) == (0, 1)
    assert not before.user("a").is_super
    assert after.user("a").is_super
    assert after.acl("a") == acl("a")
    assert after.rights("b") is before.rights("b")
    assert after.rights("a") is not before.rights("a")


def test_a_deleted_user_comes_back_without_policies():
    before = snapshot("a")
    gone = before.after([DeleteUser("a"), DeleteAcl(Subject("a"))])
    assert gone.rights("a") is None
    assert list(gone.users()) == []
    back = gone.after([PutUser(User("a", ()))])
    assert back.rights("a").acl is None


def test_policies_without_a_user_are_kept_and_listed_and_decide_nothing():
    found = Snapshot.of(Metadata([], [acl("ghost")]))
    assert found.rights("ghost") is None
    assert list(found.acls()) == [acl("ghost")]
    assert found.acl("ghost") == acl("ghost")
    adopted = found.after([PutUser(User("ghost", ()))])
    assert adopted.rights("ghost").acl == acl("ghost")
    assert list(adopted.acls()) == [acl("ghost")]
    assert list(found.after([DeleteAcl(Subject("ghost"))]).acls()) == []
    assert list(adopted.after([DeleteUser("ghost")]).acls()) == [acl("ghost")]


def test_changes_of_one_subject_count_in_their_order():
    after = snapshot().after(
        [PutUser(User("a", ())), PutAcl(acl("a")), PutAcl(acl("a", "Topic:z")), DeleteAcl(Subject("b"))]
    )
    assert after.acl("a") == acl("a", "Topic:z")


def test_users_come_in_the_byte_order_of_their_names():
    found = snapshot("é", "z", "Z", "😀", "\uffff").after([PutUser(User("a", ()))])
    names = [user.name for user in found.users()]
    assert names == sorted(names, key=str.encode)
    assert len(names) == 6


def test_enabled_super_users_are_counted():
    boss = User("boss", (), UserType.SUPER)
    off = User("off", (), UserType.SUPER, UserStatus.DISABLE)
    found = Snapshot.of(Metadata([boss, off, User("a", ())], []))
    assert found.live_supers == 1
    assert found.after([DeleteUser("off")]).live_supers == 1
    assert found.after([DeleteUser("boss")]).live_supers == 0
    assert found.after([PutUser(User("off", (), UserType.SUPER))]).live_supers == 2
    assert found.after([PutUser(boss), PutUser(boss)]).live_supers == 1


def test_thousands_of_changes_agree_with_a_dict():
    chosen = random.Random(5)
    model, found = {}, snapshot()
    for _ in range(3 * _MAX_OVERLAY):
        name = f"u{chosen.randrange(2 * _MAX_OVERLAY)}"
        if chosen.random() < 0.3:
            model.pop(name, None)
            found = found.after([DeleteUser(name)])
        else:
            model[name] = User(name, (), chosen.choice(list(UserType)))
            found = found.after([PutUser(model[name])])
    assert {user.name: user for user in found.users()} == model
    assert found.live_supers == sum(user.is_super for user in model.values())
    assert all(found.user(name) == user for name, user in model.items())


def test_a_small_change_copies_no_more_than_what_changed():
    before = snapshot(*(f"u{number}" for number in range(50)))
    after = before.after([PutUser(User("u1", (), UserType.SUPER))])
    # Every version shares the rights of unchanged users, however many changes came before.
    unchanged = [f"u{number}" for number in range(50) if number != 1]
    assert all(after.rights(name) is before.rights(name) for name in unchanged)
    changed = after.rights("u1")
    for number in range(_MAX_OVERLAY - 1):
        after = after.after([PutUser(User(f"new{number}", ()))])
    folded = after.after([PutUser(User("one more", ()))])
    assert all(folded.rights(name) is before.rights(name) for name in unchanged)
    assert folded.rights("u1") is changed
    assert folded.user("one more") is not None
    assert folded.user("u1").is_super
    assert before.user("one more") is None
