"""Resets and copies of offsets."""

import pytest

from mqguard.model import record
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue, decode
from mqguard.remoting.bodies.groups import ResetOffsets
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.headers.pull import COMMIT_OFFSET, SUBSCRIPTION, SUSPEND
from tests.unit.broker.conftest import House, answer_to
from tests.unit.broker.processors.test_clients import beat
from tests.unit.broker.processors.test_pull import pulling

Q0, Q1 = MessageQueue("t", "broker-a", 0), MessageQueue("t", "broker-a", 1)


@pytest.fixture
def house():
    house = House()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    for n in range(4):
        house.clock.now += 1000
        ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
        assert house.call(310, ext, b"%d" % n).code == 0
    house.engine.offsets.set("g", "t", 0, 3)
    house.engine.group_commit.commit()
    return house


def reset(house, **change):
    ext = {"group": "g", "topic": "t", "timestamp": 0, "isForce": "true", **change}
    answer = house.call(222, ext)
    return decode(answer.body, ResetOffsets).offset_table if answer.code == 0 else answer


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ({}, {Q0: 0, Q1: 0}),
        ({"timestamp": -1}, {Q0: 4, Q1: 0}),
        ({"queueId": 0, "offset": 2}, {Q0: 2}),
        ({"queueId": 0, "offset": -1, "timestamp": -1}, {Q0: 4}),
        ({"timestamp": -1, "isForce": "false"}, {Q0: 4, Q1: 0}),
    ],
)
def test_a_group_is_reset_to_a_time_or_an_offset(house, change, table):
    assert reset(house, **change) == table
    for queue, offset in table.items():
        assert house.engine.offsets.get("g", "t", queue.queue_id) == offset


