"""Positions of groups and queues."""

import pytest

from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import FLAG_ONEWAY, ResponseCode
from tests.unit.broker.conftest import House

QUEUE = {"topic": "t", "queueId": 0}
GROUP = {**QUEUE, "consumerGroup": "g"}


@pytest.fixture
def house():
    house = House()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    for n in range(3):
        send(house, b"%d" % n)
        house.clock.now += 1000
    return house


def send(house, body):
    ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
    assert house.call(310, ext, body).code == 0


def test_an_offset_is_stored(house):
    assert house.call(15, {**GROUP, "commitOffset": 2}).code == 0
    assert house.call(14, GROUP).ext == {"offset": "2"}
    house.give(house.connect(), house.command(15, {**GROUP, "commitOffset": 1}, flag=FLAG_ONEWAY))
    assert house.call(14, GROUP).ext == {"offset": "1"}


def test_a_small_new_topic_is_consumed_from_its_start(house):
    assert house.call(14, GROUP).ext == {"offset": "0"}
    assert house.call(14, {**GROUP, "setZeroIfNotFound": "true"}).ext == {"offset": "0"}


@pytest.mark.parametrize("change", [{"setZeroIfNotFound": "false"}, {"topic": "nowhere"}, {"queueId": 9}])
def test_a_group_without_an_offset_gets_not_found(house, change):
    answer = house.call(14, {**GROUP, **change})
    assert answer.code == ResponseCode.QUERY_NOT_FOUND
    assert answer.ext == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"commitOffset": -1}, ResponseCode.INVALID_PARAMETER),
        ({"queueId": 2}, ResponseCode.INVALID_PARAMETER),
        ({"queueId": -1}, ResponseCode.INVALID_PARAMETER),
        ({"topic": "nowhere"}, ResponseCode.TOPIC_NOT_EXIST),
        ({"consumerGroup": "a b"}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_an_invalid_offset_is_refused(house, change, code):
    assert house.call(15, {**GROUP, "commitOffset": 0, **change}).code == code


def test_the_first_and_last_offsets_are_returned(house):
    assert house.call(30, QUEUE).ext == {"offset": "3"}
    assert house.call(31, QUEUE).ext == {"offset": "0"}
    assert house.call(30, {**QUEUE, "queueId": 1}).ext == {"offset": "0"}
    assert house.call(30, {**QUEUE, "topic": "nowhere"}).code == ResponseCode.TOPIC_NOT_EXIST
    assert house.call(31, {**QUEUE, "queueId": 2}).code == ResponseCode.INVALID_PARAMETER


def test_the_offset_at_a_time_is_returned(house):
    first = house.clock.now - 3000
    for after, boundary, offset in [
        (0, None, "0"),
        (1, None, "1"),
        (1, "lower", "1"),
        (1, "UPPER", "0"),
        (2000, "upper", "2"),
    ]:
        ext = {**QUEUE, "timestamp": first + after}
        if boundary:
            ext["boundaryType"] = boundary
        assert house.call(29, ext).ext == {"offset": offset}


def test_the_time_of_the_first_message_is_returned(house):
    assert house.call(32, QUEUE).ext == {"timestamp": str(house.clock.now - 3000)}
    assert house.call(32, {**QUEUE, "queueId": 1}).ext == {"timestamp": "-1"}


def test_an_acknowledged_offset_is_stored(house):
    house.store.failure = None
    house.store.room = 0
    send_back = house.call(15, {**GROUP, "commitOffset": 2})
    assert (send_back.code == 0) == (house.engine.offsets.get("g", "t", 0) == 2)


def test_offsets_are_guarded_by_topic_and_group(house):
    house.user("alice", ("Topic:t", "Sub"))
    house.user("bob", ("Topic:t", "Pub"), ("Group:g", "All"))
    for code, ext in [(14, GROUP), (15, {**GROUP, "commitOffset": 0})]:
        assert house.call(code, ext, user="alice").code == ResponseCode.NO_PERMISSION
    for code in (30, 31, 32):
        assert house.call(code, QUEUE, user="alice").code == 0
        assert house.call(code, QUEUE, user="bob").code == ResponseCode.NO_PERMISSION
