"""Requests that wait for plugins: served as if they had not waited, and without a trace while they wait."""

import json

import pytest

from mqguard.auth.decide import decide
from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import Subject, UserStatus
from mqguard.auth.verdict import AccessRequest
from mqguard.dispatch import suspended
from mqguard.dispatch.suspended import SuspendedRequests
from mqguard.guard.audit import AuditEvent
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
SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}


class HandAsker:
    """Asks plugins when the test says so."""

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
    """A provider that decides by the house's own policies, but may wait."""

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
        return Ruling.SILENT if verdict.reason == "no-match" else Ruling.DENY


class Nothing:
    quick = False

    def check(self, *_question):
        return HandlerResult.NEXT


class ParkedHouse(House):
    """A house whose every decision is asked elsewhere."""

    def __init__(self, extensions=None, settings=ON, **how):
        super().__init__(**how)
        self.asker = HandAsker()
        found = extensions or InstalledPlugins(
            authorization_provider=InstalledPlugin("ours", OurPolicies(self.manager)),
            authorization_handlers=(InstalledPlugin("nothing", Nothing()),),
            authentication_handlers=(InstalledPlugin("nothing first", Nothing()),),
        )
        plain = self.guard
        self.guard = PluginGuard(settings, self.guard._ports, found)
        self.guard.refusals = self.guard._refuser._log = plain.refusals
        self.app._guard = self.guard
        self.app._suspension = self.suspended_requests = SuspendedRequests(self.asker, self.guard.resume)
        self.seen = 0

    def give(self, wire, *commands):
        before = None
        self.app.commands(wire, list(commands))
        while self.asker.waiting:
            now = everything(self)
            assert before is None or now == before, "a request that waits has left a trace"
            before = now
            self.seen += 1
            self.asker.step()
            if self.asker.waiting:
                continue
        self.app.end_of_turn()


def everything(house):
    users = [(user.name, user.type, user.status) for user in house.manager.list_users()]
    engine = house.engine
    topics = engine.topics.all()
    offsets = [engine.max_offset(topic.name, queue) for topic in topics for queue in range(topic.read_queues)]
    kept = [(topic, engine.offsets.of("g", topic)) for topic in engine.offsets.topics_of("g")]
    clients = house.broker.clients.group("g")
    members = sorted(channel.name for channel in clients.members) if clients else []
    told = (house.routes.topics(), len(house.broker._client_calls), house.broker._waiting.__len__())
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
        # The story of a refusal tells who refused: here a plugin, there a policy.
        return answer.code
    allowed = answer.code != ResponseCode.NO_PERMISSION
    return answer.code, answer.ext if allowed else None, answer.body


@pytest.mark.parametrize("code", codes(House))
def test_every_code_is_served_after_waiting_as_without(code):
    """The handlers are run anew when an answer came: nothing of the first run may be left."""
    plain, parked = prepared(House), prepared(ParkedHouse)
    for user in ("rich", "some", "root"):
        for ext in (USUAL, {}):
            for body in BODIES:
                one = outcome(plain.call(code, ext, body, user=user), code)
                other = outcome(parked.call(code, ext, body, user=user), code)
                assert one == other, (user, ext, body)
                assert len(parked.suspended_requests) == 0
                assert everything(plain)[2:7] == everything(parked)[2:7]
    assert parked.asker.asked


def test_touched_resources_are_asked_about_while_the_handler_waits():
    """Sending to a topic that is made by sending needs Create, which only the handler knows."""
    house = ParkedHouse()
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
def test_rights_that_are_lost_while_plugins_answer_are_lost_for_the_request_that_waits(change, late):
    """Also if the request was let in before, and only its handler still waits for what it touches."""
    house = ParkedHouse()
    house.user("bob", ("Topic:fresh", "Pub,Create"))
    wire = house.connect()
    command = house.command(310, {**SEND, "b": "fresh"}, b"x", user="bob")
    house.app.commands(wire, [command])
    for _ in range(late):
        house.asker.step()
    calls, _, done = house.asker.waiting.pop(0)
    for call in calls:
        call.answer(call.run())
    if change == "disabled":
        house.manager.update_user("bob", status=UserStatus.DISABLE)
    else:
        house.manager.delete_acl(Subject("bob"))
    done()
    while house.asker.waiting:
        house.asker.step()
    house.app.end_of_turn()
    assert answer_to(wire, command).code == ResponseCode.NO_PERMISSION
    assert house.engine.topics.get("fresh") is None


