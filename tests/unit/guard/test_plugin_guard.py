"""The guard with plugins: requests that wait, what they touch, and what it refuses to be."""

import dataclasses
import gc
import logging
import tracemalloc

import pytest

from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import Subject
from mqguard.guard.audit import Stage
from mqguard.guard.denial import remedy
from mqguard.guard.errors import GuardMisconfigured, Refused
from mqguard.guard.plugin_api import AuthorizationRequest, HandlerResult, Ruling
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.guard.settings import Enforcement
from mqguard.testing.plugin_guard import PEER, signed
from tests.unit.guard.plugins import ON, Scripted, guarded
from tests.unit.guard.world import response_code

SEND = signed(310, {"b": "orders"})
VIEW = signed(33, {"offset": "7"})
TOPIC = ResourceType.TOPIC


def answered(world, command):
    """Return the admitted request after all plugin calls, and the results so far."""
    answers = PluginResults()
    while True:
        try:
            return world.admission.resume(command, PEER, answers), answers
        except PluginCallsPending as waits:
            answer(waits)


def answer(waits):
    for call in waits.calls:
        call.answer(call.run())


def test_a_quick_plugin_is_asked_at_once():
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW))

    assert world.admission.admit(SEND, PEER).user == "alice"


@pytest.mark.parametrize("port", ["authentication_provider", "authorization_provider"])
def test_a_plugin_that_may_wait_makes_the_request_wait(port):
    """The plugin is not called inline; each request has results of its own."""
    plugin = Scripted(Ruling.ALLOW if port == "authorization_provider" else "alice", quick=False)
    world = guarded(dataclasses.replace(ON, authorization_enabled=port == "authorization_provider"), **{port: plugin})
    with pytest.raises(PluginCallsPending) as first:
        world.admission.admit(SEND, PEER)
    assert [call.lane for call in first.value.calls] == [port]
    answer(first.value)
    with pytest.raises(PluginCallsPending) as second:
        world.admission.admit(SEND, PEER)

    access = world.admission.resume(SEND, PEER, first.value.answers)

    assert access.user == "alice"
    assert second.value.answers is not first.value.answers
    assert len(plugin.asked) == 1


def test_a_fault_refuses_and_is_logged(caplog, break_users):
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW))
    break_users()
    with caplog.at_level(logging.ERROR), pytest.raises(Refused, match=r"^Authorization failed\.") as refused:
        world.admission.admit(SEND, PEER)

    assert response_code(refused.value) == 16
    assert world.guard.denials.find(refused.value.decision_id).event.reason == "internal-error"
    assert "the guard failed at request 310 SEND_MESSAGE_V2 of 10.1.2.3" in caplog.text


# Objects.


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_touched_is_asked_about(quick):
    """Each resource once, however often a handler starts anew."""
    provider = Scripted(Ruling.ALLOW, quick)
    world = guarded(authorization_provider=provider)
    access, _ = answered(world, VIEW)
    for name in ("orders", "bills"):
        while True:
            try:
                access.require(TOPIC, name, Action.GET)
                break
            except PluginCallsPending as waits:
                answer(waits)

    asked = [
        AuthorizationRequest("alice", "signature", "10.1.2.3", "VIEW_MESSAGE_BY_ID", 33, "Topic", name, ("Get",))
        for name in ("orders", "bills")
    ]
    assert [question for (question,) in provider.asked] == asked
    assert [record.permissions[0].name for record in world.records[1:]] == ["orders", "bills"]


@pytest.mark.parametrize("ask", ["require", "allows"])
@pytest.mark.parametrize(("command", "pending"), [(VIEW, True), (SEND, False)])
def test_who_waits_has_not_asked_yet(ask, command, pending):
    """The handler starts anew, and what was pending is so again."""
    world = guarded(authorization_provider=Scripted(Ruling.ALLOW, quick=False))
    access, _ = answered(world, command)
    assert access.pending is pending
    with pytest.raises(PluginCallsPending) as waits:
        getattr(access, ask)(TOPIC, "object", Action.GET)
    assert access.pending is pending

    answer(waits.value)
    assert getattr(access, ask)(TOPIC, "object", Action.GET) in {None, True}
    assert not access.pending


