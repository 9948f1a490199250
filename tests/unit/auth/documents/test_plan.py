"""A plan changes the stored state to that of the document: completely, nothing else, and never without a Super user."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import Direction
from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.plan import PlanRefused, plan
from mqguard.auth.documents.reader import read_document
from mqguard.auth.documents.writer import write_document
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.ports import DeleteAcl, DeleteUser, Metadata, PutUser
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserStatus, UserType
from tests.property.analysis.universe import acls, effort

BASE = """\
version: 1
users:
  admin: {type: Super, secret: {env: ADMIN}}
  alice: {secret: {env: ALICE}}
policies:
  User:alice:
    custom:
      - {resource: Topic:orders, actions: [Pub, Sub], sources: [10.0.0.0/8, 192.168.0.0/16], decision: Allow}
      - {resource: Topic:secret, actions: All, decision: Deny}
"""


def resolve(reference):
    if reference.name == "MISSING":
        raise PolicyInvalid("the environment has no `MISSING`")
    return Secret(f"secret-of-{reference.name}")


def carried_out(found, stored=None):
    snapshot = Snapshot.of(
        Metadata(list(stored.users.values()), list(stored.acls.values())) if stored else Metadata([], [])
    )
    after = snapshot.after(found.changes)
    return AccessState.of(after.users(), after.acls())


EMPTY = AccessState({}, {})


def test_a_plan_from_an_empty_state_creates_everything():
    """Users and policies are created, and the plan shows the gained rights."""
    found = plan(read_document(BASE), EMPTY, resolve)

    assert [(step.verb, step.what, step.name) for step in found.steps] == [
        ("create", "user", "admin"),
        ("create", "user", "alice"),
        ("create", "policies", "alice"),
    ]
    assert found.steps[2].details == (
        "+ Custom: Allow Pub,Sub on Topic:orders from 10.0.0.0/8,192.168.0.0/16",
        "+ Custom: Deny All on Topic:secret from anywhere",
    )
    assert {(change.user, change.direction) for change in found.comparison.rights} == {
        ("admin", Direction.GAINED),
        ("alice", Direction.GAINED),
    }
    state = carried_out(found)
    assert state.users["alice"].secrets == (LiveSecret(Secret("secret-of-ALICE")),)


def test_a_plan_shows_the_meaning_of_entries_for_namespaces():
    """Apache RocketMQ stores such entries but never matches them, so a copy of its policies can allow more here."""
    entries = "".join(
        f"      - {{resource: '{key}', actions: Sub, decision: Allow}}\n"
        for key in ("Namespace:n", "Namespace:n*", "Namespace:*")
    )
    document = read_document(f"{BASE}  User:admin:\n    custom:\n{entries}")
    found = plan(document, EMPTY, resolve)

    (details,) = [step.details for step in found.steps if step.name == "admin" and step.what == "policies"]
    assert details == (
        "+ Custom: Allow Sub on Namespace:n from anywhere (matches Topic:n%* and Group:n%*)",
        "+ Custom: Allow Sub on Namespace:n* from anywhere (matches the topics and groups of every namespace that begins with `n`)",
        "+ Custom: Allow Sub on Namespace:* from anywhere (matches the topics and groups of every namespace)",
    )


def test_an_applied_plan_is_empty():
    """A second plan has nothing to do."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))

    assert plan(read_document(BASE), state, resolve).is_empty


def test_another_notation_changes_nothing():
    """The order of entries, actions and sources has no meaning, nor have the host bits of a range."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = """\
version: 1
policies:
  User:alice:
    custom:
      - {resource: Topic:secret, actions: All, decision: deny}
      - {resource: Topic:orders, actions: [sub, pub], sources: [192.168.1.0/16, 10.1.1.1/8], decision: Allow}
"""
    assert plan(read_document(text), state, resolve).is_empty


def test_unnamed_subjects_stay_unless_pruned():
    """A partial document changes only its own subjects. With `prune` the rest is deleted, policies with their user."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = "version: 1\nusers:\n  admin: {type: Super}\n"

    assert plan(read_document(text), state, resolve).is_empty
    pruned = plan(read_document(text), state, resolve, prune=True)
    assert pruned.changes == (DeleteUser("alice"), DeleteAcl(Subject("alice")))
    assert [step.verb for step in pruned.steps] == ["delete", "delete"]
    assert set(carried_out(pruned, state).users) == {"admin"}


def test_a_user_changes_in_place():
    """Type, status and secret change. A new secret removes the rotated one; without a new secret it stays."""
    old = User("alice", (LiveSecret(Secret("one")), LiveSecret(Secret("zero"), 99)))
    state = AccessState.of([old], [])
    kept = plan(read_document("version: 1\nusers:\n  alice: {status: disable}\n"), state, resolve)
    changed = plan(read_document("version: 1\nusers:\n  alice: {type: Super, secret: {env: NEW}}\n"), state, resolve)

    assert kept.changes == (PutUser(User("alice", old.secrets, UserType.NORMAL, UserStatus.DISABLE)),)
    assert kept.steps[0].details == ("status enable becomes disable",)
    secrets = (LiveSecret(Secret("secret-of-NEW")),)
    assert changed.changes == (PutUser(User("alice", secrets, UserType.SUPER)),)
    assert changed.steps[0].details == ("the secret changes", "type Normal becomes Super")
    assert "secret-of-NEW" not in repr(changed)


