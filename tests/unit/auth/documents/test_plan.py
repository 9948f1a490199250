"""A plan is the way from what is stored to what a document says: no more, all of it, and never a lock-out."""

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


def test_a_plan_from_nothing_makes_everything():
    """Users and policies are created, and the rights that come are told."""
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


def test_a_plan_that_was_carried_out_is_empty():
    """Applying twice is applying once."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))

    assert plan(read_document(BASE), state, resolve).is_empty


def test_another_way_to_write_the_same_is_no_change():
    """Order of entries, actions and sources, and host bits of a range, mean nothing."""
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


def test_what_the_document_does_not_name_stays_unless_pruned():
    """A partial document changes its own subjects only; with prune the rest goes, policies with their user."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = "version: 1\nusers:\n  admin: {type: Super}\n"

    assert plan(read_document(text), state, resolve).is_empty
    pruned = plan(read_document(text), state, resolve, prune=True)
    assert pruned.changes == (DeleteUser("alice"), DeleteAcl(Subject("alice")))
    assert [step.verb for step in pruned.steps] == ["delete", "delete"]
    assert set(carried_out(pruned, state).users) == {"admin"}


def test_a_user_changes_in_place():
    """Type, status and secret change; a rotated-out secret goes with a new one and stays without."""
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


def test_a_secret_that_is_not_known_here_is_set_only_on_demand():
    """Where stored secrets are not readable they are left alone, so that a second run has nothing to do."""
    state = AccessState.of([User("alice", ())], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: NEW}}\n")

    assert plan(document, state, resolve).is_empty
    forced = plan(document, state, resolve, set_secrets=True)
    assert forced.changes == (PutUser(User("alice", (LiveSecret(Secret("secret-of-NEW")),))),)


def test_empty_policies_are_taken_away():
    """A subject that is named with nothing has nothing afterwards."""
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
def test_a_document_that_cannot_be_applied_names_the_place(text, message):
    """What a document lacks for this state is told with line and column, and there is no plan."""
    with pytest.raises(DocumentInvalid) as caught:
        plan(read_document(text), EMPTY, resolve)

    assert str(caught.value) == message


def test_policies_of_nobody_stay_as_they_are():
    """Policies of a subject that is no user can be exported, and applying the export is no change; they can go."""
    state = AccessState.of([], list(carried_out(plan(read_document(BASE), EMPTY, resolve)).acls.values()))

    assert plan(read_document(write_document(state)), state, resolve).is_empty
    gone = plan(read_document("version: 1\npolicies:\n  User:alice:\n"), state, resolve)
    assert gone.changes == (DeleteAcl(Subject("alice")),)
    for text in (BASE.replace("Pub, Sub", "Pub"), "version: 1\npolicies: {User:bob: }\n"):
        with pytest.raises(DocumentInvalid, match="does not exist: add it under `users`"):
            plan(read_document(text.replace("  alice: {secret: {env: ALICE}}\n", "")), state, resolve)


def test_pruning_a_user_whose_policies_are_written_is_a_slip():
    """The document says what the user may do, and would delete it: it belongs under `users`."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = BASE.replace("  alice: {secret: {env: ALICE}}\n", "")

    assert plan(read_document(text), state, resolve).is_empty
    with pytest.raises(DocumentInvalid, match="`User:alice` does not exist"):
        plan(read_document(text), state, resolve, prune=True)


def test_what_a_plan_does_not_change_it_does_not_send():
    """A secret that stays is not sent to a server: there it may be another one by now."""
    state = carried_out(plan(read_document(BASE), EMPTY, resolve))
    text = "version: 1\nusers:\n  alice: {status: disable}\n  admin: {type: Super, secret: {env: NEW}}\n"
    found = plan(read_document(text), state, resolve)

    sent = {change.user.name: change.user for change in found.without_kept_secrets()}
    assert sent["alice"] == User("alice", (), UserType.NORMAL, UserStatus.DISABLE)
    assert sent["admin"].secrets == (LiveSecret(Secret("secret-of-NEW")),)
    assert all(change.user.secrets for change in found.changes)


def test_secrets_that_were_not_compared_are_told():
    """Where a server hides secrets, a plan that is empty says nothing about them, and names the users."""
    state = AccessState.of([User("alice", ()), User("bob", ())], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: A}}\n  bob: {}\n")

    assert plan(document, state, resolve).uncompared == ("alice",)
    assert plan(document, state, resolve, set_secrets=True).uncompared == ()


def test_a_secret_of_any_text_is_compared():
    """Half a surrogate pair too, which has no bytes in UTF-8."""
    state = AccessState.of([User("alice", (LiveSecret(Secret("a\udc80")),))], [])
    document = read_document("version: 1\nusers:\n  alice: {secret: {env: A}}\n")

    assert plan(document, state, lambda _: Secret("a\udc80")).is_empty
    assert not plan(document, state, lambda _: Secret("a\udc81")).is_empty


@pytest.mark.parametrize("admin", ["{type: Normal}", "{type: Super, status: disable}"])
def test_the_last_super_user_stays(admin):
    """A plan that leaves no enabled Super user is refused; one that makes another first is not."""
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
    """From any policies to any others: after the plan nothing is left to do, and rights are those of the document."""
    user = User("u", (LiveSecret(Secret("s")),))
    stored = AccessState.of([user], [old] if old else [])
    wanted = AccessState.of([user], [new])
    document = read_document(write_document(wanted))

    found = plan(document, stored, resolve)
    state = carried_out(found, stored)
    assert plan(document, state, resolve).is_empty
    assert plan(document, state, resolve).comparison.is_empty
    assert state.users == stored.users
