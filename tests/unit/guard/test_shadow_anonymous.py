"""Shadow mode for clients without credentials, and for a part of the users, listeners, addresses and resources."""

import dataclasses
import json

import pytest

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import UserStatus
from mqguard.dispatch.access_requests import CHANGE_CODES
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.enforcement_scopes import MAX_SCOPES, parse_scopes
from mqguard.guard.errors import GuardMisconfigured, Refused
from mqguard.guard.requirements.evaluation import TABLE
from mqguard.guard.requirements.row import RequirementLevel
from mqguard.guard.settings import Enforcement
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.command import Command
from tests.unit.guard.world import ON, PEER, World, signed

SHADOW = dataclasses.replace(ON, enforcement=Enforcement.SHADOW)
OPEN = dataclasses.replace(SHADOW, shadow_anonymous=True)


def lines(world):
    return [json.loads(line) for line in AuditLines().render(world.sink.records)[1].splitlines()]


def is_admitted(world, command, peer=PEER):
    try:
        world.admit(command, peer)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("command", "reason", "user"),
    [
        (Command(310, ext={"b": "orders"}), "no-credentials", ""),
        (signed(310, b="orders", secret="wrong"), "wrong-signature", "alice"),
        (signed(310, b="orders", user="nobody"), "unknown-user", "nobody"),
        (Command(310, ext={"b": "orders", "AccessKey": "alice"}), "no-signature", "alice"),
    ],
)
def test_a_request_without_valid_credentials_is_admitted_and_recorded(command, reason, user):
    """Requests without credentials, and with wrong ones, have reasons of their own; no name becomes a user."""
    world = World(OPEN)
    access = world.admit(command)
    [line] = lines(world)

    assert access.identity is None
    assert (line["verdict"], line["event"], line["reason"]) == ("shadow-deny", "authentication", reason)
    assert (line["user"], line["authenticated_by"], line["source"]) == (user, "", PEER.ip)
    assert line["permissions"] == [{"resource": "Topic:orders", "actions": ["Pub"], "verdict": "Deny"}]
    [family] = [one for one in world.metrics if one.name == "mqguard_requests_shadowed_total"]
    assert dict(family) == {("authentication", reason): 1}


@pytest.mark.parametrize("code", sorted({*CHANGE_CODES, *range(3001, 3011), 25, 26, 318, 103, 999_999}))
def test_administration_is_never_open(code):
    """A claim to be a Super user changes nothing."""
    world = World(OPEN)

    assert not is_admitted(world, Command(code))
    assert not is_admitted(world, signed(code, user="root", secret="guess"))


def test_what_needs_a_super_user_or_a_broker_is_never_open():
    world = World(OPEN)
    closed = {RequirementLevel.SUPER, RequirementLevel.BROKER, RequirementLevel.UNSERVED}
    codes = [code for code, row in TABLE.items() if row.level in closed or row.internal]

    assert codes
    assert not any(is_admitted(world, Command(code, ext={"topic": "t", "b": "t", "group": "g"})) for code in codes)


def test_a_disabled_user_is_refused():
    world = World(OPEN)
    world.metadata.update_user("alice", status=UserStatus.DISABLE)

    assert not is_admitted(world, signed(310, b="orders"))


def test_touched_objects_are_open_and_recorded_and_those_of_users_are_closed():
    world = World(OPEN)
    access = world.admit(Command(33, ext={"offset": "0"}))
    access.require(ResourceType.TOPIC, "orders", Action.SUB)
    *_, line = lines(world)

    assert (line["event"], line["verdict"], line["reason"]) == ("object", "shadow-deny", "no-credentials")
    assert access.allows(ResourceType.TOPIC, "orders", Action.SUB)
    access.hold()
    assert access.still_allowed()
    with pytest.raises(Refused):
        access.require_owner("alice", "the client id `c`")


def test_without_the_option_strangers_are_refused():
    assert not is_admitted(World(SHADOW), Command(310, ext={"b": "orders"}))


AT_8081 = Peer("10.1.2.3", 1, Channel(), listener=8081)


@pytest.mark.parametrize(
    ("shadowed", "command", "peer", "admitted"),
    [
        ("User:alice", signed(310, b="x"), PEER, True),
        ("User:bob", signed(310, b="x"), PEER, False),
        ("User:alice & Topic:pay*", signed(310, b="pay1"), PEER, True),
        ("User:alice & Topic:pay*", signed(310, b="x"), PEER, False),
        ("Listener:8081", signed(310, b="x"), AT_8081, True),
        ("Listener:9876", signed(310, b="x"), AT_8081, False),
        ("From:10.0.0.0/8", Command(310, ext={"b": "x"}), PEER, True),
        ("From:10.9.0.0/16", Command(310, ext={"b": "x"}), PEER, False),
        ("Topic:pay*", Command(310, ext={"b": "pay1"}), PEER, True),
        ("Topic:pay*", Command(310, ext={"b": "x"}), PEER, False),
        ("User:alice, From:172.16.0.0/12", signed(310, b="x", secret="wrong"), PEER, False),
    ],
)
def test_shadow_mode_for_a_part(shadowed, command, peer, admitted):
    """A name that is only claimed chooses nothing."""
    scopes = parse_scopes(shadowed)
    opens = any(not scope.is_for_users for scope in scopes)

    assert is_admitted(World(dataclasses.replace(ON, shadow_for=scopes, shadow_anonymous=opens)), command, peer) is (
        admitted
    )


@pytest.mark.parametrize(
    ("enforced", "command", "admitted"),
    [
        ("User:alice", signed(310, b="x"), False),
        ("User:alice", signed(310, b="x", secret="wrong"), False),
        ("User:bob", signed(310, b="x"), True),
        ("Topic:x", Command(310, ext={"b": "x"}), False),
        ("Topic:y", Command(310, ext={"b": "x"}), True),
        ("From:10.1.0.0/16", Command(310, ext={"b": "x"}), False),
        ("From:10.1.0.0/16 & Topic:y", Command(310, ext={"b": "x"}), True),
    ],
)
def test_a_part_that_is_enforced_has_precedence(enforced, command, admitted):
    world = World(dataclasses.replace(OPEN, enforce_for=parse_scopes(enforced)))

    assert is_admitted(world, command) is admitted


@pytest.mark.parametrize("text", ["alice", "User:", "User:a*", "Listener:0", "Listener:x", "From:here", "Topic:a*b"])
def test_a_scope_in_another_form_is_an_error(text):
    with pytest.raises(GuardMisconfigured, match="is not a scope"):
        parse_scopes(text)


def test_too_many_scopes_are_an_error():
    with pytest.raises(GuardMisconfigured, match="too many"):
        parse_scopes(",".join(["User:a"] * (MAX_SCOPES + 1)))


@pytest.mark.parametrize(
    "settings", [{"shadow_anonymous": True}, {"shadow_anonymous": True, "shadow_for": parse_scopes("User:alice")}]
)
def test_settings_that_contradict_each_other_stop_the_start(settings):
    with pytest.raises(GuardMisconfigured):
        dataclasses.replace(ON, **settings).check()


def test_every_denial_that_is_let_through_has_a_line_or_is_counted():
    """Whatever names one address claims, no request is missing in the log, and the number of lines is bounded."""
    world = World(OPEN)
    for number in range(2000):
        world.admit(Command(310, ext={"b": f"t{number}", "AccessKey": f"u{number}"}))
    world.audit.close(world.clock.now)

    found = [line for line in lines(world) if line["verdict"] == "shadow-deny"]
    assert len(found) < 600
    assert sum(line.get("count", 1) for line in found) == 2000
