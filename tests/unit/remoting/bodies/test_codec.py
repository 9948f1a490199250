"""Decoding and encoding bodies: queue keys, nulls, leniency, and none of it where exactness counts."""

import json

import pytest

from mqguard.remoting.bodies.access import AclInfo, UserInfo
from mqguard.remoting.bodies.clients import HeartbeatData, LockedQueues, QueryAssignment, RequestMode
from mqguard.remoting.bodies.codec import (
    MAX_LENIENT,
    Body,
    ExactBody,
    MessageQueue,
    decode,
    decode_leniently,
    decode_table,
    encode,
)
from mqguard.remoting.bodies.groups import ConsumerStatus
from mqguard.remoting.command import BodyInvalid, LocalProtocolError


class Inner(Body):
    some_number: int
    maybe: str | None = None


class Outer(Body):
    by_queue: dict[MessageQueue, int]
    deep: list[dict[str, Inner]]
    maybe: Inner | None = None


class Strict(ExactBody):
    name: str | None = None
    parts: list[Inner] | None = None


QUEUE = MessageQueue("T", "b", 3)
OUTER = Outer({QUEUE: 7}, [{"x": Inner(1)}])


def test_queues_as_keys_are_written_as_clients_read_them() -> None:
    assert encode(OUTER) == (
        b'{"byQueue":{{"topic":"T","brokerName":"b","queueId":3}:7},"deep":[{"x":{"someNumber":1}}]}'
    )


