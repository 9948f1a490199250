import pytest

from mqguard.auth.decide import decide
from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed, MetadataStoreFull
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import ChangeRecord, DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import InitialUser, LiveSecret, Secret, Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.fixtures.metadata import FailingStore, RecordingStore

ALICE = Subject("alice")
ASK = AccessRequest(ResourceType.TOPIC, "t", frozenset({Action.PUB}))


@pytest.fixture
def store():
    return FailingStore()


@pytest.fixture
def manager(store):
    made = MetadataManager(store)
    made.create_user("root", "r", UserType.SUPER)
    made.create_user("alice", "a")
    return made


def acl(*keys, kind=PolicyType.CUSTOM, decision=Decision.ALLOW, subject="alice", actions=(Action.PUB,)):
    return Acl(Subject(subject), (Policy(kind, tuple(Entry(Resource.parse(k), actions, (), decision) for k in keys)),))


def allowed(manager, name="alice", request=ASK):
    return decide(request, manager.snapshot.rights(name)).allowed


def keys(found):
    return {policy.type: [entry.resource.key for entry in policy.entries] for policy in found.policies}


def test_a_change_is_in_force_for_the_next_decision(manager):
    before = manager.snapshot
    assert not allowed(manager)
    manager.create_acl(acl("Topic:t"))
    assert allowed(manager)
    manager.update_user("alice", status=UserStatus.DISABLE)
    assert not allowed(manager)
    manager.update_user("alice", status=UserStatus.ENABLE)
    manager.delete_acl(ALICE)
    assert not allowed(manager)
    assert manager.snapshot.version == before.version + 4
    assert before.acl("alice") is None


def test_a_failing_store_changes_nothing(manager, store):
    before = manager.snapshot
    store.error = MetadataStoreFailed("no room")
    for change in (
        lambda: manager.create_user("bob", "b"),
        lambda: manager.update_user("alice", "new"),
        lambda: manager.delete_user("alice"),
        lambda: manager.create_acl(acl("Topic:t")),
    ):
        with pytest.raises(MetadataStoreFailed, match="no room"):
            change()
        assert manager.snapshot is before
    store.error = None
    manager.create_acl(acl("Topic:t"))
    assert allowed(manager)


def test_a_new_manager_reads_what_was_stored(manager, store):
    manager.create_acl(acl("Topic:t"))
    again = MetadataManager(store)
    assert list(again.snapshot.users()) == list(manager.snapshot.users())
    assert allowed(again)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.create_user("", "s"), "username can not be blank"),
        (lambda m: m.create_user(" \t", "s"), "username can not be blank"),
        (lambda m: m.create_user("bob", None), "password can not be blank"),
        (lambda m: m.create_user("bob", " "), "password can not be blank"),
        (lambda m: m.create_user("alice", "s"), "The user is existed"),
        (lambda m: m.update_user("", "s"), "username can not be blank"),
        (lambda m: m.update_user("bob", "s"), "The user is not exist"),
        (lambda m: m.delete_user(""), "username can not be blank"),
        (lambda m: m.get_user(""), "username can not be blank"),
        (lambda m: m.is_super(""), "username can not be blank"),
        (lambda m: m.is_super("bob"), "User:bob is not found"),
        (lambda m: m.create_acl(Acl(ALICE, ())), "The policies is empty."),
        (lambda m: m.create_acl(Acl(ALICE, (Policy(PolicyType.CUSTOM, ()),))), "The policy entries is empty."),
        (lambda m: m.create_acl(acl("Topic:t", subject="bob")), "The subject of User:bob is not exist."),
        (lambda m: m.apply([PutAcl(acl("Topic:t", subject="bob"))]), "The subject of User:bob is not exist."),
        (lambda m: m.delete_acl(Subject("bob")), "The subject is not exist."),
        (lambda m: m.delete_acl(ALICE), "The acl is not exist."),
        (lambda m: m.get_acl(Subject("bob")), "The subject is not exist."),
    ],
)
def test_rejections_have_apaches_messages_and_change_nothing(manager, change, sentence):
    before = manager.snapshot
    with pytest.raises(MetadataRejected) as caught:
        change(manager)
    assert str(caught.value) == sentence
    assert manager.snapshot is before


def test_a_user_is_normal_and_enabled_by_default(manager):
    made = manager.create_user("bob", "b")
    assert made == User("bob", (LiveSecret(Secret("b")),), UserType.NORMAL, UserStatus.ENABLE)
    assert manager.get_user("bob") == made
    assert manager.get_user("carol") is None


