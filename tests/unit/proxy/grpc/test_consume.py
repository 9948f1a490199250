"""Receive, acknowledge, change of the invisible time, and dead letters."""

import pytest

from mqguard.auth.user import Subject
from mqguard.model import names, record
from mqguard.proxy.grpc import messages
from mqguard.proxy.grpc.consumers import MAX_ENTRIES
from mqguard.proxy.grpc.receipts import Receipt
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import GrpcHouse, message, receiving, resource

TAG_A = pb.FilterExpression(type=pb.TAG, expression="a")
RED = pb.FilterExpression(type=pb.SQL, expression="color = 'red' AND size > 3")


def handle_of(one):
    return one.system_properties.receipt_handle


def changing(handle, ms=10_000, group="g", topic="t", **more):
    return pb.ChangeInvisibleDurationRequest(
        group=resource(group),
        topic=resource(topic),
        receipt_handle=handle,
        invisible_duration=messages.duration(ms),
        **more,
    )


def forwarding(handle, group="g", topic="t"):
    return pb.ForwardMessageToDeadLetterQueueRequest(
        group=resource(group), topic=resource(topic), receipt_handle=handle, message_id="m"
    )


def acking(*handles, group="g", topic="t"):
    entries = [pb.AckMessageEntry(message_id="m", receipt_handle=handle) for handle in handles]
    return pb.AckMessageRequest(group=resource(group), topic=resource(topic), entries=entries)


def forward(client, handle, group="g", topic="t"):
    """Return the code of a forward, which takes several commits."""
    call = client.start("ForwardMessageToDeadLetterQueue", forwarding(handle, group, topic))
    for _ in range(4):
        client.end_iteration()
    return call.answer.status.code


def dead_letters(house, group="g"):
    topic = names.dlq_topic(group)
    if house.engine.topics.get(topic) is None:
        return []
    return [record.decode(data).body for data in house.engine.fetch(topic, 0, 0, 32, 0, None).records]


@pytest.fixture
def client(house):
    return house.client()


# Receive


def test_a_receive_waits_until_a_message_arrives(house, client):
    call = client.start("ReceiveMessage", receiving(wait_s=10), grpc_timeout="20S")
    client.end_iteration()
    assert call.answers == []
    house.tick(4_000)
    assert call.answers == []
    house.client().send(message(b"late"))
    client.end_iteration()
    assert [one.message.body for one in call.answers if one.HasField("message")] == [b"late"]
    assert call.status == "0"


@pytest.mark.parametrize(
    ("wait_s", "timeout_ms", "answered_ms"),
    [
        (None, None, 20_000),  # the maximum
        (1, None, 5_000),  # the minimum
        (60, None, 20_000),
        (10, None, 10_000),
        (10, 4_000, 3_500),  # the client's deadline counts
        (None, 3_000, 2_500),
        (10, 300, 0),
    ],
)
def test_a_receive_without_messages_is_answered_in_time(house, client, wait_s, timeout_ms, answered_ms):
    """Clients without messages ask again at once, so an early answer would make a busy loop."""
    timeout = {} if timeout_ms is None else {"grpc_timeout": f"{timeout_ms}m"}
    call = client.start("ReceiveMessage", receiving(wait_s=wait_s), **timeout)
    client.end_iteration()
    if answered_ms:
        house.tick(answered_ms - 1)
        client.end_iteration()
        assert call.answers == []
    house.tick(1)
    client.end_iteration()
    assert [one.status.code for one in call.answers if one.HasField("status")] == [pb.MESSAGE_NOT_FOUND]
    assert call.status == "0"


def test_a_cancelled_receive_takes_no_message(house, client):
    call = client.start("ReceiveMessage", receiving(wait_s=10))
    client.end_iteration()
    assert (house.face.server.waiting, house.broker.pending.waiting_pulls) == (1, 0)
    call.cancel()
    assert house.face.server.waiting == 0
    client.send(message(b"1"))
    assert client.receive(wait_s=5).bodies == [b"1"]


def test_a_receive_gets_at_most_its_number_of_messages(client):
    client.send(*(message(b"%d" % number) for number in range(40)))
    assert len(client.receive(count=3).messages) == 3
    assert len(client.receive(count=1_000).messages) == 32
    assert len(client.receive(count=0).messages) == 1


def test_a_receive_filters_by_tag(client):
    client.send(message(b"1", tag="a"), message(b"2", tag="b"), message(b"3"))
    assert client.receive(filter=TAG_A).bodies == [b"1"]


