"""Heartbeats, of which the guard denies no more than the part that is not granted."""

import json

import pytest

from mqguard.guard.plugin_api import HandlerResult, Ruling
from mqguard.guard.plugin_calls import PluginCallsPending
from mqguard.guard.settings import Enforcement, GuardSettings
from mqguard.remoting.command import Command
from mqguard.testing import plugin_guard
from tests.unit.guard.plugins import Scripted, guarded
from tests.unit.guard.world import PEER, World, response_code, signed

ON = GuardSettings(authentication_enabled=True, authorization_enabled=True)


def heartbeat(consumers, sign=signed):
    """Return a heartbeat of alice with these groups, each with its topics."""
    body = json.dumps(
        {
            "clientID": "10.1.2.3@1",
            "consumerDataSet": [
                {"groupName": group, "subscriptionDataSet": [{"topic": topic, "subString": "*"} for topic in topics]}
                for group, topics in consumers.items()
            ],
            "producerDataSet": [{"groupName": "p"}],
        }
    ).encode()
    return sign(34, {}, body)


@pytest.fixture(name="world")
def a_world():
    world = World(ON)
    world.allow("alice", "Group:g*", "Sub")
    world.allow("alice", "Topic:orders", "Sub")
    return world


def keys(permissions):
    return sorted(permission.key for permission in permissions)


def test_what_is_granted_is_admitted_and_the_rest_is_named(world):
    admitted = world.admit(heartbeat({"g": ["orders", "payments"], "hidden": ["orders", "%RETRY%hidden"]}))

    assert keys(admitted.permissions) == ["Group:g", "Topic:orders"]
    assert keys(admitted.denied.permissions) == ["Group:hidden", "Topic:payments"]
    denial = admitted.denied.denial
    assert response_code(denial) == 16
    assert denial.message == (
        "User:alice has no permission to access Topic:payments from 10.1.2.3, no matched policies. "
        "Also denied: Group:hidden. The rest of the request is in force. [decision d1]"
    )


def test_both_parts_are_audited(world):
    world.admit(heartbeat({"g": ["orders", "payments"]}))

    denied, admitted = world.sink.records
    assert (denied.refused, denied.reason, keys(denied.permissions)) == (True, "no-match", ["Topic:payments"])
    assert (admitted.refused, keys(admitted.permissions)) == (False, ["Group:g", "Topic:orders"])
    assert world.guard.denials.find(denied.decision_id).event.permissions == denied.permissions


def test_a_heartbeat_that_is_granted_has_no_denied_part(world):
    assert world.admit(heartbeat({"g": ["orders", "%RETRY%g"]})).denied is None


def test_producers_are_admitted_even_if_every_consumer_is_denied(world):
    admitted = world.admit(heartbeat({"hidden": ["payments"]}))
    assert admitted.permissions == ()
    assert keys(admitted.denied.permissions) == ["Group:hidden", "Topic:payments"]


def test_the_message_and_the_record_of_many_denied_parts_stay_short(world):
    admitted = world.admit(heartbeat({"g": [f"t{number}" for number in range(500)]}))
    assert len(admitted.denied.permissions) == 500
    assert "and 491 more" in admitted.denied.denial.message
    assert len(world.sink.records[0].permissions) < 20


def test_an_anonymous_or_unreadable_heartbeat_is_denied_as_a_whole(world):
    refused = world.refusal(Command(34, body=heartbeat({"g": ["orders"]}).body))
    assert "username cannot be null" in refused.message
    assert "not the retry topic" in world.refusal(heartbeat({"g": ["orders", "%RETRY%other"]})).message


def test_shadow_mode_leaves_nothing_out():
    settings = GuardSettings(authentication_enabled=True, authorization_enabled=True, enforcement=Enforcement.SHADOW)
    world = World(settings)
    admitted = world.admit(heartbeat({"g": ["orders"], "hidden": ["payments"]}))
    assert admitted.denied is None
    assert len(admitted.permissions) == 4
    (record,) = world.sink.records
    assert record.shadow


class AllBut:
    """An authorization provider that denies one name."""

    quick = True

    def __init__(self, name):
        self.name = name

    def decide(self, request):
        return Ruling.DENY if request.name == self.name else Ruling.ALLOW


def test_a_plugin_denies_no_more_than_a_part():
    world = guarded(authorization_provider=AllBut("payments"))
    admitted = world.admission.admit(heartbeat({"g": ["orders", "payments"]}, plugin_guard.signed), PEER)
    assert keys(admitted.permissions) == ["Group:g", "Topic:orders"]
    assert keys(admitted.denied.permissions) == ["Topic:payments"]
    assert "Topic:payments" in admitted.denied.denial.message


def test_a_handler_that_denies_the_sender_denies_the_whole_heartbeat():
    world = guarded(
        authorization_provider=Scripted(Ruling.DENY), authorization_handlers=(Scripted(HandlerResult.REFUSE),)
    )
    assert not world.admits(heartbeat({"g": ["orders"]}, plugin_guard.signed))
    (denial,) = world.guard.denials.last(2)
    assert denial.event.reason == "plugin-refused"
    assert denial.event.permissions == ()


def test_a_heartbeat_that_waits_for_a_handler_has_no_record_yet():
    """It is evaluated again with the answer, and its denied part would be counted twice."""
    world = guarded(
        authorization_provider=Scripted(Ruling.DENY),
        authorization_handlers=(Scripted(HandlerResult.NEXT, quick=False),),
    )
    with pytest.raises(PluginCallsPending):
        world.admission.admit(heartbeat({"g": ["orders"]}, plugin_guard.signed), PEER)
    assert not world.records
    assert world.admit(heartbeat({"g": ["orders"]}, plugin_guard.signed)).denied
