"""Lite topics over the wire: subscriptions, pop, acknowledgements, exclusive and wildcard groups, and who may do what."""

import json
import math

import pytest

from mqguard.auth.user import Subject
from mqguard.broker.processors import lite as lite_module
from mqguard.engine import lite_subscriptions
from mqguard.engine.engine import Engine
from mqguard.model import properties, record
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House, answer_to

POP, CTL, ACK, CHANGE, EXCLUDED = 200070, 200071, 200051, 200053, 200073


@pytest.fixture(autouse=True)
def _no_slices(monkeypatch):
    monkeypatch.setattr(lite_module, "TIME_SLICE_S", math.inf)


@pytest.fixture
def house():
    house = House()
    house.engine.topics.put(TopicConfig("p", 2, 2, attributes={"message.type": "LITE"}))
    house.engine.topics.put(TopicConfig("plain", 2, 2))
    group(house)
    return house


def group(house, name="g", **attributes):
    attributes = {"lite.bind.topic": "p", **{key.replace("_", "."): value for key, value in attributes.items()}}
    house.engine.groups.put(SubscriptionGroupConfig(name, attributes=attributes))
    assert house.engine.group_commit.commit()


def send(house, lite, body=b"x", topic="p", **pairs):
    ext = {"a": "pg", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
    ext["i"] = properties.text_of({"__LITE_TOPIC": lite, **pairs})
    assert house.call(310, ext, body).code == 0


def change(house, action, *lites, client="c", name="g", topic="p", wire=None, user="root", **more):
    entry = {"action": action, "clientId": client, "group": name, "topic": topic, "liteTopicSet": list(lites), **more}
    body = json.dumps({"subscriptionSet": [entry]}).encode()
    return house.call(CTL, {}, body, wire=wire, user=user)


def subscribe(house, *lites, **more):
    answer = change(house, "PARTIAL_ADD", *lites, **more)
    assert answer.code == 0, answer.remark


def popping(**fields):
    return {
        "clientId": "c",
        "consumerGroup": "g",
        "topic": "p",
        "maxMsgNum": 32,
        "invisibleTime": 10_000,
        "pollTime": 0,
        "bornTime": 0,
        **fields,
    }


class Popped:
    """A message of an answer, with the handle that Apache's client builds."""

    def __init__(self, message, attempts, ext):
        pairs = properties.parse(message.properties.decode())
        self.body, self.attempts, self.lite = message.body, int(attempts), pairs["__LITE_TOPIC"]
        assert message.topic == "p"
        assert pairs["INNER_MULTI_DISPATCH"] == f"%LMQ%$p${self.lite}"
        self.offset = pairs["INNER_MULTI_QUEUE_OFFSET"]
        self.handle = f"0 {ext['popTime']} {ext['invisibleTime']} {ext['reviveQid']} 0 broker-a 0 {self.offset}"

    def about(self, **more):
        return {
            "consumerGroup": "g",
            "topic": "p",
            "liteTopic": self.lite,
            "queueId": 0,
            "offset": self.offset,
            "extraInfo": self.handle,
            **more,
        }


def found(answer):
    if answer.code != 0:
        assert answer.code == ResponseCode.POLLING_TIMEOUT, answer.remark
        return []
    assert answer.ext["reviveQid"] == "999"
    messages = record.decode_all(answer.body)
    attempts = answer.ext["orderCountInfo"].split(";")
    return [Popped(message, count, answer.ext) for message, count in zip(messages, attempts, strict=True)]


def pop(house, user="root", **fields):
    return found(house.call(POP, popping(**fields), user=user))


def bodies(messages):
    return [one.body for one in messages]


def park(house, wire=None, user="root", **fields):
    wire = wire or house.connect()
    command = house.command(POP, popping(pollTime=15_000, **fields), user=user)
    house.give(wire, command)
    return lambda: answer_to(wire, command)


def excluded(wire):
    return [(frame.ext["clientId"], frame.ext["liteTopic"]) for frame in wire.frames if frame.code == EXCLUDED]


class TestPop:
    def test_a_client_gets_the_messages_of_its_lite_topics_in_order(self, house):
        subscribe(house, "a", "b")
        for number, lite in enumerate("abcab"):
            send(house, lite, b"%d" % number)
        messages = pop(house)
        assert [(one.lite, one.body) for one in messages if one.lite == "a"] == [("a", b"0"), ("a", b"3")]
        assert sorted(bodies(messages)) == [b"0", b"1", b"3", b"4"]
        assert pop(house) == []

    def test_messages_from_before_the_subscription_come_too(self, house):
        send(house, "a", b"early")
        subscribe(house, "a")
        assert bodies(pop(house)) == [b"early"]

    def test_a_lite_topic_is_blocked_until_all_its_messages_are_acknowledged(self, house):
        subscribe(house, "a")
        for number in range(3):
            send(house, "a", b"%d" % number)
        first, second = pop(house, maxMsgNum=2)
        assert house.call(ACK, first.about()).code == 0
        assert pop(house) == []
        assert house.call(ACK, second.about()).code == 0
        assert bodies(pop(house)) == [b"2"]
        assert house.call(ACK, second.about()).code == ResponseCode.NO_MESSAGE

    def test_a_message_comes_again_with_its_attempts(self, house):
        subscribe(house, "a")
        send(house, "a")
        for attempts in range(3):
            (one,) = pop(house, invisibleTime=1000)
            assert one.attempts == attempts
            house.tick(1100)
        answer = house.call(CHANGE, pop(house)[0].about(invisibleTime=500, suspend="true"))
        assert (answer.code, answer.ext["reviveQid"]) == (0, "999")
        house.tick(600)
        assert [one.attempts for one in pop(house)] == [3]

    def test_a_repeated_attempt_gets_the_same_messages(self, house):
        subscribe(house, "a", "b")
        send(house, "a", b"1")
        send(house, "b", b"2")
        assert bodies(pop(house, attemptId="one")) == [b"1", b"2"]
        again = pop(house, attemptId="one")
        assert [(one.body, one.attempts) for one in again] == [(b"1", 0), (b"2", 0)]
        assert pop(house, attemptId="two") == []

    def test_many_lite_topics_have_turns(self, house):
        names = [f"l{number}" for number in range(40)]
        subscribe(house, *names)
        seen = []
        for _ in range(3):
            for name in names:
                send(house, name)
            for one in pop(house):
                seen.append(one.lite)
                assert house.call(ACK, one.about()).code == 0
        assert set(seen) == set(names)

    def test_a_group_of_its_own_gets_all_messages(self, house):
        group(house, "other")
        subscribe(house, "a")
        subscribe(house, "a", name="other")
        send(house, "a")
        assert len(pop(house)) == len(pop(house, consumerGroup="other")) == 1

    def test_pops_of_the_parent_get_the_messages_too(self, house):
        send(house, "a", b"one")
        house.engine.groups.put(SubscriptionGroupConfig("plain"))
        fields = {"consumerGroup": "plain", "topic": "p", "queueId": -1, "maxMsgNums": 32, "invisibleTime": 1000}
        answer = house.call(200050, {**fields, "pollTime": 0, "bornTime": 0, "initMode": 0})
        assert [one.body for one in record.decode_all(answer.body)] == [b"one"]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"maxMsgNum": 33}, ResponseCode.INVALID_PARAMETER),
            ({"maxMsgNum": 0}, ResponseCode.INVALID_PARAMETER),
            ({"topic": "plain"}, ResponseCode.INVALID_PARAMETER),
            ({"topic": "missing"}, ResponseCode.TOPIC_NOT_EXIST),
            ({"consumerGroup": "missing"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
            ({"consumerGroup": "TOOLS_CONSUMER"}, ResponseCode.INVALID_PARAMETER),
            ({"invisibleTime": -1}, ResponseCode.INVALID_PARAMETER),
            ({"attemptId": "x" * 256}, ResponseCode.INVALID_PARAMETER),
            ({"clientId": "x" * 256}, ResponseCode.INVALID_PARAMETER),
        ],
    )
    def test_what_a_pop_cannot_be(self, house, fields, code):
        subscribe(house, "a")
        assert house.call(POP, popping(**fields)).code == code

    def test_a_group_that_may_not_consume_is_refused(self, house):
        subscribe(house, "a")
        house.engine.groups.put(SubscriptionGroupConfig("g", consume_enable=False, attributes={"lite.bind.topic": "p"}))
        assert house.call(POP, popping()).code == ResponseCode.NO_PERMISSION
        assert change(house, "PARTIAL_ADD", "b").code == ResponseCode.NO_PERMISSION

    @pytest.mark.parametrize("code", [ACK, CHANGE])
    def test_an_acknowledgement_names_the_parent_of_the_group(self, house, code):
        house.engine.topics.put(TopicConfig("q", attributes={"message.type": "LITE"}))
        subscribe(house, "a")
        send(house, "a")
        (one,) = pop(house)
        assert house.call(code, one.about(topic="q", invisibleTime=1)).code == ResponseCode.INVALID_PARAMETER
        assert house.call(code, one.about(topic="none", invisibleTime=1)).code == ResponseCode.TOPIC_NOT_EXIST
        assert house.call(code, one.about(liteTopic="b", invisibleTime=1)).code == ResponseCode.NO_MESSAGE
        assert house.call(code, one.about(liteTopic="", invisibleTime=1)).code == ResponseCode.NO_MESSAGE
        assert house.call(code, one.about(invisibleTime=1)).code == 0


