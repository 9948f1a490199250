"""A written document is read back as the same state, and contains no secret."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.comparison import compare
from mqguard.auth.documents.document import SecretPlace, SecretReference
from mqguard.auth.documents.reader import read_document
from mqguard.auth.documents.writer import write_document
from mqguard.auth.policy import Acl, Action, Decision, Entry, PolicyType
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.user import LiveSecret, Secret, Subject, User, UserStatus, UserType
from mqguard.model.text import is_blank
from tests.property.analysis.universe import acl, acls, effort

# A lone surrogate cannot be in a file.
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda text: not is_blank(text)
)


def meaning(found: Acl):
    return {
        policy.type: [
            (e.resource, dict.fromkeys(e.actions), dict.fromkeys(e.sources), e.decision) for e in policy.entries
        ]
        for policy in found.policies
        if policy.entries
    }


@given(names, st.sampled_from(UserType), st.sampled_from(UserStatus), acls())
@example("null", UserType.NORMAL, UserStatus.ENABLE, acl([]))
@example("*&!", UserType.NORMAL, UserStatus.ENABLE, acl([]))
@example("0\x85", UserType.NORMAL, UserStatus.ENABLE, acl([]))
@example("a\u2028b", UserType.NORMAL, UserStatus.ENABLE, acl([]))
@example("a: b # c", UserType.SUPER, UserStatus.DISABLE, acl([]))
@effort(60)
def test_a_state_reads_back_as_itself(name, kind, status, policies):
    """Users, types, status and the order of entries are kept, for any name."""
    user = User(name, (LiveSecret(Secret("hush-hush")),), kind, status)
    state = AccessState.of([user], [Acl(Subject(name), policies.policies)])

    text = write_document(state, lambda _: SecretReference(SecretPlace.ENV, "NAME"))
    document = read_document(text)

    assert "hush-hush" not in text
    assert {one.name: (one.type, one.status) for one in document.users.values()} == {name: (kind, status)}
    assert document.users[name].secret == SecretReference(SecretPlace.ENV, "NAME")
    assert meaning(document.acls[name]) == meaning(policies)
    assert compare(state, document.directory).is_empty


def test_an_export_is_easy_to_read():
    """Short lists are on one line, and a secret is left out unless its location is known."""
    document = read_document(
        "version: 1\n"
        "users: {alice: {}}\n"
        "policies:\n"
        "  User:alice:\n"
        "    custom:\n"
        "    - {resource: [Topic:a, '*'], actions: [Pub, Sub], sources: 10.0.0.0/8, decision: Allow}\n"
    )

    assert write_document(document.directory) == (
        "version: 1\n"
        "users:\n"
        "  alice:\n"
        "    type: Normal\n"
        "    status: enable\n"
        "policies:\n"
        "  User:alice:\n"
        "    custom:\n"
        "    - resource: Topic:a\n"
        "      actions: [Pub, Sub]\n"
        "      sources: [10.0.0.0/8]\n"
        "      decision: Allow\n"
        "    - resource: '*'\n"
        "      actions: [Pub, Sub]\n"
        "      sources: [10.0.0.0/8]\n"
        "      decision: Allow\n"
    )


def test_an_export_is_for_readers_of_any_language():
    """Letters are not escaped, and only texts that need quotes have them."""
    document = read_document(
        "version: 1\nusers: {Zo\u00eb X: {}, '007': {}}\n"
        "policies: {User:\u5c0f\u660e: {custom: [{resource: Topic:\u65e5\u672cX, actions: Pub, decision: Deny}]}}\n"
    )
    text = write_document(document.directory)

    for line in ("  Zo\u00eb X:", "  '007':", "  User:\u5c0f\u660e:", "    - resource: Topic:\u65e5\u672cX"):
        assert f"\n{line}\n" in text


@pytest.mark.parametrize(
    "sign", ["\n", "\x1b", "\x85", "\xa0", "\xad", "\u200b", "\u202e", "\u2028", "\ufeff", "\U000e0001"]
)
def test_an_export_hides_nothing(sign):
    """Invisible characters in names and resources are escaped, and read back unchanged."""
    name = f"Zo\u00eb{sign}b"
    entry = Entry(Resource(ResourceType.TOPIC, name, Pattern.LITERAL), (Action.PUB,), (), Decision.ALLOW)
    state = AccessState.of([User(one, ()) for one in ("Zo\u00eb", name, "\u00e9")], [acl([entry], name=name)])

    text = write_document(state, lambda _: SecretReference(SecretPlace.FILE, name))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\n  Zo\u00eb:\n" in text
    assert "\n  \u00e9:\n" in text
    document = read_document(text)
    assert document.directory.users == state.users
    assert document.acls[name].entries(PolicyType.CUSTOM) == (entry,)
    assert document.users[name].secret == SecretReference(SecretPlace.FILE, name)
