"""Queues that the broker assigns to members of a group, and the mode of a group in a topic."""

import json

import pytest

from mqguard.broker.processors.assignment import AssignmentProcessor, average, average_by_circle
from mqguard.broker.settings import BrokerSettings
from mqguard.engine import request_modes
from mqguard.engine.errors import LimitReached
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House
from tests.unit.broker.processors.test_clients import beat

QUERY, SET_MODE, ALL_MODES = 400, 401, 402


@pytest.fixture
def house(house_with_topic):
    house_with_topic.engine.groups.put(SubscriptionGroupConfig("g"))
    house_with_topic.engine.group_commit.commit()
    return house_with_topic


def join(house, *clients):
    for client in clients:
        assert house.call(34, None, beat(client=client)).code == 0


def query(house, client="c1", topic="t", strategy="AVG", model="CLUSTERING", group="g", **more):
    body = {
        "topic": topic,
        "consumerGroup": group,
        "clientId": client,
        "strategyName": strategy,
        "messageModel": model,
    }
    answer = house.call(QUERY, None, json.dumps(body).encode(), **more)
    assert answer.code == 0, answer.remark
    found = json.loads(answer.body).get("messageQueueAssignments")
    if found is None:
        return None
    return [(one["messageQueue"]["brokerName"], one["messageQueue"]["queueId"], one["mode"]) for one in found]


def set_mode(house, mode="POP", share=0, topic="t", group="g", **more):
    body = {"topic": topic, "consumerGroup": group, "mode": mode, "popShareQueueNum": share}
    return house.call(SET_MODE, None, json.dumps(body).encode(), **more)


def queues_of(assigned):
    return [queue_id for _, queue_id, _ in assigned]


def test_members_share_the_queues_by_pull_if_no_mode_was_set(house):
    join(house, "c1", "c2", "c3")
    parts = [query(house, client) for client in ("c1", "c2", "c3")]
    assert [queues_of(part) for part in parts] == [[0, 1], [2], [3]]
    assert {mode for part in parts for _, _, mode in part} == {"PULL"}
    assert queues_of(query(house, "c1", strategy="AVG_BY_CIRCLE")) == [0, 3]
    assert query(house, "stranger") == []


def test_members_that_pop_share_all_queues(house):
    join(house, "c1", "c2")
    assert set_mode(house).code == 0
    assert query(house) == [("broker-a", -1, "POP")]


def test_members_that_pop_may_share_the_queues_of_some_others(house):
    join(house, "c1", "c2", "c3", "c4")
    assert set_mode(house, share=1).code == 0
    assert sorted(queues_of(query(house, "c1"))) == [0, 1]
    assert sorted(queues_of(query(house, "c4"))) == [0, 3]


def test_each_member_has_a_queue_if_there_are_more_members_than_queues(house):
    join(house, *(f"c{number}" for number in range(6)))
    set_mode(house, share=1)
    assert [queues_of(query(house, f"c{number}")) for number in range(6)] == [[0], [1], [2], [3], [0], [1]]


def test_a_client_keeps_its_queues_if_nothing_can_be_assigned(house):
    assert query(house) is None
    join(house, "c1")
    assert query(house, topic="none") is None
    assert query(house, strategy="other") is None


def test_broadcasting_members_get_all_queues(house):
    assert queues_of(query(house, model="BROADCASTING")) == [0, 1, 2, 3]


def test_a_retry_topic_is_always_pulled(house):
    join(house, "c1")
    house.engine.groups.with_retry_topic("g")
    house.engine.group_commit.commit()
    assert {mode for _, _, mode in query(house, topic="%RETRY%g")} == {"PULL"}
    assert set_mode(house, topic="%RETRY%g").code == ResponseCode.NO_PERMISSION


def test_modes_are_listed_and_survive_a_restart(house):
    assert set_mode(house, share=2).code == 0
    table = json.loads(house.call(ALL_MODES).body)
    assert table == {
        "messageRequestModeMap": {
            "t": {"g": {"topic": "t", "consumerGroup": "g", "mode": "POP", "popShareQueueNum": 2}}
        }
    }
    engine = house.engine
    again = request_modes.RequestModes(house.store, engine.group_commit, engine.topics, engine.groups)
    assert again.get("t", "g") == request_modes.GroupMode("POP", 2, "root")


@pytest.mark.parametrize("what", ["topic", "group"])
def test_a_mode_ends_with_its_topic_or_group(house, what):
    set_mode(house)
    if what == "topic":
        house.engine.topics.delete("t")
    else:
        house.engine.groups.delete("g")
    house.engine.group_commit.commit()
    assert house.engine.request_modes.all() == {}


def test_a_mode_that_was_not_stored_has_no_effect(house):
    house.store.failure = "pulled out"
    assert set_mode(house).code == ResponseCode.SYSTEM_ERROR
    assert house.engine.request_modes.all() == {}


@pytest.fixture
def few_modes(monkeypatch):
    """Return a broker that keeps two modes, and the users `ann` and `bob`, who may set them."""
    monkeypatch.setattr(request_modes, "MAX_MODES", 2)
    house = House()
    house.engine.topics.put(TopicConfig("t", 4, 4))
    house.engine.group_commit.commit()
    for name in ("ann", "bob"):
        house.user(name, ("Topic:*", "Update"), ("Group:*", "Update,Create"))
    return house


