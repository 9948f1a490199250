"""Lite topics of gRPC clients."""

import pytest

from mqguard.proxy.grpc import messages
from mqguard.proxy.grpc.receipts import Receipt
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.unit.proxy.grpc.conftest import ENDPOINTS, GrpcHouse, message, resource


def subscribing(*names, action=pb.PARTIAL_ADD, topic="parent", group="lite", **more):
    return pb.SyncLiteSubscriptionRequest(
        action=action, topic=resource(topic), group=resource(group), lite_topic_set=names, **more
    )


@pytest.fixture
def house():
    house = GrpcHouse()
    house.topic()
    house.group()
    house.topic("parent", message_type="LITE")
    house.group("lite", attributes={"lite.bind.topic": "parent", "lite.sub.client.quota": "5"}, consume_orderly=True)
    return house


@pytest.fixture
def client(house):
    client = house.client()
    client.register("lite", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER)
    return client


def test_a_consumer_gets_the_limits_of_its_group(house):
    (answer,) = house.client().register("lite", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER).answers
    subscription = answer.settings.subscription
    assert (subscription.lite_subscription_quota, subscription.max_lite_topic_size) == (5, 64)


def test_every_consumer_gets_limits(house):
    """Clients of lite topics wait for ever if one is 0."""
    (answer,) = house.client().register("g", kind=pb.LITE_PUSH_CONSUMER).answers
    subscription = answer.settings.subscription
    assert (subscription.lite_subscription_quota, subscription.max_lite_topic_size) == (2_000, 64)


def test_a_group_of_lite_topics_gets_each_broker_once(house, client):
    request = pb.QueryAssignmentRequest(topic=resource("parent"), group=resource("lite"), endpoints=ENDPOINTS)
    (one,) = client.call("QueryAssignment", request).assignments
    assert one.message_queue.id == -1
    assert list(one.message_queue.accept_message_types) == [pb.LITE]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (subscribing("a/b"), pb.ILLEGAL_LITE_TOPIC),
        (subscribing(""), pb.ILLEGAL_LITE_TOPIC),
        (subscribing("a" * 65), pb.ILLEGAL_LITE_TOPIC),
        (subscribing("a", topic="t"), pb.ILLEGAL_TOPIC),
        (subscribing("a", topic="a b"), pb.ILLEGAL_TOPIC),
        (subscribing("a", group="g"), pb.UNRECOGNIZED_CLIENT_TYPE),
        (subscribing("a", group="a b"), pb.ILLEGAL_CONSUMER_GROUP),
        (subscribing("a", action=9), pb.BAD_REQUEST),
        (subscribing(*(f"a{number}" for number in range(306))), pb.LITE_SUBSCRIPTION_QUOTA_EXCEEDED),
        (subscribing("a", offset_option=pb.OffsetOption(offset=-1)), pb.ILLEGAL_OFFSET),
        (subscribing("a", offset_option=pb.OffsetOption(policy=7)), pb.ILLEGAL_OFFSET),
    ],
)
def test_a_wrong_subscription_has_the_documented_code(client, caplog, wrong, code):
    answer = client.call("SyncLiteSubscription", wrong)
    assert answer.status.code == code
    assert answer.status.message
    assert not caplog.records


def test_a_group_without_a_parent_has_no_lite_topics(house):
    client = house.client()
    client.register("g", kind=pb.LITE_PUSH_CONSUMER)
    answer = client.call("SyncLiteSubscription", subscribing("a", topic="t", group="g"))
    assert answer.status.code == pb.ILLEGAL_CONSUMER_GROUP


def test_a_client_without_settings_or_of_another_kind_has_no_lite_topics(house, client):
    assert house.client("root", "c2").call("SyncLiteSubscription", subscribing("a")).status.code == (
        pb.UNRECOGNIZED_CLIENT_TYPE
    )
    other = house.client("root", "c3")
    other.register("lite", topics=("parent",), kind=pb.PUSH_CONSUMER)
    assert other.call("SyncLiteSubscription", subscribing("a")).status.code == pb.UNRECOGNIZED_CLIENT_TYPE


def test_no_user_reaches_the_client_of_another_one(house, client):
    """Whatever the action and the set are (Apache checks nothing if the set is empty)."""
    house.user("eve", ("Topic:parent", "Sub"), ("Group:lite", "Sub"))
    house.user("mallory", ("Topic:t", "Sub"))
    for action in pb.LiteSubscriptionAction.values():
        request = subscribing(action=action)
        assert house.client("eve").call("SyncLiteSubscription", request).status.code == pb.UNRECOGNIZED_CLIENT_TYPE
        assert house.client("mallory").call("SyncLiteSubscription", request).status.code == pb.UNAUTHORIZED


