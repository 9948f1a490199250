"""Explanations as JSON for programs."""

import json

import pytest

from mqguard.auth.explain import explain, explanation_json
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import Source, parse_address
from mqguard.auth.user import Subject, User, UserStatus, UserType
from mqguard.auth.verdict import AccessRequest

PUB_OR_SUB = AccessRequest(ResourceType.TOPIC, "orders", frozenset({Action.SUB, Action.PUB}), parse_address("10.0.0.1"))


def entry(key, actions, decision, *sources):
    resource, allowed = Resource.parse(key), tuple(map(Action.parse, actions.split(",")))
    return Entry(resource, allowed, tuple(map(Source.parse, sources)), Decision.parse(decision))


def facts(request, *custom, default=(), user=None):
    policies = (Policy(PolicyType.CUSTOM, custom), Policy(PolicyType.DEFAULT, tuple(default)))
    rights = Rights(user or User("alice", ()), Acl(Subject("alice"), policies))
    found = explanation_json(explain("alice", request, rights))
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_complete_explanation_of_a_denial():
    """It has each outcome of an entry, and a change that removes and adds."""
    found = facts(
        PUB_OR_SUB,
        entry("Topic:orders", "Pub", "Deny"),
        entry("Topic:order*", "Sub,Get", "Deny", "10.0.0.0/8", "::1"),
        entry("Topic:*", "Pub", "Allow"),
        entry("Topic:*", "Get", "Allow"),
        entry("*", "All", "Allow", "11.0.0.0/8"),
        default=[entry("Topic:orders", "All", "Allow")],
    )
    assert found == {
        "user": "alice",
        "actions": ["Pub", "Sub"],
        "resource": "Topic:orders",
        "from": "10.0.0.1",
        "decision": "Deny",
        "reason": "denied",
        "entry": "Deny Pub on Topic:orders from anywhere",
        "considered": [
            {
                "policy": "Custom",
                "entry": "Deny Pub on Topic:orders from anywhere",
                "outcome": "decided",
                "why": "it is the first entry that matches",
            },
            {
                "policy": "Custom",
                "entry": "Deny Sub,Get on Topic:order* from 10.0.0.0/8,::1",
                "outcome": "agrees",
                "why": "it is the first entry for another requested action and has the same decision",
            },
            {
                "policy": "Custom",
                "entry": "Allow Pub on Topic:* from anywhere",
                "outcome": "overruled",
                "why": "`Topic:orders` is a name, which comes before all names",
            },
            {
                "policy": "Custom",
                "entry": "Allow Get on Topic:* from anywhere",
                "outcome": "other-action",
                "why": "its actions do not match the request",
            },
            {
                "policy": "Custom",
                "entry": "Allow All on * from 11.0.0.0/8",
                "outcome": "other-address",
                "why": "its sources do not match the client's address",
            },
            {
                "policy": "Default",
                "entry": "Allow All on Topic:orders from anywhere",
                "outcome": "default-shadowed",
                "why": "a Custom entry covers the resource, so Default entries do not apply",
            },
        ],
        "minimalChange": {
            "kind": "change-entries",
            "policy": "Custom",
            "remove": ["Deny Pub on Topic:orders from anywhere"],
            "add": [],
        },
    }


def test_a_right_for_one_of_several_actions():
    """A Deny that decides another action does not count."""
    found = facts(PUB_OR_SUB, entry("Topic:orders", "Pub", "Deny"), entry("Topic:*", "Sub", "Allow"))

    assert (found["decision"], found["reason"]) == ("Allow", "allowed")
    assert found["entry"] == "Allow Sub on Topic:* from anywhere"
    assert [(one["outcome"], one["why"]) for one in found["considered"]] == [
        ("overruled", "it is the first entry for another requested action, and one allowed action is enough"),
        ("decided", "it is the first entry that matches"),
    ]
    assert found["minimalChange"]["add"] == ["Deny Sub on Topic:orders from 10.0.0.1"]


def test_a_missing_entry_is_shown_as_an_addition():
    """The source is unknown, and no entry decides."""
    found = facts(AccessRequest(ResourceType.GROUP, "g", frozenset({Action.SUB}), None))

    assert (found["from"], found["entry"], found["considered"], found["reason"]) == (None, None, [], "no-match")
    assert found["minimalChange"] == {
        "kind": "change-entries",
        "policy": "Custom",
        "remove": [],
        "add": ["Allow Sub on Group:g from anywhere"],
    }


@pytest.mark.parametrize(
    ("user", "decision", "reason", "step"),
    [
        (User("alice", (), UserType.SUPER), "Allow", "super", "disable-user"),
        (User("alice", (), status=UserStatus.DISABLE), "Deny", "disabled", "enable-user"),
    ],
)
def test_type_and_status_of_a_user_decide_alone(user, decision, reason, step):
    """No entry decides, so the change is one of the user. The entries are still listed."""
    found = facts(PUB_OR_SUB, entry("Topic:*", "Sub", "Allow"), user=user)

    assert (found["decision"], found["reason"], found["entry"]) == (decision, reason, None)
    assert [(one["outcome"], one["why"]) for one in found["considered"]] == [
        ("not-evaluated", "policies are not evaluated")
    ]
    assert found["minimalChange"] == {"kind": step, "policy": "Custom", "remove": [], "add": []}


def test_a_user_that_does_not_exist_is_to_be_created():
    found = explanation_json(explain("ghost", PUB_OR_SUB, None))

    assert (found["user"], found["reason"], found["minimalChange"]["kind"]) == ("ghost", "unknown-user", "create-user")


def test_a_verdict_that_cannot_be_reversed_has_no_change():
    assert facts(AccessRequest(ResourceType.TOPIC, " ", frozenset({Action.SUB}), None))["minimalChange"] is None
