"""SendMessage: kinds of messages, and every wrong field with its code."""

import gzip

import pytest

from mqguard.model import properties, record
from mqguard.model.topic import TopicConfig
from mqguard.proxy.grpc import messages
from mqguard.proxy.grpc.producers import MAX_MESSAGES
from mqguard.remoting.codes import RequestCode
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.access import send_fields
from tests.unit.proxy.grpc.conftest import GrpcHouse, message

KINDS = {
    "NORMAL": {},
    "FIFO": {"message_group": "order-7"},
    "DELAY": {"delivery_timestamp": messages.timestamp(1_700_000_003_000)},
    "TRANSACTION": {},
    "PRIORITY": {"priority": 3},
    "LITE": {"lite_topic": "session-1"},
}


def sent_codes(answer):
    return answer.status.code, [entry.status.code for entry in answer.entries]


def stored(house, topic="t"):
    """Return the properties of all messages of a topic."""
    found = []
    for queue in range(house.engine.topics.get(topic).queues):
        found += [record.decode(data) for data in house.engine.fetch(topic, queue, 0, 32, 0, None).records]
    return found


def test_a_message_is_stored_with_all_its_parts(house):
    client = house.client()
    sent = message(
        b"hello",
        tag="a",
        keys=["k1", "k2"],
        born_host="host-1",
        born_timestamp=messages.timestamp(1_700_000_000_123),
        trace_context="tc",
        user={"color": "red"},
    )
    answer = client.send(sent)
    assert sent_codes(answer) == (pb.OK, [pb.OK])
    assert answer.entries[0].message_id == sent.system_properties.message_id
    got = client.receive()
    (one,) = got.messages
    system = one.system_properties
    assert (one.body, one.topic.name, dict(one.user_properties)) == (b"hello", "t", {"color": "red"})
    assert (system.tag, list(system.keys), system.born_host, system.trace_context) == (
        "a",
        ["k1", "k2"],
        "host-1",
        "tc",
    )
    assert messages.milliseconds(system.born_timestamp) == 1_700_000_000_123
    assert (system.body_digest.type, system.body_digest.checksum) == (pb.MD5, "5D41402ABC4B2A76B9719D911017C592")
    assert (system.body_encoding, system.message_type, system.delivery_attempt) == (pb.IDENTITY, pb.NORMAL, 1)


def test_a_packed_body_is_stored_unpacked(house):
    client = house.client()
    client.send(message(gzip.compress(b"hello" * 100), body_encoding=pb.GZIP))
    assert client.receive().bodies == [b"hello" * 100]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_message_reaches_a_topic_of_its_kind(house, kind):
    house.topic(f"of-{kind}", message_type=kind)
    answer = house.client().send(message(topic=f"of-{kind}", message_type=pb.MessageType.Value(kind), **KINDS[kind]))
    assert sent_codes(answer) == (pb.OK, [pb.OK]), answer
    assert bool(answer.entries[0].transaction_id) is (kind == "TRANSACTION")
    assert bool(answer.entries[0].recall_handle) is (kind == "DELAY")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_a_topic_of_one_kind_accepts_no_other(house, kind, other):
    house.topic("x", message_type=kind)
    answer = house.client().send(message(topic="x", message_type=pb.MessageType.Value(other), **KINDS[other]))
    expected = pb.OK if kind == other else pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE
    assert answer.status.code == expected


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_message_is_that_of_its_properties(house, kind):
    """A producer that names no kind, or the wrong one, cannot bring a message into a topic of another kind."""
    house.topic("n", message_type="NORMAL")
    client = house.client()
    for declared in (pb.MESSAGE_TYPE_UNSPECIFIED, pb.NORMAL):
        answer = client.send(message(topic="n", message_type=declared, **KINDS[kind]))
        expected = pb.OK if not KINDS[kind] else pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE
        assert answer.status.code == expected
    assert len(stored(house, "n")) == (0 if KINDS[kind] else 2)


def test_messages_of_one_group_stay_in_one_queue(house):
    client = house.client()
    for number in range(20):
        client.send(message(b"%d" % number, message_type=pb.FIFO, message_group="order-7"))
    assert len({one.queue_id for one in stored(house)}) == 1