class TestWaiting:
    def test_a_message_wakes_a_client_that_waits(self, house):
        subscribe(house, "a")
        answer = park(house)
        send(house, "b")
        assert answer() is None
        send(house, "a", b"one")
        assert bodies(found(answer())) == [b"one"]

    def test_an_acknowledgement_wakes_a_client(self, house):
        subscribe(house, "a")
        send(house, "a", b"1")
        send(house, "a", b"2")
        (one,) = pop(house, maxMsgNum=1)
        answer = park(house)
        assert answer() is None
        assert house.call(ACK, one.about()).code == 0
        assert bodies(found(answer())) == [b"2"]

    def test_a_message_that_is_visible_again_wakes_a_client(self, house):
        subscribe(house, "a")
        send(house, "a", b"1")
        pop(house, invisibleTime=1000)
        answer = park(house)
        house.tick(1100)
        assert bodies(found(answer())) == [b"1"]

    def test_a_subscription_wakes_a_client(self, house):
        send(house, "a", b"1")
        answer = park(house)
        subscribe(house, "a")
        assert bodies(found(answer())) == [b"1"]

    def test_one_of_two_clients_is_woken_and_the_other_one_by_the_next_lite_topic(self, house):
        subscribe(house, "a", "b", client="c")
        subscribe(house, "a", "b", client="d")
        answers = [park(house, clientId="c"), park(house, clientId="d")]
        send(house, "a")
        assert [answer() is None for answer in answers].count(True) == 1
        send(house, "b")
        assert [answer() is None for answer in answers].count(True) == 0

    def test_a_client_that_left_keeps_no_message_from_others(self, house):
        subscribe(house, "a", client="c")
        subscribe(house, "a", client="d")
        wire = house.connect()
        park(house, wire, clientId="c")
        house.disconnect(wire)
        answer = park(house, clientId="d")
        send(house, "a", b"1")
        assert bodies(found(answer())) == [b"1"]

    def test_a_pop_times_out(self, house):
        subscribe(house, "a")
        answer = park(house)
        house.tick(15_100)
        assert answer().code == ResponseCode.POLLING_TIMEOUT

    def test_a_revoked_permission_ends_the_wait(self, house):
        house.user("alice", ("Topic:p", "Sub"), ("Group:g", "Sub"))
        subscribe(house, "a", user="alice")
        answer = park(house, user="alice")
        house.manager.delete_acl(Subject.parse("User:alice"))
        send(house, "a")
        assert answer().code == ResponseCode.POLLING_TIMEOUT
        subscribe(house, "a")
        assert bodies(pop(house)) == [b"x"]

    @pytest.mark.parametrize("what", ["topic", "group", "disabled"])
    def test_the_end_of_topic_or_group_ends_the_wait(self, house, what):
        subscribe(house, "a")
        answer = park(house)
        if what == "topic":
            house.engine.topics.delete("p")
        elif what == "group":
            house.engine.groups.delete("g")
        else:
            house.engine.groups.put(SubscriptionGroupConfig("g", consume_enable=False))
        house.tick(60)
        assert answer().code == ResponseCode.POLLING_TIMEOUT


