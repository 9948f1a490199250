import pytest

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.escalation import ONLY_SUPER_CREATES, ONLY_SUPER_UPDATES
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Action, Decision, Entry
from mqguard.auth.ports import DeleteAcl, DeleteUser, PutAcl, PutUser
from mqguard.auth.resource import Resource
from mqguard.auth.source import Source
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserStatus, UserType
from mqguard.store.metadata.memory import MemoryMetadataStore
from tests.fixtures.policies import acl, entry


@pytest.fixture
def manager():
    """Return a manager: `root` is Super, `boss` administers with rights on order*, `alice` has more, `bob` has none."""
    made = MetadataManager(MemoryMetadataStore())
    made.create_user("root", "r", UserType.SUPER)
    for name in ("boss", "alice", "bob"):
        made.create_user(name, "s")
    made.create_acl(acl("boss", entry("Cluster:c", "Update,Get"), entry("Topic:order*", "Pub,Sub", "10.0.0.0/8")))
    made.create_acl(acl("boss", entry("Topic:order-secret", "All", decision="Deny")))
    made.create_acl(acl("alice", entry("Topic:*", "All")))
    return made


def refused(change, *args, by="boss", **more):
    with pytest.raises(MetadataRejected) as caught:
        change(*args, by=by, **more)
    return str(caught.value)


def test_a_super_user_may_do_everything(manager):
    manager.create_user("second", "s", UserType.SUPER, by="root")
    manager.create_acl(acl("bob", entry("*", "All")), by="root")
    manager.update_user("bob", user_type=UserType.SUPER, by="root")
    manager.delete_user("second", by="root")


@pytest.mark.parametrize("by", ["nobody", ""])
def test_an_unknown_author_changes_nothing(manager, by):
    assert "is not found" in refused(manager.create_user, "new", "s", by=by)


def test_a_disabled_author_changes_nothing(manager):
    manager.update_user("boss", status=UserStatus.DISABLE)
    assert refused(manager.create_user, "new", "s") == "User:boss is disabled."


def test_only_super_users_create_and_change_super_users(manager):
    assert ONLY_SUPER_CREATES == "The super user can only be create by super user"
    assert ONLY_SUPER_UPDATES == "The super user can only be update by super user"
    assert refused(manager.create_user, "new", "s", UserType.SUPER) == ONLY_SUPER_CREATES
    assert refused(manager.update_user, "bob", user_type=UserType.SUPER) == ONLY_SUPER_UPDATES
    assert refused(manager.update_user, "boss", user_type=UserType.SUPER) == ONLY_SUPER_UPDATES
    assert refused(manager.update_user, "root", "new") == ONLY_SUPER_UPDATES
    assert refused(manager.update_user, "root", user_type=UserType.NORMAL) == ONLY_SUPER_UPDATES
    assert refused(manager.delete_user, "root") == ONLY_SUPER_UPDATES
    assert refused(manager.create_acl, acl("root", entry("Topic:t", "Pub,Sub"))) == ONLY_SUPER_UPDATES


@pytest.mark.parametrize(
    "change", [DeleteUser("root"), DeleteAcl(Subject("root")), PutAcl(acl("root", entry("Topic:t", "Pub,Sub")))]
)
def test_each_kind_of_change_is_checked_alone(manager, change):
    manager.create_user("second", "s", UserType.SUPER)
    assert refused(manager.apply, [change]) == ONLY_SUPER_UPDATES


def test_held_rights_can_be_granted(manager):
    manager.create_user("new", "s", by="boss")
    manager.create_acl(acl("new", entry("Topic:orders", "Pub", "10.1.0.0/16")), by="boss")
    manager.create_acl(acl("new", entry("Topic:order-x*", "Pub,Sub", "10.0.0.1")), by="boss")
    manager.create_acl(acl("new", entry("Cluster:c", "Get")), by="boss")
    manager.create_acl(acl("new", entry("Topic:order*", "All", decision="Deny")), by="boss")


@pytest.mark.parametrize(
    "gift",
    [
        entry("*", "All"),
        entry("Topic:*", "Pub", "10.0.0.1"),
        entry("Topic:orde*", "Pub", "10.0.0.1"),
        entry("Topic:other", "Pub", "10.0.0.1"),
        entry("Topic:orders", "Pub"),
        entry("Topic:orders", "Pub", "10.0.0.0/7"),
        entry("Topic:orders", "Pub", "10.0.0.1,2001:db8::1"),
        entry("Topic:orders", "Delete", "10.0.0.1"),
        entry("Topic:orders", "All", "10.0.0.1"),
        entry("Topic:order-secret", "Pub", "10.0.0.1"),
        entry("Topic:order*", "Pub", "10.0.0.1"),
        entry("Group:order*", "Sub", "10.0.0.1"),
        entry("Cluster:*", "Update"),
        entry("Cluster:c", "Delete"),
    ],
    ids=lambda gift: f"{gift.resource.key} {gift.actions[0].value} {','.join(s.text for s in gift.sources)}",
)
def test_other_rights_cannot_be_granted_to_any_user(manager, gift):
    before = manager.snapshot
    assert "it does not hold that right itself" in refused(manager.create_acl, acl("bob", gift))
    if gift.resource.key != "Topic:order*":  # for itself this one only narrows the entry that it replaces
        assert "it does not hold that right itself" in refused(manager.create_acl, acl("boss", gift))
    assert "it does not hold that right itself" in refused(manager.create_acl, acl("bob", default=[gift]))
    assert manager.snapshot is before


