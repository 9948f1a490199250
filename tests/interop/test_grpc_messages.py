"""All kinds of messages that the official gRPC clients send, and how they arrive."""

from __future__ import annotations

import base64
import hashlib
import itertools
import time
from collections import Counter

from tests.fixtures.access import read_all, send_fields
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import SEND
from tests.interop.conftest import DrivenClient
from tests.interop.driver import bodies, expected
from tests.interop.grpc_clients import QUICK, Access, GrpcClient, reader, reader_of, sender

SERVER_SETTINGS = QUICK
FOUR_MIB = 4 * 1024 * 1024


def test_all_fields_of_a_message_arrive(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic()
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic)
    before = time.time() * 1000
    sent = producer.do("send", handle=handle, topic=topic, body="m", tag="T", keys="k1,k2", p__color="green")["sent"]
    (message,) = consumer.receive(group, 1)
    consumer.ack_all(group, [message])

    fields = ("topic", "body", "tag", "keys", "properties", "messageId", "attempt", "messageGroup", "liteTopic")
    assert [message[field] for field in fields] == [
        topic, "m-0", "T", ["k1", "k2"], {"color": "green"}, sent[0]["id"], 1, None, None,
    ]  # fmt: skip
    assert before - 2000 <= message["bornTimestamp"] <= time.time() * 1000


