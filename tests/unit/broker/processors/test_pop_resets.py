"""Resets of the offsets of groups that pop: what is in flight is dropped, and pops begin at the new offset."""

import json

import pytest

from mqguard.model import properties
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.fixtures.pop import about, popped, popping
from tests.unit.broker.conftest import House, answer_to

POP, ACK, CHANGE, UPDATE_OFFSET, RESET, BATCH_ACK = 200050, 200051, 200053, 15, 222, 200151
STATS, SET_MODE, HEARTBEAT = 208, 401, 34
MESSAGES = 10


@pytest.fixture
def house(house_with_topic):
    house_with_topic.engine.topics.put(TopicConfig("t", 1, 1))
    house_with_topic.engine.groups.put(SubscriptionGroupConfig("g", retry_max_times=2))
    house_with_topic.engine.group_commit.commit()
    for number in range(MESSAGES):
        ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": properties.text_of({})}
        assert house_with_topic.call(310, ext, b"%d" % number).code == 0
        house_with_topic.tick(1000)
    return house_with_topic


def pop(house, **change):
    return popped(house.call(POP, popping(**change)))


def numbers(found):
    return [int(message.body) for message, _ in found]


def reset(house, offset):
    """Reset as Apache's tools do: a commit of the offset, then the reset of the queue."""
    place = {"topic": "t", "queueId": 0}
    assert house.call(UPDATE_OFFSET, {**place, "consumerGroup": "g", "commitOffset": offset}).code == 0
    fields = {**place, "group": "g", "timestamp": 0, "isForce": "true", "offset": offset}
    answer = house.call(RESET, fields)
    assert answer.code == 0
    assert f":{offset}" in answer.body.decode()


@pytest.mark.parametrize("order", ["false", "true"])
@pytest.mark.parametrize("offset", [0, 4, 9])
def test_messages_from_the_new_offset_are_given_again(house, order, offset):
    old = pop(house, order=order)
    assert numbers(old) == list(range(MESSAGES))
    reset(house, offset)
    new = pop(house, order=order)
    assert numbers(new) == list(range(offset, MESSAGES))
    assert [message.reconsume_times for message, _ in new] == [0] * len(new)


@pytest.mark.parametrize("order", ["false", "true"])
def test_handles_from_before_a_reset_are_not_valid(house, order):
    old = pop(house, order=order)
    house.tick(1)
    reset(house, 2)
    new = pop(house, order=order)
    for _, handle in old:
        assert house.call(ACK, about(handle)).code == ResponseCode.NO_MESSAGE
        assert house.call(CHANGE, about(handle, invisibleTime=0)).code == ResponseCode.NO_MESSAGE
    assert house.engine.pop.count("g", "t", 0) == len(new) == MESSAGES - 2
    for _, handle in new:
        assert house.call(ACK, about(handle)).code == 0
    assert house.engine.pop.count("g", "t", 0) == 0
    assert house.engine.offsets.get("g", "t", 0) == MESSAGES


@pytest.mark.parametrize("order", ["false", "true"])
@pytest.mark.parametrize("resets", [(3,), (3, 1), (8,), (5, 8)])
def test_a_reset_between_pops_goes_back_or_forward(house, order, resets):
    for number in range(5):
        [(message, handle)] = pop(house, order=order, maxMsgNums=1)
        assert int(message.body) == number
        assert house.call(ACK, about(handle)).code == 0
    for offset in resets:
        reset(house, offset)
    assert numbers(pop(house, order=order)) == list(range(resets[-1], MESSAGES))


@pytest.mark.parametrize("order", ["false", "true"])
def test_a_reset_before_the_first_pop_skips_messages(house, order):
    reset(house, 4)
    assert numbers(pop(house, order=order)) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("order", ["false", "true"])
def test_a_reset_to_a_time_resets_every_queue(house, order):
    times = [message.store_timestamp for message, _ in pop(house, order=order)]
    fields = {"topic": "t", "group": "g", "timestamp": times[6], "isForce": "true"}
    assert house.call(RESET, fields).code == 0
    assert numbers(pop(house, order=order)) == [6, 7, 8, 9]


@pytest.mark.parametrize("order", ["false", "true"])
def test_a_reset_gives_messages_to_a_waiting_pop(house, order):
    pop(house, order=order)
    wire = house.connect()
    command = house.command(POP, popping(order=order, pollTime=15_000))
    house.give(wire, command)
    assert answer_to(wire, command) is None
    reset(house, 7)
    house.tick()
    assert numbers(popped(answer_to(wire, command))) == [7, 8, 9]


def test_messages_dropped_by_a_reset_do_not_come_to_the_retry_topic(house):
    pop(house, invisibleTime=1000)
    reset(house, MESSAGES)
    house.tick(5000)
    assert house.call(POP, popping()).code == ResponseCode.POLLING_TIMEOUT
    assert house.engine.pop.in_flight_count == 0


def test_a_reset_of_a_group_that_pops_by_default_holds_no_commit_back():
    house = House(request_mode="POP")
    house.engine.topics.put(TopicConfig("t", 1, 1))
    house.engine.groups.put(SubscriptionGroupConfig("g"))
    house.engine.group_commit.commit()
    consumer = {
        "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET",
        "consumeType": "CONSUME_PASSIVELY",
        "groupName": "g",
        "messageModel": "CLUSTERING",
        "subscriptionDataSet": [{"topic": "t", "subString": "*", "expressionType": "TAG", "subVersion": 1}],
    }
    body = json.dumps({"clientID": "c", "consumerDataSet": [consumer], "producerDataSet": []}).encode()
    wire = house.connect()
    assert house.call(HEARTBEAT, None, body, wire=wire).code == 0
    fields = {"topic": "t", "group": "g", "timestamp": -1, "isForce": "true", "queueId": 0, "offset": 0}
    assert house.call(RESET, fields).code == 0
    answer = house.call(UPDATE_OFFSET, {"topic": "t", "queueId": 0, "consumerGroup": "g", "commitOffset": 0})
    assert answer.code == 0
    assert answer.remark is None