class TestSubscriptions:
    def test_a_complete_set_replaces_the_earlier_one(self, house):
        subscribe(house, "a", "b")
        assert change(house, "COMPLETE_ADD", "b", "c").code == 0
        for lite in "abc":
            send(house, lite, lite.encode())
        assert sorted(bodies(pop(house))) == [b"b", b"c"]

    def test_removed_lite_topics_are_not_popped(self, house):
        subscribe(house, "a", "b")
        assert change(house, "PARTIAL_REMOVE", "a", "never").code == 0
        send(house, "a")
        send(house, "b", b"b")
        assert bodies(pop(house)) == [b"b"]
        assert change(house, "COMPLETE_REMOVE").code == 0
        assert change(house, "COMPLETE_REMOVE").code == 0
        send(house, "b")
        assert pop(house) == []
        assert len(house.engine.lite_pop.subscriptions) == 0

    def test_a_client_expires_without_changes(self, house):
        subscribe(house, "a")
        house.tick(lite_subscriptions.LIFE_MS - 1000)
        assert change(house, "COMPLETE_ADD", "a").code == 0
        house.tick(lite_subscriptions.LIFE_MS - 1000)
        assert len(house.engine.lite_pop.subscriptions) == 2
        house.tick(2000)
        assert len(house.engine.lite_pop.subscriptions) == 0

    @pytest.mark.parametrize(
        ("option", "left"),
        [
            ({"type": "POLICY", "value": 0}, [2, 3, 4]),
            ({"type": "POLICY", "value": 1}, [0, 1, 2, 3, 4]),
            ({"type": "POLICY", "value": 2}, []),
            ({"type": "OFFSET", "value": 3}, [3, 4]),
            ({"type": "OFFSET", "value": 99}, []),
            ({"type": "TAIL_N", "value": 1}, [1, 2, 3, 4]),
            ({"type": "TAIL_N", "value": 99}, [0, 1, 2, 3, 4]),
            (None, [2, 3, 4]),
        ],
    )
    def test_a_client_chooses_where_it_begins(self, house, option, left):
        subscribe(house, "a")
        for number in range(5):
            send(house, "a", b"%d" % number)
        for one in pop(house, maxMsgNum=2):
            house.call(ACK, one.about())
        subscribe(house, "a", client="d", offsetOption=option)
        assert bodies(pop(house, clientId="d")) == [b"%d" % number for number in left]

    def test_a_client_begins_at_a_time(self, house):
        times = []
        for number in range(4):
            house.clock.now += 1000
            times.append(house.clock.now_ms())
            send(house, "a", b"%d" % number)
        subscribe(house, "a", offsetOption={"type": "TIMESTAMP", "value": times[2]})
        assert bodies(pop(house)) == [b"2", b"3"]

    def test_a_new_position_releases_messages_in_flight(self, house):
        subscribe(house, "a")
        send(house, "a", b"1")
        (one,) = pop(house)
        subscribe(house, "a", offsetOption={"type": "POLICY", "value": 1})
        assert house.call(ACK, one.about()).code == ResponseCode.NO_MESSAGE
        assert bodies(pop(house)) == [b"1"]

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            ({"topic": "plain"}, ResponseCode.INVALID_PARAMETER),
            ({"topic": "missing"}, ResponseCode.TOPIC_NOT_EXIST),
            ({"name": "missing"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
            ({"name": "TOOLS_CONSUMER"}, ResponseCode.INVALID_PARAMETER),
            ({"client": ""}, ResponseCode.INVALID_PARAMETER),
            ({"client": "x" * 256}, ResponseCode.INVALID_PARAMETER),
            ({"action": None}, ResponseCode.INVALID_PARAMETER),
        ],
    )
    def test_what_a_subscription_cannot_be(self, house, more, code):
        action = more.pop("action", "PARTIAL_ADD")
        assert change(house, action, "a", **more).code == code
        assert len(house.engine.lite_pop.subscriptions) == 0

    @pytest.mark.parametrize("lite", ["", "a b", "$", "x" * 65])
    def test_names_are_checked(self, house, lite):
        answer = change(house, "COMPLETE_ADD", lite)
        assert answer.code == ResponseCode.INVALID_PARAMETER
        assert "is not 1 to 64 letters" in answer.remark

    def test_the_number_of_offsets_of_a_request_is_limited(self, house):
        names = [str(number) for number in range(lite_module.MAX_SOUGHT + 1)]
        answer = change(house, "PARTIAL_ADD", *names, offsetOption={"type": "POLICY", "value": 1})
        assert (answer.code, "split it" in answer.remark) == (ResponseCode.INVALID_PARAMETER, True)

    def test_the_quota_of_a_client_is_that_of_its_group(self, house):
        group(house, "small", lite_sub_client_quota="2")
        limit = 2 + lite_subscriptions.QUOTA_MARGIN
        names = [str(number) for number in range(limit)]
        subscribe(house, *names, name="small")
        answer = change(house, "PARTIAL_ADD", "more", name="small")
        assert answer.code == ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED
        assert "lite.sub.client.quota" in answer.remark
        assert change(house, "COMPLETE_ADD", "more", name="small").code == 0

    def test_the_subscriptions_of_all_are_limited_and_each_user_has_a_share(self, monkeypatch):
        monkeypatch.setattr(lite_subscriptions.LiteSubscriptions.__init__, "__defaults__", (6,))
        house = House()
        house.engine.topics.put(TopicConfig("p", 2, 2, attributes={"message.type": "LITE"}))
        group(house)
        for name in ("alice", "bob"):
            house.user(name, ("Topic:p", "Sub"), ("Group:g", "Sub"))
        subscribe(house, "a", "b", "c", "d", "e", user="alice")
        answer = change(house, "PARTIAL_ADD", "f", user="alice")
        assert answer.code == ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED
        subscribe(house, "a", "b", user="bob")
        assert change(house, "PARTIAL_ADD", "c", user="bob").code == ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED

    def test_the_clients_of_a_lite_topic_are_limited(self, house, monkeypatch):
        monkeypatch.setattr(lite_subscriptions, "MAX_SUBSCRIBERS", 2)
        for client in "cd":
            subscribe(house, "a", client=client)
        answer = change(house, "PARTIAL_ADD", "a", client="e")
        assert answer.code == ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED
        subscribe(house, "a", client="d")


