"""The C++ core sends, receives, and is denied; the Python package `rocketmq` drives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.access import create_topic, read_all
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.conftest import Connections, DrivenClient
from tests.interop.driver import bodies, expected
from tests.interop.outsiders import INSIDER, Outsider, create_insider_and_outsiders

pytestmark = pytest.mark.xdist_group("cpp")

Name = Callable[[str], str]


@pytest.fixture(scope="module", autouse=True)
def users(server: Server, connections: Connections) -> None:
    """Create one user with the permissions, and one of each kind without."""
    create_insider_and_outsiders(connections.to(server.broker_port))


def received(cpp: DrivenClient, count: int, **consumer: object) -> list[dict[str, Any]]:
    """Return the messages of a push consumer that runs until it has so many."""
    cpp.do("consume", handle="c", **consumer)
    messages: list[dict[str, Any]] = cpp.do("received", handle="c", count=count, timeout=45_000)["messages"]
    cpp.do("stop", handle="c")
    return messages


@pytest.mark.parametrize("mode", ["sync", "oneway", "ordered"])
def test_every_way_of_sending_arrives_once(cpp: DrivenClient, admin: Wire, name: Name, mode: str) -> None:
    topic = name("topic")
    create_topic(admin, topic)

    sent = cpp.do("send", topic=topic, mode=mode, count=8, body=mode, tag="T", key="K")["results"]
    assert [result["status"] for result in sent] == ["SEND_OK"] * (0 if mode == "oneway" else 8)

    messages = received(cpp, 8, topic=topic, group=name("group"))
    assert Counter(bodies({"messages": messages})) == Counter(expected(mode, 8))
    assert {(m["tag"], m["key"], m["topic"]) for m in messages} == {("T", "K", topic)}


def test_a_consumer_is_known_with_its_enumerations(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    """The core sends the numbers of their members."""
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    cpp.do("consume", handle="c", topic=topic, group=group, model="BROADCASTING")

    assert eventually(lambda: admin.call(203, {"consumerGroup": group}).code == 0)
    shown = admin.call(203, {"consumerGroup": group}).json()
    cpp.do("stop", handle="c")
    assert (shown["consumeType"], shown["messageModel"]) == ("CONSUME_PASSIVELY", "BROADCASTING")
    assert shown["consumeFromWhere"] == "CONSUME_FROM_LAST_OFFSET"
    assert [member["language"] for member in shown["connectionSet"]] == ["CPP"]


def test_ordered_messages_are_consumed_in_order(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic, queues=2)

    cpp.do("send", topic=topic, mode="ordered", shards=2, count=20, body="o")
    messages = received(cpp, 20, topic=topic, group=name("group"), orderly=True)
    for shard in (0, 1):
        assert [m["body"] for m in messages if m["queue"] == shard] == [f"o-{i}" for i in range(shard, 20, 2)]


def test_a_message_that_fails_once_is_delivered_again(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)

    cpp.do("send", topic=topic, count=2, body="again")
    messages = received(cpp, 4, topic=topic, group=name("group"), failures=1)
    assert Counter(bodies({"messages": messages})) == Counter(expected("again", 2) * 2)
    assert sorted(m["reconsumed"] for m in messages) == [0, 0, 1, 1]


def test_a_delayed_message_is_not_delivered_early(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)

    cpp.do("send", topic=topic, level=1, body="late")
    (message,) = received(cpp, 1, topic=topic, group=name("group"))
    assert message["stored"] - message["born"] >= 950


def test_a_tag_filter_delivers_only_its_tags(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)

    for tag in ("A", "B", "C"):
        cpp.do("send", topic=topic, tag=tag, body=tag, count=3)
    messages = received(cpp, 6, topic=topic, group=name("group"), expression="A || C")
    assert Counter(bodies({"messages": messages})) == Counter(expected("A", 3) + expected("C", 3))


def test_a_broadcast_reaches_every_consumer_of_the_group(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    for handle in ("b1", "b2"):
        cpp.do("consume", handle=handle, topic=topic, group=group, model="BROADCASTING")
    cpp.do("send", topic=topic, count=6, body="b")
    for handle in ("b1", "b2"):
        messages = cpp.do("received", handle=handle, count=6, timeout=45_000)
        cpp.do("stop", handle=handle)
        assert Counter(bodies(messages)) == Counter(expected("b", 6))


def test_a_pull_consumer_reads_all_queues(cpp: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    cpp.do("send", topic=topic, count=5, body="p")

    assert Counter(bodies(cpp.do("pull", topic=topic, group=name("group")))) == Counter(expected("p", 5))


def test_a_user_with_the_permissions_is_allowed(cpp: DrivenClient) -> None:
    alice = cpp.as_(INSIDER)

    (sent,) = alice.do("send", topic="orders", body="admitted")["results"]
    assert sent["status"] == "SEND_OK"
    messages = received(alice, 1, topic="orders", group="orders_group")
    assert "admitted-0" in bodies({"messages": messages})


@pytest.mark.parametrize("mode", ["sync", "oneway", "ordered"])
def test_sending_is_refused(cpp: DrivenClient, admin: Wire, outsider: Outsider, mode: str) -> None:
    """The caller gets the error that there is no route; the core writes the server's reason only to its log."""
    before = read_all(admin, "orders", "watch", 0)

    answer = cpp.as_(outsider.user).call("send", topic="orders", body="intruder", mode=mode)

    assert answer["ok"] is (mode == "oneway"), answer
    assert read_all(admin, "orders", "watch", 0) == before


def test_a_push_consumer_gets_nothing(cpp: DrivenClient, outsider: Outsider) -> None:
    cpp.do("send", topic="orders", body="for others")
    client = cpp.as_(outsider.user)

    client.do("consume", handle="outsider", topic="orders", group="orders_group")
    messages = client.do("received", handle="outsider", timeout=1500)["messages"]
    client.do("stop", handle="outsider")
    assert messages == []


def test_pulling_is_refused(cpp: DrivenClient, outsider: Outsider) -> None:
    answer = cpp.as_(outsider.user).call("pull", topic="orders", group="orders_group")
    assert not answer.get("messages"), answer
