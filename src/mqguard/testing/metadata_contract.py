"""Contract tests for every `MetadataStore`.

Subclass `MetadataStoreContract` and define a fixture `store` with a fresh store. For a store that survives its process,
subclass `DurableMetadataContract` and also define a fixture `reopen`, which closes a store and opens it again. For a
store that several servers can share, subclass `SharedMetadataContract` and define a fixture `other`: the same store,
opened a second time.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence

import pytest

from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed, RevisionConflict
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import Change, DeleteAcl, DeleteUser, MetadataStore, MetadataUpdate, PutAcl, PutUser
from mqguard.auth.records import AclRecord
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Secret, Subject, User, UserStatus, UserType

Reopen = Callable[[MetadataStore], MetadataStore]
ODD_NAMES = ("alice", "用户", "a:b/c", " ", "with space", "\0", "😀", "é", "User:x", "x" * 3000)


def user(name: str = "alice", *secrets: tuple[str, int | None], kind: UserType = UserType.NORMAL) -> User:
    """Return a user with the given secrets and their ends; by default one secret that never ends."""
    lives = tuple(LiveSecret(Secret(text), not_after) for text, not_after in secrets or (("s3cret", None),))
    return User(name, lives, kind)


def acl(name: str = "alice", *keys: str, kind: PolicyType = PolicyType.CUSTOM) -> Acl:
    """Return policies that allow `Pub` and `Sub` on these resources from two sources."""
    sources = (Source.parse("10.0.0.0/8"), Source.parse("2001:DB8::1"))
    entries = tuple(
        Entry(Resource.parse(key), (Action.PUB, Action.SUB), sources, Decision.ALLOW) for key in keys or ("Topic:t",)
    )
    return Acl(Subject(name), (Policy(kind, entries),))


def write(store: MetadataStore, changes: Sequence[Change]) -> int:
    """Make changes like a server that has just read the store, and return the new revision."""
    return store.apply(changes, store.load().revision)


def users_of(store: MetadataStore) -> dict[str, User]:
    """Return all users by name."""
    return {found.name: found for found in store.load().users}


def acls_of(store: MetadataStore) -> dict[str, Acl]:
    """Return all policies by the name of their subject."""
    return {
        found.subject.name: found.decode() if isinstance(found, AclRecord) else found for found in store.load().acls
    }


class MetadataStoreContract:
    """Tests for every store of users and policies."""

    def test_a_fresh_store_is_empty(self, store: MetadataStore) -> None:
        assert not store.load().users
        assert not store.load().acls

    def test_written_users_and_policies_are_loaded(self, store: MetadataStore) -> None:
        root = user("root", kind=UserType.SUPER)
        off = User("off", (LiveSecret(Secret("x")),), UserType.NORMAL, UserStatus.DISABLE)
        write(store, [PutUser(root), PutUser(off), PutAcl(acl("off", "Topic:a", "Group:b*", "*", "Cluster:*"))])
        assert users_of(store) == {"root": root, "off": off}
        assert acls_of(store) == {"off": acl("off", "Topic:a", "Group:b*", "*", "Cluster:*")}

    def test_secrets_and_their_ends_are_kept(self, store: MetadataStore) -> None:
        two = user("alice", ("new \0 秘密", None), ("old", 1_700_000_000_000))
        write(store, [PutUser(two), PutUser(User("none", ()))])
        assert users_of(store) == {"alice": two, "none": User("none", ())}

    def test_incarnations_are_kept(self, store: MetadataStore) -> None:
        """Incarnations are compared separately, because `==` of users ignores them."""
        one = dataclasses.replace(user("alice", ("s", None)), incarnation="i-1", confirmed=True)
        write(store, [PutUser(one), PutUser(user("bob", ("s", None)))])
        found = users_of(store)
        assert (found["alice"].incarnation, found["alice"].confirmed) == ("i-1", True)
        assert (found["bob"].incarnation, found["bob"].confirmed) == (NO_INCARNATION, False)

    def test_every_part_of_a_policy_is_kept(self, store: MetadataStore) -> None:
        deny = Entry(Resource.parse("Namespace:主题"), (Action.ALL, Action.PUB, Action.PUB), (), Decision.DENY)
        allow = Entry(Resource.parse("Topic:a:b c"), tuple(Action), (Source.parse("::/0"),), Decision.ALLOW)
        given = Acl(
            Subject("a"), (Policy(PolicyType.DEFAULT, (deny, allow, deny)), Policy(PolicyType.CUSTOM, (allow,)))
        )
        write(store, [PutAcl(given)])
        assert acls_of(store) == {"a": given}

    def test_sources_keep_the_text_that_was_written(self, store: MetadataStore) -> None:
        write(store, [PutAcl(acl())])
        (policy,) = acls_of(store)["alice"].policies
        assert [source.text for source in policy.entries[0].sources] == ["10.0.0.0/8", "2001:DB8::1"]

    def test_putting_replaces(self, store: MetadataStore) -> None:
        write(store, [PutUser(user()), PutAcl(acl())])
        write(
            store, [PutUser(user("alice", ("other", None))), PutAcl(acl("alice", "Topic:z", kind=PolicyType.DEFAULT))]
        )
        assert users_of(store) == {"alice": user("alice", ("other", None))}
        assert acls_of(store) == {"alice": acl("alice", "Topic:z", kind=PolicyType.DEFAULT)}

    def test_a_deletion_removes_only_the_named_user_or_policies(self, store: MetadataStore) -> None:
        write(store, [PutUser(user("a")), PutUser(user("b")), PutAcl(acl("a")), PutAcl(acl("b"))])
        write(store, [DeleteUser("a"), DeleteAcl(Subject("b"))])
        assert set(users_of(store)) == {"b"}
        assert set(acls_of(store)) == {"a"}

    def test_a_deletion_of_an_absent_user_is_accepted(self, store: MetadataStore) -> None:
        write(store, [DeleteUser("absent"), DeleteAcl(Subject("absent"))])
        write(store, [])
        assert not store.load().users

    def test_changes_are_applied_in_their_order(self, store: MetadataStore) -> None:
        write(store, [PutUser(user()), DeleteUser("alice"), DeleteAcl(Subject("alice")), PutAcl(acl())])
        assert not users_of(store)
        assert acls_of(store) == {"alice": acl()}

    def test_names_are_kept_as_they_are(self, store: MetadataStore) -> None:
        write(store, [PutUser(user(name)) for name in ODD_NAMES])
        write(store, [PutAcl(acl(name)) for name in ODD_NAMES])
        assert set(users_of(store)) == set(ODD_NAMES)
        assert set(acls_of(store)) == set(ODD_NAMES)

    def test_a_closed_store_says_so(self, store: MetadataStore) -> None:
        store.close()
        store.close()
        with pytest.raises(MetadataStoreFailed, match="closed"):
            store.load()
        with pytest.raises(MetadataStoreFailed, match="closed"):
            store.apply([PutUser(user())], 0)
        with pytest.raises(MetadataStoreFailed, match="closed"):
            store.watch(lambda _: None)

    def test_the_revision_grows_with_each_write(self, store: MetadataStore) -> None:
        seen = [store.load().revision]
        for changes in ([PutUser(user())], [PutUser(user())], [DeleteUser("absent")], [DeleteUser("alice")]):
            seen.append(store.apply(changes, seen[-1]))
            assert store.load().revision == seen[-1]
        assert seen == sorted(set(seen))

    def test_no_changes_leave_the_revision(self, store: MetadataStore) -> None:
        revision = write(store, [PutUser(user())])
        assert store.apply([], revision) == store.load().revision == revision

    @pytest.mark.parametrize("changes", [[PutUser(user("bob")), DeleteUser("alice"), PutAcl(acl())], []])
    def test_a_change_for_another_revision_is_refused(self, store: MetadataStore, changes: Sequence[Change]) -> None:
        """An update that the writer has not seen is never overwritten."""
        old = store.load().revision
        new = write(store, [PutUser(user())])
        for wrong in (old, new + 1, new + 1000):
            with pytest.raises(RevisionConflict):
                store.apply(changes, wrong)
            assert store.load().revision == new
            assert users_of(store) == {"alice": user()}
            assert not acls_of(store)
        store.apply([PutUser(user("carol"))], new)
        assert set(users_of(store)) == {"alice", "carol"}

    def test_own_writes_are_not_reported(self, store: MetadataStore) -> None:
        found: list[MetadataUpdate] = []
        store.watch(found.append)
        write(store, [PutUser(user())])
        assert not found

    def test_a_manager_works_on_it(self, store: MetadataStore) -> None:
        manager = MetadataManager(store)
        manager.create_user("root", "r", UserType.SUPER)
        manager.create_user("alice", "a")
        manager.create_acl(acl("alice", "Topic:a"))
        manager.create_acl(acl("alice", "Topic:b", "Group:g"))
        manager.delete_acl(Subject("alice"), None, Resource.parse("Topic:a"))
        with pytest.raises(MetadataRejected):
            manager.delete_user("root")
        again = MetadataManager(store)
        assert list(again.snapshot.users()) == list(manager.snapshot.users())
        assert list(again.snapshot.acls()) == [acl("alice", "Topic:b", "Group:g")]
        again.delete_user("alice")
        assert not acls_of(store)


class SharedMetadataContract(MetadataStoreContract):
    """Tests for a store that several servers share."""

    def test_a_write_is_seen_by_the_other_server(self, store: MetadataStore, other: MetadataStore) -> None:
        revision = write(store, [PutUser(user()), PutAcl(acl())])
        assert users_of(other) == {"alice": user()}
        assert acls_of(other) == {"alice": acl()}
        assert other.load().revision == revision

    def test_the_second_of_two_changes_for_one_revision_is_refused(
        self, store: MetadataStore, other: MetadataStore
    ) -> None:
        revision = store.load().revision
        store.apply([PutUser(user("alice", ("one", None)))], revision)
        with pytest.raises(RevisionConflict):
            other.apply([PutUser(user("alice", ("two", None)))], revision)
        assert users_of(other) == {"alice": user("alice", ("one", None))}

    def test_updates_arrive_in_order_and_lead_to_the_stored_state(
        self, store: MetadataStore, other: MetadataStore
    ) -> None:
        manager = MetadataManager(other)
        found: list[MetadataUpdate] = []
        other.watch(found.append)
        for number in range(20):
            write(store, [PutUser(user(f"u{number % 7}", (f"s{number}", None)))])
        expected = users_of(store)
        wait_until(lambda: {found.name: found for found in manager.snapshot.users()} == expected)
        assert [update.revision for update in found] == sorted({update.revision for update in found})
        assert found[-1].revision == store.load().revision

    def test_managers_lose_no_update(self, store: MetadataStore, other: MetadataStore) -> None:
        """Both managers add to the policies of one user, and neither loses an entry of the other."""
        managers = [MetadataManager(store, _incarnations("a")), MetadataManager(other, _incarnations("b"))]
        managers[0].create_user("root", "r", UserType.SUPER)
        wait_until(lambda: managers[1].snapshot.user("root") is not None)
        managers[1].create_user("alice", "a")
        wait_until(lambda: managers[0].snapshot.user("alice") is not None)
        keys = [f"Topic:t{number}" for number in range(20)]
        for number, key in enumerate(keys):
            managers[number % 3 % 2].create_acl(acl("alice", key))
        (policy,) = acls_of(store)["alice"].policies
        assert {entry.resource.key for entry in policy.entries} == {*keys}
        for manager in managers:
            wait_until(lambda manager=manager: manager.snapshot.acl("alice") == acls_of(store)["alice"])  # type: ignore[misc]


def _incarnations(prefix: str) -> Callable[[], str]:
    numbers = itertools.count()
    return lambda: f"{prefix}-{next(numbers)}"


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait until something is true. It is true at once if a store reports changes before it acknowledges them."""
    end = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < end, "the update did not arrive within 10 seconds"
        time.sleep(0.01)