def test_a_right_may_be_granted_with_the_deny_of_the_author(manager):
    manager.create_acl(
        acl("bob", entry("Topic:order*", "Pub", "10.0.0.0/8"), entry("Topic:order-secret", "Pub", decision="Deny")),
        by="boss",
    )


def test_removing_a_deny_is_a_grant(manager):
    manager.create_acl(acl("bob", entry("Topic:*", "All"), entry("Topic:pay", "All", decision="Deny")))
    pay = Resource.parse("Topic:pay")
    assert "Topic:pay" in refused(manager.delete_acl, Subject("bob"), None, pay)
    manager.delete_acl(Subject("bob"), None, pay, by="root")


def test_removing_custom_entries_can_make_default_ones_apply(manager):
    manager.create_acl(acl("bob", entry("Topic:pay", "Sub", decision="Deny")))
    manager.create_acl(acl("bob", default=[entry("Topic:*", "All")]))
    assert "`Topic:pay`" in refused(manager.delete_acl, Subject("bob"), None, Resource.parse("Topic:pay"))


def test_the_author_cannot_remove_its_own_limits(manager):
    assert "order-secret" in refused(manager.delete_acl, Subject("boss"), None, Resource.parse("Topic:order-secret"))


def test_existing_rights_of_others_may_stay(manager):
    manager.create_acl(acl("alice", entry("Topic:orders", "Pub", "10.0.0.1")), by="boss")
    manager.create_acl(acl("alice", entry("Topic:pay", "All", decision="Deny")), by="boss")


def test_removing_rights_is_allowed(manager):
    manager.delete_acl(Subject("alice"), by="boss")
    manager.update_user("alice", status=UserStatus.DISABLE, by="boss")
    manager.delete_user("alice", by="boss")


def test_setting_a_secret_requires_all_rights_of_the_user(manager):
    assert "it does not hold that right itself" in refused(manager.update_user, "alice", "taken")
    manager.update_user("bob", "new", by="boss")
    manager.update_user("boss", "new", by="boss")
    manager.update_user("alice", "a", by="alice")


def test_the_answer_does_not_confirm_a_guessed_secret(manager):
    secret = manager.snapshot.user("alice").secrets[0].secret.reveal()
    assert refused(manager.update_user, "alice", secret) == refused(manager.update_user, "alice", "a wrong guess")
    same = User("alice", (LiveSecret(Secret(secret)),))
    assert "it does not hold that right itself" in refused(manager.apply, [PutUser(same)])
    manager.update_user("alice", status=UserStatus.ENABLE, by="boss")


def test_enabling_a_user_requires_all_its_rights(manager):
    manager.update_user("alice", status=UserStatus.DISABLE)
    manager.update_user("bob", status=UserStatus.DISABLE)
    assert "it does not hold that right itself" in refused(manager.update_user, "alice", status=UserStatus.ENABLE)
    manager.update_user("bob", status=UserStatus.ENABLE, by="boss")


def test_a_rejection_names_the_excess_right(manager):
    assert refused(manager.create_acl, acl("bob", entry("Topic:pay", "Pub", "10.9.0.0/16"))) == (
        "User:boss cannot grant User:bob Pub on `Topic:pay` from `10.9.0.0`: it does not hold that right itself"
    )
    assert refused(manager.create_acl, acl("bob", entry("Topic:pay", "Pub"))) == (
        "User:boss cannot grant User:bob Pub on `Topic:pay`: it does not hold that right itself"
    )


def test_policies_too_large_to_compare_are_left_to_super_users(manager):
    sources = tuple(Source.parse(f"10.{number // 250}.{number % 250}.1") for number in range(1500))
    gift = [
        Entry(Resource.parse(f"Topic:order-{number}"), (Action.PUB,), sources, Decision.ALLOW) for number in range(60)
    ]
    assert "ask a Super user" in refused(manager.create_acl, acl("bob", *gift))
    manager.create_acl(acl("bob", *gift), by="root")


def test_prefixes_too_many_to_look_up_are_left_to_super_users(manager):
    nested = [
        Entry(Resource.parse(f"Topic:order{'x' * length}*"), (Action.PUB,), (), Decision.DENY) for length in range(2000)
    ]
    assert "ask a Super user" in refused(manager.create_acl, acl("bob", *nested))
    manager.create_acl(acl("bob", *nested[:100]), by="boss")
    manager.create_acl(acl("bob", *nested), by="root")


def test_entries_too_many_for_one_resource_are_left_to_super_users(manager):
    split = [
        entry("Topic:order-1", "Pub", f"10.0.{number // 250}.{number % 250}", ("Allow", "Deny")[number % 3 == 0])
        for number in range(3000)
    ]
    assert "ask a Super user" in refused(manager.create_acl, acl("bob", *split))
    manager.create_acl(acl("bob", *split[:500]), by="boss")
    manager.create_acl(acl("bob", *split), by="root")
