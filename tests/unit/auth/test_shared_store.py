"""Several managers share one store of users and policies: none overwrites unseen changes."""

import pytest

from mqguard.auth import manager as managers
from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed, RevisionConflict
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import ChangeRecord, MetadataUpdate, PutUser
from mqguard.auth.resource import Resource
from mqguard.auth.user import InitialUser, LiveSecret, Secret, Subject, User, UserStatus, UserType
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.fixtures.metadata import DelayedStore


def incarnations(prefix):
    numbers = iter(range(1_000))
    return lambda: f"{prefix}-{next(numbers)}"


@pytest.fixture
def stores():
    first = DelayedStore()
    return first, first.share()


@pytest.fixture
def pair(stores):
    """Return two managers; each receives the other's changes only when `deliver` is called."""
    first, second = (MetadataManager(store, incarnations(name)) for name, store in zip("ab", stores, strict=True))
    first.create_user("root", "r", UserType.SUPER)
    first.create_user("alice", "a")
    stores[1].deliver()
    return first, second


def acl(*keys, subject="alice", actions=(Action.PUB,)):
    entries = tuple(Entry(Resource.parse(key), actions, (), Decision.ALLOW) for key in keys)
    return Acl(Subject(subject), (Policy(PolicyType.CUSTOM, entries),))


def everything(manager):
    snapshot = manager.snapshot
    return [(user, user.incarnation) for user in snapshot.users()], list(snapshot.acls()), snapshot.live_supers


def keys(manager):
    return [entry.resource.key for policy in manager.get_acl(Subject("alice")).policies for entry in policy.entries]


def test_a_change_is_in_force_everywhere_before_it_is_acknowledged():
    store = MemoryMetadataStore()
    first, second = MetadataManager(store), MetadataManager(store.share())
    version = second.snapshot.version
    first.create_user("root", "r", UserType.SUPER)
    assert second.get_user("root") == first.get_user("root")
    assert second.snapshot.version > version, "what is cached by version must not outlive the change"
    second.update_user("root", "other")
    assert first.get_user("root").secrets == (LiveSecret(Secret("other")),)
    assert everything(first) == everything(second)


def test_no_update_is_lost_if_both_change_at_once(pair, stores):
    first, second = pair
    first.create_acl(acl("Topic:a"))
    second.create_acl(acl("Topic:b"))
    first.create_acl(acl("Topic:c"))
    first.update_user("alice", status=UserStatus.DISABLE)
    second.update_user("alice", "new")
    for store in stores:
        store.deliver()
    assert sorted(keys(first)) == ["Topic:a", "Topic:b", "Topic:c"]
    alice = second.get_user("alice")
    assert alice.secrets == (LiveSecret(Secret("new")),)
    assert alice.status is UserStatus.DISABLE
    assert everything(first) == everything(second)


def test_old_updates_change_nothing(pair, stores):
    """The updates arrive after the manager has loaded their result."""
    first, second = pair
    first.create_user("bob", "b")
    first.delete_user("bob")
    second.create_user("carol", "c")
    before = second.snapshot
    stores[1].deliver()
    assert second.snapshot is before
    assert second.get_user("bob") is None


def test_after_missed_updates_everything_is_loaded(pair, stores):
    first, second = pair
    first.create_user("bob", "b")
    stores[1].waiting.clear()
    first.create_user("carol", "c")
    stores[1].deliver()
    assert everything(second) == everything(first)
    first.create_user("dave", "d")
    (update,) = stores[1].waiting
    stores[1].on_update(MetadataUpdate(update.revision, update.previous, None))
    assert everything(second) == everything(first)


def test_a_change_that_became_invalid_is_rejected(pair):
    first, second = pair
    first.create_user("bob", "b")
    with pytest.raises(MetadataRejected, match="The user is existed"):
        second.create_user("bob", "other")
    first.delete_user("alice")
    with pytest.raises(MetadataRejected, match="not exist"):
        second.update_user("alice", "x")


def test_the_last_super_user_stays_if_both_remove_one(pair, stores):
    first, second = pair
    first.create_user("second", "s", UserType.SUPER)
    stores[1].deliver()
    first.delete_user("root")
    with pytest.raises(MetadataRejected, match="last enabled Super user"):
        second.delete_user("second")
    assert second.snapshot.live_supers == 1


@pytest.fixture
def delegates(pair, stores):
    """Return a store in which Bob administers and may grant its own right, Pub on `t`."""
    first, second = pair
    first.create_user("bob", "b")
    first.create_acl(acl("Topic:t", subject="bob"))
    stores[1].deliver()
    return first, second