def test_an_update_changes_only_the_given_fields(manager):
    assert manager.update_user("alice", "new").secrets == (LiveSecret(Secret("new")),)
    assert manager.update_user("alice", user_type=UserType.SUPER).secrets == (LiveSecret(Secret("new")),)
    assert manager.update_user("alice", " ", status=UserStatus.DISABLE) == User(
        "alice", (LiveSecret(Secret("new")),), UserType.SUPER, UserStatus.DISABLE
    )


def test_an_old_secret_is_accepted_until_its_end(manager):
    assert manager.update_user("alice", "b", keep_old_until=99).secrets == (
        LiveSecret(Secret("b")),
        LiveSecret(Secret("a"), 99),
    )
    both = (LiveSecret(Secret("b")), LiveSecret(Secret("a"), 99))
    assert manager.update_user("alice", "b", keep_old_until=199).secrets == both
    assert manager.update_user("alice", "b", keep_old_until=50).secrets == (both[0], LiveSecret(Secret("a"), 50))
    manager.update_user("alice", "c", keep_old_until=100)
    assert manager.update_user("alice", "d").secrets == (LiveSecret(Secret("d")),)


def test_policies_are_deleted_with_their_user(manager, store):
    manager.create_acl(acl("Topic:t"))
    manager.delete_user("alice")
    manager.delete_user("alice")
    manager.create_user("alice", "a")
    assert manager.get_acl(ALICE) is None
    manager.create_acl(acl("Topic:t"))
    manager.apply([DeleteUser("alice")])
    assert manager.snapshot.acl("alice") is None
    assert not store.load().acls


def test_a_user_created_again_at_once_inherits_nothing(manager, store):
    manager.create_acl(acl("Topic:t"))
    manager.apply([DeleteUser("alice"), PutUser(User("alice", ()))])
    assert manager.get_acl(ALICE) is None
    assert not store.load().acls
    assert not allowed(manager)
    manager.apply([DeleteUser("alice"), PutUser(User("alice", ())), PutAcl(acl("Topic:t"))])
    assert allowed(manager)
    with pytest.raises(MetadataRejected, match="The subject of User:alice is not exist"):
        manager.apply([PutAcl(acl("Topic:other")), DeleteUser("alice")])
    assert allowed(manager)


def test_the_last_enabled_super_user_stays(manager):
    for change in (
        lambda **force: manager.delete_user("root", **force),
        lambda **force: manager.update_user("root", user_type=UserType.NORMAL, **force),
        lambda **force: manager.update_user("root", status=UserStatus.DISABLE, **force),
    ):
        with pytest.raises(MetadataRejected, match="last enabled Super"):
            change()
        with pytest.raises(MetadataRejected, match="last enabled Super"):
            manager.apply([DeleteUser("root")])
        assert manager.snapshot.live_supers == 1
        change(force=True)
        assert manager.snapshot.live_supers == 0
        manager.apply([PutUser(User("root", (), UserType.SUPER))])
    manager.create_user("second", "s", UserType.SUPER)
    manager.delete_user("root")
    assert manager.snapshot.live_supers == 1


def test_without_a_super_user_normal_ones_can_be_deleted():
    manager = MetadataManager(MemoryMetadataStore())
    manager.create_user("alice", "a")
    manager.delete_user("alice")
    assert manager.list_users() == []


def test_creating_and_updating_policies_merge_by_type_and_resource(manager):
    assert manager.create_acl(acl("Topic:a", "Topic:b")) == manager.get_acl(ALICE)
    manager.update_acl(acl("Topic:b", "Topic:c", decision=Decision.DENY))
    manager.create_acl(acl("Topic:a", kind=PolicyType.DEFAULT))
    found = manager.get_acl(ALICE)
    assert keys(found) == {PolicyType.CUSTOM: ["Topic:a", "Topic:b", "Topic:c"], PolicyType.DEFAULT: ["Topic:a"]}
    assert [entry.decision for entry in found.entries(PolicyType.CUSTOM)] == [
        Decision.ALLOW,
        Decision.DENY,
        Decision.DENY,
    ]


