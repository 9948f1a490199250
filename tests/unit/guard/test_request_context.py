"""Requests of a second protocol: the guard decides, audits and calls plugins for them as for frames."""

import dataclasses
import json

import pytest

from mqguard.auth.authentication import sign
from mqguard.auth.user import Secret
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.audit_log_reader import AuditReader
from mqguard.guard.errors import DenialReason, Refused
from mqguard.guard.plugin_api import HandlerResult
from mqguard.guard.request_context import Operation, Purpose
from mqguard.guard.requirements.rpc import RPC_TABLE, rpc_permissions
from mqguard.remoting.command import Command
from tests.unit.guard.plugins import Scripted, guarded
from tests.unit.guard.requirements.shape import message as rpc_message
from tests.unit.guard.world import ON, PEER, SECRET, World, signed

PURPOSES = {"QueryRoute": Purpose.ROUTE, "SendMessage": Purpose.SEND}


class Call:
    """A gRPC call in the form of the guard. The content that it signs is its date, as in Apache's proxy."""

    def __init__(self, rpc, message, user="alice", secret=SECRET, *, token=None):
        self.operation = Operation(name=rpc, listed_as=frozenset({rpc}), purpose=PURPOSES.get(rpc, Purpose.OTHER))
        self.peer = PEER
        self.access_key = user
        self.signature = None if secret is None else sign(Secret(secret), b"20260301T080000Z")
        self.token = token
        self.malformed = None
        self._message = rpc_message(rpc, message) if rpc in RPC_TABLE else None

    def signed_content(self):
        return b"20260301T080000Z"

    signed_content_without_token = signed_content

    def required_permissions(self):
        return rpc_permissions(self.operation.name, self._message)

    def is_pending(self):
        return False

    def is_public(self):
        return self.operation.purpose is Purpose.ROUTE and self._message.topic.name == "TBW102"


def send(topic, **credentials):
    return Call("SendMessage", {"messages": [{"topic": {"name": topic}}]}, **credentials)


def test_a_call_is_decided_by_the_policies():
    world = World()
    world.allow("alice", "Topic:orders", "Pub")

    admitted = world.guard.admit(send("orders"))
    with pytest.raises(Refused) as refused:
        world.guard.admit(send("bills"))

    assert [permission.text for permission in admitted.permissions] == ["Pub on Topic:orders"]
    assert refused.value.reason is DenialReason.NO_MATCH
    assert "no permission to access Topic:bills" in refused.value.message


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (send("orders", secret="wrong"), DenialReason.WRONG_SIGNATURE),
        (send("orders", user="nobody"), DenialReason.UNKNOWN_USER),
        (send("orders", user=None, secret=None), DenialReason.NO_CREDENTIALS),
        (send(""), DenialReason.MISSING_FIELD),
        (Call("Unheard", {}), DenialReason.UNMAPPED_CODE),
    ],
)
def test_each_denial_of_a_call_has_its_reason(call, reason):
    with pytest.raises(Refused) as refused:
        World().guard.admit(call)

    assert refused.value.reason is reason


@pytest.mark.parametrize("whitelist", ["QueryRoute", "QueryRoute,105"])
def test_a_whitelist_has_the_names_of_calls(whitelist):
    settings = dataclasses.replace(
        ON, authentication_whitelist=frozenset(whitelist.split(",")), authorization_whitelist=frozenset({"QueryRoute"})
    )
    route = Call("QueryRoute", {"topic": {"name": "orders"}}, user=None, secret=None)

    assert World(settings).guard.admit(route).identity is None
    with pytest.raises(Refused):
        World(settings).guard.admit(send("orders", user=None, secret=None))


@pytest.mark.parametrize("item", ["105", "GET_ROUTEINFO_BY_TOPIC"])
def test_a_whitelist_has_codes_and_names_of_frames(item):
    listed = frozenset({item})
    world = World(dataclasses.replace(ON, authentication_whitelist=listed, authorization_whitelist=listed))

    assert world.admit(Command(105, ext={"topic": "orders"})).identity is None
    world.refusal(Command(106))


@pytest.mark.parametrize("item", ["unknown", "0105", "+105", " 105", "get_routeinfo_by_topic", ""])
def test_no_other_item_of_a_whitelist_means_a_request(item):
    listed = frozenset({item})
    world = World(dataclasses.replace(ON, authentication_whitelist=listed, authorization_whitelist=listed))

    world.refusal(Command(105, ext={"topic": "orders"}))
    world.refusal(Command(4242))


def test_clients_use_some_topics_without_a_grant_in_every_protocol():
    world = World()

    world.guard.admit(Call("QueryRoute", {"topic": {"name": "TBW102"}}))
    world.guard.admit(send("RMQ_SYS_TRACE_TOPIC"))
    with pytest.raises(Refused):
        world.guard.admit(send("TBW102"))


def test_the_route_of_the_template_topic_is_public_in_every_protocol():
    anonymous = {"user": None, "secret": None}

    assert World().guard.admit(Call("QueryRoute", {"topic": {"name": "TBW102"}}, **anonymous)).identity is None
    with pytest.raises(Refused):
        World().guard.admit(Call("QueryRoute", {"topic": {"name": "orders"}}, **anonymous))


def test_audit_lines_of_both_protocols_are_read_alike():
    world = World()
    world.allow("alice", "Topic:orders", "Pub")
    world.guard.admit(send("orders"))
    world.admit(signed(310, b="orders"))
    apache, lines = AuditLines().render(world.sink.records)

    call, frame = map(json.loads, lines.splitlines())
    assert ("code" in call, call["request"]) == (False, "SendMessage")
    assert (frame["code"], frame["request"]) == (310, "SEND_MESSAGE_V2")
    assert {name: call[name] for name in ("user", "permissions", "verdict")} == {
        name: frame[name] for name in ("user", "permissions", "verdict")
    }
    assert b"for request = SendMessage.\n" in apache
    assert b"for request = 310.\n" in apache
    reader = AuditReader()
    for line in lines.splitlines():
        reader.take(line)
    assert (reader.decisions, len(reader.asked), reader.unreadable) == (2, 1, 0)


def test_plugins_get_the_name_of_the_operation():
    handler, checker = Scripted(HandlerResult.NEXT), Scripted(HandlerResult.NEXT)
    world = guarded(authentication_handlers=(handler,), authorization_handlers=(checker,))
    world.guard.admit(Call("Telemetry", {}, secret="a secret of usual length"))

    assert [(claim.operation, claim.code) for claim, _user in handler.asked] == [("Telemetry", None)]
    assert [(question.operation, question.code) for (question,) in checker.asked] == [("Telemetry", None)]
