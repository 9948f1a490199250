"""Examples of comparisons."""

from mqguard.auth.analysis.comparison import compare
from mqguard.auth.documents.reader import read_document

ENTRY = "{resource: Topic:a, actions: Pub, decision: Allow}"


def state(users, *entries):
    body = "".join(f"      - {entry}\n" for entry in entries)
    policies = f"policies:\n  User:u:\n    custom:\n{body}" if entries else ""
    return read_document(f"version: 1\nusers: {{{users}}}\n{policies}").directory


def told(old, new):
    found = compare(old, new)
    return (
        [(one.what, one.old, one.new) for one in found.users],
        [(one.direction.value, one.region.names, ",".join(one.region.action_names)) for one in found.rights],
    )


def test_added_removed_and_changed_users_are_reported():
    """A comparison shows each change of a user, and its effect on rights."""
    assert told(state(""), state("u: {}", ENTRY)) == ([("added", "", "Normal, enable")], [("gained", "Topic:a", "Pub")])
    assert told(state("u: {}", ENTRY), state("", ENTRY)) == (
        [("removed", "Normal, enable", "")],
        [("lost", "Topic:a", "Pub")],
    )
    assert told(state("u: {}", ENTRY), state("u: {status: disable}", ENTRY)) == (
        [("status", "enable", "disable")],
        [("lost", "Topic:a", "Pub")],
    )
    assert told(state("u: {type: Super}", ENTRY), state("u: {}", ENTRY)) == (
        [("type", "Super", "Normal")],
        [
            ("lost", "Cluster:*", "All"),
            ("lost", "Topic:* but Topic:a", "All"),
            ("lost", "Topic:a", "Sub,Create,Update,Delete,Get,List"),
            ("lost", "Group:*", "All"),
        ],
    )
    assert told(state("u: {status: disable}"), state("u: {status: disable, type: Super}"))[1] == []


def test_another_notation_changes_no_right():
    """The rights are equal, and the comparison names the subject as rewritten."""
    old = state("u: {}", ENTRY, "{resource: 'Topic:b*', actions: Sub, sources: 10.0.0.0/8, decision: Allow}")
    new = state(
        "u: {}",
        "{resource: 'Topic:b*', actions: Sub, sources: [10.0.0.0/9, 10.128.0.0/9], decision: Allow}",
        "{resource: Topic:bc, actions: Sub, sources: 10.1.0.0/16, decision: Allow}",
        ENTRY,
        "{resource: 'Topic:bc', actions: Sub, sources: 10.0.0.0/8, decision: Allow}",
    )
    found = compare(old, new)

    assert found.is_empty
    assert found.rewritten == ("u",)
    assert compare(old, old).rewritten == ()


def test_a_change_shows_a_request_and_both_verdicts():
    """The change has the verdicts before and after, with the entries that decided."""
    (change,) = compare(
        state("u: {}", ENTRY),
        state("u: {}", ENTRY, "{resource: Topic:a, actions: Pub, sources: '::1', decision: Deny}"),
    ).rights

    assert change.region.witness.text == "Pub Topic:a from ::1"
    assert (change.old.allowed, change.new.allowed) == (True, False)
    assert change.new.decided_by.sources[0].text == "::1"


def test_a_change_of_users_or_of_rights_is_a_change():
    """Either of them is enough."""
    assert not compare(state(""), state("u: {}")).is_empty
    assert not compare(state("u: {}"), state("u: {}", ENTRY)).is_empty
    assert compare(state("u: {}"), state("u: {}")).is_empty