class DurableMetadataContract(MetadataStoreContract):
    """Tests for a store that survives its process."""

    def test_all_users_and_policies_survive_reopening(self, store: MetadataStore, reopen: Reopen) -> None:
        write(store, [PutUser(user(name)) for name in ODD_NAMES])
        write(store, [PutAcl(acl("alice", "Topic:a*", "*")), DeleteUser("é")])
        again = reopen(store)
        assert set(users_of(again)) == {*ODD_NAMES} - {"é"}
        assert users_of(again)["用户"] == user("用户")
        assert acls_of(again) == {"alice": acl("alice", "Topic:a*", "*")}

    def test_a_deletion_survives_reopening(self, store: MetadataStore, reopen: Reopen) -> None:
        write(store, [PutUser(user()), PutAcl(acl())])
        write(store, [DeleteUser("alice"), DeleteAcl(Subject("alice"))])
        again = reopen(store)
        assert not users_of(again)
        assert not acls_of(again)

    def test_the_revision_survives_reopening(self, store: MetadataStore, reopen: Reopen) -> None:
        revision = write(store, [PutUser(user())])
        revision = store.apply([PutUser(user("bob"))], revision)
        again = reopen(store)
        assert again.load().revision == revision
        with pytest.raises(RevisionConflict):
            again.apply([DeleteUser("bob")], revision - 1)
        assert again.apply([DeleteUser("bob")], revision) > revision

    def test_it_can_be_reopened_often(self, store: MetadataStore, reopen: Reopen) -> None:
        for number in range(3):
            write(store, [PutUser(user(f"u{number}"))])
            store = reopen(store)
        assert set(users_of(store)) == {"u0", "u1", "u2"}
