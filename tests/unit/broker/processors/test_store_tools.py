"""Requests of tools about the store as a whole."""

import json

import pytest

from mqguard.broker.processors import store_tools
from mqguard.remoting.codes import ResponseCode

SEND = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0}
HOUR_MS = 3_600_000


def commit(house, group, queue_id, offset):
    ext = {"consumerGroup": group, "topic": "t", "queueId": queue_id, "commitOffset": offset}
    assert house.call(15, ext).code == 0


def test_all_offsets_are_returned_by_topic_and_group(house_with_topic):
    house = house_with_topic
    commit(house, "g", 0, 5)
    commit(house, "g", 1, 6)
    commit(house, "h", 0, 7)
    body = house.call(43).body.replace(b"{0:", b'{"0":').replace(b",1:", b',"1":')
    assert json.loads(body)["offsetTable"] == {"t@g": {"0": 5, "1": 6}, "t@h": {"0": 7}}


def test_too_many_offsets_for_one_answer_are_an_error(house_with_topic, monkeypatch):
    monkeypatch.setattr(store_tools, "MAX_LISTED_OFFSETS", 1)
    commit(house_with_topic, "g", 0, 5)
    assert house_with_topic.call(43).code == 0
    commit(house_with_topic, "g", 1, 5)
    answer = house_with_topic.call(43)
    assert (answer.code, answer.body) == (ResponseCode.SYSTEM_ERROR, b"")
    assert "208" in answer.remark


def test_old_messages_are_deleted_when_a_tool_says_so(house_with_topic):
    house = house_with_topic
    house.call(310, SEND, b"x")
    house.tick(72 * HOUR_MS - 5_000)
    house.call(310, SEND, b"x")
    house.tick(50)
    # The message is old now, and the next round of deletion by age is not due.
    house.tick(6_000)
    assert house.engine.min_offset("t", 0) == 0
    assert house.call(329).code == 0
    house.tick(50)
    house.tick(50)
    assert house.engine.min_offset("t", 0) == 1


@pytest.mark.parametrize(
    ("code", "ext"),
    [
        (306, {}), (316, {}), (354, {"topic": "t", "checkStoreTime": 0}), (355, {"configType": "topics"}), (907, {}),
        (908, {"masterFlushOffset": 0}), (2003, {}), (2004, {"READ_AHEAD_MODE": 1}), (5001, {"E_T": "F"}), (45, {}),
    ],
)  # fmt: skip
def test_tools_get_the_answer_of_a_broker_without_the_part(house_with_topic, code, ext):
    assert house_with_topic.call(code, ext).code == 0


@pytest.mark.parametrize(
    ("code", "ext", "wanted"),
    [
        (1007, {}, ResponseCode.SYSTEM_ERROR),
        (2001, {}, ResponseCode.REQUEST_CODE_NOT_SUPPORTED),
        (2002, {}, ResponseCode.REQUEST_CODE_NOT_SUPPORTED),
        (2004, {"READ_AHEAD_MODE": 7}, ResponseCode.INVALID_PARAMETER),
        (2004, {}, ResponseCode.INVALID_PARAMETER),
        (5001, {"E_T": "R"}, ResponseCode.INVALID_PARAMETER),
        (5001, {}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_what_this_broker_cannot_do_is_refused_with_the_reason(house_with_topic, code, ext, wanted):
    answer = house_with_topic.call(code, ext)
    assert answer.code == wanted
    assert answer.remark


def test_a_static_topic_is_refused(house_with_topic):
    body = b'{"topic":"static","totalQueues":4,"bname":"broker-a","hostedQueues":{}}'
    ext = {
        "topic": "static", "defaultTopic": "TBW102", "readQueueNums": 1, "writeQueueNums": 1, "perm": 6,
        "topicFilterType": "SINGLE_TAG", "order": "false",
    }  # fmt: skip
    answer = house_with_topic.call(513, ext, body)
    assert answer.code == ResponseCode.REQUEST_CODE_NOT_SUPPORTED
    assert "static topics are not supported" in answer.remark
    assert house_with_topic.engine.topics.get("static") is None


@pytest.mark.parametrize("code", [43, 45, 306, 316, 329, 355, 907, 1007, 2001, 2003, 2004, 5001, 908])
def test_a_user_without_permissions_is_denied(house_with_topic, code):
    house_with_topic.user("alice", ("Topic:*", "All"), ("Group:*", "All"))
    answer = house_with_topic.call(code, {"configType": "topics"}, user="alice")
    assert (answer.code, answer.body) == (ResponseCode.NO_PERMISSION, b"")


def test_the_state_of_replicas_names_the_end_of_the_messages(house_with_topic):
    house_with_topic.call(310, SEND, b"x")
    found = json.loads(house_with_topic.call(907).body)
    assert found["master"] is True
    assert found["masterCommitLogMaxOffset"] == house_with_topic.engine.next_physical
    assert found["haConnectionInfo"] == []