@pytest.mark.parametrize(
    "text",
    [
        b'{"byQueue":{{"topic":"T","brokerName":"b","queueId":3}:7},"deep":[{"x":{"someNumber":1}}]}',
        b'{"byQueue":{{"brokerName":"b","queueId":"3","topic":"T","more":1}:7},"deep":[{"x":{"someNumber":1}}]}',
        b'{"byQueue":{"{\\"brokerName\\":\\"b\\",\\"queueId\\":3,\\"topic\\":\\"T\\"}":"7"},"deep":[{"x":{"someNumber":"1"}}]}',
        b"{byQueue:{{topic:'T',brokerName:'b',queueId:3}:7,},deep:[{x:{someNumber:1,maybe:null}}],maybe:null}",
    ],
)
def test_queues_as_keys_are_read_in_every_form(text: bytes) -> None:
    assert decode(text, Outer) == OUTER


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "body: is missing"),
        (b"{", "body: is not JSON: no member name at character 1"),
        (b"[]", "body: expected an object, got a list"),
        (b'{"byQueue":{"a":1},"deep":[]}', "body at `byQueue`: as a key, expected an object, got a text"),
        (b'{"byQueue":{"{x":1},"deep":[]}', "body at `byQueue`: as a key, expected an object, got a text"),
        (b'{"byQueue":{"{x}":1},"deep":[]}', "body at `byQueue`: as a key, expected an object, got a text"),
        (b'{"byQueue":{{"topic":"T"}:1},"deep":[]}',
         "body: a key is not a message queue: Object missing required field `brokerName`"),
        (b'{"byQueue":{},"deep":[{"x":{"someNumber":"y"}}]}',
         "body at `deep[0][...].someNumber`: expected a whole number, got a text"),
        (b'{"byQueue":{},"deep":[],"maybe":1e999}', "body: the number `1e999` is out of range"),
        (b'{"byQueue":{}}', "body: object missing required field `deep`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        decode(text, Outer)
    assert str(caught.value) == message


def test_deep_nesting_is_bad_input() -> None:
    for kind in (Outer, HeartbeatData, Strict):
        with pytest.raises(BodyInvalid, match=r"is not JSON|at most 16384 are allowed|more than 64000 values"):
            decode(b'{"parts":' + b"[" * 100_000, kind)
        with pytest.raises(BodyInvalid, match="is not JSON"):
            decode(b'{"parts":' + b"[" * 10_000, kind)


def heartbeat_of_python(model: bytes) -> bytes:
    """Return the heartbeat of the Python client 2.0: its C++ library sends the numbers of enumerations."""
    subscription = b'"subscriptionDataSet":[{"subString":"*","subVersion":"1795984475442","topic":"orders"}]'
    numbers = b'"consumeFromWhere":0,"consumeType":1,"groupName":"billing","messageModel":' + model
    return b'{"clientID":"c","consumerDataSet":[{' + numbers + b"," + subscription + b"}]}"


def test_numbers_of_enumerations_mean_their_names() -> None:
    consumer = decode(heartbeat_of_python(b"1"), HeartbeatData).consumer_data_set[0]
    found = consumer.consume_from_where, consumer.consume_type, consumer.message_model
    assert found == ("CONSUME_FROM_LAST_OFFSET", "CONSUME_PASSIVELY", "CLUSTERING")
    assert decode(heartbeat_of_python(b"0"), HeartbeatData).consumer_data_set[0].message_model == "BROADCASTING"


@pytest.mark.parametrize("sent", ["2", "-1", "true", '"Clustering"', '"1"', "[1]"])
def test_an_unknown_member_of_an_enumeration_is_bad_input(sent: str) -> None:
    with pytest.raises(BodyInvalid) as caught:
        decode(heartbeat_of_python(sent.encode()), HeartbeatData)
    assert caught.value.path == "consumerDataSet[0].messageModel"
    assert str(caught.value).endswith("is not one of BROADCASTING, CLUSTERING, or a number from 0 to 1")


def test_null_is_the_default_of_an_enumeration() -> None:
    assert decode(heartbeat_of_python(b"null"), HeartbeatData).consumer_data_set[0].message_model == "CLUSTERING"


def test_members_of_enumerations_are_written_as_names() -> None:
    asked = decode(b'{"topic":"T","consumerGroup":"g","clientId":"c","messageModel":0}', QueryAssignment)
    assert b'"messageModel":"BROADCASTING"' in encode(asked)
    mode = decode(b'{"topic":"T","consumerGroup":"g","mode":1}', RequestMode)
    assert (mode.mode, type(str(mode.mode))) == ("POP", str)


def test_a_body_with_an_object_of_another_kind_is_not_written() -> None:
    with pytest.raises(TypeError, match="a body cannot contain the type object"):
        encode([object()])


def lenient_heartbeat(size: int) -> bytes:
    """Return a heartbeat that only the lenient reader accepts: single quotes, and one long text."""
    head, tail = b"{'clientID':\"", b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def test_a_long_body_is_read_strictly_only() -> None:
    """The lenient reader takes a millisecond for each kilobyte, so its bodies have a smaller limit."""
    longest = lenient_heartbeat(MAX_LENIENT)
    assert len(decode(longest, HeartbeatData).client_id) > 16_000
    with pytest.raises(BodyInvalid, match="a body of over 16384 bytes must be strict JSON"):
        decode(lenient_heartbeat(MAX_LENIENT + 1), HeartbeatData)
    assert len(decode(lenient_heartbeat(MAX_LENIENT + 1).replace(b"'", b'"'), HeartbeatData).client_id) > 16_000
    with pytest.raises(BodyInvalid, match="`clientID`: expected a text, got an object"):
        decode(b'{"clientID":{}' + b" " * MAX_LENIENT + b"}", HeartbeatData)


def test_a_body_of_many_values_is_read_strictly_only() -> None:
    """A value of two bytes costs as much as one of fifty."""
    few = b'{\'clientID\':"c","x":[' + b"0," * 1_900 + b"]}"
    assert decode(few, HeartbeatData).client_id == "c"
    with pytest.raises(BodyInvalid, match="more than 2000 values of lenient JSON"):
        decode(few.replace(b"[", b"[" + b"0," * 200), HeartbeatData)


def test_references_repeat_no_more_than_that() -> None:
    """A short text could represent very many values."""
    shared = b'{"clientID":"c","a":[' + b"0," * 500 + b'],"b":[' + b'{"$ref":"$.a"},' * 5 + b"]}"
    with pytest.raises(BodyInvalid, match="its references repeat more than 2000 values"):
        decode(shared.replace(b'"c"', b"'c'"), HeartbeatData)


@pytest.mark.parametrize("item", ["{}", "[]", "0", '{"someNumber":1}'])
def test_an_exact_body_of_very_many_values_is_not_read(item: str) -> None:
    """Each of its values is looked at one by one."""
    body = ('{"name":"x","added":[' + ",".join([item] * 64_001) + "]}").encode()
    with pytest.raises(BodyInvalid, match="has more than 64000 values: split it into several requests"):
        decode(body, Strict)
    with pytest.raises(BodyInvalid, match="`added`: is unknown"):
        decode(('{"name":"x","added":[' + ",".join([item] * 10_000) + "]}").encode(), Strict)


def test_a_table_keyed_by_queues_may_be_longer() -> None:
    """A client answers with the positions of some hundred queues."""
    queue = '{"brokerName":"broker-a","queueId":%d,"topic":"a-topic-with-a-name-of-usual-length"}:5'
    body = ("{" + '"messageQueueTable":{' + ",".join(queue % number for number in range(500)) + "}}").encode()
    assert len(body) > MAX_LENIENT
    assert len(decode_table(body, ConsumerStatus).message_queue_table) == 500
    with pytest.raises(BodyInvalid, match="at most 16384 are allowed"):
        decode(body, ConsumerStatus)
    with pytest.raises(BodyInvalid, match="at most 65536 are allowed"):
        decode_table(body * 2, ConsumerStatus)


def test_a_list_of_bodies_is_a_body() -> None:
    assert encode([Inner(1), Inner(2, "x")]) == b'[{"someNumber":1},{"someNumber":2,"maybe":"x"}]'
    assert decode(b'[{"someNumber":1}]', list[Inner]) == [Inner(1)]
    assert encode([]) == b"[]"


def test_an_empty_map_of_queues_is_an_empty_object() -> None:
    assert encode(Outer({}, [])) == b'{"byQueue":{},"deep":[]}'


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="half a surrogate pair"):
        encode(Inner(1, "\ud800"))