def test_a_right_that_was_removed_meanwhile_cannot_be_granted(delegates):
    first, second = delegates
    first.delete_acl(Subject("bob"))
    with pytest.raises(RevisionConflict, match="send the request again"):
        second.create_acl(acl("Topic:t"), by="bob")
    with pytest.raises(MetadataRejected, match="does not hold that right"):
        second.create_acl(acl("Topic:t"), by="bob")
    assert second.get_acl(Subject("alice")) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda manager: manager.update_user("bob", "stolen"),
        lambda manager: manager.update_user("bob", status=UserStatus.DISABLE),
        lambda manager: manager.delete_user("bob"),
        lambda manager: (manager.delete_user("bob"), manager.create_user("bob", "b")),
        lambda manager: manager.create_acl(acl("Topic:u", subject="bob")),
    ],
)
def test_an_author_that_was_changed_meanwhile_must_send_again(delegates, change):
    """The guard admitted the request by the old user and policies, so it must admit it again."""
    first, second = delegates
    change(first)
    with pytest.raises(RevisionConflict, match=r"User:bob has been changed .* send the request again"):
        second.create_acl(acl("Topic:t"), by="bob")
    assert first.get_acl(Subject("alice")) is None


def test_delegation_is_checked_on_the_newer_state(delegates):
    """Alice has become Super on the other server, so the unchanged Bob may no longer change it."""
    first, second = delegates
    first.update_user("alice", user_type=UserType.SUPER)
    with pytest.raises(MetadataRejected, match="only be update by super user"):
        second.create_acl(acl("Topic:t"), by="bob")


def test_an_unchanged_author_does_not_notice(delegates):
    first, second = delegates
    first.create_user("carol", "c")
    second.create_acl(acl("Topic:t"), by="bob")
    assert keys(second) == ["Topic:t"]


def test_planned_changes_are_rejected_after_a_conflict(pair):
    """They contain whole users that were read before, and would revert the other change."""
    first, second = pair
    planned = [PutUser(second.get_user("alice"))]
    first.update_user("alice", "new")
    with pytest.raises(RevisionConflict, match="decide again"):
        second.apply(planned)
    assert second.get_user("alice").secrets == (LiveSecret(Secret("new")),), "the newer state is in force"
    second.apply([PutUser(User("alice", (LiveSecret(Secret("newest")),)))])
    second.apply(lambda before: [PutUser(before.user("alice"))])


def test_changes_that_are_computed_are_computed_again(pair):
    first, second = pair
    seen = []

    def decide(before):
        seen.append(before.user("alice").secrets)
        return [PutUser(before.user("alice"))]

    first.update_user("alice", "new")
    second.apply(decide)
    assert seen == [(LiveSecret(Secret("a")),), (LiveSecret(Secret("new")),)]


def test_each_decision_has_a_record_of_its_own(stores):
    """The stored record describes the stored changes, not the rejected ones."""
    kept = []

    class Recording(DelayedStore):
        def apply_recorded(self, changes, expected_revision, record):
            revision = self.apply(changes, expected_revision)
            kept.append(record.id)
            return revision

        def unwritten_records(self):
            return []

        def records_written(self, ids):
            del ids

    first = Recording()
    second = first.share()
    other, manager = MetadataManager(first), MetadataManager(second, incarnations("b"))
    other.create_user("root", "r", UserType.SUPER)
    made = []

    def make(changes):
        made.append(changes)
        return ChangeRecord(str(len(made)), b"data")

    with manager.recorded(make):
        manager.create_user("alice", "a")
    assert len(made) == 2
    assert kept == ["2"]


def test_a_change_fails_after_too_many_conflicts(pair, stores):
    """Another server writes between each read and each write."""
    first, second = pair
    numbers = iter(range(1_000))
    load = stores[1].load

    def unsettled():
        found = load()
        first.create_user(f"u{next(numbers)}", "x")
        return found

    first.create_user("before", "x")
    stores[1].load = unsettled
    with pytest.raises(RevisionConflict, match=f"{managers.MAX_TRIES} times in a row: try again later"):
        second.create_user("carol", "c")
    assert next(numbers) == managers.MAX_TRIES
    stores[1].load = load
    second.create_user("carol", "c")
    assert first.get_user("carol") is None
    stores[0].deliver()
    assert everything(first) == everything(second)


def test_the_store_cannot_be_read_after_a_conflict(pair, stores):
    first, second = pair
    first.create_user("bob", "b")
    before = second.snapshot

    def fail():
        raise MetadataStoreFailed("no answer")

    stores[1].load = fail
    with pytest.raises(MetadataStoreFailed, match="no answer"):
        second.create_user("carol", "c")
    assert second.snapshot is before


def test_of_two_first_starts_one_creates_the_super_user(stores):
    first, second = (MetadataManager(store) for store in stores)
    assert first.ensure_super(InitialUser("root", "one"))
    assert not second.ensure_super(InitialUser("root", "two"))
    assert second.get_user("root").secrets == (LiveSecret(Secret("one")),)
