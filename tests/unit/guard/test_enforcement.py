"""What is left of a refusal: the record, the story and the count."""

import dataclasses
import json

import pytest

from mqguard.guard.audit import Stage
from mqguard.guard.denial import remedy
from mqguard.guard.enforcement import MAX_UNDECIDED
from mqguard.guard.settings import Enforcement, WhenAuditFull
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, World, response_code, signed

SHADOW = dataclasses.replace(ON, enforcement=Enforcement.SHADOW)


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:orders", "Pub", "Create")
    return world


@pytest.mark.parametrize(
    ("command", "stage", "reason"),
    [
        (signed(310, b="orders", secret="wrong"), Stage.AUTHENTICATION, "wrong-signature"),
        (signed(310), Stage.REQUIREMENTS, "missing-field"),
        (signed(310, b="other"), Stage.AUTHORIZATION, "no-match"),
    ],
)
def test_a_refusal_is_on_record_with_its_step_reason_and_time(world, command, stage, reason):
    """The same in the record and in the story."""
    world.admit(signed(310, b="orders"))
    world.clock.now += 7
    refused = world.refusal(command)
    record, story = world.sink.records[-1], world.guard.denials.find(refused.decision_id)

    assert (record.stage, record.reason, record.refused, record.shadow) == (stage, reason, True, False)
    assert (record.when_ms, record.latency_ns) == (world.clock.now, 1000)
    assert record.decision_id == refused.decision_id
    assert (story.event.stage.value, story.event.reason, story.event.shadow) == (stage.value, reason, False)
    assert (story.event.when_ms, story.message) == (world.clock.now, refused.message)


def test_a_request_that_does_not_say_what_it_must_hears_what_that_is(world):
    refused = world.refusal(signed(310))

    assert refused.message == (
        f"the topic is missing: the field `b` is absent or empty [decision {refused.decision_id}]"
    )
    assert (response_code(refused), str(refused)) == (16, refused.message)


def test_what_nobody_judged_is_on_record_in_small_number(world):
    """What was judged is, all of it; so is all that was needed where nothing came to be judged."""
    topics = [{"topicName": "orders"}, *({"topicName": f"t{number}"} for number in range(MAX_UNDECIDED + 5))]
    refused = world.refusal(signed(18, {}, json.dumps({"topicConfigList": topics}).encode()))
    record = world.sink.records[-1]

    assert MAX_UNDECIDED == 8
    assert [verdict.allowed for verdict in record.verdicts] == [True, False]
    assert [need.name for need in record.permissions] == [
        "orders",
        *(f"t{number}" for number in range(MAX_UNDECIDED + 1)),
    ]
    story = world.guard.denials.find(refused.decision_id)
    assert (story.refused.name, story.event.verdicts[-1]) == ("t0", record.verdicts[-1])


@pytest.mark.parametrize("settings", [ON, SHADOW])
def test_a_refusal_for_want_of_room_is_no_policys(settings):
    """Whatever was needed, allowed or overlooked before: the peer hears, and the story tells, that there is no room."""
    world = World(dataclasses.replace(settings, when_audit_full=WhenAuditFull.REFUSE))
    topics = [{"topicName": f"t{number}"} for number in range(20)]
    command = signed(18, {}, json.dumps({"topicConfigList": topics}).encode())
    if settings is ON:
        world.allow("alice", "Topic:*", "Create")
    world.sink.limit = 0
    refused = world.refusal(command)
    story = world.guard.denials.find(refused.decision_id)

    assert refused.message == (
        f"the audit log has no room, so the request is refused; try again later [decision {refused.decision_id}]"
    )
    assert (story.event.stage.value, story.event.reason, story.event.shadow) == ("guard", "audit-full", False)
    assert story.refused is None
    assert "make room for the audit log" in remedy(story.event.reason)


def test_nobody_hears_no_name():
    """A sender that is excused from the proof, and gave none."""
    world = World(dataclasses.replace(ON, authentication_whitelist=frozenset({"310"})))
    refused = world.refusal(Command(310, ext={"b": "orders", "AccessKey": "alice"}))

    assert refused.message == (
        f"Authorization failed. Please verify your access rights and try again. [decision {refused.decision_id}]"
    )


def test_what_would_be_refused_is_remembered_with_its_time():
    world = World(SHADOW)
    world.admit(signed(310, b="orders"))
    world.clock.now += 7
    world.admit(signed(310, b="others"))

    assert [refusal.event.when_ms for refusal in world.guard.denials.last(2)] == [world.clock.now, world.clock.now - 7]
    assert [record.decision_id for record in world.sink.records] == ["d1", "d2"]


def test_refusals_are_counted_by_step_and_reason(world):
    """Under names that dashboards are built on."""
    labels = {family.name: family.labels for family in world.metrics}

    assert labels == {
        "mqguard_requests_admitted_total": (),
        "mqguard_requests_refused_total": ("stage", "reason"),
        "mqguard_requests_shadowed_total": ("stage", "reason"),
    }
