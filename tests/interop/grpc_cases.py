"""Uses of official gRPC clients of all languages, with the least rights that they need.

A test file of a language derives its classes from these, as far as its client has the feature. It has a fixture
`client`: that client with the Super user's credentials.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fixtures.access import create_topic
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.driver import bodies, expected
from tests.interop.grpc_client import GrpcUser, LeastRights, create_group, dead_letters, stored

Name = Callable[[str], str]
SERVER_SETTINGS = {
    "transactionTimeOut": "1000",
    "transactionCheckInterval": "1500",
    "transactionCheckMax": "1000",
    "recallMessageEnable": "true",
    "enableLmq": "true",
    "enableMultiDispatch": "true",
}
LATE_MS = 8_000
"""A busy machine delivers late."""


@pytest.fixture
def rights(admin: Wire, client: GrpcUser) -> LeastRights:
    """Return the source of users with the least rights."""
    return LeastRights(admin, client)


class Simple:
    """A started simple consumer.

    Args:
        client: The user.
        topic: Topic that it receives from.
        group: Its group, and the handle.
        **filter_: `expression` and `language` of a filter.
    """

    def __init__(self, client: GrpcUser, topic: str, group: str, **filter_: str) -> None:
        self._client = client
        # The Rust client names the topic and the filter when it receives.
        self._named = {"handle": group, "topic": topic, **filter_}
        client.do("open", group=group, **self._named)

    def receive(self, count: int = 1, *, seconds: float = 30, invisible: int = 60) -> list[dict[str, Any]]:
        """Receive until so many messages have come, or time is over."""
        found: list[dict[str, Any]] = []
        eventually(lambda: found.extend(self.once(invisible)) or len(found) >= count, seconds)
        return found

    def once(self, invisible: int = 60) -> list[dict[str, Any]]:
        """Receive once."""
        messages: list[dict[str, Any]] = self._client.do("receive", seconds=invisible, **self._named)["messages"]
        return messages

    def ack(self, *messages: dict[str, Any]) -> None:
        """Acknowledge messages."""
        for message in messages:
            self._client.do("ack", id=message["id"], **self._named)

    def change(self, message: dict[str, Any], seconds: int) -> dict[str, Any]:
        """Let a message be invisible for so many seconds from now."""
        return self._client.call("change", id=message["id"], seconds=seconds, **self._named)

    def stop(self) -> None:
        """End the consumer."""
        self._client.do("stop", **self._named)


@pytest.fixture
def simple(rights: LeastRights) -> Iterator[Callable[..., Simple]]:
    """Return a function that starts simple consumers of users with the least rights."""
    started: list[Simple] = []

    def start(topic: str, group: str, **filter_: str) -> Simple:
        started.append(Simple(rights.consumer(topic, group), topic, group, **filter_))
        return started[-1]

    yield start
    for consumer in started:
        consumer.stop()


class ProducerCases:
    """Messages of the kinds normal, FIFO and delay."""

    def test_a_message_arrives_as_it_was_sent(
        self, rights: LeastRights, simple: Callable[..., Simple], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        began = time.time() * 1000
        sent = rights.producer(topic).do(
            "send", topic=topic, body="m", tag="T", key="K", count=3, property__color="c{}"
        )
        consumer = simple(topic, group)
        messages = sorted(consumer.receive(3), key=lambda message: str(message["body"]))
        assert bodies({"messages": messages}) == expected("m", 3)
        assert [m["messageId"] for m in messages] == [result["id"] for result in sent["results"]]
        assert {(m["topic"], m["tag"], *m["keys"], m["attempt"]) for m in messages} == {(topic, "T", "K", 1)}
        assert [m["properties"] for m in messages] == [{"color": f"c{number}"} for number in range(3)]
        assert all(began - 2_000 <= m["born"] <= time.time() * 1000 + 2_000 for m in messages)
        assert stored(admin, topic) == [[b"m-0", b"m-1", b"m-2"]]

    def test_messages_of_one_group_are_in_one_queue_in_order(
        self, rights: LeastRights, admin: Wire, name: Name
    ) -> None:
        topic = name("topic")
        create_topic(admin, topic, 4, "FIFO")
        producer = rights.producer(topic)
        for group in ("a", "b"):
            producer.do("send", topic=topic, body=group, count=8, fifo=group)
        queues = stored(admin, topic, 4)
        for group in ("a", "b"):
            found = [[body for body in queue if body.startswith(group.encode())] for queue in queues]
            assert [queue for queue in found if queue] == [[text.encode() for text in expected(group, 8)]]

    def test_a_delayed_message_is_never_early(
        self, rights: LeastRights, simple: Callable[..., Simple], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1, "DELAY")
        create_group(admin, group)
        producer, consumer = rights.producer(topic), simple(topic, group)
        began = time.time() * 1000
        producer.do("send", topic=topic, body="d", delay=3_000)
        (message,) = consumer.receive()
        assert message["body"] == "d-0"
        assert 3_000 <= message["received"] - began <= 3_000 + LATE_MS

    def test_a_message_of_another_kind_than_the_topic_is_refused(
        self, client: GrpcUser, admin: Wire, name: Name
    ) -> None:
        topic = name("topic")
        create_topic(admin, topic, 1, "FIFO")
        assert not client.call("send", topic=topic, body="m")["ok"]
        assert stored(admin, topic) == [[]]


class TransactionCases:
    """Transactions that are committed, rolled back and checked."""

    @pytest.fixture
    def topic(self, admin: Wire, name: Name) -> str:
        """Return a topic of transactions."""
        created = name("topic")
        create_topic(admin, created, 1, "TRANSACTION")
        return created

    def test_a_message_is_visible_once_it_is_committed(self, rights: LeastRights, admin: Wire, topic: str) -> None:
        producer = rights.producer(topic)
        sent = producer.do("transact", handle=topic, topic=topic, body="kept", execute="commit")
        assert sent["transaction"]
        producer.do("transact", handle=topic, topic=topic, body="dropped", execute="rollback")
        assert eventually(lambda: stored(admin, topic) != [[]])
        assert stored(admin, topic) == [[b"kept-0"]]

    @pytest.mark.parametrize(("end", "visible"), [("commit", [b"open-0"]), ("rollback", [])])
    def test_an_open_transaction_is_checked_until_it_ends(
        self, rights: LeastRights, admin: Wire, topic: str, end: str, visible: list[bytes]
    ) -> None:
        producer = rights.producer(topic)
        sent = producer.do("transact", handle=topic, topic=topic, body="open", tag="T", check="unknown")
        (first, *_) = producer.messages("checked", handle=topic, seconds=60)
        assert (first["body"], first["topic"], first["tag"], first["messageId"]) == ("open-0", topic, "T", sent["id"])
        assert stored(admin, topic) == [[]]
        producer.do("transact", handle=topic, topic=topic, body="second", check=end)
        ended = {text.encode() for text in ("open-0", "second-0")} if end == "commit" else set()
        assert eventually(lambda: len(producer.messages("checked", handle=topic, count=3)) >= 3, 30)
        assert eventually(lambda: set(stored(admin, topic)[0]) == ended, 20)
        settled = len(producer.messages("checked", handle=topic, seconds=0))
        time.sleep(4)
        assert len(producer.messages("checked", handle=topic, seconds=0)) == settled
        assert set(stored(admin, topic)[0]) >= set(visible)


class TimerCases:
    """Messages that are recalled, and messages with a priority."""

    def test_a_recalled_message_does_not_arrive(
        self, rights: LeastRights, simple: Callable[..., Simple], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1, "DELAY")
        create_group(admin, group)
        producer, consumer = rights.producer(topic), simple(topic, group)
        (recalled,) = producer.do("send", topic=topic, body="recalled", delay=5_000)["results"]
        producer.do("send", topic=topic, body="kept", delay=6_000)
        assert producer.do("recall", topic=topic, recall=recalled["handle"])["id"] == recalled["id"]
        assert bodies({"messages": consumer.receive(seconds=40)}) == ["kept-0"]
        assert not producer.call("recall", topic=topic, recall=recalled["handle"])["ok"]

    def test_a_priority_is_the_queue(self, rights: LeastRights, admin: Wire, name: Name) -> None:
        topic = name("topic")
        create_topic(admin, topic, 4, "PRIORITY")
        producer = rights.producer(topic)
        for priority in (1, 3, 9):
            producer.do("send", topic=topic, body=f"p{priority}", priority=priority)
        assert stored(admin, topic, 4) == [[], [b"p1-0"], [], [b"p3-0", b"p9-0"]]


class SimpleConsumerCases:
    """Simple consumers.

    Attributes:
        receives_nothing: True if the client can ask for messages for less than 20 s.
    """

    receives_nothing = True

    def test_unacknowledged_messages_come_back(
        self, rights: LeastRights, simple: Callable[..., Simple], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        rights.producer(topic).do("send", topic=topic, body="m", count=3)
        consumer = simple(topic, group)
        first = consumer.receive(3, invisible=10)
        assert Counter(bodies({"messages": first})) == Counter(expected("m", 3))
        consumer.ack(first[0], first[2])
        again = consumer.receive(seconds=45)
        assert [(m["body"], m["attempt"]) for m in again] == [(first[1]["body"], 2)]
        assert again[0]["messageId"] == first[1]["messageId"]
        consumer.ack(again[0])
        assert not self.receives_nothing or consumer.once() == []

    @pytest.mark.parametrize(
        ("filter_", "wanted"),
        [
            ({"expression": "A || C"}, {"A-0", "C-0"}),
            ({"language": "SQL92", "expression": "size > 10 AND color = 'red'"}, {"B-0", "C-0"}),
        ],
        ids=["tag", "SQL92"],
    )
    def test_a_filter_delivers_only_what_fits(
        self,
        rights: LeastRights,
        simple: Callable[..., Simple],
        admin: Wire,
        name: Name,
        filter_: dict[str, str],
        wanted: set[str],
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        producer = rights.producer(topic)
        for tag, size, color in (("A", 5, "red"), ("B", 11, "red"), ("C", 40, "red"), ("D", 40, "blue")):
            producer.do("send", topic=topic, body=tag, tag=tag, property__size=size, property__color=color)
        consumer = simple(topic, group, **filter_)
        messages = consumer.receive(2)
        consumer.ack(*messages)
        assert set(bodies({"messages": messages})) == wanted
        assert len(messages) == 2
        assert not self.receives_nothing or consumer.once() == []


class ChangeCases:
    """Simple consumers that can change the time in which a message is invisible."""

    def test_a_message_stays_invisible_as_long_as_was_said_last(
        self, rights: LeastRights, simple: Callable[..., Simple], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        rights.producer(topic).do("send", topic=topic, body="m")
        consumer = simple(topic, group)
        (message,) = consumer.receive(invisible=60)
        began = time.monotonic()
        assert consumer.change(message, 10)["ok"]
        (again,) = consumer.receive(seconds=45)
        assert (again["body"], again["attempt"]) == ("m-0", 2)
        assert 9 <= time.monotonic() - began <= 10 + LATE_MS / 1000
        consumer.ack(again)


class PushConsumerCases:
    """Push consumers.

    Attributes:
        backs_off: True if the client waits as a customized policy of the group says.
    """

    backs_off = True

    @pytest.fixture
    def push(self, rights: LeastRights) -> Iterator[Callable[..., GrpcUser]]:
        """Return a function that starts push consumers of users with the least rights."""
        started: list[tuple[GrpcUser, str]] = []

        def start(topic: str, group: str, **named: object) -> GrpcUser:
            user = rights.consumer(topic, group)
            user.do("push", handle=group, topic=topic, group=group, **named)
            started.append((user, group))
            return user

        yield start
        for user, handle in started:
            user.do("stop", handle=handle)

    def test_each_message_is_consumed_once(
        self, rights: LeastRights, push: Callable[..., GrpcUser], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 4)
        create_group(admin, group)
        consumer = push(topic, group)
        rights.producer(topic).do("send", topic=topic, body="m", count=20, key="K")
        messages = consumer.messages("pushed", handle=group, count=20)
        assert Counter(bodies({"messages": messages})) == Counter(expected("m", 20))
        assert len(consumer.messages("pushed", handle=group, count=21, seconds=3)) == 20

    def test_a_fifo_group_consumes_in_order(
        self, rights: LeastRights, push: Callable[..., GrpcUser], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 2, "FIFO")
        create_group(admin, group, orderly=True)
        producer = rights.producer(topic)
        for shard in ("a", "b", "c"):
            producer.do("send", topic=topic, body=shard, count=6, fifo=shard)
        consumer = push(topic, group, work=20)
        messages = consumer.messages("pushed", handle=group, count=18, seconds=45)
        for shard in ("a", "b", "c"):
            assert [m["body"] for m in messages if m["fifo"] == shard] == expected(shard, 6)

    @pytest.mark.parametrize(
        ("filter_", "wanted"),
        [
            ({"expression": "A || C"}, {"A-0", "C-0"}),
            ({"language": "SQL92", "expression": "size BETWEEN 10 AND 20 OR color IS NULL"}, {"B-0", "C-0"}),
        ],
        ids=["tag", "SQL92"],
    )
    def test_a_filter_delivers_only_what_fits(
        self,
        rights: LeastRights,
        push: Callable[..., GrpcUser],
        admin: Wire,
        name: Name,
        filter_: dict[str, str],
        wanted: set[str],
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group)
        producer = rights.producer(topic)
        for tag, named in (("A", {"size": 5, "color": "x"}), ("B", {"size": 11, "color": "x"}), ("C", {"size": 40})):
            properties = {f"property__{key}": value for key, value in named.items()}
            producer.do("send", topic=topic, body=tag, tag=tag, **properties)
        consumer = push(topic, group, **filter_)
        assert len(consumer.messages("pushed", handle=group, count=2)) == 2
        messages = consumer.messages("pushed", handle=group, count=3, seconds=2)
        assert Counter(bodies({"messages": messages})) == Counter(wanted)

    def test_a_failing_message_is_retried_and_becomes_a_dead_letter(
        self, rights: LeastRights, push: Callable[..., GrpcUser], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1)
        create_group(admin, group, retries=2, pauses_ms=(1_000, 3_000))
        consumer = push(topic, group, failures=99)
        rights.producer(topic).do("send", topic=topic, body="poison", tag="T")
        messages = consumer.messages("pushed", handle=group, count=3, seconds=60)
        assert [(m["body"], m["attempt"]) for m in messages] == [("poison-0", 1), ("poison-0", 2), ("poison-0", 3)]
        if self.backs_off:
            pauses = [later["received"] - m["received"] for m, later in itertools.pairwise(messages)]
            assert 1_000 <= pauses[0] <= 1_000 + LATE_MS, pauses
            assert 3_000 <= pauses[1] <= 3_000 + LATE_MS, pauses
        assert eventually(lambda: dead_letters(admin, group) == [b"poison-0"], 40, pause=0.5)
        assert len(consumer.messages("pushed", handle=group, count=4, seconds=3)) == 3

    def test_a_failing_message_of_a_fifo_group_is_tried_again_at_once(
        self, rights: LeastRights, push: Callable[..., GrpcUser], admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1, "FIFO")
        create_group(admin, group, orderly=True, retries=2, doubled_from_ms=500)
        consumer = push(topic, group, failures=1)
        rights.producer(topic).do("send", topic=topic, body="m", fifo="a")
        messages = consumer.messages("pushed", handle=group, count=2, seconds=45)
        assert [(m["body"], m["attempt"]) for m in messages] == [("m-0", 1), ("m-0", 2)]


class LiteCases:
    """Lite topics."""

    def test_a_consumer_gets_the_messages_of_its_lite_topics(
        self, rights: LeastRights, admin: Wire, name: Name
    ) -> None:
        topic, group = name("topic"), name("group")
        create_topic(admin, topic, 1, "LITE")
        create_group(admin, group, lite_of=topic)
        consumer, producer = rights.consumer(topic, group), rights.producer(topic)
        consumer.do("lite", handle=group, topic=topic, group=group, lites="red,green")
        for lite in ("red", "green", "blue"):
            producer.do("send", topic=topic, body=lite, lite=lite, count=2)
        assert len(consumer.messages("pushed", handle=group, count=4)) == 4
        messages = consumer.messages("pushed", handle=group, count=5, seconds=2)
        for lite in ("red", "green"):
            assert [m["body"] for m in messages if m["lite"] == lite] == expected(lite, 2)
        assert len(messages) == 4
        assert {m["topic"] for m in messages} == {topic}
        consumer.do("unsubscribeLite", handle=group, lite="red")
        for lite in ("red", "green"):
            producer.do("send", topic=topic, body=f"late {lite}", lite=lite)
        assert len(consumer.messages("pushed", handle=group, count=5)) == 5
        messages = consumer.messages("pushed", handle=group, count=6, seconds=2)
        assert [m["body"] for m in messages[4:]] == ["late green-0"]
        consumer.do("stop", handle=group)