def test_messages_without_a_group_go_to_all_queues(house):
    client = house.client()
    for number in range(8):
        client.send(message(b"%d" % number))
    assert sorted(one.queue_id for one in stored(house)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_several_messages_of_one_topic_are_stored_each(house):
    client = house.client()
    answer = client.send(*(message(b"%d" % number, message_id=f"id{number}") for number in range(5)))
    assert sent_codes(answer) == (pb.OK, [pb.OK] * 5)
    assert [entry.message_id for entry in answer.entries] == [f"id{number}" for number in range(5)]
    assert sorted(client.receive().bodies) == [b"0", b"1", b"2", b"3", b"4"]


def test_one_wrong_message_among_several_stores_none(house):
    answer = house.client().send(message(b"1"), message(b""), message(b"3"))
    assert (answer.status.code, len(answer.entries)) == (pb.MESSAGE_BODY_EMPTY, 0)
    assert stored(house) == []


def test_messages_of_different_topics_are_refused(house):
    house.topic("other")
    answer = house.client().send(message(b"1"), message(b"2", topic="other"))
    assert answer.status.code == pb.BAD_REQUEST
    assert stored(house) == stored(house, "other") == []


def test_the_permission_for_the_first_of_several_topics_is_not_enough(house):
    house.topic("other")
    house.user("alice", ("Topic:t", "Pub"))
    answer = house.client("alice").send(message(b"1"), message(b"2", topic="other"))
    assert answer.status.code == pb.UNAUTHORIZED


def test_too_many_messages_are_refused(house):
    answer = house.client().send(*(message() for _ in range(MAX_MESSAGES + 1)))
    assert answer.status.code == pb.BAD_REQUEST
    assert stored(house) == []


WRONG = {
    "no topic name": (message(topic=""), pb.ILLEGAL_TOPIC),
    "illegal topic": (message(topic="a b"), pb.ILLEGAL_TOPIC),
    "long topic": (message(topic="a" * 128), pb.ILLEGAL_TOPIC),
    "system topic": (message(topic="SCHEDULE_TOPIC_XXXX"), pb.ILLEGAL_TOPIC),
    "half topic": (message(topic="RMQ_SYS_TRANS_HALF_TOPIC"), pb.ILLEGAL_TOPIC),
    "unknown topic": (message(topic="unknown"), pb.TOPIC_NOT_FOUND),
    "no body": (message(b""), pb.MESSAGE_BODY_EMPTY),
    "large body": (message(bytes(4 * 1024 * 1024 + 1)), pb.MESSAGE_BODY_TOO_LARGE),
    "damaged body": (message(b"no gzip", body_encoding=pb.GZIP), pb.MESSAGE_CORRUPTED),
    "cut body": (message(gzip.compress(b"x" * 1000)[:-9], body_encoding=pb.GZIP), pb.MESSAGE_CORRUPTED),
    "large packed body": (message(gzip.compress(bytes(64 << 20)), body_encoding=pb.GZIP), pb.MESSAGE_BODY_TOO_LARGE),
    "no message id": (message(message_id=""), pb.ILLEGAL_MESSAGE_ID),
    "blank message id": (message(message_id="  "), pb.ILLEGAL_MESSAGE_ID),
    "long message id": (message(message_id="a" * 256), pb.ILLEGAL_MESSAGE_ID),
    "message id with a separator": (message(message_id="a\x02TAGS\x01b"), pb.ILLEGAL_MESSAGE_ID),
    "blank tag": (message(tag=" "), pb.ILLEGAL_MESSAGE_TAG),
    "tag with a bar": (message(tag="a|b"), pb.ILLEGAL_MESSAGE_TAG),
    "tag with a separator": (message(tag="a\x02b\x01c"), pb.ILLEGAL_MESSAGE_TAG),
    "tag with a C1 control": (message(tag="a\x85b"), pb.ILLEGAL_MESSAGE_TAG),
    "blank key": (message(keys=["a", " "]), pb.ILLEGAL_MESSAGE_KEY),
    "key with a separator": (message(keys=["a\x01"]), pb.ILLEGAL_MESSAGE_KEY),
    "blank group": (message(message_type=pb.FIFO, message_group=" "), pb.ILLEGAL_MESSAGE_GROUP),
    "long group": (message(message_type=pb.FIFO, message_group="é" * 33), pb.ILLEGAL_MESSAGE_GROUP),
    "group with a separator": (message(message_type=pb.FIFO, message_group="a\x02"), pb.ILLEGAL_MESSAGE_GROUP),
    "late delivery": (
        message(message_type=pb.DELAY, delivery_timestamp=messages.timestamp(1_700_000_000_000 + 86_400_001)),
        pb.ILLEGAL_DELIVERY_TIME,
    ),
    "delivery before time": (
        message(message_type=pb.DELAY, delivery_timestamp=messages.timestamp(-1_000)),
        pb.ILLEGAL_DELIVERY_TIME,
    ),
    "late check of a transaction": (
        message(message_type=pb.TRANSACTION, orphaned_transaction_recovery_duration=messages.duration(3_601_000)),
        pb.BAD_REQUEST,
    ),
    "delay without a time": (message(message_type=pb.DELAY), pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE),
    "order without a group": (message(message_type=pb.FIFO), pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE),
    "group and time": (
        message(message_type=pb.FIFO, **KINDS["FIFO"], **KINDS["DELAY"]),
        pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    ),
    "delayed transaction": (
        message(message_type=pb.TRANSACTION, **KINDS["DELAY"]),
        pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
    ),
    "unknown kind": (message(message_type=77), pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE),
    "negative priority": (message(message_type=pb.PRIORITY, priority=-1), pb.BAD_REQUEST),
    "illegal lite topic": (message(message_type=pb.LITE, lite_topic="a/b"), pb.ILLEGAL_LITE_TOPIC),
    "long lite topic": (message(message_type=pb.LITE, lite_topic="a" * 65), pb.ILLEGAL_LITE_TOPIC),
    "blank property": (message(user={" ": "a"}), pb.ILLEGAL_MESSAGE_PROPERTY_KEY),
    "property with a separator in its name": (message(user={"a\x01b\x02c": "d"}), pb.ILLEGAL_MESSAGE_PROPERTY_KEY),
    "property with a separator in its value": (
        message(user={"a": "b\x02TIMER_DELAY_SEC\x0110"}),
        pb.ILLEGAL_MESSAGE_PROPERTY_KEY,
    ),
    "many properties": (message(user={f"n{number}": "v" for number in range(129)}), pb.MESSAGE_PROPERTIES_TOO_LARGE),
    "large properties": (message(user={"a": "b" * 16_384}), pb.MESSAGE_PROPERTIES_TOO_LARGE),
    "large keys": (message(keys=["k" * 1_000] * 17), pb.MESSAGE_PROPERTIES_TOO_LARGE),
    "large trace context": (message(trace_context="c" * 40_000), pb.MESSAGE_PROPERTIES_TOO_LARGE),
    "trace context with a separator": (message(trace_context="a\x02b"), pb.BAD_REQUEST),
    "born host with a separator": (message(born_host="a\x02b"), pb.BAD_REQUEST),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_field_has_the_documented_code(house, wrong, caplog):
    sent, code = WRONG[wrong]
    answer = house.client().send(sent)
    assert answer.status.code == code, answer
    assert answer.status.message
    assert stored(house) == []
    assert not caplog.records


@pytest.mark.parametrize("name", [*sorted(messages.RESERVED), "__RMQ.TRANSIENT.TOPIC_SYS_FLAG"])
def test_user_properties_have_no_reserved_names(house, name):
    answer = house.client().send(message(user={name: "1"}))
    assert answer.status.code == pb.ILLEGAL_MESSAGE_PROPERTY_KEY
    assert stored(house) == []


def test_every_name_that_the_broker_gives_a_meaning_is_reserved():
    """The names are those of `mqguard.model.properties`."""
    not_names = {properties.NAME_END, properties.PAIR_END, properties.DEFAULT_REGION, properties.ANY_TAG}
    names = {value for name, value in vars(properties).items() if name.isupper() and isinstance(value, str)} - not_names
    assert len(names) > 25
    assert {name for name in names if not messages.is_reserved(name)} == set()


def test_a_consumer_sees_no_reserved_properties(house):
    """A message of another protocol may have any properties."""
    text = properties.text_of({"a": "1", "UNIQ_KEY": "u", "TTL": "3", "ORIGIN_GROUP": "x", "__RMQ.TRANSIENT.x": "y"})
    assert house.call(RequestCode.SEND_MESSAGE, send_fields("t", properties=text), b"x").code == 0
    (one,) = house.client().receive().messages
    assert dict(one.user_properties) == {"a": "1"}


def test_empty_optional_fields_count_as_absent(house):
    client = house.client()
    assert (
        client.send(message(tag="", keys=[""], message_group="", lite_topic="", trace_context="")).status.code == pb.OK
    )
    (one,) = client.receive().messages
    assert not one.system_properties.HasField("tag")
    assert list(one.system_properties.keys) == []


def test_bytes_without_the_form_of_a_message_are_refused(house, caplog):
    client = house.client()
    stream = client.wire.call(b"\xff\xff\xff", "/apache.rocketmq.v2.MessagingService/SendMessage", **client.headers())
    client.end_iteration()
    answer = pb.SendMessageResponse.FromString(client.wire.answers[stream][5:])
    assert answer.status.code == pb.BAD_REQUEST
    assert not caplog.records


def test_a_call_without_messages_is_refused(house, caplog):
    assert house.client().send().status.code == pb.MESSAGE_CORRUPTED
    assert not caplog.records


def test_a_store_that_cannot_write_is_an_error_of_the_server(house):
    client = house.client()
    call = client.start("SendMessage", pb.SendMessageRequest(messages=[message()]))
    assert call.answer is None
    house.store.failure = "pulled out"
    client.end_iteration()
    assert (call.answer.status.code, len(call.answer.entries)) == (pb.INTERNAL_SERVER_ERROR, 1)
    assert call.answer.entries[0].message_id == ""


def test_a_topic_that_is_not_writable_is_forbidden():
    house = GrpcHouse()
    house.engine.topics.put(TopicConfig("r", 4, 4, perm=4))
    assert house.client().send(message(topic="r")).status.code == pb.FORBIDDEN