class TestModels:
    def test_an_exclusive_lite_topic_belongs_to_its_last_subscriber(self, house):
        group(house, lite_sub_model="Exclusive")
        first, second = house.connect(), house.connect()
        subscribe(house, "a", "b", client="c", wire=first)
        subscribe(house, "a", client="d", wire=second)
        assert excluded(first) == [("c", "a")]
        send(house, "a", b"a")
        send(house, "b", b"b")
        assert bodies(pop(house, clientId="c")) == [b"b"]
        assert bodies(pop(house, clientId="d")) == [b"a"]
        assert change(house, "COMPLETE_ADD", "a", "b", client="c", wire=first).code == 0
        assert excluded(first) == [("c", "a"), ("c", "a")]
        assert excluded(second) == []
        send(house, "a")
        house.tick(60_000)
        assert [one.lite for one in pop(house, clientId="c")] == ["b"]

    @pytest.mark.parametrize(("reset", "left"), [("true", [b"0", b"1"]), ("false", [b"1"])])
    def test_an_exclusive_lite_topic_may_begin_again(self, house, reset, left):
        group(house, lite_sub_model="Exclusive", lite_sub_reset_offset_exclusive=reset)
        subscribe(house, "a", client="c")
        send(house, "a", b"0")
        send(house, "a", b"1")
        (one,) = pop(house, maxMsgNum=1)
        house.call(ACK, one.about())
        subscribe(house, "a", client="d")
        assert bodies(pop(house, clientId="d")) == left

    @pytest.mark.parametrize(("reset", "left"), [("true", [b"0"]), ("false", [])])
    def test_a_lite_topic_may_begin_again_after_it_was_unsubscribed(self, house, reset, left):
        group(house, lite_sub_reset_offset_unsubscribe=reset)
        subscribe(house, "a")
        send(house, "a", b"0")
        (one,) = pop(house)
        house.call(ACK, one.about())
        change(house, "PARTIAL_REMOVE", "a")
        subscribe(house, "a")
        assert bodies(pop(house)) == left

    def test_a_wildcard_group_gets_all_lite_topics(self, house):
        group(house, lite_sub_wildcard="true")
        send(house, "early", b"early")
        answer = change(house, "PARTIAL_ADD", "a")
        assert (answer.code, "COMPLETE_ADD" in answer.remark) == (ResponseCode.ILLEGAL_OPERATION, True)
        assert change(house, "COMPLETE_ADD").code == 0
        house.tick(60)
        assert bodies(pop(house)) == [b"early"]
        answer = park(house)
        send(house, "later", b"later")
        assert bodies(found(answer())) == [b"later"]

    def test_a_group_with_another_parent_loses_its_clients(self, house):
        house.engine.topics.put(TopicConfig("q", attributes={"message.type": "LITE"}))
        subscribe(house, "a")
        group(house, **{"lite.bind.topic": "q"})
        assert len(house.engine.lite_pop.subscriptions) == 0
        assert house.call(POP, popping()).code == ResponseCode.INVALID_PARAMETER


