"""Examples of recorded decisions that are evaluated with other policies."""

import pytest

from mqguard.auth.analysis.replay import Occurrences, RecordedDecision, replay
from mqguard.auth.documents.reader import read_document
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest

POLICY = """\
version: 1
users: {alice: {}, bob: {}, root: {type: Super}}
policies:
  User:alice:
    custom:
      - {resource: "Topic:a*", actions: Pub, decision: Allow}
      - {resource: Topic:ab, actions: Pub, decision: Deny}
      - {resource: Topic:ac, actions: Pub, decision: Allow}
    default:
      - {resource: "Topic:*", actions: Sub, decision: Allow}
      - {resource: "Topic:a*", actions: Pub, decision: Allow}
  User:bob:
    custom:
      - {resource: "Topic:*", actions: [Pub, Sub], decision: Allow}
      - {resource: Topic:secret, actions: All, decision: Deny}
  User:gone:
    custom:
      - {resource: "Topic:*", actions: Pub, decision: Allow}
"""
DIRECTORY = read_document(POLICY).directory


def asked(user, name, *, allowed, action=Action.PUB, kind=ResourceType.TOPIC, granted=False, claimed=False):
    request = AccessRequest(kind, name, frozenset({action}), parse_address("10.0.0.1"))
    return RecordedDecision(user, request, allowed, granted, claimed)


def told(questions):
    found = replay({question: Occurrences(count, "") for question, count in questions}, DIRECTORY)
    return [
        (one.recorded.user, one.recorded.request.name, one.occurrences.count, one.verdict.allowed)
        for one in found.changed
    ]


def test_new_denials_come_first_and_frequent_ones_before_rare_ones():
    """Equal counts are sorted by user and resource, so that the output is stable."""
    questions = [
        (asked("root", "x", allowed=False), 9),
        (asked("bob", "secret", allowed=True), 2),
        (asked("alice", "x", allowed=True), 2),
        (asked("alice", "g", allowed=True, kind=ResourceType.GROUP), 2),
        (asked("alice", "ab", allowed=True), 7),
        (asked("alice", "a", allowed=False), 1),
        (asked("alice", "b", allowed=True), 2),
        (asked("alice", "aa", allowed=True), 5),
        (asked("bob", "secret", allowed=False), 5),
    ]
    expected = [
        ("alice", "ab", 7, False),
        ("alice", "g", 2, False),
        ("alice", "b", 2, False),
        ("alice", "x", 2, False),
        ("bob", "secret", 2, False),
        ("root", "x", 9, True),
        ("alice", "a", 1, True),
    ]
    assert told(questions) == told(reversed(questions)) == expected


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize(
    ("user", "name", "now"),
    [
        ("alice", "nothing", None),
        ("alice", "ab", False),
        ("alice", "a", True),
        ("gone", "a", False),
        ("root", "x", True),
    ],
)
def test_an_implicit_grant_changes_only_if_an_entry_matches(user, name, now, allowed):
    """If no entry matches, an implicit grant of clients keeps its decision."""
    question = asked(user, name, allowed=allowed, granted=True)

    assert bool(told([(question, 1)])) is (now is not None and now is not allowed)


def test_an_entry_that_allowed_nothing_is_unused():
    """Equal entries of other users or policies do not matter. A Deny is never reported as unused."""
    questions = {
        asked("alice", "ab", allowed=False): Occurrences(1),
        asked("alice", "a", allowed=True): Occurrences(1),
        asked("gone", "a", allowed=False): Occurrences(1),
        asked("root", "secret", allowed=True): Occurrences(1),
        asked("bob", "secret", allowed=False): Occurrences(1),
    }
    found = replay(questions, DIRECTORY)

    assert found.changed == ()
    assert [(place.text, entry.resource.key) for place, entry in found.unused] == [
        ("User:alice Custom entry 3", "Topic:ac"),
        ("User:alice Default entry 1", "Topic:*"),
        ("User:alice Default entry 2", "Topic:a*"),
        ("User:bob Custom entry 1", "Topic:*"),
        ("User:gone Custom entry 1", "Topic:*"),
    ]
    used = replay({**questions, asked("bob", "x", allowed=True): Occurrences(1)}, DIRECTORY)
    assert "User:bob Custom entry 1" not in {place.text for place, _ in used.unused}
    assert len(used.unused) == len(found.unused) - 1


def test_a_decision_without_records_has_no_occurrences():
    assert (Occurrences().count, Occurrences().last) == (0, "")


def test_a_claimed_name_is_never_super():
    """The same name may be authenticated in one record and only claimed in another, in any order."""
    claimed = [asked(user, "a", allowed=True, claimed=True) for user in ("root", "alice", "nobody")]
    proven = asked("root", "a", allowed=True)
    for questions in ([*claimed, proven], [proven, *claimed]):
        assert told([(one, 1) for one in questions]) == [("nobody", "a", 1, False), ("root", "a", 1, False)]


def test_a_recorded_user_is_authenticated_by_default():
    request = asked("root", "x", allowed=True).request
    assert replay({RecordedDecision("root", request, True): Occurrences(1, "")}, DIRECTORY).changed == ()