def test_an_exact_body_is_read_to_the_letter() -> None:
    assert decode(b'{"name":null,"parts":[{"someNumber":1}]}', Strict) == Strict(None, [Inner(1)])
    for text, message in [
        (b"{'name':'x'}", "body: is not JSON: JSON is malformed: object keys must be strings (byte 1)"),
        (b'{"Name":"x"}', "body at `Name`: is unknown: the members are name, parts"),
        (b'{"parts":[{"someNumber":1},{"someNumber":1,"other":2}]}',
         "body at `parts[1].other`: is unknown: the members are someNumber, maybe"),
        (b'{"parts":[{"someNumber":"1"}]}', "body at `parts[0].someNumber`: expected a whole number, got a text"),
        (b'{"parts":{}}', "body at `parts`: expected a list or null, got an object"),
        (b"", "body: is missing"),
        (b"null", "body: expected an object, got `null`"),
    ]:  # fmt: skip
        with pytest.raises(BodyInvalid) as caught:
            decode(text, Strict)
        assert str(caught.value) == message


def test_answers_of_others_are_read_leniently_even_then() -> None:
    assert decode_leniently(b'{"name":"x","added":1}', Strict) == Strict("x")


def test_access_bodies_are_exact() -> None:
    with pytest.raises(BodyInvalid, match=r"entries\[0\].sourceIp`: is unknown"):
        decode(b'{"policies":[{"entries":[{"resource":"Topic:a","sourceIp":["10.0.0.1"]}]}]}', AclInfo)
    with pytest.raises(BodyInvalid, match="`password`: expected a text or null, got a whole number"):
        decode(b'{"username":"a","password":1}', UserInfo)


def test_a_password_is_not_in_the_repr() -> None:
    assert "s3cret" not in repr(UserInfo("a", "s3cret"))
    assert json.loads(encode(UserInfo("a", "s3cret"))) == {"username": "a", "password": "s3cret"}


def test_the_odd_name_of_locked_queues() -> None:
    assert encode(LockedQueues([QUEUE])) == b'{"lockOKMQSet":[{"topic":"T","brokerName":"b","queueId":3}]}'