class TestUsers:
    @pytest.fixture
    def users(self, house):
        for name in ("alice", "bob"):
            house.user(name, ("Topic:p", "Sub"), ("Group:g", "Sub"))
        return house

    def test_a_client_id_reaches_only_the_client_of_its_user(self, users):
        subscribe(users, "a", user="alice")
        send(users, "a")
        assert pop(users, user="bob") == []
        assert change(users, "COMPLETE_REMOVE", user="bob").code == 0
        assert change(users, "COMPLETE_ADD", user="bob").code == 0
        assert bodies(pop(users, user="alice")) == [b"x"]

    @pytest.mark.parametrize(
        "entries", [(), (("Topic:p", "Sub"),), (("Group:g", "Sub"),), (("Topic:p", "Pub"), ("Group:g", "Get"))]
    )
    def test_pop_and_subscription_need_sub_on_group_and_parent(self, house, entries):
        house.user("eve", *entries)
        assert house.call(POP, popping(), user="eve").code == ResponseCode.NO_PERMISSION
        for action in ("PARTIAL_ADD", "PARTIAL_REMOVE", "COMPLETE_ADD", "COMPLETE_REMOVE"):
            assert change(house, action, "a", user="eve").code == ResponseCode.NO_PERMISSION

    def test_a_group_is_bound_to_one_parent_whatever_the_sender_may_read(self, users):
        """A user with its own parent and group pops no messages of another parent."""
        users.engine.topics.put(TopicConfig("own", attributes={"message.type": "LITE"}))
        users.user("eve", ("Topic:own", "Sub"), ("Group:g", "Sub"))
        send(users, "a")
        answer = change(users, "PARTIAL_ADD", "a", topic="own", user="eve")
        assert answer.code == ResponseCode.INVALID_PARAMETER
        answer = users.call(POP, popping(topic="own"), user="eve")
        assert answer.code == ResponseCode.INVALID_PARAMETER