def test_an_unknown_secret_is_set_only_on_demand():
    """Unreadable stored secrets are left alone, so that a second run has nothing to do."""
    state = AccessState.of([User("alice", ())], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: NEW}}\n")

    assert plan(document, state, resolve).is_empty
    forced = plan(document, state, resolve, set_secrets=True)
    assert forced.changes == (PutUser(User("alice", (LiveSecret(Secret("secret-of-NEW")),))),)


def test_empty_policies_are_removed():
    """A subject that is named without entries has no policies afterwards."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    found = plan(read_document("version: 1\npolicies:\n  User:alice:\n"), state, resolve)

    assert found.changes == (DeleteAcl(Subject("alice")),)
    assert [change.direction for change in found.comparison.rights] == [Direction.LOST]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "version: 1\nusers:\n  new: {}\n",
            "3:3: the user `new` is new and needs a secret: write `secret: {env: NAME}` or `secret: {file: PATH}`",
        ),
        (
            "version: 1\nusers:\n  new: {secret: {env: MISSING}}\n",
            "3:17: the secret of `new` was not found: the environment has no `MISSING`",
        ),
        (
            "version: 1\npolicies:\n  User:bob:\n    custom:\n      - {resource: '*', actions: Pub, decision: Allow}\n",
            "3:3: `User:bob` does not exist: add it under `users`",
        ),
    ],
)
def test_a_document_that_cannot_be_applied_has_a_position(text, message):
    """The problem has line and column, and there is no plan."""
    with pytest.raises(DocumentInvalid) as caught:
        plan(read_document(text), EMPTY, resolve)

    assert str(caught.value) == message


def test_policies_without_a_user_stay_unchanged():
    """Policies without a user can be exported and deleted, and applying the export changes nothing."""
    state = AccessState.of([], list(carried_out(plan(read_document(BASE), EMPTY, resolve)).acls.values()))

    assert plan(read_document(write_document(state)), state, resolve).is_empty
    gone = plan(read_document("version: 1\npolicies:\n  User:alice:\n"), state, resolve)
    assert gone.changes == (DeleteAcl(Subject("alice")),)
    for text in (BASE.replace("Pub, Sub", "Pub"), "version: 1\npolicies: {User:bob: }\n"):
        with pytest.raises(DocumentInvalid, match="does not exist: add it under `users`"):
            plan(read_document(text.replace("  alice: {secret: {env: ALICE}}\n", "")), state, resolve)


def test_pruning_a_user_with_written_policies_is_rejected():
    """The document has policies of a user that it would delete, so it must name the user."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = BASE.replace("  alice: {secret: {env: ALICE}}\n", "")

    assert plan(read_document(text), state, resolve).is_empty
    with pytest.raises(DocumentInvalid, match="`User:alice` does not exist"):
        plan(read_document(text), state, resolve, prune=True)


def test_an_unchanged_secret_is_not_sent():
    """An unchanged secret is not sent, because the server may have a newer one."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = "version: 1\nusers:\n  alice: {status: disable}\n  admin: {type: Super, secret: {env: NEW}}\n"
    found = plan(read_document(text), state, resolve)

    sent = {change.user.name: change.user for change in found.without_kept_secrets()}
    assert sent["alice"] == User("alice", (), UserType.NORMAL, UserStatus.DISABLE)
    assert sent["admin"].secrets == (LiveSecret(Secret("secret-of-NEW")),)
    assert all(change.user.secrets for change in found.changes)


def test_users_with_hidden_secrets_are_named():
    """If a server hides secrets, they cannot be compared, and the plan names their users."""
    state = AccessState.of([User("alice", ()), User("bob", ())], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: A}}\n  bob: {}\n")

    assert plan(document, state, resolve).uncompared == ("alice",)
    assert plan(document, state, resolve, set_secrets=True).uncompared == ()


def test_a_secret_of_any_text_is_compared():
    """This includes a lone surrogate, which has no bytes in UTF-8."""
    state = AccessState.of([User("alice", (LiveSecret(Secret("a\udc80")),))], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: A}}\n")

    assert plan(document, state, lambda _: Secret("a\udc80")).is_empty
    assert not plan(document, state, lambda _: Secret("a\udc81")).is_empty


@pytest.mark.parametrize("admin", ["{type: Normal}", "{type: Super, status: disable}"])
def test_the_last_super_user_stays(admin):
    """A plan that leaves no enabled Super user is rejected, unless it creates another one."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = f"version: 1\nusers:\n  admin: {admin}\n"

    with pytest.raises(PlanRefused, match="no enabled Super user would be left"):
        plan(read_document(text), state, resolve)
    with pytest.raises(PlanRefused):
        plan(read_document("version: 1\n"), state, resolve, prune=True)
    other = plan(read_document(text + "  root: {type: Super, secret: {env: ROOT}}\n"), state, resolve)
    assert {change.user.name for change in other.changes} == {"admin", "root"}


@given(st.one_of(st.none(), acls()), acls())
@effort(60)
def test_any_state_is_reached_in_one_step(old, new):
    """After the plan nothing is left to do, and the rights are those of the document, for any two states."""
    user = User("u", (LiveSecret(Secret("s")),))
    stored = AccessState.of([user], [old] if old else [])
    wanted = AccessState.of([user], [new])
    document = read_document(write_document(wanted))

    found = plan(document, stored, resolve)
    state = carried_out(found, stored)
    assert plan(document, state, resolve).is_empty
    assert plan(document, state, resolve).comparison.is_empty
    assert state.users == stored.users
