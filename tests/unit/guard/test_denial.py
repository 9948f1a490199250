"""The latest denials: what is kept of them, and their form in JSON."""

import dataclasses

import pytest

from mqguard.auth.explain import explanation_json, explanation_text
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject, User, UserStatus
from mqguard.auth.verdict import Reason, Verdict
from mqguard.guard.admitted_request import Identity
from mqguard.guard.audit import AuditEvent, Stage
from mqguard.guard.denial import (
    FORGOTTEN,
    MAX_PERMISSIONS_KEPT,
    DenialLog,
    denial_of,
    remedy,
)
from mqguard.guard.errors import DenialReason
from mqguard.guard.permissions import RequiredPermission
from mqguard.guard.request_context import Operation
from mqguard.guard.settings import Enforcement, GuardSettings, WhenAuditFull
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, World, signed


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:order*", "Pub")
    world.deny("alice", "Topic:orders-secret", "Pub")
    return world


def denied(world, command):
    return world.guard.denials.find(world.refusal(command).decision_id)


def test_the_explanation_is_of_the_moment_of_the_denial(world):
    denial = denied(world, signed(310, b="other"))
    before = denial.facts(with_entries=True)
    world.allow("alice", "Topic:other", "Pub")

    assert world.guard.denials.find(denial.event.decision_id).facts(with_entries=True) == before
    assert "add to User:alice" in before["explanationText"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (signed(310, b="orders", secret="wrong"), "correct the secret in the client's configuration"),
        (signed(310, b="orders", user="nobody"), "create the user, or correct the access key"),
        (Command(310, ext={"b": "orders"}), "the client must sign its requests"),
        (Command(310, ext={"b": "orders", "AccessKey": "alice"}), "the client must sign its requests with its secret"),
        (signed(25), "send it as a Super user"),
        (signed(310), "correct the client"),
        (signed(11, topic="%RETRY%h", consumerGroup="g"), "use the retry topic as the group that it belongs to"),
    ],
)
def test_a_denial_that_no_policy_decided_has_a_remedy(world, command, expected):
    assert remedy(denied(world, command).event.reason).startswith(expected)


def test_the_remedy_for_a_disabled_user_enables_it(world):
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert remedy(denied(world, signed(310, b="orders")).event.reason) == "enable the user"


def test_an_anonymous_request_is_denied_for_want_of_credentials():
    """A whitelisted request without credentials needs a permission all the same."""
    world = World(
        GuardSettings(
            authentication_enabled=True, authorization_enabled=True, authentication_whitelist=frozenset({"310"})
        )
    )

    facts = denied(world, Command(310, ext={"b": "orders"})).facts(with_entries=True)

    assert (facts["user"], facts["reason"], facts["event"]) == ("", "no-credentials", "authorization")


def test_a_claimed_user_is_not_authenticated(world):
    facts = denied(world, signed(310, b="orders", secret="wrong")).facts(with_entries=True)

    assert (facts["user"], facts["authenticatedBy"]) == ("alice", "")


REMEDIES = {
    "no-credentials": "sign its requests with an access key and a secret",
    "no-signature": "must sign its requests with its secret",
    "unknown-user": "create the user",
    "wrong-signature": "correct the secret",
    "expired-secret": "the user's new secret",
    "disabled": "enable the user",
    "throttled": "wait, and correct the credentials",
    "missing-field": "correct the client, or send it as a Super user",
    "foreign-retry-topic": "as the group that it belongs to",
    "foreign-owner": "use another client id",
    "super-only": "send it as a Super user",
    "broker-only": "sign it with `innerClientAuthenticationCredentials`, or send it as a Super user",
    "unmapped-code": "send it as a Super user",
    "audit-full": "make room for the audit log",
    "plugin-refused": "the plugin that decides must decide otherwise",
    "plugin-raised": "has its error",
    "plugin-late": "pluginTimeoutMs",
    "plugin-nonsense": "has the value that it returned",
    "plugin-busy": "pluginThreads",
    "internal-error": "the server's log at that time",
    "long-name": "correct the client: no policy change allows this request",
}


@pytest.mark.parametrize(("reason", "expected"), REMEDIES.items())
def test_every_reason_has_its_remedy(reason, expected):
    assert expected in remedy(DenialReason(reason))


def make_denial(number=1, *, message="no", refused=None, authenticated=True, user="alice", **members):
    sender = {"identity": Identity(user, "signature")} if authenticated else {"claimed": user}
    event = AuditEvent(
        **{
            "operation": SEND,
            "source": "10.1.2.3",
            "started": 0,
            "decision_id": f"d{number}",
            "when_ms": number,
            "reason": "denied",
            **sender,
            **members,
        }
    )
    return denial_of(event, message, refused)


SEND = Operation(name="SEND_MESSAGE_V2", code=310)
TOPICS = tuple(RequiredPermission(ResourceType.TOPIC, f"t{number}", frozenset({Action.PUB})) for number in range(50))
ALLOWED, DENIED_VERDICT = Verdict(Decision.ALLOW, Reason.ALLOWED), Verdict(Decision.DENY, Reason.NO_MATCH)


