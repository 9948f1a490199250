"""Push consumers and simple consumers of the official gRPC clients: order, filters, failures and redelivery."""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.access import read_all
from tests.fixtures.waiting import eventually
from tests.interop.driver import bodies, expected
from tests.interop.grpc_clients import (
    COMMANDS,
    INVISIBLE_SECONDS,
    QUICK,
    RENEWED_SECONDS,
    Access,
    GrpcClient,
    reader,
    reader_of,
    sender,
    started,
)

SERVER_SETTINGS = QUICK
Push = Callable[..., tuple[GrpcClient, str]]
BUSY_SECONDS = RENEWED_SECONDS + 15
"""Longer than the time for which the server hides a message that a listener has, before it renews that time."""


@pytest.fixture
def push(grpc: GrpcClient, access: Access) -> Iterator[Push]:
    """Return a function that starts a push consumer of a user who may only consume the topic."""
    opened: list[str] = []

    def start(topic: str, group: str, **settings: object) -> tuple[GrpcClient, str]:
        client = grpc.as_(reader_of(access, topic, group))
        client.do("push", handle=group, topic=topic, group=group, **settings)
        opened.append(group)
        return client, group

    yield start
    for handle in opened:
        grpc.do("stop", handle=handle)


def test_a_push_consumer_gets_every_message_once(grpc: GrpcClient, access: Access, push: Push) -> None:
    topic = access.topic()
    producer, handle = sender(grpc, access, topic)
    consumer, group = push(topic, access.group())
    producer.do("send", handle=handle, topic=topic, body="m", count=40)

    messages = consumer.pushed(group, 40)
    assert Counter(bodies({"messages": messages})) == Counter(expected("m", 40))
    assert {message["attempt"] for message in messages} == {1}


def test_a_push_consumer_keeps_the_order_of_each_group_in_spite_of_failures(
    grpc: GrpcClient, access: Access, push: Push
) -> None:
    topic = access.topic("FIFO")
    producer, handle = sender(grpc, access, topic)
    policy = {"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": [200, 200, 200]}}
    consumer, group = push(topic, access.group(consumeMessageOrderly=True, groupRetryPolicy=policy), failures=1)
    for one in ("a", "b", "c"):
        producer.do("send", handle=handle, topic=topic, body=one, count=4, fifo=one)

    seen: dict[str, list[str]] = defaultdict(list)
    for message in consumer.pushed(group, 24, seconds=60):
        seen[message["messageGroup"]].append(message["body"])
    assert dict(seen) == {one: [body for body in expected(one, 4) for _ in range(2)] for one in ("a", "b", "c")}


@pytest.mark.parametrize(
    ("sql", "expression", "wanted"),
    [(False, "A || B", ["A-0", "B-0"]), (True, "size > 10 AND TAGS IS NOT NULL AND TAGS <> 'A'", ["B-0", "C-0"])],
    ids=["tags", "sql92"],
)
def test_a_push_consumer_gets_what_its_filter_matches(
    grpc: GrpcClient, access: Access, push: Push, sql: bool, expression: str, wanted: list[str]
) -> None:
    topic = access.topic()
    producer, handle = sender(grpc, access, topic)
    consumer, group = push(topic, access.group(), expression=expression, sql=sql)
    for tag, size in (("A", 20), ("B", 20), ("C", 11), ("D", 5)):
        producer.do("send", handle=handle, topic=topic, body=tag, tag=tag, p__size=str(size))
    consumer.pushed(group, len(wanted))
    time.sleep(1)

    assert sorted(bodies(consumer.do("pushed", handle=group, count=1))) == wanted


def test_a_wrong_filter_is_a_clear_error(grpc: GrpcClient, access: Access) -> None:
    topic, group = access.topic(), access.group()
    client = grpc.as_(reader_of(access, topic, group))
    client.do("open", handle=group, topic=topic, group=group, expression="size >> 10", sql=True)

    answer = client.call("receive", handle=group)
    assert not answer["ok"]
    assert answer["code"] == 40010


def dead_letters(access: Access, group: str) -> list[bytes]:
    """Return the bodies of the dead letters of a group, whose topic exists from the first one on."""
    answer = access.admin.call(351, {"topic": f"%DLQ%{group}"})
    return read_all(access.admin, f"%DLQ%{group}", "TOOLS_CONSUMER", 0) if answer.code == 0 else []


