"""Suspended requests: the same results as without suspension, and no effect while they wait."""

import json
import re

import pytest

from mqguard.auth.decide import decide
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import Subject, UserStatus
from mqguard.auth.verdict import AccessRequest
from mqguard.dispatch import suspended
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.dispatch.suspended import SuspendedRequests
from mqguard.guard.audit import AuditEvent
from mqguard.guard.denial import remedy
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import HandlerResult, Ruling
from mqguard.guard.plugin_calls import LATE
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY, ResponseCode
from tests.unit.broker.conftest import House, answer_to
from tests.unit.broker.test_any_input import GOOD, STRICT, USUAL, codes

ON = GuardSettings(authentication_enabled=True, authorization_enabled=True)
BODIES = [json.dumps(GOOD).encode(), *(json.dumps(body).encode() for body in STRICT), b"queues=1", b"", b"x"]
GET_DECISION = 7_700_001
RUNTIME_INFO = 28
SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


class SteppedPlugins:
    """A caller of plugins that the test advances step by step."""

    def __init__(self):
        self.waiting = []
        self.asked = 0

    def ask(self, calls, answers, done):
        self.waiting.append((calls, answers, done))

    def step(self, answer=True):
        calls, answers, done = self.waiting.pop(0)
        self.asked += len(calls)
        if answer:
            for call in calls:
                call.answer(call.run())
        else:
            answers.over = LATE
        done()


class OurPolicies:
    """A blocking provider that decides with the policies of the house."""

    quick = False

    def __init__(self, manager):
        self.manager = manager

    def decide(self, question):
        kind = ResourceType(question.type)
        actions = frozenset(Action.parse(action) for action in question.actions)
        request = AccessRequest(kind, question.name, actions, parse_address(question.source))
        verdict = decide(request, self.manager.snapshot.rights(question.user))
        if verdict.allowed:
            return Ruling.ALLOW
        return Ruling.NO_OPINION if verdict.reason == "no-match" else Ruling.DENY


class AllowAll:
    """A blocking provider that allows everything."""

    quick = False

    def decide(self, _question):
        return Ruling.ALLOW


class Nothing:
    quick = False

    def check(self, *_question):
        return HandlerResult.NEXT


class PluginHouse(House):
    """A house where plugins make all decisions."""

    def __init__(self, extensions=None, settings=ON, **how):
        self.extensions = extensions
        self.guard_settings = settings
        self.plugins = SteppedPlugins()
        self.seen = 0
        super().__init__(**how)

    def make_guard(self, _settings, ports):
        found = self.extensions or InstalledPlugins(
            authorization_provider=InstalledPlugin("ours", OurPolicies(self.manager)),
            authorization_handlers=(InstalledPlugin("nothing", Nothing()),),
            authentication_handlers=(InstalledPlugin("nothing first", Nothing()),),
        )
        return PluginGuard(self.guard_settings, ports, found)

    def make_admission(self, cluster):
        admission = RemotingAdmission(self.guard, cluster, self.guard.resume)
        self.suspension = self.suspended_requests = SuspendedRequests(self.plugins, admission.resume)
        return admission

    def give(self, wire, *commands):
        before = None
        self.app.commands(wire, list(commands))
        while self.plugins.waiting:
            now = everything(self)
            assert before is None or now == before, "a suspended request has had an effect"
            before = now
            self.seen += 1
            self.plugins.step()
            if self.plugins.waiting:
                continue
        self.app.end_of_iteration()


def everything(house):
    users = [(user.name, user.type, user.status) for user in house.manager.list_users()]
    engine = house.engine
    topics = engine.topics.all()
    offsets = [engine.max_offset(topic.name, queue) for topic in topics for queue in range(topic.read_queues)]
    kept = [(topic, engine.offsets.of("g", topic)) for topic in engine.offsets.topics_of("g")]
    clients = house.broker.clients.group("g")
    members = sorted(channel.name for channel in clients.members) if clients else []
    told = (house.routes.topics(), house.broker.pending)
    return users, house.manager.list_acls(), topics, engine.groups.all(), offsets, kept, members, told


def prepared(kind):
    house = kind()
    house.user("rich", ("*", "All"))
    house.user("some", ("Topic:t", "Pub,Sub"), ("Group:g", "Sub"))
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    for _ in range(3):
        assert house.call(310, SEND, b"x").code == 0
    return house