def test_a_denial_without_permissions_has_no_explanation():
    denial = make_denial(reason="internal-error", stage=Stage.GUARD)

    assert denial.explanation() is None
    assert denial.facts(with_entries=True) == {
        "time": "1970-01-01T00:00:00.001Z",
        "event": "guard",
        "verdict": "deny",
        "reason": "internal-error",
        "user": "alice",
        "authenticatedBy": "signature",
        "source": "10.1.2.3",
        "code": 310,
        "request": "SEND_MESSAGE_V2",
        "permissions": [],
        "decision": "d1",
        "message": "no",
        "version": 0,
    }


def test_a_denial_of_a_protocol_without_numbers_has_the_name_of_its_operation():
    facts = make_denial(operation=Operation(name="SendMessage")).facts(with_entries=True)

    assert (facts["request"], "code" in facts) == ("SendMessage", False)


def test_the_permissions_of_a_denial_for_another_reason_are_bounded_too():
    denial = make_denial(permissions=TOPICS, reason="audit-full")

    assert denial.event.permissions == TOPICS[:8]
    assert denial.event.resources == 50


def test_only_the_latest_denials_are_kept():
    log = DenialLog(limit=3)
    for number in range(5):
        log.add(make_denial(number, user=f"user{number}"))

    assert len(log) == 3
    assert log.find("d1") is None
    assert log.find("d2") is not None
    assert [one.event.decision_id for one in log.last(2)] == ["d4", "d3"]
    assert [one.event.decision_id for one in log.last(10)] == ["d4", "d3", "d2"]


@pytest.mark.parametrize("position", [0, 7, 8, 49])
def test_a_denial_takes_no_more_memory_for_naming_more(position):
    """The permission that was not granted is kept, after those that were granted."""
    refused = TOPICS[position]
    verdicts = (*[ALLOWED] * position, DENIED_VERDICT)
    event = make_denial(permissions=TOPICS, verdicts=verdicts, refused=refused).event

    assert len(event.permissions) == MAX_PERMISSIONS_KEPT == 8
    assert event.permissions[len(event.verdicts) - 1] == refused
    assert [verdict.allowed for verdict in event.verdicts] == [True] * (len(event.verdicts) - 1) + [False]


def test_a_denial_keeps_only_the_entry_that_denied():
    entries = [Entry(Resource.parse(f"Topic:t{number}"), (Action.PUB,), (), Decision.ALLOW) for number in range(2)]
    verdicts = (
        Verdict(Decision.ALLOW, Reason.ALLOWED, entries[0]),
        Verdict(Decision.DENY, Reason.DENIED, entries[1]),
    )
    denial = make_denial(permissions=TOPICS[:2], verdicts=verdicts, refused=TOPICS[1])

    assert [verdict.decided_by for verdict in denial.event.verdicts] == [None, entries[1]]


def test_denials_of_addresses_displace_none_of_users():
    log = DenialLog(8)
    for number in range(4):
        log.add(make_denial(number))
    for number in range(4, 100):
        log.add(make_denial(number, authenticated=False))

    for number in range(100, 200):
        log.add(make_denial(number, authenticated=False, source="10.9.9.9"))

    assert [log.find(f"d{number}").event.when_ms for number in range(2, 4)] == [2, 3]
    assert [one.event.when_ms for one in log.last(4)] == [199, 99, 3, 2]


def test_denials_of_one_user_displace_none_of_others():
    log = DenialLog(8)
    for number in range(100):
        log.add(make_denial(number, user="alice" if number in {1, 2} else "mallory"))

    assert [one.event.when_ms for one in log.last(9)] == [99, 98, 2, 1]


def test_a_long_message_is_kept_in_part():
    denial = make_denial(message=f"begin{'x' * 100_000}end", user="y" * 100_000)

    assert (denial.message[:5], denial.message[-3:]) == ("begin", "end")
    assert len(denial.message) + len(denial.event.user) < 3_000


def rights(entries):
    entry = Entry(Resource.parse("Topic:t"), (Action.PUB,), (), Decision.ALLOW)
    acl = Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,) * entries),)) if entries else None
    return Rights(User("alice", ()), acl)


def test_old_policies_are_forgotten_before_they_fill_memory():
    """Each denial may come from other policies, all of them big."""
    log = DenialLog(1_000)
    for number in range(100):
        log.add(make_denial(number, rights=rights(1_000), refused=TOPICS[0]))

    assert sum(log.find(f"d{number}").event.rights is not None for number in range(100)) < 20
    assert log.find("d0").forgotten
    assert not log.find("d99").forgotten
    assert log.find("d0").facts(with_entries=False)["hiddenReason"] == FORGOTTEN


