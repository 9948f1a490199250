"""What every `MetadataStore` does, as tests.

Subclass `MetadataStoreContract` and give it a fixture `store` with a fresh one; a store that survives its process
subclasses `DurableMetadataContract` and gives a fixture `reopen` too, which closes a store and opens it again.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

import dataclasses
from collections.abc import Callable

import pytest

from mqguard.auth.action import Action
from mqguard.auth.errors import MetadataRejected, MetadataStoreFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import DeleteAcl, DeleteUser, MetadataStore, PutAcl, PutUser
from mqguard.auth.records import AclRecord
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.subject import Subject
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Secret, User, UserStatus, UserType

Reopen = Callable[[MetadataStore], MetadataStore]
ODD_NAMES = ("alice", "用户", "a:b/c", " ", "with space", "\0", "😀", "é", "User:x", "x" * 3000)


def user(name: str = "alice", *secrets: tuple[str, int | None], kind: UserType = UserType.NORMAL) -> User:
    """A user with these secrets and their ends; with one that never ends when none is given."""
    lives = tuple(LiveSecret(Secret(text), not_after) for text, not_after in secrets or (("s3cret", None),))
    return User(name, lives, kind)


def acl(name: str = "alice", *keys: str, kind: PolicyType = PolicyType.CUSTOM) -> Acl:
    """Policies that allow sending to these resources from one network."""
    sources = (Source.parse("10.0.0.0/8"), Source.parse("2001:DB8::1"))
    entries = tuple(
        Entry(Resource.parse(key), (Action.PUB, Action.SUB), sources, Decision.ALLOW) for key in keys or ("Topic:t",)
    )
    return Acl(Subject(name), (Policy(kind, entries),))


def users_of(store: MetadataStore) -> dict[str, User]:
    """All users, by name."""
    return {found.name: found for found in store.load().users}


def acls_of(store: MetadataStore) -> dict[str, Acl]:
    """All policies, by the name of their subject."""
    return {
        found.subject.name: found.decode() if isinstance(found, AclRecord) else found for found in store.load().acls
    }


class MetadataStoreContract:
    """Tests for any store of users and policies."""

    def test_a_fresh_store_is_empty(self, store: MetadataStore) -> None:
        assert not store.load().users
        assert not store.load().acls

    def test_what_is_put_is_loaded(self, store: MetadataStore) -> None:
        root = user("root", kind=UserType.SUPER)
        off = User("off", (LiveSecret(Secret("x")),), UserType.NORMAL, UserStatus.DISABLE)
        store.apply([PutUser(root), PutUser(off), PutAcl(acl("off", "Topic:a", "Group:b*", "*", "Cluster:*"))])
        assert users_of(store) == {"root": root, "off": off}
        assert acls_of(store) == {"off": acl("off", "Topic:a", "Group:b*", "*", "Cluster:*")}

    def test_secrets_and_their_ends_are_kept(self, store: MetadataStore) -> None:
        two = user("alice", ("new \0 秘密", None), ("old", 1_700_000_000_000))
        store.apply([PutUser(two), PutUser(User("none", ()))])
        assert users_of(store) == {"alice": two, "none": User("none", ())}

    def test_which_user_it_is_is_kept(self, store: MetadataStore) -> None:
        """Comparison of users leaves incarnations out, so they are looked at by themselves."""
        one = dataclasses.replace(user("alice", ("s", None)), incarnation="i-1", confirmed=True)
        store.apply([PutUser(one), PutUser(user("bob", ("s", None)))])
        found = users_of(store)
        assert (found["alice"].incarnation, found["alice"].confirmed) == ("i-1", True)
        assert (found["bob"].incarnation, found["bob"].confirmed) == (NO_INCARNATION, False)

    def test_every_part_of_a_policy_is_kept(self, store: MetadataStore) -> None:
        deny = Entry(Resource.parse("Namespace:主题"), (Action.ALL, Action.PUB, Action.PUB), (), Decision.DENY)
        allow = Entry(Resource.parse("Topic:a:b c"), tuple(Action), (Source.parse("::/0"),), Decision.ALLOW)
        given = Acl(
            Subject("a"), (Policy(PolicyType.DEFAULT, (deny, allow, deny)), Policy(PolicyType.CUSTOM, (allow,)))
        )
        store.apply([PutAcl(given)])
        assert acls_of(store) == {"a": given}

    def test_sources_are_said_again_as_they_were_written(self, store: MetadataStore) -> None:
        store.apply([PutAcl(acl())])
        (policy,) = acls_of(store)["alice"].policies
        assert [source.text for source in policy.entries[0].sources] == ["10.0.0.0/8", "2001:DB8::1"]

    def test_putting_replaces(self, store: MetadataStore) -> None:
        store.apply([PutUser(user()), PutAcl(acl())])
        store.apply([PutUser(user("alice", ("other", None))), PutAcl(acl("alice", "Topic:z", kind=PolicyType.DEFAULT))])
        assert users_of(store) == {"alice": user("alice", ("other", None))}
        assert acls_of(store) == {"alice": acl("alice", "Topic:z", kind=PolicyType.DEFAULT)}

    def test_deleting_takes_only_what_is_named(self, store: MetadataStore) -> None:
        store.apply([PutUser(user("a")), PutUser(user("b")), PutAcl(acl("a")), PutAcl(acl("b"))])
        store.apply([DeleteUser("a"), DeleteAcl(Subject("b"))])
        assert set(users_of(store)) == {"b"}
        assert set(acls_of(store)) == {"a"}

    def test_deleting_what_is_not_there_is_no_error(self, store: MetadataStore) -> None:
        store.apply([DeleteUser("nobody"), DeleteAcl(Subject("nobody"))])
        store.apply([])
        assert not store.load().users

    def test_changes_count_in_their_order(self, store: MetadataStore) -> None:
        store.apply([PutUser(user()), DeleteUser("alice"), DeleteAcl(Subject("alice")), PutAcl(acl())])
        assert not users_of(store)
        assert acls_of(store) == {"alice": acl()}

    def test_names_are_kept_as_they_are(self, store: MetadataStore) -> None:
        store.apply([PutUser(user(name)) for name in ODD_NAMES])
        store.apply([PutAcl(acl(name)) for name in ODD_NAMES])
        assert set(users_of(store)) == set(ODD_NAMES)
        assert set(acls_of(store)) == set(ODD_NAMES)

    def test_a_closed_store_says_so(self, store: MetadataStore) -> None:
        store.close()
        store.close()
        with pytest.raises(MetadataStoreFailed, match="closed"):
            store.load()
        with pytest.raises(MetadataStoreFailed, match="closed"):
            store.apply([PutUser(user())])

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


class DurableMetadataContract(MetadataStoreContract):
    """Tests for a store that survives its process."""

    def test_everything_is_there_after_reopening(self, store: MetadataStore, reopen: Reopen) -> None:
        store.apply([PutUser(user(name)) for name in ODD_NAMES])
        store.apply([PutAcl(acl("alice", "Topic:a*", "*")), DeleteUser("é")])
        again = reopen(store)
        assert set(users_of(again)) == {*ODD_NAMES} - {"é"}
        assert users_of(again)["用户"] == user("用户")
        assert acls_of(again) == {"alice": acl("alice", "Topic:a*", "*")}

    def test_a_deletion_is_kept_too(self, store: MetadataStore, reopen: Reopen) -> None:
        store.apply([PutUser(user()), PutAcl(acl())])
        store.apply([DeleteUser("alice"), DeleteAcl(Subject("alice"))])
        again = reopen(store)
        assert not users_of(again)
        assert not acls_of(again)

    def test_it_can_be_reopened_often(self, store: MetadataStore, reopen: Reopen) -> None:
        for turn in range(3):
            store.apply([PutUser(user(f"u{turn}"))])
            store = reopen(store)
        assert set(users_of(store)) == {"u0", "u1", "u2"}