def outcome(answer, code):
    if answer is None:
        return None
    if code == GET_DECISION:
        # The details of a denial differ: here a plugin denied, there a policy.
        return answer.code
    allowed = answer.code != ResponseCode.NO_PERMISSION
    body = answer.body
    if code == RUNTIME_INFO:
        # Other processes use the disk and the processor too.
        body = re.sub(rb'"(commitLogDirCapacity|[a-zA-Z]*DiskRatio|[a-zA-Z]*TimeMax|putLatency99+)":"[^"]*"', b"", body)
        body = re.sub(rb'"putMessageDistributeTime":"[^"]*"', b"", body)
    return answer.code, answer.ext if allowed else None, body


@pytest.mark.parametrize("code", codes(House))
def test_every_code_has_the_same_result_with_and_without_suspension(code):
    """A handler runs again when results arrive, so its first run must leave no effect."""
    plain, suspending = prepared(House), prepared(PluginHouse)
    for user in ("rich", "some", "root"):
        for ext in (USUAL, {}):
            for body in BODIES:
                one = outcome(plain.call(code, ext, body, user=user), code)
                other = outcome(suspending.call(code, ext, body, user=user), code)
                assert one == other, (user, ext, body)
                assert len(suspending.suspended_requests) == 0
                assert everything(plain)[2:7] == everything(suspending)[2:7]
    assert suspending.plugins.asked


def test_a_handler_can_wait_for_the_check_of_an_object():
    """A send to a topic that does not exist needs Create, which only the handler finds out."""
    house = PluginHouse()
    house.user("alice", ("Topic:fresh", "Pub"))
    house.user("bob", ("Topic:fresh", "Pub,Create"))
    ext = {**SEND, "b": "fresh"}

    refused = house.call(310, ext, b"x", user="alice")
    assert refused.code == ResponseCode.NO_PERMISSION
    assert "needs the action Create" in refused.remark
    assert house.engine.topics.get("fresh") is None
    assert house.call(310, ext, b"x", user="bob").code == 0
    assert house.engine.max_offset("fresh", 0) == 1


@pytest.mark.parametrize("change", ["disabled", "policies"])
@pytest.mark.parametrize("late", range(4))
def test_a_suspended_request_loses_permissions_that_are_removed_meanwhile(change, late):
    """This also holds if the request is already admitted and only its handler waits for the check of an object."""
    house = PluginHouse()
    house.user("bob", ("Topic:fresh", "Pub,Create"))
    wire = house.connect()
    command = house.command(310, {**SEND, "b": "fresh"}, b"x", user="bob")
    house.app.commands(wire, [command])
    for _ in range(late):
        house.plugins.step()
    calls, _, done = house.plugins.waiting.pop(0)
    for call in calls:
        call.answer(call.run())
    if change == "disabled":
        house.manager.update_user("bob", status=UserStatus.DISABLE)
    else:
        house.manager.delete_acl(Subject("bob"))
    done()
    while house.plugins.waiting:
        house.plugins.step()
    house.app.end_of_iteration()
    assert answer_to(wire, command).code == ResponseCode.NO_PERMISSION
    assert house.engine.topics.get("fresh") is None


def test_a_suspended_request_does_not_delay_others():
    house = PluginHouse()
    house.user("alice", ("Topic:t", "Pub"))
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.group_commit.commit()
    wire, other = house.connect(), house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"slow", user="alice")])
    house.app.commands(other, [house.command(9999, user=None)])
    house.app.end_of_iteration()
    assert [frame.code for frame in other.frames] == [ResponseCode.NO_PERMISSION]
    assert wire.frames == []
    while house.plugins.waiting:
        house.plugins.step()
    house.app.end_of_iteration()
    assert [frame.code for frame in wire.frames] == [0]


def test_a_one_way_request_is_suspended_and_gets_no_answer():
    house = PluginHouse()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.give(wire, house.command(310, SEND, b"x", user="alice", flag=FLAG_ONEWAY))
    assert wire.frames == []
    assert house.engine.max_offset("t", 0) == 1


def test_a_suspended_request_of_a_closed_connection_is_not_served():
    house = PluginHouse()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    house.disconnect(wire)
    while house.plugins.waiting:
        house.plugins.step()
    assert len(house.suspended_requests) == 0
    assert house.engine.max_offset("t", 0) == 0


