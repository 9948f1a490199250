"""PullMessage, UpdateOffset, GetOffset and QueryOffset."""

import pytest

from mqguard.proxy.grpc import messages
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import BROKER, GrpcHouse, message, resource


def queue(topic="t", number=0, broker=BROKER):
    return pb.MessageQueue(topic=resource(topic), id=number, broker=pb.Broker(name=broker))


def pulling(offset=0, group="g", topic="t", number=0, count=32, broker=BROKER, **more):
    return pb.PullMessageRequest(
        group=resource(group), message_queue=queue(topic, number, broker), offset=offset, batch_size=count, **more
    )


class Pulled:
    """The answers of a pull."""

    def __init__(self, answers):
        self.codes = [one.status.code for one in answers if one.HasField("status")]
        self.bodies = [one.message.body for one in answers if one.HasField("message")]
        self.next = [one.next_offset for one in answers if one.HasField("next_offset")]


@pytest.fixture
def client():
    house = GrpcHouse()
    house.topic(queues=1)
    house.group()
    return house.client()


def test_a_pull_returns_messages_from_an_offset_on(client):
    client.send(*(message(b"%d" % number) for number in range(5)))
    got = Pulled(client.call("PullMessage", pulling(2, count=2)))
    assert (got.codes, got.bodies, got.next) == ([pb.OK], [b"2", b"3"], [4])


def test_a_pull_waits_for_a_message(client):
    call = client.start("PullMessage", pulling(long_polling_timeout=messages.duration(10_000)))
    client.end_iteration()
    assert call.answers == []
    client.send(message(b"late"))
    client.end_iteration()
    assert Pulled(call.answers).bodies == [b"late"]


def test_a_pull_without_messages_is_answered_in_time(client):
    call = client.start("PullMessage", pulling(), grpc_timeout="6S")
    client.end_iteration()
    assert call.answers == []
    client.house.tick(5_500)
    client.end_iteration()
    got = Pulled(call.answers)
    assert (got.codes, got.next, call.status) == ([pb.MESSAGE_NOT_FOUND], [0], "0")


def test_a_cancelled_pull_waits_no_longer(client):
    call = client.start("PullMessage", pulling())
    client.end_iteration()
    assert client.house.broker.pending.waiting_pulls == 1
    call.cancel()
    assert (client.house.broker.pending.waiting_pulls, client.house.face.server.waiting) == (0, 0)


def test_a_pull_beyond_the_end_has_the_right_offset(client):
    client.send(message(b"1"))
    got = Pulled(client.call("PullMessage", pulling(7)))
    assert (got.codes, got.bodies, got.next) == ([pb.ILLEGAL_OFFSET], [], [1])


def test_a_pull_filters(client):
    client.send(message(b"1", tag="a"), message(b"2", tag="b"))
    tag = pb.FilterExpression(type=pb.TAG, expression="b")
    assert Pulled(client.call("PullMessage", pulling(filter_expression=tag))).bodies == [b"2"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topic": "unknown"}, pb.TOPIC_NOT_FOUND),
        ({"topic": "a b"}, pb.ILLEGAL_TOPIC),
        ({"topic": "RMQ_SYS_TRANS_HALF_TOPIC"}, pb.ILLEGAL_TOPIC),
        ({"group": "a b"}, pb.ILLEGAL_CONSUMER_GROUP),
        ({"number": 1}, pb.BAD_REQUEST),
        ({"number": -1}, pb.BAD_REQUEST),
        ({"broker": "other"}, pb.BAD_REQUEST),
        ({"offset": -1}, pb.ILLEGAL_OFFSET),
        ({"filter_expression": pb.FilterExpression(type=9)}, pb.ILLEGAL_FILTER_EXPRESSION),
        ({"filter_expression": pb.FilterExpression(type=pb.SQL, expression="a = 1")}, pb.UNSUPPORTED),
    ],
)
def test_a_wrong_pull_has_the_documented_code(client, caplog, change, code):
    assert Pulled(client.call("PullMessage", pulling(**change))).codes == [code]
    assert not caplog.records


def updating(offset, group="g", **place):
    return pb.UpdateOffsetRequest(group=resource(group), message_queue=queue(**place), offset=offset)


def getting(group="g", **place):
    return pb.GetOffsetRequest(group=resource(group), message_queue=queue(**place))


def test_an_offset_is_stored(client):
    assert client.call("GetOffset", getting()).status.code == pb.OFFSET_NOT_FOUND
    assert client.call("UpdateOffset", updating(3)).status.code == pb.OK
    answer = client.call("GetOffset", getting())
    assert (answer.status.code, answer.offset) == (pb.OK, 3)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topic": "unknown"}, pb.TOPIC_NOT_FOUND),
        ({"topic": "a b"}, pb.ILLEGAL_TOPIC),
        ({"group": "a b"}, pb.ILLEGAL_CONSUMER_GROUP),
        ({"broker": "other"}, pb.BAD_REQUEST),
    ],
)
def test_wrong_offsets_have_the_documented_code(client, caplog, change, code):
    assert client.call("UpdateOffset", updating(1, **change)).status.code == code
    assert client.call("GetOffset", getting(**change)).status.code == code
    assert not caplog.records


@pytest.mark.parametrize(("offset", "number", "code"), [(-1, 0, pb.ILLEGAL_OFFSET), (1, 1, pb.BAD_REQUEST)])
def test_an_offset_out_of_range_is_not_stored(client, offset, number, code):
    assert client.call("UpdateOffset", updating(offset, number=number)).status.code == code


def querying(policy, **more):
    return pb.QueryOffsetRequest(message_queue=queue(), query_offset_policy=policy, **more)


def test_offsets_are_found(client):
    client.send(message(b"1"))
    client.house.tick(10_000)
    client.send(message(b"2"))
    between = messages.timestamp(client.house.clock.now - 5_000)
    found = [
        client.call("QueryOffset", request)
        for request in (querying(pb.BEGINNING), querying(pb.END), querying(pb.TIMESTAMP, timestamp=between))
    ]
    assert [(answer.status.code, answer.offset) for answer in found] == [(pb.OK, 0), (pb.OK, 2), (pb.OK, 1)]


@pytest.mark.parametrize(
    "wrong", [querying(pb.TIMESTAMP), querying(9), querying(pb.TIMESTAMP, timestamp=messages.timestamp(-1_000))]
)
def test_a_wrong_query_is_refused(client, wrong):
    assert client.call("QueryOffset", wrong).status.code == pb.BAD_REQUEST


def test_the_offsets_of_a_group_need_its_permission(client):
    house = client.house
    house.user("bob", ("Topic:t", "Sub"), ("Group:h", "Sub"))
    bob = house.client("bob")
    assert bob.call("UpdateOffset", updating(1)).status.code == pb.UNAUTHORIZED
    assert bob.call("UpdateOffset", updating(1, group="h")).status.code == pb.OK
    assert client.call("GetOffset", getting()).status.code == pb.OFFSET_NOT_FOUND
