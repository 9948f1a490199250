"""Each step of a plan describes its change, and all steps together lead to the document."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.documents.nodes import DocumentInvalid
from mqguard.auth.documents.plan import PlanStep, plan
from mqguard.auth.documents.reader import read_document
from mqguard.auth.documents.writer import write_document
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.ports import DeleteAcl, DeleteUser, Metadata, PutAcl, PutUser
from mqguard.auth.resource import Resource
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.source import Source
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserStatus, UserType
from tests.property.analysis.universe import effort

# Few entries, so that both sides often have the same one, and more than once.
ENTRIES = [
    Entry(Resource.parse("Topic:a"), (Action.PUB, Action.SUB), (), Decision.ALLOW),
    Entry(Resource.parse("Topic:a"), (Action.PUB, Action.SUB), (), Decision.DENY),
    Entry(Resource.parse("Topic:a"), (Action.PUB,), (), Decision.ALLOW),
    Entry(Resource.parse("Topic:a*"), (Action.PUB,), (), Decision.ALLOW),
    Entry(Resource.parse("Topic:a"), (Action.PUB,), (Source.parse("10.0.0.0/8"),), Decision.ALLOW),
]
listed = st.lists(st.sampled_from(ENTRIES), max_size=4)
ROOT = User("root", (LiveSecret(Secret("secret_of_root")),), UserType.SUPER)


def policies(name):
    """Return policies of a subject, without empty ones."""
    return st.tuples(listed, listed).map(
        lambda both: Acl(
            Subject(name),
            tuple(Policy(kind, tuple(found)) for kind, found in zip(PolicyType, both, strict=True) if found),
        )
    )


def users(name):
    """Return a user with one of two secrets, or with an unknown one."""
    return st.builds(
        User,
        st.just(name),
        st.sampled_from([(LiveSecret(Secret(f"secret_of_{name}")),), (LiveSecret(Secret("another")),), ()]),
        st.sampled_from(UserType),
        st.sampled_from(UserStatus),
    )


@st.composite
def states(draw):
    """Return a stored state: a Super user, perhaps two other users, and policies with or without a user."""
    names = ["ann", "bob"]
    found = [draw(st.one_of(st.none(), users(name))) for name in names]
    acls = [draw(st.one_of(st.none(), policies(name))) for name in names]
    return AccessState.of([ROOT, *filter(None, found)], [acl for acl in acls if acl is not None and acl.policies])


THRICE, ONCE = (ENTRIES[0], ENTRIES[2], ENTRIES[0], ENTRIES[0]), (ENTRIES[0],)


def state(*entries):
    """Return users with one policy each, of these entries."""
    found = list(zip(["ann", "bob"], entries, strict=False))
    users = [User(name, ROOT.secrets) for name, _ in found]
    return AccessState.of(
        [ROOT, *users], [Acl(Subject(name), (Policy(PolicyType.CUSTOM, one),)) for name, one in found if one]
    )


def resolve(reference):
    return Secret(reference.name)


def lines(sign, kind, there, other):
    """Return the entries that one policy has more often than another."""
    for at, entry in enumerate(there):
        if there[:at].count(entry) < there.count(entry) - other.count(entry):
            yield f"{sign} {kind.value}: {entry.text}"


def step_of(change, stored):
    """Return the text of a change for users."""
    match change:
        case PutUser(user):
            old = stored.users.get(user.name)
            if old is None:
                return PlanStep("create", "user", user.name, (f"{user.type.value}, {user.status.value}",))
            told = ["the secret changes"] if user.secrets != old.secrets else []
            if user.type != old.type:
                told.append(f"type {old.type.value} becomes {user.type.value}")
            if user.status != old.status:
                told.append(f"status {old.status.value} becomes {user.status.value}")
            return PlanStep("change", "user", user.name, tuple(told))
        case DeleteUser(name):
            return PlanStep("delete", "user", name, ())
        case PutAcl(acl):
            name, new, verb = acl.subject.name, acl, "change" if acl.subject.name in stored.acls else "create"
        case DeleteAcl(subject):
            name, new, verb = subject.name, Acl(subject, ()), "delete"
    old = stored.acls.get(name, Acl(Subject(name), ()))
    return PlanStep(
        verb,
        "policies",
        name,
        tuple(
            line
            for kind in PolicyType
            for sign, one, other in (("-", old, new), ("+", new, old))
            for line in lines(sign, kind, one.entries(kind), other.entries(kind))
        ),
    )


def entries_of(acl):
    return {kind: sorted(entry.text for entry in acl.entries(kind)) for kind in PolicyType}


@given(states(), states(), st.booleans(), st.booleans())
@example(state(THRICE, ()), state(ONCE, ONCE), False, False)
@example(state(ONCE, THRICE), state(THRICE), True, True)
@example(state(ONCE, ONCE), state(THRICE, ()), True, False)
@effort(50)
def test_a_plan_does_its_steps_and_reaches_the_document(stored, wanted, prune, set_secrets):
    """Each step has its change, for any two states, and afterwards the state is that of the document."""
    wanted = AccessState(wanted.users, {name: acl for name, acl in wanted.acls.items() if name in wanted.users})
    text = write_document(wanted, lambda name: SecretReference(SecretPlace.ENV, f"secret_of_{name}"))
    found = plan(read_document(text), stored, resolve, prune=prune, set_secrets=set_secrets)

    assert found.steps == tuple(step_of(change, stored) for change in found.changes)
    snapshot = Snapshot.of(Metadata(list(stored.users.values()), list(stored.acls.values()))).after(found.changes)
    after = AccessState.of(snapshot.users(), snapshot.acls())
    kept = set() if prune else set(stored.users) - set(wanted.users)
    assert set(after.users) == set(wanted.users) | kept
    for name, user in after.users.items():
        like = stored if name in kept else wanted
        assert (user.type, user.status) == (like.users[name].type, like.users[name].status)
        if name in kept:
            assert user == stored.users[name]
        elif set_secrets or name not in stored.users or stored.users[name].secrets:
            assert user.secrets == (LiveSecret(Secret(f"secret_of_{name}")),)
        else:
            assert user.secrets == ()
    # Old policies under the name of a new user are deleted.
    kept = set() if prune else set(stored.acls) - set(wanted.acls) - (set(wanted.users) - set(stored.users))
    assert set(after.acls) == set(wanted.acls) | kept
    for name, acl in after.acls.items():
        assert entries_of(acl) == entries_of((stored if name in kept else wanted).acls[name])
    changed = [step for step in found.steps if (step.verb, step.what) == ("change", "user")]
    assert found.keeping == {step.name for step in changed if "the secret changes" not in step.details}
    assert found.uncompared == tuple(
        name
        for name in sorted(wanted.users)
        if name in stored.users and not stored.users[name].secrets and not set_secrets
    )


@given(states(), st.booleans())
@example(AccessState.of([ROOT], state(ONCE).acls.values()), True)
@effort(30)
def test_an_applied_export_changes_nothing(stored, prune):
    """An export names the whole state, including policies without a user, so nothing is deleted."""
    document = read_document(write_document(stored))

    assert plan(document, stored, resolve, prune=prune).is_empty


def test_a_user_without_a_secret_has_one_problem():
    """A missing secret is the only problem, whatever else the document says of that user."""
    text = "version: 1\nusers:\n  ann: {secret: {env: A}}\npolicies:\n  User:ann:\n"

    def nowhere(_):
        raise PolicyInvalid("it is nowhere")

    with pytest.raises(DocumentInvalid) as caught:
        plan(read_document(text), AccessState.of([ROOT], []), nowhere)
    assert [problem.message for problem in caught.value.problems] == [
        "the secret of `ann` was not found: it is nowhere"
    ]
