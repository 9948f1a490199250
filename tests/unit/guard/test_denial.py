"""The latest denials: what is kept of them, and their form in JSON."""

import dataclasses

import pytest

from mqguard.auth.explain import explanation_json, explanation_text
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject, User, UserStatus
from mqguard.guard.context import RequiredPermission
from mqguard.guard.denial import FORGOTTEN, MOST_NEEDS_KEPT, Denial, DenialLog, facts_of, remedy
from mqguard.guard.settings import Enforcement, GuardSettings, WhenAuditFull
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, World, signed


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:order*", "Pub")
    world.deny("alice", "Topic:orders-secret", "Pub")
    return world


def story(world, command):
    return world.guard.refusals.find(world.refusal(command).decision_id).story()


def test_the_whole_story_of_a_denied_send(world):
    """Who, what, where from, what was needed, the entries that were considered, and what would turn it."""
    assert story(world, signed(310, b="orders-secret")).splitlines() == [
        "decision d1 of 2023-11-14T22:13:20.000+00:00",
        "request 310 SEND_MESSAGE_V2 of User:alice from 10.1.2.3",
        "refused in authorization: denied",
        "the peer was told: User:alice has no permission to access Topic:orders-secret from 10.1.2.3, the decision is deny. [decision d1]",
        "it needed: Pub on Topic:orders-secret",
        "Deny: User:alice Pub Topic:orders-secret from 10.1.2.3",
        "reason: denied, an entry denies it",
        "entries that cover the resource, best first:",
        " => Custom: Deny Pub on Topic:orders-secret from anywhere (decided: it is the first entry that matches)",
        "    Custom: Allow Pub on Topic:order* from anywhere (overruled: `Topic:orders-secret` is a name, which comes before a prefix)",
        "smallest change that reverses this decision:",
        "  remove from User:alice Custom: Deny Pub on Topic:orders-secret from anywhere",
    ]


def test_the_story_is_that_of_the_moment(world):
    """Policies that changed later do not change it."""
    refused = world.refusal(signed(310, b="other"))
    before = world.guard.refusals.find(refused.decision_id).story()
    world.allow("alice", "Topic:other", "Pub")

    assert world.guard.refusals.find(refused.decision_id).story() == before


@pytest.mark.parametrize(
    ("command", "remedy"),
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
def test_what_would_turn_a_refusal_that_no_policy_turns(world, command, remedy):
    """Each reason has its remedy."""
    assert f"to reverse this decision: {remedy}" in story(world, command)


def test_a_disabled_users_story(world):
    """The remedy is to enable it."""
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert "to reverse this decision: enable the user" in story(world, signed(310, b="orders"))


def test_the_story_of_nobody():
    """An excused request without a sender."""
    world = World(
        GuardSettings(
            authentication_enabled=True, authorization_enabled=True, authentication_whitelist=frozenset({"310"})
        )
    )

    told = story(world, Command(310, ext={"b": "orders"}))

    assert "request 310 SEND_MESSAGE_V2 of nobody from 10.1.2.3" in told
    assert "to reverse this decision: the client must sign its requests" in told


def test_a_claim_is_told_as_one(world):
    """What was not proven is said to be claimed."""
    assert "of User:alice (claimed, not proven)" in story(world, signed(310, b="orders", secret="wrong"))


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
    "fault": "the server's log at that time",
    "long-name": "correct the client: no policy change allows this request",
}


@pytest.mark.parametrize(("reason", "told"), REMEDIES.items())
def test_every_reason_has_its_remedy(reason, told):
    """What no list has is the client's fault."""
    assert told in remedy(reason)


def test_what_is_not_known_of_a_refusal():
    """Nothing was needed, nobody's rights were looked at, nothing was proven, and it was a refusal."""
    told = refusal(7)

    assert (told.needs, told.refused, told.verdict, told.rights) == ((), None, None, None)
    assert (told.version, told.method, told.shadow) == (0, "", False)
    assert told.explanation() is None
    assert told.story().splitlines() == [
        "decision d7 of 1970-01-01T00:00:00.000+00:00",
        "request 310 SEND_MESSAGE_V2 of User:alice from 10.1.2.3",
        "refused in guard: fault",
        "the peer was told: no",
        "to reverse this decision: see the server's log at that time",
    ]


