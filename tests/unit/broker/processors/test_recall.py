"""Recall of messages that wait for a time, with the answers of Apache's broker 5.5.0."""

import base64

import pytest

from mqguard.model import properties, recall_handle
from mqguard.model.recall_handle import RecallHandle, RecallHandleInvalid
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House
from tests.unit.broker.processors.test_pull import bodies, pulling


@pytest.fixture
def house():
    return with_topics(House())


def with_topics(house):
    for name in ("t", "other"):
        house.engine.topics.put(TopicConfig(name, 1, 1))
    house.engine.groups.put(SubscriptionGroupConfig("g"))
    house.engine.group_commit.commit()
    return house


def sending(topic="t", **pairs):
    text = properties.text_of({"UNIQ_KEY": "U", "TIMER_DELAY_SEC": "9", **pairs})
    return {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": text}


def handle_of(house, topic="t", **more):
    answer = house.call(310, sending(topic), b"later", **more)
    assert answer.code == 0
    return answer.ext["recallHandle"]


def recall(house, handle, topic="t", **more):
    return house.call(370, {"producerGroup": "p", "topic": topic, "recallHandle": handle}, **more)


def delivered(house, topic="t"):
    house.tick(10_000)
    answer = house.call(11, pulling(topic=topic))
    return bodies(answer) if answer.code == 0 else []


def test_a_producer_recalls_its_message_with_the_handle_of_the_answer(house):
    handle = handle_of(house)
    parts = base64.urlsafe_b64decode(handle).decode().split(" ")
    assert parts == ["v1", "t", "broker-a", str(house.clock.now + 9_000), "U"]
    answer = recall(house, handle)
    assert (answer.code, answer.ext["msgId"], answer.ext["MSG_REGION"]) == (0, "U", "DefaultRegion")
    assert delivered(house) == []
    assert recall(house, handle).remark == "recall failed, timestamp invalid"


def test_the_answer_is_the_same_for_an_unknown_and_a_recalled_message(house):
    handle = recall_handle.decode(handle_of(house))
    for unique_id in ("U", "U", "unknown"):
        answer = recall(house, recall_handle.encode(handle._replace(unique_id=unique_id)))
        assert (answer.code, answer.ext["msgId"]) == (0, unique_id)


@pytest.mark.parametrize(
    ("change", "topic", "code", "remark"),
    [
        ({}, "nope", ResponseCode.TOPIC_NOT_EXIST, "recall failed, the topic[nope] not exist"),
        ({}, "other", ResponseCode.ILLEGAL_OPERATION, "recall failed, topic not match"),
        ({"topic": "other"}, "t", ResponseCode.ILLEGAL_OPERATION, "recall failed, topic not match"),
        ({"broker": "b"}, "t", ResponseCode.ILLEGAL_OPERATION, "recall failed, broker service not available"),
        ({"time": "5"}, "t", ResponseCode.ILLEGAL_OPERATION, "recall failed, timestamp invalid"),
        ({"time": "x"}, "t", ResponseCode.ILLEGAL_OPERATION, "recall failed, timestamp invalid"),
        ({"time": "9" * 18}, "t", ResponseCode.ILLEGAL_OPERATION, "recall failed, timestamp invalid"),
        ({"time": "9" * 5000}, "t", ResponseCode.ILLEGAL_OPERATION, "recall handle is invalid"),
    ],
)
def test_a_forged_handle_is_refused(house, change, topic, code, remark):
    handle = recall_handle.decode(handle_of(house))._replace(**change)
    answer = recall(house, recall_handle.encode(handle), topic)
    assert (answer.code, answer.remark) == (code, remark)
    assert delivered(house) == [b"later"]


@pytest.mark.parametrize("text", ["!!!", "e", "dg==", "djIgYSBiIGMgZA==", "djEgYSBiIGM=", "_____w==", "é"])
def test_a_text_that_is_not_a_handle_is_refused(house, text):
    answer = recall(house, text)
    assert (answer.code, answer.remark) == (ResponseCode.ILLEGAL_OPERATION, "recall handle is invalid")
    with pytest.raises(RecallHandleInvalid):
        recall_handle.decode(text)


def test_java_decodes_handles_without_padding():
    text = recall_handle.encode(RecallHandle("t", "b", "1", "U"))
    assert recall_handle.decode(text.rstrip("=")) == RecallHandle("t", "b", "1", "U")


def test_a_recall_needs_pub_on_the_topic_of_the_message(house):
    """The sender has Pub on another topic, and knows the handle."""
    house.user("alice", ("Topic:t", "Pub"))
    house.user("mallory", ("Topic:other", "Pub"), ("Topic:t", "Sub"))
    handle = handle_of(house, user="alice")
    assert recall(house, handle, user="mallory").code == ResponseCode.NO_PERMISSION
    assert recall(house, handle, "other", user="mallory").code == ResponseCode.ILLEGAL_OPERATION
    forged = recall_handle.decode(handle)._replace(topic="other")
    assert recall(house, recall_handle.encode(forged), "other", user="mallory").code == 0
    assert house.call(370, {"recallHandle": handle}, user="mallory").code == ResponseCode.NO_PERMISSION
    assert house.call(310, sending("other", TIMER_DEL_UNIQKEY="t+U"), b"0", user="mallory").code == 0
    assert delivered(house) == [b"later"]
    assert recall(house, handle_of(house, user="alice"), user="alice").code == 0
    assert delivered(house) == [b"later"]


def test_a_message_in_a_retry_topic_has_no_handle(house):
    answer = house.call(310, sending("%RETRY%g", RETRY_TOPIC="t"))
    assert answer.code == 0
    assert "recallHandle" not in answer.ext
    handle = RecallHandle("%RETRY%g", "broker-a", str(house.clock.now + 9_000), "U")
    answer = recall(house, recall_handle.encode(handle), "%RETRY%g")
    assert answer.code == ResponseCode.ILLEGAL_OPERATION


def test_the_operator_can_forbid_recalls():
    house = with_topics(House(engine={"recall": False}))
    answer = recall(house, handle_of(house))
    assert (answer.code, answer.remark) == (ResponseCode.NO_PERMISSION, "recall failed, operation is forbidden")