def test_without_force_a_group_is_reset_only_backwards(house):
    at_third = house.clock.now
    house.engine.offsets.set("g", "t", 0, 1)
    assert reset(house, timestamp=at_third, isForce="false")[Q0] == 1
    assert reset(house, timestamp=at_third)[Q0] == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topic": "nowhere"}, ResponseCode.TOPIC_NOT_EXIST),
        ({"group": "nobody"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        ({"queueId": 0, "offset": 5}, ResponseCode.INVALID_PARAMETER),
        ({"queueId": 7, "offset": 0}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_an_invalid_reset_is_refused(house, change, code):
    assert reset(house, **change).code == code
    assert house.engine.offsets.get("g", "t", 0) == 3


def test_a_running_consumer_gets_the_new_offset_and_its_old_commits_are_ignored(house):
    wire = house.connect()
    house.call(34, body=beat(), wire=wire)
    waiting = house.command(11, pulling(queueOffset=4, sysFlag=6))
    house.give(wire, waiting)
    assert answer_to(wire, waiting) is None
    reset(house, queueId=0, offset=1)
    moved = answer_to(wire, waiting)
    assert moved.code == ResponseCode.PULL_OFFSET_MOVED
    assert moved.ext["nextBeginOffset"] == "1"
    assert house.engine.offsets.get("g", "t", 0) == 1

    reset(house, queueId=0, offset=2)
    late = house.call(15, {"consumerGroup": "g", "topic": "t", "queueId": 0, "commitOffset": 4}, wire=wire)
    assert late.code == 0
    assert house.engine.offsets.get("g", "t", 0) == 2
    assert house.call(11, pulling(queueOffset=4), wire=wire).ext["nextBeginOffset"] == "2"
    house.call(15, {"consumerGroup": "g", "topic": "t", "queueId": 0, "commitOffset": 3}, wire=wire)
    assert house.engine.offsets.get("g", "t", 0) == 3


def test_a_reset_that_was_not_stored_has_no_effect(house):
    wire = house.connect()
    house.call(34, body=beat(), wire=wire)
    reset(house, queueId=0, offset=2)
    house.store.failure = "cable pulled"
    assert reset(house, queueId=0, offset=1).code == ResponseCode.SYSTEM_ERROR
    assert reset(house, queueId=1, offset=0).code == ResponseCode.SYSTEM_ERROR
    house.tick(1000)
    assert house.engine.offsets.get("g", "t", 0) == 2
    assert house.call(11, pulling(queueOffset=4), wire=wire).ext["nextBeginOffset"] == "2"
    assert house.call(11, pulling(queueId=1), wire=wire).code == ResponseCode.PULL_NOT_FOUND


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_pull_of_the_same_cycle_gets_the_new_offset_once_it_is_stored(house, is_stored):
    wire = house.connect()
    house.call(34, body=beat(), wire=wire)
    asked = {"group": "g", "topic": "t", "timestamp": -1, "isForce": "true", "queueId": 0, "offset": 1}
    pull = house.command(11, pulling(queueOffset=4, sysFlag=SUBSCRIPTION | SUSPEND | COMMIT_OFFSET, commitOffset=4))
    house.app.commands(wire, [house.command(222, asked), pull])
    assert answer_to(wire, pull) is None
    if not is_stored:
        house.store.failure = "cable pulled"
    house.app.end_of_iteration()
    if is_stored:
        assert (answer_to(wire, pull).code, answer_to(wire, pull).ext["nextBeginOffset"]) == (21, "1")
        assert house.engine.offsets.get("g", "t", 0) == 1
    else:
        assert answer_to(wire, pull) is None
        assert house.engine.offsets.get("g", "t", 0) == 3
        house.tick(1000)
        assert house.call(11, pulling(queueOffset=4), wire=wire).code == ResponseCode.PULL_NOT_FOUND


def test_a_new_group_is_not_affected_by_resets_of_an_old_one(house):
    wire = house.connect()
    house.call(34, body=beat(), wire=wire)
    reset(house, queueId=0, offset=1)
    house.call(207, {"groupName": "g", "cleanOffset": "true"})
    assert house.call(11, pulling(queueOffset=3), wire=wire).code == 0


def test_messages_are_delivered_again_after_a_reset(house):
    reset(house)
    answer = house.call(11, pulling(queueOffset=0))
    assert [message.body for message in record.decode_all(answer.body)] == [b"0", b"1", b"2", b"3"]


def test_offsets_are_copied_to_another_group(house):
    assert house.call(314, {"srcGroup": "g", "destGroup": "h", "topic": "t"}).code == 0
    assert house.engine.offsets.get("h", "t", 0) == 3
    assert house.call(314, {"srcGroup": "g", "destGroup": "i"}).code == 0
    assert house.engine.offsets.get("i", "t", 0) == 3


def test_offsets_of_a_retry_topic_are_not_copied(house):
    house.engine.offsets.set("g", "%RETRY%g", 0, 5)
    assert house.call(314, {"srcGroup": "g", "destGroup": "h"}).code == 0
    assert house.engine.offsets.get("h", "%RETRY%g", 0) is None


def test_each_copied_topic_needs_a_permission(house):
    house.engine.offsets.set("g", "BenchmarkTest", 0, 0)
    house.user("alice", ("Group:*", "All"), ("Topic:t", "Update"))
    assert house.call(314, {"srcGroup": "g", "destGroup": "h", "topic": "t"}, user="alice").code == 0
    assert house.call(314, {"srcGroup": "g", "destGroup": "i"}, user="alice").code == ResponseCode.NO_PERMISSION
    assert house.engine.offsets.get("i", "t", 0) is None
    assert house.call(314, {"srcGroup": "empty", "destGroup": "i"}, user="alice").code == 0


def test_copying_needs_a_permission_on_the_source_group(house):
    house.user("alice", ("Group:mine", "All"), ("Topic:*", "All"))
    answer = house.call(314, {"srcGroup": "g", "destGroup": "mine", "topic": "t"}, user="alice")
    assert answer.code == ResponseCode.NO_PERMISSION
