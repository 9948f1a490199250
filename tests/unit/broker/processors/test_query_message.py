"""Single messages: found, shown, given back."""

import pytest

from mqguard.model import properties, record
from mqguard.model.topic import TopicConfig
from mqguard.remoting.codes import ResponseCode
from tests.unit.broker.conftest import House

EVER = {"beginTimestamp": 0, "endTimestamp": 2**62, "maxNum": 32}


@pytest.fixture
def house():
    house = House()
    house.engine.topics.put(TopicConfig("t", 2, 2))
    house.engine.groups.with_retry_topic("g")
    return house


def send(house, body=b"x", keys="k1 k2", topic="t"):
    ext = {"a": "p", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": f"KEYS\x01{keys}\x02"}
    answer = house.call(310, ext, body)
    assert answer.code == 0
    return answer.ext


def place(sent):
    return int(sent["msgId"][16:], 16)


def test_messages_are_found_by_key_and_unique_id(house):
    sent = send(house, b"one")
    send(house, b"two", keys="k2")
    assert len(record.decode_all(house.call(12, {"topic": "t", "key": "k2", **EVER}).body)) == 2
    (found,) = record.decode_all(house.call(12, {"topic": "t", "key": "k1", **EVER}).body)
    assert found.body == b"one"
    unique = {"topic": "t", "key": sent["transactionId"], **EVER}
    for ext in ({**unique, "_UNIQUE_KEY_QUERY": "true"}, {**unique, "indexType": "U"}):
        answer = house.call(12, ext)
        assert record.decode(answer.body).body == b"one"
        assert set(answer.ext) == {"indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": "nothing"}, ResponseCode.QUERY_NOT_FOUND),
        ({"topic": "BenchmarkTest"}, ResponseCode.QUERY_NOT_FOUND),
        ({"endTimestamp": 1}, ResponseCode.QUERY_NOT_FOUND),
        ({"indexType": "T"}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_a_query_without_results_is_an_error(house, change, code):
    send(house)
    answer = house.call(12, {"topic": "t", "key": "k1", **EVER, **change})
    assert answer.code == code
    assert answer.body == b""


def test_a_message_is_read_by_its_offset(house):
    sent = send(house, b"one")
    answer = house.call(33, {"offset": place(sent)})
    assert record.decode(answer.body).body == b"one"
    assert house.call(33, {"offset": 10**9}).code == ResponseCode.SYSTEM_ERROR


@pytest.mark.parametrize("named", [{}, {"topic": "mine"}])
def test_a_message_needs_permissions_on_its_own_topic(house, named):
    secret = place(send(house, b"secret"))
    house.user("mallory", ("Topic:mine", "All"), ("Group:*", "All"))
    answer = house.call(33, {"offset": secret, **named}, user="mallory")
    assert answer.code == ResponseCode.NO_PERMISSION
    assert b"secret" not in answer.body
    house.user("alice", ("Topic:t", "Get"))
    assert house.call(33, {"offset": secret}, user="alice").code == 0


@pytest.mark.parametrize(
    ("code", "ext"), [(33, {}), (36, {"group": "mine", "delayLevel": 1}), (309, {"consumerGroup": "mine"})]
)
def test_a_denial_does_not_name_the_topic_of_the_message(house, code, ext):
    sent = send(house, b"secret")
    house.call(36, {"offset": place(sent), "group": "g", "delayLevel": -1})
    (dead,) = record.decode_all(b"".join(house.engine.fetch("%DLQ%g", 0, 0, 32, 0).records))
    house.user("mallory", ("Group:mine", "All"))
    for at in (place(sent), dead.physical_offset):
        where = {"offset": at, "msgId": f"{sent['msgId'][:16]}{at:016X}"}
        answer = house.call(code, {**ext, **where}, user="mallory")
        assert answer.code == ResponseCode.NO_PERMISSION
        assert "Topic:" not in answer.remark
        assert "Group:" not in answer.remark
        told = answer.remark.removesuffix("]").rpartition(" ")[2]
        assert (
            "Topic:t" in house.guard.denials.find(told).message or "Group:g" in house.guard.denials.find(told).message
        )


def test_a_message_is_delivered_again(house):
    sent = send(house)
    assert house.call(36, {"offset": place(sent), "group": "g", "delayLevel": 0}).code == 0
    house.tick(10_000)
    house.tick(1000)
    (again,) = record.decode_all(b"".join(house.engine.fetch("%RETRY%g", 0, 0, 32, 0).records))
    assert again.reconsume_times == 1
    pairs = properties.parse(again.properties.decode())
    assert pairs["RETRY_TOPIC"] == "t"


def test_a_message_becomes_a_dead_letter(house):
    sent = send(house)
    assert house.call(36, {"offset": place(sent), "group": "g", "delayLevel": -1}).code == 0
    assert len(house.engine.fetch("%DLQ%g", 0, 0, 32, 0).records) == 1
    assert house.routes.route("%DLQ%g") is not None


def test_a_send_back_needs_permissions_on_the_message(house):
    secret = place(send(house, b"secret"))
    house.engine.groups.with_retry_topic("mine")
    house.user("mallory", ("Topic:mine", "All"), ("Group:mine", "All"))
    answer = house.call(36, {"offset": secret, "group": "mine", "delayLevel": 1}, user="mallory")
    assert answer.code == ResponseCode.NO_PERMISSION
    assert house.engine.max_offset("%RETRY%mine", 0) == 0
    house.tick(60_000)
    assert house.engine.max_offset("%RETRY%mine", 0) == 0


def test_a_retry_message_belongs_to_its_group_and_its_original_topic(house):
    sent = send(house, b"secret")
    house.call(36, {"offset": place(sent), "group": "g", "delayLevel": -1})
    (dead,) = record.decode_all(b"".join(house.engine.fetch("%DLQ%g", 0, 0, 32, 0).records))
    for number, rights in enumerate([("Group:g", "Get"), ("Topic:t", "Get")]):
        house.user(f"half{number}", rights)
        assert house.call(33, {"offset": dead.physical_offset}, user=f"half{number}").code == 16
    house.user("whole", ("Group:g", "Get"), ("Topic:t", "Get"))
    assert house.call(33, {"offset": dead.physical_offset}, user="whole").code == 0


@pytest.mark.parametrize(
    ("asked", "where"), [("DELAY\x013\x02", "SCHEDULE_TOPIC_XXXX"), ("TIMER_DELAY_SEC\x019\x02", "rmq_sys_wheel_timer")]
)
def test_a_delayed_message_belongs_to_its_destination(house, asked, where):
    ext = {"a": "p", "b": "t", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": asked}
    waiting = place(house.call(310, ext, b"later").ext)
    house.user("alice", ("Topic:t", "Get"))
    house.user("mallory", (f"Topic:{where}", "Get"))
    assert house.call(33, {"offset": waiting}, user="alice").code == 0
    assert house.call(33, {"offset": waiting}, user="mallory").code == 16


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"offset": 10**9}, ResponseCode.SYSTEM_ERROR),
        ({"group": "nobody"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        ({"delayLevel": ""}, ResponseCode.INVALID_PARAMETER),
    ],
)
def test_an_invalid_send_back_is_refused(house, change, code):
    sent = send(house)
    assert house.call(36, {"offset": place(sent), "group": "g", "delayLevel": 0, **change}).code == code


def test_the_bytes_that_a_user_sends_back_are_limited(house):
    """The request is small, and the copy costs as much as the message."""
    for name in ("greedy", "modest"):
        house.user(name, ("Topic:*", "Sub"), ("Group:g", "Sub"))
    sent = send(house, b"x" * 3_000_000)
    ext = {"offset": place(sent), "group": "g", "delayLevel": 3}
    assert house.call(36, ext, user="greedy").code == 0
    refused = house.call(36, ext, user="greedy")
    assert (refused.code, refused.remark.split(":")[0]) == (2, "too many bytes of messages were sent back")
    assert house.call(36, ext, user="modest").code == 0
    house.clock.now += 200
    assert house.call(36, ext, user="greedy").code == 0
