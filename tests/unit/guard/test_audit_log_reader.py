"""The reader returns the decisions of an audit log."""

import json

import pytest

from mqguard.auth.analysis.access_state import AccessState
from mqguard.auth.analysis.replay import replay
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.verdict import AccessRequest
from mqguard.guard.audit_format import AuditLines
from mqguard.guard.audit_log_reader import AuditReader
from mqguard.guard.denial_groups import USERS
from mqguard.guard.settings import Enforcement, GuardSettings
from mqguard.model.peer import Channel, Peer
from tests.unit.guard.world import World, signed


def read(world: World) -> AuditReader:
    """Return the decisions of a world, written and read back."""
    reader = AuditReader()
    for line in AuditLines().render(world.sink.records)[1].splitlines(keepends=True):
        reader.take(line)
    return reader


@pytest.fixture(name="world")
def a_world() -> World:
    world = World()
    world.allow("alice", "Topic:orders*", "Pub", sources=("10.0.0.0/8",))
    world.allow("alice", "Group:g", "Sub")
    return world


def test_every_judged_resource_is_one_question(world: World) -> None:
    """Users, resources, actions, addresses; admissions and refusals; a repeat is counted."""
    world.admit(signed(310, b="orders-1"))
    world.clock.now += 1000
    world.admit(signed(310, b="orders-1"))
    world.refusal(signed(310, b="orders-1"), Peer("192.168.0.1", 1, Channel("c")))
    world.refusal(signed(11, topic="orders*:é", consumerGroup="g"))

    reader = read(world)

    orders = AccessRequest(ResourceType.TOPIC, "orders-1", frozenset({Action.PUB}), parse_address("10.1.2.3"))
    far = AccessRequest(ResourceType.TOPIC, "orders-1", frozenset({Action.PUB}), parse_address("192.168.0.1"))
    starred = AccessRequest(ResourceType.TOPIC, "orders*:é", frozenset({Action.SUB}), parse_address("10.1.2.3"))
    assert [(one.user, one.request, one.allowed, times.count) for one, times in reader.asked.items()] == [
        ("alice", orders, True, 2),
        ("alice", far, False, 1),
        ("alice", starred, False, 1),
    ]
    assert reader.asked[next(iter(reader.asked))].last == reader.last == "2023-11-14T22:13:21.000Z"
    assert (reader.first, reader.decisions, reader.unreadable) == ("2023-11-14T22:13:20.000Z", 4, 0)


def test_a_count_means_as_many_decisions(world: World) -> None:
    """Denials that are alike are two lines; those without a line of their own cannot be decided again."""
    for _ in range(5):
        world.refusal(signed(310, b="other"))
    for number in range(USERS.burst):
        world.refusal(signed(310, b=f"t{number}"))
    world.audit.close(world.clock.now)

    reader = read(world)

    other = AccessRequest(ResourceType.TOPIC, "other", frozenset({Action.PUB}), parse_address("10.1.2.3"))
    (times,) = [times for question, times in reader.asked.items() if question.request == other]
    assert (times.count, reader.decisions, reader.folded, reader.unreadable) == (5, 5 + USERS.burst - 1, 1, 0)


def test_resources_that_are_not_named_are_counted(world: World) -> None:
    world.allow("alice", "Topic:*", "Create")
    body = json.dumps({"topicConfigList": [{"topicName": f"t{number}"} for number in range(40)]}).encode()
    world.admit(signed(18, {}, body))

    reader = read(world)

    assert (reader.decisions, reader.unnamed) == (32, 8)


def test_by_the_same_policies_everything_is_as_it_was(world: World) -> None:
    """No decision changes: of Super users, implicit grants, several resources, and denials before any resource."""
    world.admit(signed(310, user="root", b="anything"))
    world.admit(signed(105, topic="TBW102"))
    world.refusal(signed(105, topic="secret"))
    world.refusal(signed(310, b="orders", secret="wrong"))
    world.refusal(signed(310, b=""))
    world.refusal(signed(29))
    world.admit(signed(310, b="orders"))
    snapshot = world.metadata.snapshot

    reader = read(world)

    assert reader.decisions == 4
    assert replay(reader.asked, AccessState.of(snapshot.users(), snapshot.acls())).changed == ()
    turned = replay(reader.asked, AccessState({}, {})).changed
    assert {one.recorded.user for one in turned} == {"root", "alice"}
    assert {one.verdict.reason for one in turned} == {"unknown-user"}


def test_a_claim_is_never_super_when_it_is_read_back() -> None:
    """Claims to be Super are denied, and the same policies deny them again."""
    world = World(GuardSettings(authentication_enabled=False, authorization_enabled=True, trust_claimed_user=True))
    world.allow("alice", "Topic:orders", "Pub")
    world.refusal(signed(310, user="root", b="orders"))
    world.admit(signed(310, b="orders"))
    snapshot = world.metadata.snapshot

    reader = read(world)

    assert [(one.user, one.allowed, one.claimed) for one in reader.asked] == [
        ("root", False, True),
        ("alice", True, True),
    ]
    assert replay(reader.asked, AccessState.of(snapshot.users(), snapshot.acls())).changed == ()


def test_what_would_be_refused_is_read_as_refused() -> None:
    """In shadow mode the verdict of the policies counts."""
    world = World(
        GuardSettings(authentication_enabled=True, authorization_enabled=True, enforcement=Enforcement.SHADOW)
    )
    world.admit(signed(310, b="orders"))
    (question,) = read(world).asked
    assert not question.allowed


def test_the_log_says_what_is_missing() -> None:
    reader = AuditReader()
    reader.take(AuditLines().lost(17, 1_700_000_000_000)[1])
    assert (reader.lost, reader.asked, reader.first) == (17, {}, "2023-11-14T22:13:20.000Z")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b'{"time":"2023-11-14T22:1',
        b"\xff\xfe",
        b"[]",
        b'{"event":"authorization"}',
        json.dumps(
            {
                "time": "t",
                "event": "e",
                "authenticated_by": "s",
                "permissions": [{"resource": "Shop:x", "actions": [], "verdict": "Allow"}],
            }
        ).encode(),
        json.dumps(
            {
                "time": "t",
                "event": "e",
                "authenticated_by": "s",
                "permissions": [{"resource": "Topic:x", "actions": ["Fly"], "verdict": "Allow"}],
            }
        ).encode(),
    ],
)
def test_a_line_that_is_not_a_record_is_counted(line: bytes) -> None:
    reader = AuditReader()
    reader.take(line)
    assert (reader.unreadable, reader.asked, reader.first) == (1, {}, "")


def test_what_a_line_does_not_say_is_nothing() -> None:
    """A line may have no count, no authenticated user and no name."""
    need = {"resource": "Topic:x", "actions": ["Pub"], "verdict": "Allow"}
    line = {"time": "2023", "event": "authorization", "permissions": [need]}
    reader = AuditReader()
    reader.take(b'{"time":"2023","event":"lost"}')
    reader.take(json.dumps(line).encode())
    assert (reader.lost, reader.decisions, reader.asked) == (0, 0, {})

    reader.take(json.dumps({**line, "authenticated_by": "signature"}).encode())

    (question,) = reader.asked
    assert (question.user, question.request.address, question.allowed, question.granted) == ("", None, True, True)
