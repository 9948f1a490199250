"""Limits of one request of a user with rights on its own topics and groups."""

import json

import pytest

from mqguard.broker import group_offsets
from mqguard.broker.processors import offsets
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.fixtures.engine import send


@pytest.fixture(name="big")
def a_topic_of_many_queues(house):
    """Return a broker with a topic `big` of 300 queues with a message each, and a group `g` with offsets in it."""
    house.user("weak", ("Topic:big", "All"), ("Group:g", "All"))
    house.engine.topics.put(TopicConfig("big", 300, 300))
    house.engine.groups.find("g")
    for queue_id in range(300):
        send(house.engine, topic="big", queue_id=queue_id)
        house.engine.offsets.set("g", "big", queue_id, 1)
    house.engine.group_commit.commit()
    return house


def reads(house, monkeypatch):
    """Count how often the store is read for times."""
    count = []
    for name in ("time_of", "earliest_store_time", "last_store_time"):
        real = getattr(house.engine, name)
        monkeypatch.setattr(house.engine, name, lambda *place, real=real: count.append(place) or real(*place))
    return count


@pytest.mark.parametrize(
    ("code", "ext"),
    [
        (208, {"consumerGroup": "g", "topic": "big"}),
        (208, {"consumerGroup": "g"}),
        (303, {"group": "g", "topic": "big"}),
    ],
)
def test_a_report_reads_a_limited_number_of_times(big, monkeypatch, code, ext):
    """All queues are in it; the times of the last ones are 0."""
    monkeypatch.setattr(group_offsets, "MAX_TIME_READS", 100)
    count = reads(big, monkeypatch)

    answer = big.call(code, ext, user="weak")

    assert answer.code == 0
    assert answer.body.count(b'"queueId"') == 300
    assert len(count) == 100


@pytest.mark.parametrize(
    ("code", "ext"),
    [(208, {"consumerGroup": "g", "topic": "big"}), (208, {"consumerGroup": "g"}), (317, {"isOrder": "false"})],
)
def test_a_report_on_too_many_queues_is_refused(big, monkeypatch, code, ext):
    monkeypatch.setattr(group_offsets, "MAX_QUEUES", 299)

    answer = big.call(code, ext, user="root" if code == 317 else "weak")

    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert answer.remark == ("the report would have 300 queues, and the maximum is 299: name a group and a topic")


def test_a_reset_of_too_many_queues_is_refused_but_not_of_each(big):
    ext = {"group": "g", "topic": "big", "timestamp": 5, "isForce": "true"}

    answer = big.call(222, ext, user="weak")

    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert (
        "has 300 queues, and one request resets at most 256: name one queue (`queueId`) in each request"
        in answer.remark
    )
    assert big.engine.offsets.get("g", "big", 0) == 1
    assert big.call(222, {**ext, "queueId": 299}, user="weak").code == 0
    assert big.engine.offsets.get("g", "big", 299) == 0


def test_a_copy_of_too_many_positions_is_refused(big, monkeypatch):
    big.engine.groups.find("h")
    monkeypatch.setattr(offsets, "MAX_COPIED_OFFSETS", 299)

    answer = big.call(314, {"srcGroup": "g", "destGroup": "h"})

    assert answer.code == ResponseCode.INVALID_PARAMETER
    assert "has 300 offsets in 1 topics, and one request copies at most 299" in answer.remark
    assert big.engine.offsets.of("h", "big") == {}
    monkeypatch.undo()
    assert big.call(314, {"srcGroup": "g", "destGroup": "h"}).code == 0
    assert len(big.engine.offsets.of("h", "big")) == 300


def test_a_batch_of_too_many_messages_is_refused_before_they_are_read(big):
    ext = {"a": "p", "b": "big", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": "", "j": 0, "k": "false"}
    body = encode_batch([BatchMessage(b"")] * 32_768)

    answer = big.call(320, {**ext, "m": "true"}, body, user="weak")
    assert answer.code == 0
    assert answer.ext["msgId"].count(",") == 32_767
    answer = big.call(320, {**ext, "m": "true"}, body + b"nonsense" * 4, user="weak")
    assert answer.code == ResponseCode.MESSAGE_ILLEGAL
    assert "more than 32768 messages" in answer.remark


def test_an_attribute_change_of_many_parts_is_refused(big):
    ext = {
        "topic": "big",
        "defaultTopic": "TBW102",
        "readQueueNums": 300,
        "writeQueueNums": 300,
        "perm": 6,
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": 0,
        "order": "false",
    }
    for attributes, words in (("-a," * 2_000, "has 6000 characters"), ("+reserve.time=" + "9" * 21, "a whole number")):
        answer = big.call(17, {**ext, "attributes": attributes}, user="weak")
        assert answer.code == ResponseCode.INVALID_PARAMETER
        assert words in answer.remark


def test_the_memory_of_a_group_is_limited(big):
    for config, words in (
        ({"attributes": {"+a": "x" * 16_384}}, "attributes of group `g` have 16385 characters; at most 16384"),
        ({"groupRetryPolicy": {"a": "x" * 4_096}}, "groupRetryPolicy of group `g` has 4104 bytes; at most 4096"),
    ):
        answer = big.call(200, body=json.dumps({"groupName": "g", **config}).encode(), user="weak")
        assert answer.code == ResponseCode.INVALID_PARAMETER
        assert words in answer.remark