def test_policies_that_are_shared_count_once():
    """This holds for any number of denials, and after some of them are gone."""
    log, shared = DenialLog(1_000), rights(15_000)
    for number in range(3_000):
        log.add(make_denial(number, rights=shared, user=f"user{number % 10}"))
    for number in range(3_000, 3_500):
        log.add(make_denial(number, rights=rights(0), user=f"user{number % 10}"))
    log.add(make_denial(2_999, rights=shared))

    assert len(log) == 1_000
    assert not log.find("d2999").forgotten
    for number in range(4_000, 6_000):
        log.add(make_denial(number, user=f"user{number % 10}"))
    assert log.find("d2999") is None
    log.add(make_denial(7_000, rights=rights(19_000)))
    log.add(make_denial(7_001, rights=rights(500)))
    assert not log.find("d7000").forgotten


def test_the_policies_of_one_user_are_kept_whatever_their_size():
    log = DenialLog(10)
    log.add(make_denial(1, rights=rights(50_000)))
    assert not log.find("d1").forgotten


@pytest.fixture(name="grouped")
def a_world_with_a_denied_group():
    world = World()
    world.allow("alice", "Topic:orders", "Sub")
    world.deny("alice", "Group:g", "Sub", sources=("10.0.0.0/8",))
    return world


def facts(world, command, *, with_entries=True):
    refusal = world.guard.denials.find(world.refusal(command).decision_id)
    return refusal.facts(with_entries=with_entries)


DENIED = {"resource": "Group:g", "actions": ["Sub"], "sources": ["10.0.0.0/8"], "decision": "Deny"}


def test_every_member_of_a_denial(grouped):
    """The facts have the granted and the denied permissions, and the explanation."""
    grouped.clock.now += 89
    told = facts(grouped, signed(11, topic="orders", consumerGroup="g"))
    story, explained = told.pop("explanation"), told.pop("explanationText")

    assert told == {
        "time": "2023-11-14T22:13:20.089Z",
        "event": "authorization",
        "verdict": "deny",
        "reason": "denied",
        "user": "alice",
        "authenticatedBy": "signature",
        "source": "10.1.2.3",
        "code": 11,
        "request": "PULL_MESSAGE",
        "permissions": [
            {"resource": "Topic:orders", "actions": ["Sub"], "verdict": "Allow"},
            {"resource": "Group:g", "actions": ["Sub"], "verdict": "Deny", "decidedBy": DENIED},
        ],
        "decision": "d1",
        "message": "User:alice has no permission to access Group:g from 10.1.2.3, the decision is deny. [decision d1]",
        "version": grouped.metadata.snapshot.version,
    }
    explanation = grouped.guard.denials.find("d1").explanation()
    assert story == explanation_json(explanation)
    assert explained == explanation_text(explanation)
    assert "remove from User:alice Custom: Deny Sub on Group:g from 10.0.0.0/8" in explained


def test_entries_are_withheld_from_whom_they_are_not_for(grouped):
    """That there are any is said."""
    told = facts(grouped, signed(11, topic="orders", consumerGroup="g"), with_entries=False)

    assert told["hiddenReason"] == (
        "the user or its policies have changed since: only a Super user may see the entries of that time"
    )
    assert {"explanation", "explanationText"}.isdisjoint(told)
    assert [need["verdict"] for need in told["permissions"]] == ["Allow", "Deny"]
    assert all("decidedBy" not in need for need in told["permissions"])


def test_what_was_never_judged_has_no_verdict(grouped):
    told = facts(grouped, signed(11, topic="other", consumerGroup="g"))

    assert [need.get("verdict") for need in told["permissions"]] == ["Deny", None]


def test_a_denial_for_another_reason_keeps_the_verdicts():
    """A full audit queue denies a request whose permissions are all granted."""
    world = World(dataclasses.replace(ON, when_audit_full=WhenAuditFull.REFUSE))
    world.allow("alice", "*", "All")
    world.sink.limit = 0
    told = facts(world, signed(11, topic="orders", consumerGroup="g"), with_entries=False)

    assert told["permissions"] == [
        {"resource": "Topic:orders", "actions": ["Sub"], "verdict": "Allow"},
        {"resource": "Group:g", "actions": ["Sub"], "verdict": "Allow"},
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
def test_without_an_evaluated_entry_there_is_no_explanation(
    grouped, command, event, reason, user, proven, with_entries
):
    told = facts(grouped, command, with_entries=with_entries)

    assert (told["event"], told["reason"], told["user"], told["authenticatedBy"]) == (event, reason, user, proven)
    assert (told["permissions"], told["verdict"]) == ([], "deny")
    assert {"explanation", "explanationText", "hiddenReason"}.isdisjoint(told)
    assert told["request"] == ("unknown" if command.code == 4242 else "SEND_MESSAGE_V2")


def test_a_request_in_shadow_mode_has_the_verdict_shadow_deny():
    world = World(dataclasses.replace(ON, enforcement=Enforcement.SHADOW))
    world.admit(signed(310, b="orders"))
    told = world.guard.denials.find("d1").facts(with_entries=True)

    assert (told["verdict"], told["decision"], told["permissions"][0]["verdict"]) == ("shadow-deny", "d1", "Deny")
