"""Authorization of objects that a request reaches beyond those it names."""

import pytest

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.audit import Stage
from mqguard.guard.errors import Refused
from mqguard.guard.settings import GuardSettings
from mqguard.remoting.command import Command
from tests.unit.guard.world import World, response_code, signed

TOPIC, GROUP = ResourceType.TOPIC, ResourceType.GROUP


@pytest.fixture(name="world")
def a_world():
    world = World()
    world.allow("alice", "Topic:mine", "All")
    world.allow("alice", "Group:g", "Sub")
    return world


@pytest.fixture(name="access")
def a_pending_access(world):
    return world.admit(signed(33, offset="7"))


def test_asking_settles_what_is_pending(access):
    """A handler that has asked, whichever way, may answer."""
    assert access.pending
    access.require(TOPIC, "mine", Action.GET)
    assert not access.pending


def test_a_filter_settles_too(world):
    """`allows` answers; it refuses nothing and records nothing."""
    access = world.admit(signed(36, group="g"))
    before = len(world.sink.records)

    assert access.allows(TOPIC, "mine", Action.SUB)
    assert not access.allows(TOPIC, "other", Action.SUB)
    assert not access.pending
    assert len(world.sink.records) == before


def test_a_denial_has_an_id_and_is_kept(world, access):
    """Like any other refusal."""
    with pytest.raises(Refused) as refused:
        access.require(TOPIC, "other", Action.GET)

    story = world.guard.denials.find(refused.value.decision_id)
    assert (story.event.stage.value, story.event.reason, story.event.operation.code, story.event.user) == (
        "object",
        "no-match",
        33,
        "alice",
    )
    assert "Topic:other" in refused.value.message


def test_a_touched_object_is_audited(world, access):
    """The record has the object, the time, the duration, and the entry that decided."""
    world.clock.now += 5

    access.require(TOPIC, "%RETRY%g", Action.PUB)

    record = world.sink.records[-1]
    assert (record.stage, record.reason, record.refused) == (Stage.OBJECT, "allowed", False)
    assert (record.operation.code, record.user, record.source, record.when_ms) == (
        33,
        "alice",
        "10.1.2.3",
        world.clock.now,
    )
    assert [need.text for need in record.permissions] == ["Sub on Group:g"]
    assert [verdict.decided_by.resource.key for verdict in record.verdicts] == ["Group:g"]
    assert record.latency_ns == 1000
    assert record.version == world.metadata.snapshot.version


def test_retry_topics_mean_their_group_here_too(access):
    """A message found in `%RETRY%g` or `%DLQ%g` needs Sub on the group."""
    access.require(TOPIC, "%RETRY%g", Action.SUB)
    access.require(TOPIC, "%DLQ%g", Action.PUB)
    with pytest.raises(Refused):
        access.require(TOPIC, "%RETRY%h", Action.SUB)


@pytest.mark.parametrize("name", ["", "  ", "%RETRY%", "SCHEDULE_TOPIC_XXXX"])
def test_what_cannot_be_named_is_refused(world, access, name):
    """Except to Super users, who need not be asked."""
    with pytest.raises(Refused):
        access.require(TOPIC, name, Action.SUB)
    assert not access.allows(TOPIC, name, Action.SUB)

    boss = world.admit(signed(33, offset="7", user="root"))
    boss.require(TOPIC, name, Action.SUB)
    assert boss.allows(TOPIC, name, Action.SUB)


def test_rights_are_those_of_the_moment(world, access):
    """A request that waits does not keep rights that were taken away."""
    pull = world.admit(signed(11, topic="mine", consumerGroup="g"))
    pull.hold()
    assert pull.still_allowed()
    world.deny("alice", "Group:g", "Sub")

    assert not pull.still_allowed()
    assert not access.allows(GROUP, "g", Action.SUB)
    world.metadata.delete_user("alice")
    with pytest.raises(Refused):
        access.require(TOPIC, "mine", Action.GET)


@pytest.mark.parametrize("owner", [None, "alice"])
def test_asking_whose_a_thing_is_settles_too(world, owner):
    access = world.admit(signed(35, clientID="c", producerGroup="p"))
    assert access.pending

    access.require_owner(owner, "the client id `c`")

    assert not access.pending


def test_super_users_own_everything(world):
    """Super users may use a client id of another user."""
    world.admit(signed(35, clientID="c", producerGroup="p", user="root")).require_owner("alice", "the client id `c`")


def test_nothing_is_asked_where_authorization_is_off():
    """The switch is for all of it."""
    world = World(GuardSettings(authentication_enabled=True))
    access = world.admit(signed(33, offset="7"))

    access.require(TOPIC, "anything", Action.GET)
    assert access.allows(TOPIC, "", Action.GET)
    access.hold()
    assert access.still_allowed()
    access.require_owner("root", "the client id `c`")


def test_an_anonymous_sender_touches_no_object(world):
    """An anonymous sender has no permissions on objects, and gets no name."""
    excused = frozenset({"33"})
    world = World(
        GuardSettings(authentication_enabled=True, authorization_enabled=True, authentication_whitelist=excused)
    )
    assert response_code(world.refusal(Command(33, ext={"offset": "7"}))) == 16

    access = world.admit(signed(33, offset="7"))
    access.identity = None
    with pytest.raises(Refused, match="Authorization failed"):
        access.require(TOPIC, "mine", Action.GET)