def test_a_receive_filters_by_an_expression(client):
    client.send(
        message(b"1", user={"color": "red", "size": "5"}),
        message(b"2", user={"color": "red", "size": "1"}),
        message(b"3", user={"color": "blue", "size": "5"}),
    )
    assert client.receive(filter=RED).bodies == [b"1"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"topic": "unknown"}, pb.TOPIC_NOT_FOUND),
        ({"topic": "a b"}, pb.ILLEGAL_TOPIC),
        ({"topic": "SCHEDULE_TOPIC_XXXX"}, pb.ILLEGAL_TOPIC),
        ({"topic": ""}, pb.ILLEGAL_TOPIC),
        ({"group": ""}, pb.ILLEGAL_CONSUMER_GROUP),
        ({"group": "a b"}, pb.ILLEGAL_CONSUMER_GROUP),
        ({"group": "g" * 121}, pb.ILLEGAL_CONSUMER_GROUP),
        ({"broker": "other"}, pb.BAD_REQUEST),
        ({"invisible_s": None}, pb.ILLEGAL_INVISIBLE_TIME),
        ({"invisible_s": 9}, pb.ILLEGAL_INVISIBLE_TIME),
        ({"invisible_s": 43_201}, pb.ILLEGAL_INVISIBLE_TIME),
        ({"invisible_s": -20}, pb.ILLEGAL_INVISIBLE_TIME),
        ({"filter": pb.FilterExpression(type=7, expression="a")}, pb.ILLEGAL_FILTER_EXPRESSION),
        ({"filter": pb.FilterExpression(type=pb.SQL, expression="color ==== 3")}, pb.ILLEGAL_FILTER_EXPRESSION),
        ({"filter": pb.FilterExpression(type=pb.SQL, expression="a" * 70_000)}, pb.ILLEGAL_FILTER_EXPRESSION),
    ],
)
def test_a_wrong_receive_has_the_documented_code(client, caplog, change, code):
    got = client.receive(**change)
    assert got.code == code, got.status
    assert (got.status.message != "", got.messages) == (True, [])
    assert not caplog.records


def test_a_group_that_consuming_may_not_create_is_not_found():
    house = GrpcHouse(engine={"auto_create_group": False})
    house.topic()
    assert house.client().receive(group="new").code == pb.CONSUMER_GROUP_NOT_FOUND


def test_a_message_comes_again_after_its_invisible_time(house, client):
    client.send(message(b"1"))
    first = client.receive(invisible_s=10)
    assert messages.milliseconds(first.messages[0].system_properties.invisible_duration) == 10_000
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND
    house.tick(10_001)
    house.tick(100)
    again = client.receive()
    assert again.bodies == [b"1"]
    assert again.messages[0].system_properties.delivery_attempt == 2
    assert again.messages[0].topic.name == "t"


def test_a_message_that_failed_too_often_becomes_a_dead_letter(house, client):
    house.group(retry_max_times=1)
    client.send(message(b"1"))
    for attempt in (1, 2):
        (one,) = client.receive(invisible_s=10).messages
        assert one.system_properties.delivery_attempt == attempt
        house.tick(10_001)
        house.tick(100)
    client.start("ReceiveMessage", receiving(wait_s=5))
    client.end_iteration()
    house.tick(100)
    assert dead_letters(house) == [b"1"]
    house.tick(30_000)
    assert client.receive(timeout=100).messages == []
    assert dead_letters(house) == [b"1"]


def test_a_group_in_order_gets_the_next_messages_after_the_first_ones(house, client):
    house.group("f", consume_orderly=True)
    for number in range(3):
        client.send(message(b"%d" % number, message_type=pb.FIFO, message_group="x"))
    first = client.receive("f", count=2)
    assert first.bodies == [b"0", b"1"]
    assert client.receive("f", timeout=100).code == pb.MESSAGE_NOT_FOUND
    client.ack(*first.messages, group="f")
    assert client.receive("f").bodies == [b"2"]


def test_a_repeated_attempt_gets_the_same_messages(house, client):
    """The client has lost the answer of its first try."""
    house.group("f", consume_orderly=True)
    client.send(message(b"1", message_type=pb.FIFO, message_group="x"))
    first = client.receive("f", attempt_id="a1")
    again = client.receive("f", attempt_id="a1")
    assert first.bodies == again.bodies == [b"1"]


# Acknowledge