@pytest.mark.parametrize(
    ("ruling", "expected"),
    [(Ruling.DENY, "plugin-refused"), (ValueError("x"), "plugin-raised"), (1, "plugin-nonsense")],
)
def test_what_is_touched_and_not_allowed_is_refused(ruling, expected):
    """The kept denial says that a plugin decided, not the policies."""
    provider = Scripted(Ruling.ALLOW)
    world = guarded(authorization_provider=provider)
    entry = Entry(Resource.parse("Topic:*"), (Action.ALL,), (), Decision.ALLOW)
    world.users.create_acl(Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,)),)))
    access = world.admit(VIEW)
    provider.answer = ruling

    assert access.allows(TOPIC, "orders", Action.GET) is False
    with pytest.raises(Refused) as refused:
        access.require(TOPIC, "orders", Action.GET)

    told = world.guard.denials.find(refused.value.decision_id)
    assert (told.event.stage, told.event.reason, told.event.operation.code) == (Stage.OBJECT, expected, 33)
    assert [need.text for need in told.event.permissions] == ["Get on Topic:orders"]
    assert (told.event.rights, told.explanation()) == (None, None)
    named = "User:alice has no permission to access Topic:orders from 10.1.2.3"
    assert told.message.startswith(named if expected == "plugin-refused" else "Authorization failed.")


def test_a_denial_by_a_plugin_has_no_explanation_by_policies():
    world = guarded(authorization_provider=Scripted(Ruling.DENY))
    with pytest.raises(Refused):
        world.admit(SEND)
    told = world.guard.denials.last(1)[0]

    assert (told.event.rights, told.explanation()) == (None, None)
    assert "the plugin that decides must decide otherwise" in remedy(told.event.reason)


def test_a_request_that_waited_is_judged_anew():
    """By what the plugin says then; where it must be asked first, it is not allowed at once."""
    provider = Scripted(Ruling.ALLOW)
    world = guarded(authorization_provider=provider)
    access = world.admit(SEND)
    access.hold()
    assert access.still_allowed()

    provider.answer = Ruling.DENY
    assert not access.still_allowed()

    slow = guarded(authorization_provider=Scripted(Ruling.ALLOW, quick=False))
    access, answers = answered(slow, SEND)
    answers.deadline, answers.over = 5.0, "plugin-late"
    assert not access.still_allowed()
    assert (answers.known, answers.deadline, answers.over) == ({}, None, None)


# Invalid combinations.


@pytest.mark.parametrize(
    "plugins",
    [
        {"authorization_provider": Scripted(Ruling.ALLOW)},
        {"authorization_handlers": (Scripted(HandlerResult.NEXT),)},
    ],
)
def test_watching_policies_does_not_pass_by_plugins(plugins):
    shadow = dataclasses.replace(ON, enforcement=Enforcement.SHADOW)
    with pytest.raises(GuardMisconfigured, match="authorization plugins"):
        guarded(shadow, **plugins)
    guarded(ON, **plugins)
    guarded(shadow, authentication_handlers=(Scripted(HandlerResult.NEXT),))


class Checking:
    """An authentication handler that keeps nothing."""

    def __init__(self, answer, quick):
        self.answer = answer
        self.quick = quick

    def check(self, claim, user):
        if self.answer is None:
            raise ValueError(f"{user} sent {len(claim.content)} bytes")
        return self.answer


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("answer", [HandlerResult.NEXT, HandlerResult.REFUSE, None])
def test_nothing_keeps_a_request_that_has_ended(quick, answer):
    """Without the help of the garbage collector: a body may have megabytes."""
    world = guarded(authentication_handlers=(Checking(answer, quick),))
    world.admits(signed(310, {"b": "orders"}, b"warm", user="root"))
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(20):
            command = signed(310, {"b": "orders"}, b"x" * 1_000_000, user="root")
            assert world.admits(command) is (answer is HandlerResult.NEXT)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert held < 5_000_000
