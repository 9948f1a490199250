"""Sending."""

import pytest

from mqguard.model import record
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House

V2 = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 7, "i": "KEYS\x01k\x02"}
LONG = {
    "producerGroup": "p",
    "topic": "t",
    "defaultTopic": "TBW102",
    "defaultTopicQueueNums": 4,
    "queueId": 0,
    "sysFlag": 0,
    "bornTimestamp": 1,
    "flag": 7,
    "properties": "KEYS\x01k\x02",
}


def stored(house, topic="t", queue=0):
    return record.decode_all(b"".join(house.engine.fetch(topic, queue, 0, 32, 0).records))


@pytest.mark.parametrize(("code", "ext"), [(10, LONG), (310, V2)])
def test_a_message_is_stored_unchanged(house, code, ext):
    answer = house.call(code, ext, b"hello")
    assert answer.code == 0
    assert answer.ext["queueId"] == "0"
    assert answer.ext["queueOffset"] == "0"
    assert answer.ext["MSG_REGION"] == "DefaultRegion"
    assert answer.ext["TRACE_ON"] == "true"
    assert len(answer.ext["msgId"]) == 32
    (message,) = stored(house)
    assert (message.topic, message.body, message.flag, message.born_timestamp) == ("t", b"hello", 7, 1)
    assert message.born_port > 50_000


def test_a_batch_has_several_messages(house):
    body = encode_batch([BatchMessage(b"one"), BatchMessage(b"two")])
    answer = house.call(320, {**V2, "m": "true"}, body)
    assert answer.code == 0
    assert answer.ext["msgId"].count(",") == 1
    assert [message.body for message in stored(house)] == [b"one", b"two"]
    assert house.call(310, {**V2, "m": "true"}, body).ext["queueOffset"] == "2"


def test_a_malformed_batch_is_refused_completely(house):
    body = encode_batch([BatchMessage(b"one"), BatchMessage(b"two")])[:-1]
    assert house.call(320, V2, body).code == ResponseCode.MESSAGE_ILLEGAL
    house.call(310, V2, b"x")
    assert len(stored(house)) == 1


def test_a_send_creates_a_topic_if_the_sender_has_create(house):
    house.user("maker", ("Topic:t", "Pub,Create"))
    house.user("sender", ("Topic:*", "Pub"))
    refused = house.call(310, V2, b"x", user="sender")
    assert refused.code == ResponseCode.NO_PERMISSION
    assert "needs the action Create" in refused.remark
    assert "[decision " in refused.remark
    assert house.engine.topics.get("t") is None
    assert house.call(310, V2, b"x", user="maker").code == 0
    assert house.routes.route("t") is not None
    assert house.call(310, V2, b"x", user="sender").code == 0


def test_a_send_creates_a_topic_without_authorization(open_house):
    assert open_house.call(310, V2, b"x", user=None).code == 0


def test_a_send_creates_no_topic_if_the_operator_forbids_it():
    house = House(engine={"auto_create_topic": False})
    answer = house.call(310, V2, b"x")
    assert answer.code == ResponseCode.TOPIC_NOT_EXIST
    assert "topic[t] not exist" in answer.remark


def test_a_send_does_not_create_a_dead_letter_topic(house):
    assert house.call(310, {**V2, "b": "%DLQ%g"}, b"x").code == ResponseCode.TOPIC_NOT_EXIST


@pytest.mark.parametrize(
    ("change", "body", "code"),
    [
        ({"b": "SCHEDULE_TOPIC_XXXX"}, b"x", ResponseCode.NO_PERMISSION),
        ({"b": "a b"}, b"x", ResponseCode.MESSAGE_ILLEGAL),
        ({"b": "%RETRY%nobody"}, b"x", ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        ({"e": 99, "b": "BenchmarkTest"}, b"x", ResponseCode.INVALID_PARAMETER),
        ({"b": "BenchmarkTest"}, bytes(5 * 1024 * 1024), ResponseCode.MESSAGE_ILLEGAL),
        ({"b": ""}, b"x", ResponseCode.MESSAGE_ILLEGAL),
    ],
)
def test_an_invalid_send_is_refused(open_house, change, body, code):
    answer = open_house.call(310, {**V2, **change}, body, user=None)
    assert answer.code == code
    assert answer.remark


def test_a_retry_topic_belongs_to_its_group(house):
    house.call(310, V2, b"x")
    house.engine.groups.with_retry_topic("victim")
    house.user("mallory", ("Topic:*", "All"), ("Group:mine", "All"))
    assert house.call(310, {**V2, "b": "%RETRY%victim", "a": "mine"}, b"x", user="mallory").code == 16
    ext = {**LONG, "topic": "%RETRY%victim", "group": "mine"}
    assert house.call(10, ext, b"x", user="mallory").code == 16