def test_an_acknowledged_message_does_not_come_again(house, client):
    client.send(message(b"1"))
    got = client.receive(invisible_s=10)
    answer = client.ack(*got.messages)
    assert (answer.status.code, [entry.status.code for entry in answer.entries]) == (pb.OK, [pb.OK])
    assert answer.entries[0].receipt_handle == handle_of(got.messages[0])
    house.tick(20_000)
    house.tick(100)
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND


def test_acknowledgements_have_a_result_each(client):
    client.send(message(b"1"), message(b"2"))
    one, two = client.receive().messages
    client.ack(one)
    answer = client.call("AckMessage", acking(handle_of(one), handle_of(two), "no handle"))
    assert answer.status.code == pb.MULTIPLE_RESULTS
    assert [entry.status.code for entry in answer.entries] == [
        pb.INVALID_RECEIPT_HANDLE,
        pb.OK,
        pb.INVALID_RECEIPT_HANDLE,
    ]


def wrong_handles(handle):
    """Yield handles that a client could invent from one of its own."""
    receipt = Receipt.parse(handle)
    yield from ("", "x", handle + " 1", handle.replace(" ", "  "), handle + "a", "9" * 1_025)
    yield from (handle.replace("broker-a", "other"), " ".join(["9" * 20] * 9), handle.replace(" ", "\x00"))
    for field in ("pop_time", "offset", "queue_id"):
        yield receipt._replace(**{field: getattr(receipt, field) + 1}).text
    yield receipt._replace(mark="1").text


@pytest.mark.parametrize("number", range(13))
def test_no_invented_handle_reaches_a_message(house, client, caplog, number):
    client.send(message(b"1"))
    (one,) = client.receive(invisible_s=10).messages
    wrong = list(wrong_handles(handle_of(one)))[number]
    assert client.call("AckMessage", acking(wrong)).status.code == pb.INVALID_RECEIPT_HANDLE
    assert client.call("ChangeInvisibleDuration", changing(wrong)).status.code == pb.INVALID_RECEIPT_HANDLE
    assert forward(client, wrong) == pb.INVALID_RECEIPT_HANDLE
    assert dead_letters(house) == []
    house.tick(10_001)
    house.tick(100)
    assert client.receive().bodies == [b"1"]
    assert not caplog.records


def test_a_handle_of_another_group_or_topic_reaches_nothing(house, client):
    house.topic("u")
    house.group("h")
    client.send(message(b"1"))
    (one,) = client.receive(invisible_s=10).messages
    for group, topic in (("h", "t"), ("g", "u"), ("h", "u")):
        handle = handle_of(one)
        for name, request in (
            ("AckMessage", acking(handle, group=group, topic=topic)),
            ("ChangeInvisibleDuration", changing(handle, group=group, topic=topic)),
            ("ForwardMessageToDeadLetterQueue", forwarding(handle, group=group, topic=topic)),
        ):
            assert client.call(name, request).status.code == pb.INVALID_RECEIPT_HANDLE, (name, group, topic)
    assert (dead_letters(house), dead_letters(house, "h")) == ([], [])
    assert client.ack(one).status.code == pb.OK


def test_a_user_settles_no_message_of_a_group_without_permission(house, client):
    house.user("eve", ("Topic:t", "Sub"), ("Group:h", "Sub"))
    client.send(message(b"1"))
    (one,) = client.receive().messages
    eve = house.client("eve")
    assert eve.call("AckMessage", acking(handle_of(one))).status.code == pb.UNAUTHORIZED
    assert eve.call("AckMessage", acking(handle_of(one), group="h")).status.code == pb.INVALID_RECEIPT_HANDLE
    assert client.ack(one).status.code == pb.OK


@pytest.mark.parametrize("count", [0, MAX_ENTRIES + 1])
def test_the_number_of_acknowledgements_is_limited(client, count):
    assert client.call("AckMessage", acking(*["x"] * count)).status.code == pb.BAD_REQUEST


# Change of the invisible time


def test_a_changed_message_has_a_new_handle(house, client):
    client.send(message(b"1"))
    (one,) = client.receive(invisible_s=10).messages
    answer = client.call("ChangeInvisibleDuration", changing(handle_of(one), 60_000))
    assert answer.status.code == pb.OK
    assert answer.receipt_handle != handle_of(one)
    house.tick(30_000)
    house.tick(100)
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND
    assert client.call("AckMessage", acking(handle_of(one))).status.code == pb.INVALID_RECEIPT_HANDLE
    assert client.call("AckMessage", acking(answer.receipt_handle)).status.code == pb.OK