def test_a_plugin_timeout_is_a_denial_with_an_audited_id():
    house = PluginHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    house.plugins.step(answer=False)
    (frame,) = wire.frames
    assert frame.code == ResponseCode.NO_PERMISSION
    assert "[decision " in frame.remark
    record = house.sink.records[-1]
    assert isinstance(record, AuditEvent)
    assert (record.reason, record.refused) == ("plugin-late", True)
    assert "pluginTimeoutMs" in remedy(house.guard.denials.last(1)[0].event.reason)


@pytest.mark.parametrize(("bound", "most"), [("MAX_WAITING", 4), ("MAX_BYTES", 4)])
def test_a_request_without_room_to_wait_is_denied(bound, most, monkeypatch):
    """One user gets a quarter of all places and bytes."""
    monkeypatch.setattr(suspended, bound, most)
    house = PluginHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    commands = [house.command(310, SEND, b"xx", user="alice") for _ in range(3)]
    house.app.commands(wire, commands)
    assert len(house.suspended_requests) == 1
    assert [frame.opaque for frame in wire.frames] == [command.opaque for command in commands[1:]]
    assert all(frame.code == ResponseCode.NO_PERMISSION for frame in wire.frames)
    assert house.sink.records[-1].reason == "plugin-busy"


def test_one_user_cannot_use_all_places(monkeypatch):
    """The limit holds for all connections of the user together."""
    monkeypatch.setattr(suspended, "MAX_WAITING", 8)
    house = PluginHouse()
    for name in ("alice", "bob"):
        house.user(name, ("Topic:t", "Pub"))
    wires = [house.connect() for _ in range(6)]
    for wire in wires:
        wire.peer.channel.user = "alice"
        house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    assert sum(len(wire.frames) for wire in wires) == 4
    other = house.connect()
    other.peer.channel.user = "bob"
    house.app.commands(other, [house.command(310, SEND, b"x", user="bob")])
    assert other.frames == []
    while house.plugins.asked < 100 and len(house.suspended_requests):
        house.plugins.step()
    wire = house.connect()
    wire.peer.channel.user = "alice"
    house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    assert wire.frames == []


@pytest.mark.parametrize("place", ["value", "name", "remark"])
def test_header_fields_count_like_the_body(place, monkeypatch):
    monkeypatch.setattr(suspended, "MAX_BYTES", 200_000)
    house = PluginHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    fields = {"value": {"i": "x" * 20_000}, "name": {"x" * 20_000: "1"}, "remark": {}}[place]
    for _ in range(3):
        command = house.command(310, SEND | fields, user="alice")
        command.remark = "x" * 20_000 if place == "remark" else None
        house.app.commands(wire, [command])
    assert (len(house.suspended_requests), len(wire.frames)) == (2, 1)


def test_a_long_poll_whose_rights_need_a_plugin_must_be_sent_again():
    house = PluginHouse()
    house.user("alice", ("Topic:t", "Sub,Pub"), ("Group:g", "Sub"))
    house.engine.topics.put(TopicConfig("t", 1, 1))
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    pull = {
        "consumerGroup": "g", "topic": "t", "queueId": 0, "queueOffset": 0, "maxMsgNums": 32, "sysFlag": 6,
        "commitOffset": 0, "suspendTimeoutMillis": 20_000, "subscription": "*", "subVersion": 0,
    }  # fmt: skip
    wire = house.connect()
    house.give(wire, house.command(11, pull, user="alice"))
    assert wire.frames == []
    assert house.call(310, SEND, b"x", user="alice").code == 0
    assert [frame.code for frame in wire.frames] == [ResponseCode.PULL_RETRY_IMMEDIATELY]
    assert wire.frames[0].ext["nextBeginOffset"] == "0"
    house.give(wire, house.command(11, pull, user="alice"))
    assert wire.frames[-1].code == 0


def test_stateful_authorization_saves_plugin_calls():
    settings = GuardSettings(
        authentication_enabled=True, authorization_enabled=True, authorization_strategy=Strategy.STATEFUL
    )
    plugins = InstalledPlugins(
        authorization_provider=InstalledPlugin("ours", AllowAll()),
        authentication_handlers=(InstalledPlugin("nothing first", Nothing()),),
    )
    house = PluginHouse(plugins, settings)
    house.user("alice", ("Topic:t", "Pub"))
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.group_commit.commit()
    house.call(310, SEND, b"x", user="alice")
    asked = house.plugins.asked
    house.call(310, SEND, b"x", user="alice")
    assert house.plugins.asked == asked + 1  # the authentication handler alone
    house.clock.now += 60_000
    house.call(310, SEND, b"x", user="alice")
    assert house.plugins.asked == asked + 3