def test_a_failing_message_comes_back_at_the_times_of_the_server_and_then_is_dead(
    grpc: GrpcClient, access: Access, push: Push
) -> None:
    topic = access.topic(queues=1)
    producer, handle = sender(grpc, access, topic)
    policy = {"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": [4000, 1000, 1000]}}
    consumer, group = push(topic, access.group(retryMaxTimes=2, groupRetryPolicy=policy), failures=99)
    producer.do("send", handle=handle, topic=topic, body="m")
    messages = consumer.pushed(group, 3)

    assert [(message["body"], message["attempt"]) for message in messages] == [("m-0", 1), ("m-0", 2), ("m-0", 3)]
    pauses = [(later["seen"] - earlier["seen"]) / 1000 for earlier, later in itertools.pairwise(messages)]
    assert pauses[0] >= 3.9, pauses
    assert 0.9 <= pauses[1] < pauses[0], pauses
    assert eventually(lambda: dead_letters(access, group) == [b"m-0"], 40, pause=0.5)
    assert len(consumer.do("pushed", handle=group, count=1)["messages"]) == 3


def test_a_failing_message_of_an_ordered_group_is_dead_after_the_last_attempt(
    grpc: GrpcClient, access: Access, push: Push
) -> None:
    topic = access.topic("FIFO", queues=1)
    producer, handle = sender(grpc, access, topic)
    policy = {"type": "CUSTOMIZED", "customizedRetryPolicy": {"next": [500, 500, 500]}}
    settings = {"consumeMessageOrderly": True, "retryMaxTimes": 1, "groupRetryPolicy": policy}
    consumer, group = push(topic, access.group(**settings), failures=2)
    producer.do("send", handle=handle, topic=topic, body="m", fifo="one", count=2)

    assert bodies({"messages": consumer.pushed(group, 4)}) == ["m-0", "m-0", "m-1", "m-1"]
    assert eventually(lambda: dead_letters(access, group) == [b"m-0", b"m-1"], 20, pause=0.5)


def test_a_message_without_acknowledgement_comes_back(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic(queues=1)
    producer, handle = sender(grpc, access, topic)
    consumer, group = reader(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m", count=3)
    received = consumer.receive(group, 3, seconds=INVISIBLE_SECONDS)
    by_body = {message["body"]: message for message in received}
    consumer.do("ack", handle=group, id=by_body["m-0"]["id"])
    consumer.do("change", handle=group, id=by_body["m-1"]["id"], seconds=2 * INVISIBLE_SECONDS)

    again = sorted(consumer.receive(group, 2), key=lambda message: message["seen"])
    assert [(message["body"], message["attempt"]) for message in again] == [("m-2", 2), ("m-1", 2)]
    waited = [(message["seen"] - by_body[message["body"]]["seen"]) / 1000 for message in again]
    assert INVISIBLE_SECONDS - 0.5 <= waited[0] < 2 * INVISIBLE_SECONDS - 0.1 <= waited[1], waited
    consumer.ack_all(group, again)
    assert consumer.do("receive", handle=group)["messages"] == []


def test_a_receipt_handle_is_good_for_one_delivery(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic(queues=1)
    producer, handle = sender(grpc, access, topic)
    consumer, group = reader(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m")
    (first,) = consumer.receive(group, 1, seconds=INVISIBLE_SECONDS)
    (second,) = consumer.receive(group, 1, seconds=30)

    late = consumer.call("ack", handle=group, id=first["id"])
    assert late["ok"] or late["code"] == 40013
    consumer.do("ack", handle=group, id=second["id"])
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert consumer.do("receive", handle=group)["messages"] == []


@pytest.mark.xdist_group("grpc-renewal")
def test_a_message_of_a_slow_listener_is_not_delivered_again(access: Access, tmp_path: Path) -> None:
    groups: dict[str, tuple[GrpcClient, str]] = {}
    drivers = {which: started(which, tmp_path / which) for which in COMMANDS}
    try:
        for which, driver in drivers.items():
            client = GrpcClient(driver.__enter__(), access.endpoint, None)
            topic = access.topic()
            group = access.group()
            groups[which] = client.as_(reader_of(access, topic, group)), group
            groups[which][0].do("push", handle=group, topic=topic, group=group, busy=BUSY_SECONDS * 1000)
            producer, handle = sender(client, access, topic)
            producer.do("send", handle=handle, topic=topic, body="m")
        for client, group in groups.values():
            client.pushed(group, 1)
        time.sleep(BUSY_SECONDS + 3)
        seen: dict[str, list[Any]] = {
            which: client.do("pushed", handle=group, count=1)["messages"] for which, (client, group) in groups.items()
        }
    finally:
        for driver in drivers.values():
            driver.__exit__(None, None, None)
    assert {which: bodies({"messages": some}) for which, some in seen.items()} == {which: ["m-0"] for which in COMMANDS}