def test_others_are_served_meanwhile_and_first():
    house = ParkedHouse()
    house.user("alice", ("Topic:t", "Pub"))
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.group_commit.commit()
    wire, other = house.connect(), house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"slow", user="alice")])
    house.app.commands(other, [house.command(9999, user=None)])
    house.app.end_of_turn()
    assert [frame.code for frame in other.frames] == [ResponseCode.NO_PERMISSION]
    assert wire.frames == []
    while house.asker.waiting:
        house.asker.step()
    house.app.end_of_turn()
    assert [frame.code for frame in wire.frames] == [0]


def test_one_way_requests_wait_too_and_are_not_answered():
    house = ParkedHouse()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.give(wire, house.command(310, SEND, b"x", user="alice", flag=FLAG_ONEWAY))
    assert wire.frames == []
    assert house.engine.max_offset("t", 0) == 1


def test_whoever_is_gone_is_not_served():
    house = ParkedHouse()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    house.disconnect(wire)
    while house.asker.waiting:
        house.asker.step()
    assert len(house.suspended_requests) == 0
    assert house.engine.max_offset("t", 0) == 0


def test_what_is_late_is_refused_with_an_id_on_record():
    house = ParkedHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    house.app.commands(wire, [house.command(310, SEND, b"x", user="alice")])
    house.asker.step(answer=False)
    (frame,) = wire.frames
    assert frame.code == ResponseCode.NO_PERMISSION
    assert "[decision " in frame.remark
    record = house.sink.records[-1]
    assert isinstance(record, AuditEvent)
    assert (record.reason, record.refused) == ("plugin-late", True)
    assert "pluginTimeoutMs" in house.guard.refusals.last(1)[0].story()


@pytest.mark.parametrize(("bound", "most"), [("MAX_WAITING", 4), ("MAX_BYTES", 4)])
def test_no_room_refuses(bound, most, monkeypatch):
    """One user has a quarter of all places and bytes."""
    monkeypatch.setattr(suspended, bound, most)
    house = ParkedHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    commands = [house.command(310, SEND, b"xx", user="alice") for _ in range(3)]
    house.app.commands(wire, commands)
    assert len(house.suspended_requests) == 1
    assert [frame.opaque for frame in wire.frames] == [command.opaque for command in commands[1:]]
    assert all(frame.code == ResponseCode.NO_PERMISSION for frame in wire.frames)
    assert house.sink.records[-1].reason == "plugin-busy"


def test_one_user_leaves_places_for_others(monkeypatch):
    """However many connections it uses."""
    monkeypatch.setattr(suspended, "MAX_WAITING", 8)
    house = ParkedHouse()
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
    while house.asker.asked < 100 and len(house.suspended_requests):
        house.asker.step()
    assert (house.suspended_requests._waiting_of, house.suspended_requests._bytes_of) == ({}, {})


@pytest.mark.parametrize("place", ["value", "name", "remark"])
def test_what_stands_in_the_header_counts_as_bodies_do(place, monkeypatch):
    monkeypatch.setattr(suspended, "MAX_BYTES", 200_000)
    house = ParkedHouse()
    house.user("alice", ("Topic:t", "Pub"))
    wire = house.connect()
    fields = {"value": {"i": "x" * 20_000}, "name": {"x" * 20_000: "1"}, "remark": {}}[place]
    for _ in range(3):
        command = house.command(310, SEND | fields, user="alice")
        command.remark = "x" * 20_000 if place == "remark" else None
        house.app.commands(wire, [command])
    assert (len(house.suspended_requests), len(wire.frames)) == (2, 1)


def test_a_pull_that_waited_is_told_to_ask_again_where_rights_cannot_be_seen_at_once():
    house = ParkedHouse()
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


def test_stateful_rulings_save_questions():
    settings = GuardSettings(
        authentication_enabled=True, authorization_enabled=True, authorization_strategy=Strategy.STATEFUL
    )
    house = ParkedHouse(settings=settings)
    house.guard._handlers = []
    house.user("alice", ("Topic:t", "Pub"))
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.group_commit.commit()
    house.call(310, SEND, b"x", user="alice")
    asked = house.asker.asked
    house.call(310, SEND, b"x", user="alice")
    assert house.asker.asked == asked + 1  # the authentication handler alone
    house.clock.now += 60_000
    house.call(310, SEND, b"x", user="alice")
    assert house.asker.asked == asked + 3