class TestRestarts:
    def test_messages_in_flight_stay_in_flight(self, house):
        subscribe(house, "a")
        send(house, "a", b"1")
        (one,) = pop(house)
        engine = Engine(house.store, house.engine.settings, house.clock)
        assert not engine.lite_pop.is_available("g", "%LMQ%$p$a")
        assert engine.pop.ack("g", "%LMQ%$p$a", 0, 0, int(one.handle.split()[1]))
        assert engine.group_commit.commit()
        assert engine.offsets.get("g", "%LMQ%$p$a", 0) == 1

    def test_a_deleted_group_leaves_nothing(self, house):
        subscribe(house, "a", "b")
        send(house, "a")
        send(house, "b")
        pop(house, maxMsgNum=1)
        house.engine.groups.delete("g")
        assert house.engine.group_commit.commit()
        assert len(house.engine.lite_pop.subscriptions) == 0
        assert house.engine.pop.in_flight_count == 0
        assert [key for key in house.engine.offsets.everything() if key[0] == "g"] == []

    def test_a_deleted_parent_leaves_nothing(self, house):
        subscribe(house, "a")
        send(house, "a")
        pop(house)
        house.engine.topics.delete("p")
        assert house.engine.group_commit.commit()
        assert house.engine.pop.in_flight_count == 0
        assert house.engine.offsets.everything() == {}
