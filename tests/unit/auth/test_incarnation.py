"""Policies belong to a user, not to its name."""

import pytest

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.incarnation import MeantUsers
from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import DeleteUser, PutAcl, PutUser
from mqguard.auth.user import NO_INCARNATION, LiveSecret, Secret, User, UserStatus, UserType
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.unit.auth.test_delegation import acl, entry

RIGHTS = acl("alice", entry("Topic:t"))


@pytest.fixture
def manager():
    """Return a manager: `root` is Super, `helpdesk` only administers, `alice` has rights."""
    made = MetadataManager(MemoryMetadataStore())
    made.create_user("root", "r", UserType.SUPER)
    for name in ("helpdesk", "alice"):
        made.create_user(name, "s")
    made.create_acl(acl("helpdesk", entry("Cluster:c", "Update,Get")))
    made.create_acl(RIGHTS)
    return made


def incarnation(manager, name="alice"):
    return manager.get_user(name).incarnation


def test_a_user_that_is_created_again_is_another_one_without_policies(manager):
    """Every creation has a new incarnation."""
    before = incarnation(manager)
    manager.delete_user("alice")
    manager.create_user("alice", "s")
    assert incarnation(manager) not in {before, incarnation(manager, "helpdesk"), NO_INCARNATION}
    assert manager.snapshot.acl("alice") is None
    assert not manager.get_user("alice").confirmed


def test_a_user_created_again_in_one_request_is_another_one(manager):
    """The order of changes counts within one request, too."""
    before = incarnation(manager)
    manager.apply([DeleteUser("alice"), PutUser(User("alice", (LiveSecret(Secret("s")),)))])
    assert incarnation(manager) != before
    assert manager.snapshot.acl("alice") is None


@pytest.mark.parametrize("by", ["root", "alice", None])
def test_a_user_stays_the_same_if_itself_or_super_sets_its_secret(manager, by):
    """The user keeps its incarnation if itself, a Super user or the operator sets its secret."""
    manager.create_acl(acl("alice", entry("Cluster:c", "Update"), entry("Topic:t")))
    before = incarnation(manager)
    manager.apply([PutAcl(RIGHTS)], meant=MeantUsers({"alice": before}, {"alice"}))
    manager.create_acl(acl("alice", entry("Cluster:c", "Update"), entry("Topic:t")))
    manager.update_user("alice", "another", by=by)
    assert incarnation(manager) == before
    assert manager.get_user("alice").confirmed


def test_another_administrator_that_sets_a_secret_makes_another_user(manager):
    """Any administrator may set the secret of a user without rights, and could then act as that user."""
    before = incarnation(manager)
    manager.apply([PutAcl(RIGHTS)], meant=MeantUsers({"alice": before}, {"alice"}), by="root")
    manager.delete_acl(RIGHTS.subject, by="helpdesk")
    manager.update_user("alice", status=UserStatus.DISABLE, by="helpdesk")
    assert (incarnation(manager), manager.get_user("alice").confirmed) == (before, True)
    manager.update_user("alice", "mine-now", by="helpdesk")
    assert (incarnation(manager) == before, manager.get_user("alice").confirmed) == (False, False)


def test_deleting_a_user_requires_its_rights(manager):
    """Otherwise an administrator could create a user of that name and act as it."""
    with pytest.raises(MetadataRejected, match="cannot delete User:alice, who has Pub on `Topic:t`"):
        manager.delete_user("alice", by="helpdesk")
    manager.create_acl(acl("helpdesk", entry("Cluster:c", "Update"), entry("Topic:*", "All")))
    manager.delete_user("alice", by="helpdesk")
    assert manager.get_user("alice") is None


def test_old_policies_of_a_name_do_not_apply_to_a_new_user():
    """A store may have policies without a user, for example written by another program."""
    manager = MetadataManager(MemoryMetadataStore([], [RIGHTS]))
    assert manager.snapshot.acl("alice") is not None
    manager.create_user("alice", "s")
    assert manager.snapshot.acl("alice") is None
    manager.apply([PutUser(User("bob", (LiveSecret(Secret("s")),))), PutAcl(acl("bob", entry("Topic:t")))])
    assert manager.snapshot.acl("bob") is not None


@pytest.mark.parametrize("change", [PutAcl(RIGHTS), PutUser(User("alice", (LiveSecret(Secret("s")),)))])
def test_changes_apply_only_to_the_user_that_was_read(manager, change):
    """A user that was deleted or created again since then is not changed."""
    seen = MeantUsers({"alice": incarnation(manager)})
    manager.delete_user("alice")
    for _ in range(2):
        with pytest.raises(MetadataRejected, match="User:alice is no longer the user that the changes are meant"):
            manager.apply([change], meant=seen)
        if manager.get_user("alice") is None:
            manager.create_user("alice", "s")
    assert manager.snapshot.acl("alice") is None


@pytest.mark.parametrize("by", [None, "root", "helpdesk"])
def test_a_document_confirms_users_that_it_creates_or_knows(manager, by):
    """Only a Super user or the operator can confirm users."""
    manager.create_acl(acl("helpdesk", entry("Cluster:c", "Update"), entry("Topic:*", "All")))
    seen = MeantUsers({"alice": incarnation(manager)}, {"alice"})
    new = User("bob", (LiveSecret(Secret("s")),))
    manager.apply([PutUser(new), PutAcl(acl("alice", entry("Topic:u")))], meant=seen, by=by)
    trusted = by != "helpdesk"
    assert manager.get_user("alice").confirmed is manager.get_user("bob").confirmed is trusted


def test_a_change_that_names_no_user_as_known_confirms_none(manager):
    """Removing rights of an unconfirmed user must not confirm it."""
    manager.apply([PutAcl(acl("alice", entry("Topic:t", "Pub")))], meant=MeantUsers({"alice": incarnation(manager)}))
    assert not manager.get_user("alice").confirmed
    manager.apply([PutAcl(RIGHTS)], meant=MeantUsers({}, {"alice"}))
    assert not manager.get_user("alice").confirmed
    manager.create_user("carol", "s")
    assert not manager.get_user("carol").confirmed