def test_many_needs_of_which_none_was_refused_are_cut_as_well():
    """Such as where the audit log had no room."""
    needs = tuple(RequiredPermission(ResourceType.TOPIC, f"t{number}", frozenset({Action.PUB})) for number in range(50))
    log = DenialLog(10)
    log.add(Denial("d", 0, "alice", True, "10.0.0.1", 18, "guard", "audit-full", "no", needs))

    assert log.find("d").needs == needs[:8]


def refusal(number, user="alice"):
    return Denial(f"d{number}", 0, user, True, "10.1.2.3", 310, "guard", "fault", "no")


def test_only_the_last_are_remembered():
    """Older ones are in the audit log."""
    log = DenialLog(limit=3)
    for number in range(5):
        log.add(refusal(number, f"user{number}"))

    assert len(log) == 3
    assert log.find("d1") is None
    assert log.find("d2") is not None
    assert [one.decision_id for one in log.last(2)] == ["d4", "d3"]
    assert [one.decision_id for one in log.last(10)] == ["d4", "d3", "d2"]


@pytest.mark.parametrize("place", [0, 7, 8, 49])
def test_a_refusal_takes_no_more_memory_for_naming_more(place):
    """The one that was refused stays, behind those that were met."""
    needs = tuple(RequiredPermission(ResourceType.TOPIC, f"t{number}", frozenset({Action.PUB})) for number in range(50))
    log = DenialLog(10)
    log.add(Denial("d", 0, "alice", True, "10.0.0.1", 18, "authorization", "no-match", "no", needs, needs[place]))

    kept = log.find("d").needs
    assert len(kept) == MOST_NEEDS_KEPT == 8
    assert kept.count(needs[place]) == 1
    assert needs[place] in kept[: place + 1]


def one_refusal(number, **members):
    return Denial(
        **{
            "decision_id": f"d{number}",
            "when_ms": number,
            "user": "alice",
            "proven": True,
            "source": "10.1.2.3",
            "code": 310,
            "stage": "authorization",
            "reason": "denied",
            "remark": "no",
            **members,
        }
    )


def test_refusals_of_strangers_displace_none_of_users():
    log = DenialLog(8)
    for number in range(4):
        log.add(one_refusal(number, user="alice"))
    for number in range(4, 100):
        log.add(one_refusal(number, proven=False))

    for number in range(100, 200):
        log.add(one_refusal(number, proven=False, source="10.9.9.9"))

    assert [log.find(f"d{number}").when_ms for number in range(2, 4)] == [2, 3]
    assert [one.when_ms for one in log.last(4)] == [199, 99, 3, 2]


def test_refusals_of_one_user_displace_none_of_others():
    log = DenialLog(8)
    for number in range(100):
        log.add(one_refusal(number, user="alice" if number in {1, 2} else "mallory"))

    assert [one.when_ms for one in log.last(9)] == [99, 98, 2, 1]


def test_what_a_peer_was_told_is_kept_in_part():
    log = DenialLog(8)
    log.add(one_refusal(1, remark=f"begin{'x' * 100_000}end", user="y" * 100_000))

    kept = log.find("d1")
    assert (kept.remark[:5], kept.remark[-3:]) == ("begin", "end")
    assert len(kept.remark) + len(kept.user) < 3_000


def rights(entries):
    entry = Entry(Resource.parse("Topic:t"), (Action.PUB,), (), Decision.ALLOW)
    acl = Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,) * entries),)) if entries else None
    return Rights(User("alice", ()), acl)


def test_superseded_policies_are_forgotten_before_they_fill_memory():
    """Each refusal may have been judged by other policies, all of them big."""
    log = DenialLog(1_000)
    need = RequiredPermission(ResourceType.TOPIC, "t", frozenset({Action.PUB}))
    for number in range(100):
        log.add(one_refusal(number, rights=rights(1_000), refused=need))

    assert sum(log.find(f"d{number}").rights is not None for number in range(100)) < 20
    assert log.find("d0").forgotten
    assert not log.find("d99").forgotten
    assert "no longer kept" in log.find("d0").story()
    assert facts_of(log.find("d0"), with_entries=False)["hidden_reason"] == FORGOTTEN