def test_four_mebibytes_arrive_whole(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic()
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m", size=FOUR_MIB)
    (message,) = consumer.receive(group, 1)

    assert message["size"] == FOUR_MIB
    assert message["md5"] == hashlib.md5(b"m-0".ljust(FOUR_MIB, b".")).hexdigest()


def test_asynchronous_sends_arrive_once_each(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic()
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic)
    sent = producer.do("send", handle=handle, topic=topic, body="m", count=100, async_=True)["sent"]
    messages = consumer.receive(group, 100)
    consumer.ack_all(group, messages)

    assert Counter(message["body"] for message in messages) == Counter(expected("m", 100))
    assert {message["messageId"] for message in messages} == {one["id"] for one in sent}


def test_a_group_of_messages_keeps_its_order(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("FIFO")
    consumer, group = reader(grpc, access, topic, {"consumeMessageOrderly": True})
    producer, handle = sender(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m", count=6, fifo="one")
    received: list[dict[str, object]] = []
    while len(received) < 6:
        batch = consumer.do("receive", handle=group, count=2, seconds=30)["messages"]
        received += batch
        consumer.ack_all(group, batch)

    assert bodies({"messages": received}) == expected("m", 6)
    assert {message["messageGroup"] for message in received} == {"one"}


def test_an_unfinished_group_of_messages_holds_back_the_next(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("FIFO", queues=1)
    consumer, group = reader(grpc, access, topic, {"consumeMessageOrderly": True})
    producer, handle = sender(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m", count=3, fifo="one")
    first = consumer.do("receive", handle=group, count=1, seconds=30)["messages"]

    assert bodies({"messages": first}) == ["m-0"]
    assert consumer.do("receive", handle=group, count=1, seconds=30)["messages"] == []
    consumer.ack_all(group, first)
    assert bodies({"messages": consumer.receive(group, 2)}) == ["m-1", "m-2"]


def test_a_delayed_message_arrives_in_time_and_a_recalled_one_never(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("DELAY")
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic)
    now = time.time() * 1000
    (recalled,) = producer.do("send", handle=handle, topic=topic, body="recalled", delay=5_000)["sent"]
    producer.do("send", handle=handle, topic=topic, body="kept", delay=5_000)
    assert producer.do("recall", handle=handle, topic=topic, recall=recalled["recall"])["id"] == recalled["id"]
    (message,) = consumer.receive(group, 1)

    assert message["body"] == "kept-0"
    assert now + 4_000 <= message["deliveryTimestamp"] <= now + 7_000
    assert message["deliveryTimestamp"] - 1_000 <= message["seen"] <= message["deliveryTimestamp"] + 5_000
    consumer.ack_all(group, [message])
    assert consumer.do("receive", handle=group)["messages"] == []


def test_a_message_is_recalled_by_users_of_its_topic_only(grpc: GrpcClient, access: Access) -> None:
    topic, other = access.topic("DELAY"), access.topic("DELAY")
    producer, handle = sender(grpc, access, topic)
    stranger, strange = sender(grpc, access, other)
    (sent,) = producer.do("send", handle=handle, topic=topic, body="m", delay=60_000)["sent"]

    refused = stranger.call("recall", handle=strange, topic=topic, recall=sent["recall"])
    assert not refused["ok"]
    assert refused["code"] == 40100
    assert not stranger.call("recall", handle=strange, topic=other, recall=sent["recall"])["ok"]
    assert producer.do("recall", handle=handle, topic=topic, recall=sent["recall"])["id"] == sent["id"]


def test_transactions_end_as_the_producer_says(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("TRANSACTION")
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic, checker="UNKNOWN")
    for body in ("committed", "rolled-back"):
        producer.do("half", handle=handle, topic=topic, body=body, transaction=body)
    assert consumer.do("receive", handle=group)["messages"] == []
    producer.do("end", transaction="committed", as_="COMMIT")
    producer.do("end", transaction="rolled-back", as_="ROLLBACK")
    messages = consumer.receive(group, 1)
    consumer.ack_all(group, messages)

    assert bodies({"messages": messages}) == ["committed-0"]
    assert consumer.do("receive", handle=group)["messages"] == []


def test_a_transaction_without_result_is_checked_until_it_has_one(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("TRANSACTION")
    consumer, group = reader(grpc, access, topic)
    producer, handle = sender(grpc, access, topic, checker="UNKNOWN")
    sent = producer.do("half", handle=handle, topic=topic, body="m", keys="k")["sent"]

    def checks() -> list[dict[str, object]]:
        return producer.do("checks", handle=handle)["checks"]  # type: ignore[no-any-return]

    assert eventually(lambda: len(checks()) >= 2, 40, pause=0.2)
    producer.do("resolve", handle=handle, as_="COMMIT")
    (message,) = consumer.receive(group, 1)
    assert message["body"] == "m-0"
    assert {(one["body"], one["topic"], one["messageId"]) for one in checks()} == {("m-0", topic, sent["id"])}
    assert checks()[-1]["resolution"] == "COMMIT"


def test_messages_of_higher_priority_arrive_first(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("PRIORITY", queues=4)
    producer, handle = sender(grpc, access, topic)
    for priority in (0, 3, 1, 2):
        producer.do("send", handle=handle, topic=topic, body=f"p{priority}", priority=priority)
    consumer, group = reader(grpc, access, topic)
    received: list[dict[str, object]] = []
    while len(received) < 4:
        received += consumer.do("receive", handle=group, count=1, seconds=30)["messages"]

    assert [message["priority"] for message in received] == [3, 2, 1, 0]
    assert bodies({"messages": received}) == ["p3-0", "p2-0", "p1-0", "p0-0"]


def test_remoting_consumers_read_messages_of_grpc_producers(
    grpc: GrpcClient, access: Access, java5: DrivenClient
) -> None:
    topic, group = access.topic(), access.group()
    producer, handle = sender(grpc, access, topic)
    sent = producer.do("send", handle=handle, topic=topic, body="m", tag="T", keys="k", p__color="green")["sent"]
    consumer = java5.as_(reader_of(access, topic, group))
    consumer.do("consume", handle=group, topic=topic, group=group)
    (message,) = consumer.do("received", handle=group, count=1)["messages"]

    assert [message[key] for key in ("body", "tag", "key", "msgId")] == ["m-0", "T", "k", sent[0]["id"]]
    assert message["properties"]["color"] == "green"


def test_grpc_consumers_receive_messages_of_remoting_producers(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic()
    consumer, group = reader(grpc, access, topic)
    properties = "\x02".join(f"{key}\x01{value}" for key, value in (("TAGS", "T"), ("KEYS", "k l"), ("color", "green")))
    answer = access.admin.call(SEND, send_fields(topic, 0, properties), b"m")
    assert answer.code == 0
    (message,) = consumer.receive(group, 1)

    assert [message[key] for key in ("body", "tag", "keys", "properties", "attempt")] == [
        "m", "T", ["k", "l"], {"color": "green"}, 1,
    ]  # fmt: skip
    assert message["messageId"]


def test_lite_topics_are_consumed_by_their_subscribers_alone(grpc: GrpcClient, access: Access) -> None:
    """The client for Python first subscribes to each letter of a name, and to the name itself half a minute later."""
    topic = access.topic("LITE")
    producer, handle = sender(grpc, access, topic)
    groups = [access.group(attributes={"+lite.bind.topic": topic}) for _ in range(2)]
    for group, lites in zip(groups, ("a", "a,b"), strict=True):
        consumer = grpc.as_(reader_of(access, topic, group))
        consumer.do("lite", handle=group, topic=topic, group=group, lites=lites)
    for lite in ("a", "b", "c"):
        producer.do("send", handle=handle, topic=topic, body=lite, lite=lite)
    seen = [grpc.pushed(group, count) for group, count in zip(groups, (1, 2), strict=True)]

    assert [sorted((one["liteTopic"], one["body"]) for one in some) for some in seen] == [
        [("a", "a-0")],
        [("a", "a-0"), ("b", "b-0")],
    ]
    assert {one["topic"] for one in itertools.chain(*seen)} == {topic}
    for group in groups:
        grpc.do("stop", handle=group)


def test_a_recall_handle_of_another_form_is_a_clear_error(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic("DELAY")
    producer, handle = sender(grpc, access, topic)
    for recall in ("nonsense", base64.b64encode(b"v1 topic broker x").decode()):
        answer = producer.call("recall", handle=handle, topic=topic, recall=recall)
        assert not answer["ok"]
        assert "Exception" not in answer["message"].partition("response-code")[2]
    assert read_all(access.admin, topic, "TOOLS_CONSUMER", 0) == []
