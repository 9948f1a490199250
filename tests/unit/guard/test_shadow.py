"""Shadow mode admits and audits denials by policies; every other denial is enforced."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import UserStatus
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.errors import GuardMisconfigured, Refused
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.ports import GuardPorts
from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.guard.settings import Enforcement, GuardSettings
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, SECRET, World, signed

SHADOW = dataclasses.replace(ON, enforcement=Enforcement.SHADOW)


@pytest.fixture(name="world")
def a_world():
    world = World(SHADOW)
    world.allow("alice", "Topic:orders", "Pub", "Sub")
    world.deny("alice", "Topic:secret", "Pub")
    return world


def lines(world):
    """Return the last line of the audit log."""
    return [json.loads(line) for line in AuditLines().render(world.sink.records)[1].splitlines()]


def counted(world):
    return {family.name: dict(family) for family in world.metrics}


@pytest.mark.parametrize(("topic", "reason"), [("secret", "denied"), ("other", "no-match")])
def test_a_denial_by_a_policy_is_admitted_audited_and_counted(world, topic, reason):
    access = world.admit(signed(310, b=topic))
    [line] = lines(world)

    assert (access.user, access.pending) == ("alice", False)
    assert (line["event"], line["verdict"], line["reason"], line["decision"]) == (
        "authorization",
        "shadow-deny",
        reason,
        "d1",
    )
    assert line["permissions"][0]["verdict"] == "Deny"
    assert counted(world)["mqguard_requests_shadowed_total"] == {("authorization", reason): 1}
    assert counted(world)["mqguard_requests_refused_total"] == {}
    assert counted(world)["mqguard_requests_admitted_total"] == {(): 1}


def test_what_is_allowed_is_plainly_allowed(world):
    world.admit(signed(310, b="orders"))
    [line] = lines(world)

    assert line["verdict"] == "allow"
    assert "decision" not in line
    assert len(world.guard.denials) == 0


def test_a_denial_in_shadow_mode_has_its_explanation(world):
    world.admit(signed(310, b="secret"))
    facts = world.guard.denials.find("d1").facts(with_entries=True)

    assert (facts["verdict"], facts["event"], facts["reason"]) == ("shadow-deny", "authorization", "denied")
    assert "no permission to access Topic:secret" in facts["message"]
    assert "remove from User:alice Custom: Deny Pub on Topic:secret from anywhere" in facts["explanationText"]


def test_several_needs_are_one_record_with_the_first_reason(world):
    """A pull needs the topic and the group; both are judged, and the last one that is allowed hides nothing."""
    world.allow("alice", "Group:g", "Sub")
    world.admit(signed(11, topic="other", consumerGroup="g"))
    world.admit(signed(11, topic="other", consumerGroup="h"))
    first, second = lines(world)

    assert (first["verdict"], first["reason"], first["decision"]) == ("shadow-deny", "no-match", "d1")
    assert [need["verdict"] for need in first["permissions"]] == ["Deny", "Allow"]
    assert [need["verdict"] for need in second["permissions"]] == ["Deny", "Deny"]
    assert len(world.guard.denials) == 2
    assert counted(world)["mqguard_requests_shadowed_total"] == {("authorization", "no-match"): 3}


def test_touched_objects_are_allowed_too(world):
    access = world.admit(signed(33, offset="0"))
    access.require(ResourceType.TOPIC, "secret", Action.PUB)
    _, line = lines(world)

    assert (line["event"], line["verdict"], line["reason"]) == ("object", "shadow-deny", "denied")
    assert access.allows(ResourceType.TOPIC, "other", Action.GET)
    assert access.allows(ResourceType.TOPIC, "orders", Action.SUB)
    assert counted(world)["mqguard_requests_shadowed_total"] == {("object", "denied"): 1, ("object", "no-match"): 1}
    with pytest.raises(Refused):
        access.require_owner("bob", "the client id `c`")


@pytest.mark.parametrize(
    "command",
    [
        signed(310, b="orders", secret="wrong"),
        signed(310, b="orders", user="nobody"),
        Command(310, ext={"b": "orders"}),
        Command(310, ext={"b": "orders", "AccessKey": "alice"}),
        signed(310),
        signed(25),
        signed(26),
        signed(318),
        signed(999_999),
        signed(11, topic="%RETRY%h", consumerGroup="g"),
        signed(103, clusterName="DefaultCluster"),
    ],
)
def test_a_denial_by_another_step_is_enforced(world, command):
    """Shadow mode does not apply to unauthenticated or unclear requests, those of Super users, and those between brokers."""
    world.refusal(command)
    assert [line["verdict"] for line in lines(world)] == ["deny"]


@pytest.mark.parametrize("code", sorted({*range(3001, 3011), 7_700_001}))
def test_users_policies_and_decisions_are_never_open(world, code):
    world.refusal(signed(code, username="root", subject="User:root"))


def test_every_code_that_needs_a_super_user_still_does(world):
    for code, row in TABLE.items():
        if row.level in {RequirementLevel.SUPER, RequirementLevel.BROKER, RequirementLevel.UNSERVED} or row.internal:
            world.refusal(signed(code, clusterName="DefaultCluster", brokerName="b", topic="t", consumerGroup="g"))


def test_a_disabled_user_is_refused(world):
    world.metadata.update_user("alice", status=UserStatus.DISABLE)
    for command in (signed(310, b="orders"), signed(310, b="secret"), signed(106)):
        world.refusal(command)


def test_a_whitelisted_anonymous_request_is_denied():
    """The whitelist of authentication authenticates no sender."""
    world = World(dataclasses.replace(SHADOW, authentication_whitelist=frozenset({"105"})))
    world.refusal(Command(105, ext={"topic": "orders"}))


@given(st.lists(st.sampled_from(["orders", "secret", "other", ""]), min_size=1, max_size=6))
def test_shadow_admits_just_what_enforcement_refuses_by_policy(topics):
    """Compared with enforcement it admits more, but only denials by policies, and it audits each of them."""
    worlds = World(ON), World(SHADOW)
    for world in worlds:
        world.allow("alice", "Topic:orders", "Pub")
        world.deny("alice", "Topic:secret", "Pub")
    for topic in topics:
        outcomes = []
        for world in worlds:
            try:
                world.admit(signed(310, b=topic))
                outcomes.append(lines(world)[-1]["verdict"])
            except Refused:
                outcomes.append("deny")
            world.forget_denials()
        expected = {"orders": ["allow", "allow"], "": ["deny", "deny"]}
        assert outcomes == expected.get(topic, ["deny", "shadow-deny"])


def test_it_needs_authentication():
    with pytest.raises(GuardMisconfigured, match="must know which user"):
        GuardSettings(authorization_enabled=True, trust_claimed_user=True, enforcement=Enforcement.SHADOW).check()


def test_it_does_not_pass_by_plugins_for_authorization():
    """Handlers are not asked about what our policies deny, so letting that in would be without them."""
    world = World()
    ports = GuardPorts(
        metadata=world.metadata, clock=world.clock, ticks=lambda: 0, new_id=lambda: "d", audit=world.audit
    )

    class Handler:
        """Any handler."""

    with pytest.raises(GuardMisconfigured, match="authorization plugins"):
        PluginGuard(SHADOW, ports, InstalledPlugins(authorization_handlers=[Handler()]))


def test_no_secret_is_shown(world):
    world.admit(signed(310, b="secret"))
    assert SECRET not in json.dumps(world.guard.denials.find("d1").facts(with_entries=True))