def test_one_user_cannot_use_all_modes(few_modes):
    assert set_mode(few_modes, group="a1", user="ann").code == 0
    assert set_mode(few_modes, group="a2", user="ann").code == 0
    refused = set_mode(few_modes, group="a3", user="ann")
    assert refused.code == ResponseCode.SERVICE_NOT_AVAILABLE
    assert "there are 2 message request modes, 2 of them yours, and at most 2 are kept" in refused.remark
    assert set_mode(few_modes, group="b1", user="bob").code == 0
    assert set_mode(few_modes, group="b2", user="bob").code == ResponseCode.SERVICE_NOT_AVAILABLE
    assert set_mode(few_modes, group="a1", mode="PULL", user="bob").code == 0
    few_modes.engine.groups.delete("a1")
    few_modes.engine.groups.delete("a2")
    few_modes.engine.group_commit.commit()
    assert set_mode(few_modes, group="b2", user="bob").code == 0


def test_the_shares_of_modes_survive_a_restart(few_modes):
    for group in ("a1", "a2"):
        assert set_mode(few_modes, group=group, user="ann").code == 0
    engine = few_modes.engine
    again = request_modes.RequestModes(few_modes.store, engine.group_commit, engine.topics, engine.groups)
    with pytest.raises(LimitReached, match="2 of them yours"):
        again.set("t", "a3", request_modes.GroupMode("POP", 0, "ann"))
    again.set("t", "b1", request_modes.GroupMode("POP", 0, "bob"))


def test_a_mode_that_was_not_stored_counts_for_no_user(few_modes):
    for group in ("a1", "a2", "a1", "a2"):
        few_modes.store.failure = "pulled out"
        assert set_mode(few_modes, group=group, user="ann").code == ResponseCode.SYSTEM_ERROR
        few_modes.store.failure = None
        few_modes.tick(2000)
    for group in ("a1", "a2"):
        assert set_mode(few_modes, group=group, user="ann").code == 0


def test_impossible_modes_are_refused(house):
    assert set_mode(house, topic="none").code == ResponseCode.TOPIC_NOT_EXIST
    assert set_mode(house, mode="PUSH").code != 0


def test_a_new_mode_notifies_the_members(house):
    wire = house.connect()
    house.give(wire, house.command(34, None, beat(client="c1")))
    set_mode(house)
    house.tick(2000)
    assert any(frame.code == 40 for frame in wire.frames)


def test_only_users_with_the_rights_assign_and_set(house):
    house.user("u", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    join(house, "c1")
    assert query(house, user="u") is not None
    assert set_mode(house, user="u").code == ResponseCode.NO_PERMISSION
    house.user("v", ("Topic:t", "Update"), ("Group:new", "Update"))
    assert set_mode(house, user="v", group="new").code == ResponseCode.NO_PERMISSION
    house.user("w")
    body = json.dumps({"topic": "t", "consumerGroup": "g", "clientId": "c1"}).encode()
    assert house.call(QUERY, None, body, user="w").code == ResponseCode.NO_PERMISSION


def test_a_client_may_name_its_retry_topic_of_pop_and_gets_nothing_of_another_group(house):
    """Java's client subscribes to it if the broker assigns its queues, which it then pulls."""
    house.user("u", ("Topic:t", "Sub"), ("Group:g", "Sub"))
    house.engine.groups.with_retry_topic("g_t")
    house.engine.group_commit.commit()
    body = json.loads(beat(client="c1"))
    subscription = {"topic": "%RETRY%g_t", "subString": "*", "tagsSet": [], "codeSet": [], "subVersion": 1}
    body["consumerDataSet"][0]["subscriptionDataSet"].append(subscription)
    wire = house.connect()
    assert house.call(34, None, json.dumps(body).encode(), user="u", wire=wire).code == 0
    assert list(house.broker.clients.group("g").subscriptions) == ["t"]
    assert query(house, topic="%RETRY%g_t", user="u") == []
    pull = {"consumerGroup": "g", "topic": "%RETRY%g_t", "queueId": 0, "queueOffset": 0, "maxMsgNums": 1, "sysFlag": 0}
    pull |= {"commitOffset": 0, "suspendTimeoutMillis": 0, "subVersion": 0}
    assert house.call(11, pull, user="u", wire=wire).code == ResponseCode.NO_PERMISSION


@pytest.mark.parametrize("queues", range(1, 9))
@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("strategy", [average, average_by_circle])
def test_every_queue_has_one_member(queues, count, strategy):
    places = [MessageQueue("t", "broker-a", number) for number in range(queues)]
    members = [f"c{number}" for number in range(count)]
    parts = [strategy(places, members, member) for member in members]
    assert sorted(queue for part in parts for queue in part) == places
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_queues_of_several_brokers_are_assigned_together(house):
    processor = AssignmentProcessor(
        house.engine, house.broker.clients, None, lambda _topic: {"b": 2, "a": 1}, BrokerSettings()
    )
    join(house, "c1", "c2")
    body = {"topic": "t", "consumerGroup": "g", "clientId": "c1"}
    request = type("Request", (), {"command": house.command(QUERY, None, json.dumps(body).encode())})
    found = json.loads(processor.query(request).body)["messageQueueAssignments"]
    assert [(one["messageQueue"]["brokerName"], one["messageQueue"]["queueId"]) for one in found] == [
        ("a", 0),
        ("b", 0),
    ]


@pytest.mark.parametrize("strategy", [average, average_by_circle])
def test_few_members_are_compared_with_a_client(strategy):
    compared = []

    class Id(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            compared.append(other)
            return str.__eq__(self, other)

        def __lt__(self, other):
            compared.append(other)
            return str.__lt__(self, other)

    members = [Id(f"c{number:04}") for number in range(1_000)]
    queues = [MessageQueue("t", "b", number) for number in range(1_000)]
    assert strategy(queues, members, "c0990") == queues[990:991]
    assert 0 < len(compared) < 20
    assert strategy(queues, members, "other") == []
