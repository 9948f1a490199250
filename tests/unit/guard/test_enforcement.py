"""The effects of a denial: the record, the kept denial and the count."""

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
def test_a_denial_is_audited_with_its_stage_reason_and_time(world, command, stage, reason):
    """The record and the kept denial agree."""
    world.admit(signed(310, b="orders"))
    world.clock.now += 7
    refused = world.refusal(command)
    record, story = world.sink.records[-1], world.guard.denials.find(refused.decision_id)

    assert (record.stage, record.reason, record.refused, record.shadow) == (stage, reason, True, False)
    assert (record.when_ms, record.latency_ns) == (world.clock.now, 1000)
    assert record.decision_id == refused.decision_id
    assert (story.event.stage.value, story.event.reason, story.event.shadow) == (stage.value, reason, False)
    assert (story.event.when_ms, story.message) == (world.clock.now, refused.message)


def test_an_unclear_request_gets_the_missing_field(world):
    refused = world.refusal(signed(310))

    assert refused.message == (
        f"the topic is missing: the field `b` is absent or empty [decision {refused.decision_id}]"
    )
    assert (response_code(refused), str(refused)) == (16, refused.message)


def test_undecided_permissions_are_audited_in_small_number(world):
    """All decided permissions are audited, and all required ones if none was decided."""
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
def test_a_denial_by_a_full_log_is_not_one_by_a_policy(settings):
    """The message and the kept denial name the full log, for every earlier decision."""
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


def test_an_anonymous_sender_gets_no_name():
    """The sender is whitelisted and sent no credentials."""
    world = World(dataclasses.replace(ON, authentication_whitelist=frozenset({"310"})))
    refused = world.refusal(Command(310, ext={"b": "orders", "AccessKey": "alice"}))

    assert refused.message == (
        f"Authorization failed. Please verify your access rights and try again. [decision {refused.decision_id}]"
    )


def test_a_denial_in_shadow_mode_is_kept_with_its_time():
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