def test_a_message_of_a_lite_topic_is_received_and_acknowledged(house, client):
    assert client.call("SyncLiteSubscription", subscribing("a", action=pb.COMPLETE_ADD)).status.code == pb.OK
    sent = message(b"1", "parent", message_type=pb.LITE, lite_topic="a")
    other = message(b"2", "parent", message_type=pb.LITE, lite_topic="b")
    assert [client.send(one).status.code for one in (sent, other)] == [pb.OK, pb.OK]
    got = client.receive("lite", "parent")
    assert got.bodies == [b"1"]
    (one,) = got.messages
    assert (one.topic.name, one.system_properties.lite_topic) == ("parent", "a")
    assert client.ack(one, group="lite", topic="parent").status.code == pb.OK
    assert client.ack(one, group="lite", topic="parent").status.code == pb.INVALID_RECEIPT_HANDLE
    assert client.receive("lite", "parent", timeout=100).code == pb.MESSAGE_NOT_FOUND


def test_a_handle_keeps_its_lite_topic():
    """An acknowledgement needs it, and clients do not always repeat it."""
    receipt = Receipt(0, 1, 2, 999, "0", "broker-a", 0, 3, 4, "session-1")
    assert Receipt.parse(receipt.text) == receipt
    assert len(Receipt.parse(receipt._replace(lite="").text).text.split(" ")) == 9


def test_a_message_of_a_lite_topic_is_extended_and_forwarded(house, client):
    client.call("SyncLiteSubscription", subscribing("a"))
    client.send(message(b"1", "parent", message_type=pb.LITE, lite_topic="a"))
    (one,) = client.receive("lite", "parent", invisible_s=None, auto_renew=True).messages
    for _ in range(30):
        house.tick(5_000)
        client.end_iteration()
    assert client.receive("lite", "parent", timeout=100).code == pb.MESSAGE_NOT_FOUND
    request = pb.ChangeInvisibleDurationRequest(
        group=resource("lite"),
        topic=resource("parent"),
        receipt_handle=one.system_properties.receipt_handle,
        invisible_duration=messages.duration(10_000),
    )
    changed = client.call("ChangeInvisibleDuration", request)
    assert changed.status.code == pb.OK
    for _ in range(3):
        house.tick(5_000)
    again = client.receive("lite", "parent")
    assert again.bodies == [b"1"]
    assert again.messages[0].system_properties.delivery_attempt == 2


def test_a_client_that_ends_has_no_lite_topics_any_more(house, client):
    client.call("SyncLiteSubscription", subscribing("a"))
    client.call("NotifyClientTermination", pb.NotifyClientTerminationRequest(group=resource("lite")))
    client.register("lite", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER)
    client.send(message(b"1", "parent", message_type=pb.LITE, lite_topic="a"))
    assert client.receive("lite", "parent", timeout=100).code == pb.MESSAGE_NOT_FOUND


def test_a_client_is_notified_that_it_has_lost_a_lite_topic(house):
    """The group is exclusive, so the last client that subscribes to a lite topic gets its messages."""
    house.group("one", attributes={"lite.bind.topic": "parent", "lite.sub.model": "Exclusive"})
    first, second = house.client("root", "c1"), house.client("root", "c2")
    stream = first.register("one", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER)
    second.register("one", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER)
    for client in (first, second):
        assert client.call("SyncLiteSubscription", subscribing("a", group="one")).status.code == pb.OK
    lost = [one.notify_unsubscribe_lite_command.lite_topic for one in stream.answers]
    assert [name for name in lost if name] == ["a"]


def test_a_user_pops_no_lite_topics_of_the_client_of_another_one(house, client):
    """Client ids are claims: another user may send the same one."""
    house.user("eve", ("Topic:parent", "Sub"), ("Group:lite", "Sub"))
    client.call("SyncLiteSubscription", subscribing("a"))
    client.send(message(b"1", "parent", message_type=pb.LITE, lite_topic="a"))
    eve = house.client("eve")
    eve.register("lite", topics=("parent",), kind=pb.LITE_PUSH_CONSUMER)
    assert eve.receive("lite", "parent", timeout=100).code == pb.MESSAGE_NOT_FOUND
    assert client.receive("lite", "parent").bodies == [b"1"]