def test_policies_that_are_shared_count_once():
    """However many refusals they made, and also after some of these are gone."""
    log, shared = DenialLog(1_000), rights(15_000)
    for number in range(3_000):
        log.add(one_refusal(number, rights=shared, user=f"user{number % 10}"))
    for number in range(3_000, 3_500):
        log.add(one_refusal(number, rights=rights(0), user=f"user{number % 10}"))
    log.add(one_refusal(2_999, rights=shared))

    assert len(log) == 1_000
    assert not log.find("d2999").forgotten
    for number in range(4_000, 6_000):
        log.add(one_refusal(number, user=f"user{number % 10}"))
    assert log.find("d2999") is None
    log.add(one_refusal(7_000, rights=rights(19_000)))
    log.add(one_refusal(7_001, rights=rights(500)))
    assert not log.find("d7000").forgotten


def test_one_users_policies_are_kept_however_many():
    log = DenialLog(10)
    log.add(one_refusal(1, rights=rights(50_000)))
    assert not log.find("d1").forgotten


@pytest.fixture(name="grouped")
def a_world_with_a_denied_group():
    world = World()
    world.allow("alice", "Topic:orders", "Sub")
    world.deny("alice", "Group:g", "Sub", sources=("10.0.0.0/8",))
    return world


def facts(world, command, *, with_entries=True):
    refusal = world.guard.refusals.find(world.refusal(command).decision_id)
    return facts_of(refusal, with_entries=with_entries)


DENIED = {"resource": "Group:g", "actions": ["Sub"], "sources": ["10.0.0.0/8"], "decision": "Deny"}


def test_every_member_of_a_denial(grouped):
    """What was met before, what was not, and the story of its entries."""
    grouped.clock.now += 89
    told = facts(grouped, signed(11, topic="orders", consumerGroup="g"))
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
        "version": grouped.metadata.snapshot.version,
    }
    explanation = grouped.guard.refusals.find("d1").explanation()
    assert story == explanation_json(explanation)
    assert explained == explanation_text(explanation)
    assert "remove from User:alice Custom: Deny Sub on Group:g from 10.0.0.0/8" in explained


def test_entries_are_withheld_from_whom_they_are_not_for(grouped):
    """That there are any is said."""
    told = facts(grouped, signed(11, topic="orders", consumerGroup="g"), with_entries=False)

    assert told["hidden_reason"] == (
        "the user or its policies have changed since: only a Super user may see the entries of that time"
    )
    assert {"explanation", "explanation_text"}.isdisjoint(told)
    assert [need["verdict"] for need in told["needs"]] == ["Allow", "Deny"]
    assert all("decided_by" not in need for need in told["needs"])


def test_what_was_never_judged_has_no_verdict(grouped):
    told = facts(grouped, signed(11, topic="other", consumerGroup="g"))

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
def test_where_no_entry_was_asked_none_is_told_or_withheld(grouped, command, event, reason, user, proven, with_entries):
    told = facts(grouped, command, with_entries=with_entries)

    assert (told["event"], told["reason"], told["user"], told["authenticated_by"]) == (event, reason, user, proven)
    assert (told["needs"], told["verdict"]) == ([], "deny")
    assert {"explanation", "explanation_text", "hidden_reason"}.isdisjoint(told)
    assert told["request"] == ("unknown" if command.code == 4242 else "SEND_MESSAGE_V2")


def test_what_was_let_in_and_would_be_refused_is_told_as_that():
    world = World(dataclasses.replace(ON, enforcement=Enforcement.SHADOW))
    world.admit(signed(310, b="orders"))
    told = facts_of(world.guard.refusals.find("d1"), with_entries=True)

    assert (told["verdict"], told["decision"], told["needs"][0]["verdict"]) == ("shadow-deny", "d1", "Deny")