def test_deleting_by_resource_removes_the_entry_and_empty_policies(manager):
    manager.create_acl(acl("Topic:a", "Topic:a*"))
    manager.create_acl(acl("Topic:a", kind=PolicyType.DEFAULT))
    manager.delete_acl(ALICE, None, Resource.parse("Topic:nothing"))
    manager.delete_acl(ALICE, None, Resource.parse("Topic:a"))
    assert keys(manager.get_acl(ALICE)) == {PolicyType.CUSTOM: ["Topic:a*"], PolicyType.DEFAULT: ["Topic:a"]}
    manager.delete_acl(ALICE, PolicyType.DEFAULT, Resource.parse("Topic:a"))
    assert keys(manager.get_acl(ALICE)) == {PolicyType.CUSTOM: ["Topic:a*"]}
    manager.delete_acl(ALICE, PolicyType.CUSTOM, Resource.parse("Topic:a*"))
    assert manager.get_acl(ALICE) is None


def test_deleting_without_a_resource_removes_all(manager):
    manager.create_acl(acl("Topic:a"))
    manager.create_acl(acl("Topic:a", kind=PolicyType.DEFAULT))
    manager.delete_acl(ALICE, PolicyType.DEFAULT)
    assert manager.get_acl(ALICE) is None


def test_is_super_is_true_for_super_users(manager):
    assert manager.is_super("root") is True
    assert manager.is_super("alice") is False


def test_users_are_listed_by_a_part_of_their_name_in_byte_order(manager):
    for name in ("é", "Zoe", "al"):
        manager.create_user(name, "s")
    assert [user.name for user in manager.list_users()] == ["Zoe", "al", "alice", "root", "é"]
    assert [user.name for user in manager.list_users("al")] == ["al", "alice"]
    assert [user.name for user in manager.list_users(" ")] == ["Zoe", "al", "alice", "root", "é"]
    assert manager.list_users("AL") == []


def test_policies_are_listed_by_parts_of_subject_and_resource(manager):
    manager.create_user("bob", "b")
    manager.create_acl(acl("Topic:orders", "Topic:bills*"))
    manager.create_acl(acl("Group:orders", subject="bob"))
    assert [found.subject.name for found in manager.list_acls()] == ["alice", "bob"]
    assert [found.subject.name for found in manager.list_acls("User:b")] == ["bob"]
    assert [keys(found) for found in manager.list_acls(None, "bills*")] == [{PolicyType.CUSTOM: ["Topic:bills*"]}]
    assert manager.list_acls("alice", "Group:") == []


def test_the_user_in_the_configuration_is_created_once(manager):
    assert manager.ensure_super(InitialUser("inner", "secret"))
    assert manager.get_user("inner").is_super
    assert not manager.ensure_super(InitialUser("inner", "other"))
    assert not manager.ensure_super(InitialUser("alice", "other"))
    assert manager.get_user("alice") == User("alice", (LiveSecret(Secret("a")),))
    assert manager.get_user("inner").secrets[0].secret == Secret("secret")


def test_several_changes_are_one(manager):
    version = manager.snapshot.version
    manager.apply([PutUser(User("bob", ())), PutAcl(acl("Topic:t", subject="bob")), DeleteUser("alice")])
    assert manager.snapshot.version == version + 1
    assert allowed(manager, "bob")
    assert manager.get_user("alice") is None


def test_a_change_is_stored_with_its_record():
    """The record describes exactly the stored changes, and only inside `recorded`."""
    store = RecordingStore()
    manager = MetadataManager(store)
    told = []

    def make(changes):
        told.append(tuple(changes))
        return ChangeRecord(str(len(told)), b"data")

    with manager.recorded(make):
        manager.create_user("alice", "secret")
        manager.delete_user("alice")
    manager.create_user("bob", "secret")

    assert store.changes == told
    assert [type(change) for change in told[1]] == [DeleteUser, DeleteAcl]
    assert [record.id for record in manager.unwritten_records()] == ["1", "2"]
    manager.records_written(["1"])
    manager.records_written([])
    assert [record.id for record in manager.unwritten_records()] == ["2"]


def test_a_rejected_or_failed_change_leaves_no_record():
    store = RecordingStore()
    manager = MetadataManager(store)
    with manager.recorded(lambda _changes: ChangeRecord("1", b"data")):
        with pytest.raises(MetadataRejected):
            manager.create_user("alice", "")
        store.error = MetadataStoreFull("no room")
        with pytest.raises(MetadataStoreFull):
            manager.create_user("alice", "secret")
    assert manager.snapshot.user("alice") is None
    assert not manager.unwritten_records()


def test_a_store_without_records_stores_changes_alone():
    manager = MetadataManager(MemoryMetadataStore())
    with manager.recorded(lambda _changes: pytest.fail("nobody keeps it")):
        manager.create_user("alice", "secret")
    manager.records_written(["1"])
    assert (manager.snapshot.user("alice").name, list(manager.unwritten_records())) == ("alice", [])
