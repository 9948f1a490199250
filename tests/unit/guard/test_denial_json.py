"""A remembered refusal as facts: every member, and what is told to whom."""

import dataclasses

import pytest

from mqguard.auth.explain_json import explanation_facts
from mqguard.auth.explain_text import render
from mqguard.guard.denial_json import facts_of
from mqguard.guard.settings import Enforcement, WhenAuditFull
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, World, signed


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:orders", "Sub")
    world.deny("alice", "Group:g", "Sub", sources=("10.0.0.0/8",))
    return world


def facts(world, command, *, with_entries=True):
    refusal = world.guard.refusals.find(world.refusal(command).decision_id)
    return facts_of(refusal, with_entries=with_entries)


DENIED = {"resource": "Group:g", "actions": ["Sub"], "sources": ["10.0.0.0/8"], "decision": "Deny"}


def test_every_member_of_a_denial(world):
    """What was met before, what was not, and the story of its entries."""
    world.clock.ms += 89
    told = facts(world, signed(11, topic="orders", consumerGroup="g"))
    story, explained = told.pop("explanation"), told.pop("explanation_text")

    assert told == {
        "time": "2023-11-14T22:13:20.089Z",
        "event": "authorization",
        "verdict": "deny",
        "reason": "denied",
        "user": "alice",
        "authenticated_by": "signature",
        "source": "10.1.2.3",
        "code": 11,
        "request": "PULL_MESSAGE",
        "needs": [
            {"resource": "Topic:orders", "actions": ["Sub"], "verdict": "Allow"},
            {"resource": "Group:g", "actions": ["Sub"], "verdict": "Deny", "decided_by": DENIED},
        ],
        "decision": "d1",
        "message": "User:alice has no permission to access Group:g from 10.1.2.3, the decision is deny. [decision d1]",
        "version": world.metadata.snapshot.version,
    }
    explanation = world.guard.refusals.find("d1").explanation()
    assert story == explanation_facts(explanation)
    assert explained == render(explanation)
    assert "remove from User:alice Custom: Deny Sub on Group:g from 10.0.0.0/8" in explained


def test_entries_are_withheld_from_whom_they_are_not_for(world):
    """That there are any is said."""
    told = facts(world, signed(11, topic="orders", consumerGroup="g"), with_entries=False)

    assert told["hidden_reason"] == (
        "the user or its policies have changed since: only a Super user may see the entries of that time"
    )
    assert {"explanation", "explanation_text"}.isdisjoint(told)
    assert [need["verdict"] for need in told["needs"]] == ["Allow", "Deny"]
    assert all("decided_by" not in need for need in told["needs"])


def test_what_was_never_judged_has_no_verdict(world):
    told = facts(world, signed(11, topic="other", consumerGroup="g"))

    assert [need.get("verdict") for need in told["needs"]] == ["Deny", None]


def test_where_no_need_was_refused_none_has_a_verdict():
    """What was judged is in the audit log, where there is room."""
    world = World(dataclasses.replace(ON, when_audit_full=WhenAuditFull.REFUSE))
    world.allow("alice", "*", "All")
    world.sink.limit = 0
    told = facts(world, signed(11, topic="orders", consumerGroup="g"))

    assert told["needs"] == [
        {"resource": "Topic:orders", "actions": ["Sub"]},
        {"resource": "Group:g", "actions": ["Sub"]},
    ]


@pytest.mark.parametrize("with_entries", [True, False])
@pytest.mark.parametrize(
    ("command", "event", "reason", "user", "proven"),
    [
        (signed(310, b="orders", secret="wrong"), "authentication", "wrong-signature", "alice", ""),
        (Command(310), "authentication", "no-credentials", "", ""),
        (signed(310), "requirements", "missing-field", "alice", "signature"),
        (signed(4242), "requirements", "unmapped-code", "alice", "signature"),
    ],
)
def test_where_no_entry_was_asked_none_is_told_or_withheld(world, command, event, reason, user, proven, with_entries):
    told = facts(world, command, with_entries=with_entries)

    assert (told["event"], told["reason"], told["user"], told["authenticated_by"]) == (event, reason, user, proven)
    assert (told["needs"], told["verdict"]) == ([], "deny")
    assert {"explanation", "explanation_text", "hidden_reason"}.isdisjoint(told)
    assert told["request"] == ("unknown" if command.code == 4242 else "SEND_MESSAGE_V2")


def test_what_was_let_in_and_would_be_refused_is_told_as_that():
    world = World(dataclasses.replace(ON, enforcement=Enforcement.SHADOW))
    world.admit(signed(310, b="orders"))
    told = facts_of(world.guard.refusals.find("d1"), with_entries=True)

    assert (told["verdict"], told["decision"], told["needs"][0]["verdict"]) == ("shadow-deny", "d1", "Deny")