def test_a_message_whose_time_is_zero_comes_again_at_once(house, client):
    client.send(message(b"1"))
    (one,) = client.receive().messages
    assert client.call("ChangeInvisibleDuration", changing(handle_of(one), 0)).status.code == pb.OK
    house.tick(100)
    house.tick(100)
    assert client.receive().bodies == [b"1"]


@pytest.mark.parametrize("ms", [-1, 43_200_001, 1 << 50])
def test_a_wrong_invisible_time_is_refused(client, ms):
    client.send(message(b"1"))
    (one,) = client.receive().messages
    answer = client.call("ChangeInvisibleDuration", changing(handle_of(one), ms))
    assert answer.status.code == pb.ILLEGAL_INVISIBLE_TIME
    assert client.ack(one).status.code == pb.OK


# Dead letters


def test_a_forwarded_message_is_a_dead_letter(house, client):
    client.send(message(b"1", tag="a", keys=["k"]))
    (one,) = client.receive(invisible_s=10).messages
    assert forward(client, handle_of(one)) == pb.OK
    assert dead_letters(house) == [b"1"]
    house.tick(20_000)
    house.tick(100)
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND
    assert forward(client, handle_of(one)) == pb.INVALID_RECEIPT_HANDLE
    assert dead_letters(house) == [b"1"]
    house.group("after")
    (dead,) = client.receive("after", names.dlq_topic("g")).messages
    assert dead.system_properties.dead_letter_queue.topic == "t"


def test_a_handle_with_the_place_of_another_message_forwards_nothing_of_it(house, client):
    """The place of a message is the last field of a handle, which a client may change."""
    house.topic("secret")
    house.user("eve", ("Topic:t", "Sub,Pub"), ("Group:g", "Sub"))
    client.send(message(b"hidden", topic="secret"))
    client.send(message(b"1"))
    eve = house.client("eve")
    (one,) = eve.receive().messages
    invented = Receipt.parse(handle_of(one))._replace(physical=0).text
    assert forward(eve, invented) == pb.UNAUTHORIZED
    assert dead_letters(house) == []


# Renewal


def test_the_server_extends_messages_of_a_client_that_lives(house, client):
    stream = client.register("g", kind=pb.PUSH_CONSUMER)
    assert stream.answers[0].status.code == pb.OK
    client.send(message(b"1"))
    (one,) = client.receive(invisible_s=None, auto_renew=True).messages
    assert messages.milliseconds(one.system_properties.invisible_duration) == 60_000
    for _ in range(60):
        house.tick(5_000)
        client.end_iteration()
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND
    assert client.ack(one).status.code == pb.OK


def test_a_message_is_extended_until_its_acknowledgement_is_stored(house, client):
    """The client repeats an acknowledgement that the store did not take, with the handle that it has."""
    client.register("g", kind=pb.PUSH_CONSUMER)
    client.send(message(b"1"))
    (one,) = client.receive(invisible_s=None, auto_renew=True).messages
    for _ in range(12):
        house.tick(5_000)  # the handle is another one now
    house.store.failure = "pulled out"
    assert client.ack(one).status.code == pb.INTERNAL_SERVER_ERROR
    house.store.failure = None
    for _ in range(30):
        house.tick(5_000)
    assert client.receive(timeout=100).code == pb.MESSAGE_NOT_FOUND
    assert client.ack(one).status.code == pb.OK
    assert house.face.renewed == 0


def test_a_message_of_a_client_that_has_ended_comes_again(house, client):
    client.register("g", kind=pb.PUSH_CONSUMER)
    client.send(message(b"1"))
    client.receive(invisible_s=None, auto_renew=True)
    client.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("g")))
    for _ in range(3):
        house.tick(30_000)
        client.end_iteration()
    assert client.receive().bodies == [b"1"]


def test_a_message_is_not_extended_once_the_permission_is_gone(house):
    house.user("bob", ("Topic:t", "Sub,Pub"), ("Group:g", "Sub"))
    bob = house.client("bob")
    bob.register("g", kind=pb.PUSH_CONSUMER)
    bob.send(message(b"1"))
    bob.receive(invisible_s=None, auto_renew=True)
    house.manager.delete_acl(Subject("bob"))
    for _ in range(3):
        house.tick(30_000)
    assert house.client().receive().bodies == [b"1"]
