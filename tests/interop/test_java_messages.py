"""The official Java clients send and receive in each of their ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.fixtures.access import create_topic
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.conftest import DrivenClient
from tests.interop.driver import bodies, expected

Name = Callable[[str], str]


@pytest.mark.parametrize("mode", ["sync", "async", "oneway", "batch", "ordered"])
def test_every_way_of_sending_arrives_once(any_java: DrivenClient, admin: Wire, name: Name, mode: str) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    sent = any_java.do("send", topic=topic, mode=mode, count=8, body=mode, tag="T", key="K")
    assert all(result["status"] == "SEND_OK" for result in sent["results"]), sent
    assert len(sent["results"]) == {"oneway": 0, "batch": 1}.get(mode, 8)

    any_java.do("consume", handle="c", topic=topic, group=group)
    messages = any_java.do("received", handle="c", count=8)["messages"]
    any_java.do("stop", handle="c")
    assert Counter(m["body"] for m in messages) == Counter(expected(mode, 8))
    assert {(m["tag"], m["key"], m["topic"]) for m in messages} == {("T", "K", topic)}
    if mode in {"sync", "async", "ordered"}:
        assert {m["msgId"] for m in messages} == {r["msgId"] for r in sent["results"]}
        assert {(m["queue"], m["offset"]) for m in messages} == {(r["queue"], r["offset"]) for r in sent["results"]}


def test_large_and_compressed_messages_arrive_complete(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    any_java.do("send", topic=topic, body="big", size=1_000_000)
    any_java.do("consume", handle="c", topic=topic, group=group)
    (message,) = any_java.do("received", handle="c")["messages"]
    any_java.do("stop", handle="c")

    assert message["body"] == "big-0" + "x" * (1_000_000 - len("big-0"))


def test_an_oversized_message_is_refused_with_its_reason(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)

    # The client itself refuses messages of more than 4 MiB; the broker must refuse them, too.
    fields = {"a": "g", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1", "h": "0", "i": ""}
    answer = any_java.do(
        "invoke",
        address=any_java.server.broker,
        code=310,
        body="x" * (4 * 1024 * 1024 + 1),
        **{f"ext__{key}": value for key, value in fields.items()},
    )

    assert answer["code"] == 13
    assert answer["remark"]


def test_ordered_messages_are_consumed_in_order(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=2)

    any_java.do("send", topic=topic, mode="ordered", shards=2, count=20, body="o")
    any_java.do("consume", handle="c", topic=topic, group=group, orderly=True)
    messages = any_java.do("received", handle="c", count=20, timeout=45000, wait=60)["messages"]
    any_java.do("stop", handle="c")

    for shard in (0, 1):
        seen = [m["body"] for m in messages if m["queue"] == shard]
        assert seen == [f"o-{i}" for i in range(20) if i % 2 == shard]


def test_an_orderly_consumer_that_fails_gets_the_same_message_again_before_the_next(
    any_java: DrivenClient, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=1)

    any_java.do("send", topic=topic, mode="ordered", count=3, body="o")
    any_java.do("consume", handle="c", topic=topic, group=group, orderly=True, failures=2)
    messages = any_java.do("received", handle="c", count=9, timeout=45000, wait=60)["messages"]
    any_java.do("stop", handle="c")

    assert bodies({"messages": messages}) == [f"o-{i}" for i in range(3) for _ in range(3)]


@pytest.mark.parametrize(("level", "delay"), [(1, 1000), (2, 5000)])
def test_delayed_messages_are_never_delivered_early(
    any_java: DrivenClient, admin: Wire, name: Name, level: int, delay: int
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    any_java.do("consume", handle="c", topic=topic, group=group)
    any_java.do("send", topic=topic, level=level, count=2, body="d")
    messages = any_java.do("received", handle="c", count=2, timeout=45000, wait=60)["messages"]
    any_java.do("stop", handle="c")

    assert sorted(bodies({"messages": messages})) == expected("d", 2)
    for message in messages:
        late = message["stored"] - message["born"]
        assert delay - 50 <= late <= delay + 3000
        assert message["topic"] == topic


def test_a_broadcast_reaches_every_consumer_of_the_group(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    for handle in ("b1", "b2"):
        any_java.do("consume", handle=handle, topic=topic, group=group, model="BROADCASTING")
    any_java.do("send", topic=topic, count=6, body="b")
    for handle in ("b1", "b2"):
        assert Counter(bodies(any_java.do("received", handle=handle, count=6))) == Counter(expected("b", 6))
        any_java.do("stop", handle=handle)


def test_a_failing_message_is_retried_and_ends_in_the_dead_letter_topic(
    any_java: DrivenClient, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    any_java.do("consume", handle="c", topic=topic, group=group, failures=99, maxReconsume=2)
    any_java.do("send", topic=topic, body="poison", tag="T", key="K")
    messages = any_java.do("received", handle="c", count=3, timeout=45000, wait=60)["messages"]
    assert [m["reconsumed"] for m in messages] == [0, 1, 2]
    assert bodies({"messages": messages}) == ["poison-0"] * 3
    assert [m["topic"] for m in messages] == [topic] * 3  # The client shows the topic of the subscription.
    assert len({m["msgId"] for m in messages}) == 1

    any_java.do("consume", handle="dead", topic=f"%DLQ%{group}", group=f"{group}_dlq")
    (dead,) = any_java.do("received", handle="dead", timeout=45000, wait=60)["messages"]
    any_java.do("stop", handle="dead")
    any_java.do("stop", handle="c")
    assert (dead["body"], dead["tag"], dead["key"]) == ("poison-0", "T", "K")


def test_a_message_that_fails_once_is_consumed_on_its_retry(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    any_java.do("consume", handle="c", topic=topic, group=group, failures=1)
    any_java.do("send", topic=topic, body="again", count=3)
    messages = any_java.do("received", handle="c", count=6, timeout=45000, wait=60)["messages"]
    any_java.do("stop", handle="c")

    assert Counter(bodies({"messages": messages})) == Counter(expected("again", 3) * 2)
    assert sorted(m["reconsumed"] for m in messages) == [0, 0, 0, 1, 1, 1]


def test_a_tag_filter_delivers_only_its_tags(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    for tag in ("A", "B", "C"):
        any_java.do("send", topic=topic, tag=tag, body=tag, count=3)
    any_java.do("consume", handle="c", topic=topic, group=group, expression="A || C")
    messages = any_java.received("c", 6)["messages"]
    any_java.do("stop", handle="c")

    assert Counter(bodies({"messages": messages})) == Counter(expected("A", 3) + expected("C", 3))


def test_lite_pull_continues_at_its_committed_offset(java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=2)

    java.do("send", topic=topic, count=5, body="first")
    assert Counter(bodies(java.do("litePull", topic=topic, group=group, count=5))) == Counter(expected("first", 5))
    java.do("send", topic=topic, count=5, body="second")
    assert Counter(bodies(java.do("litePull", topic=topic, group=group, count=5))) == Counter(expected("second", 5))


def test_a_plain_pull_sees_offsets_and_messages(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic, queues=1)
    any_java.do("send", topic=topic, count=5, body="p")

    pulled = any_java.do("pull", topic=topic, group=name("group"), broker=any_java.server.broker_name, offset=2)

    assert (pulled["status"], pulled["next"], pulled["min"], pulled["max"]) == ("FOUND", 5, 0, 5)
    assert bodies(pulled) == expected("p", 5)[2:]


def test_offsets_are_found_by_time(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic, queues=1)
    any_java.do("send", topic=topic, count=3, body="early")
    stored = any_java.do("pull", topic=topic, group=name("group"), broker=any_java.server.broker_name)["messages"][-1][
        "stored"
    ]

    (start,) = any_java.do("offsets", topic=topic, timestamp=0)["queues"]
    (after,) = any_java.do("offsets", topic=topic, timestamp=stored + 1)["queues"]

    assert start == {"queue": 0, "min": 0, "max": 3, "at": 0}
    assert after["at"] == 3


def test_a_message_is_found_by_id_and_by_key(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    (sent,) = any_java.do("send", topic=topic, key="findme", body="f")["results"]
    any_java.do("send", topic=topic, key="other", body="o")

    for asked in ({"msgId": sent["msgId"]}, {"msgId": sent["offsetMsgId"]}, {"key": "findme"}):
        found = any_java.do("find", topic=topic, **asked)["messages"]
        assert [(m["body"], m["queue"], m["offset"]) for m in found] == [("f-0", sent["queue"], sent["offset"])], asked


def test_a_send_creates_a_new_topic(any_java: DrivenClient, name: Name) -> None:
    topic, group = name("fresh"), name("group")

    any_java.do("send", topic=topic, count=3, body="n")
    any_java.do("consume", handle="c", topic=topic, group=group)
    messages = any_java.do("received", handle="c", count=3)
    any_java.do("stop", handle="c")

    assert Counter(bodies(messages)) == Counter(expected("n", 3))


def test_two_consumers_of_a_group_share_the_queues(any_java: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=4)

    def assigned(handle: str) -> set[int]:
        return set(any_java.do("assigned", handle=handle, topic=topic)["queues"])

    any_java.do("consume", handle="r1", topic=topic, group=group)
    assert eventually(lambda: assigned("r1") == {0, 1, 2, 3})
    any_java.do("consume", handle="r2", topic=topic, group=group)
    assert eventually(lambda: len(assigned("r1")) == len(assigned("r2")) == 2)
    assert assigned("r1") | assigned("r2") == {0, 1, 2, 3}

    any_java.do("send", topic=topic, mode="ordered", shards=4, count=8, body="s")
    both = [any_java.do("received", handle=h, count=4)["messages"] for h in ("r1", "r2")]
    assert [len(messages) for messages in both] == [4, 4]

    any_java.do("stop", handle="r2")
    assert eventually(lambda: assigned("r1") == {0, 1, 2, 3})
    any_java.do("send", topic=topic, mode="ordered", shards=4, count=4, body="t")
    assert len(any_java.do("received", handle="r1", count=8)["messages"]) == 8
    any_java.do("stop", handle="r1")


def test_a_group_continues_at_its_offset_after_a_restart_of_the_server(
    any_java: DrivenClient, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    any_java.do("send", topic=topic, count=8, body="before")
    any_java.do("consume", handle="c", topic=topic, group=group)
    assert len(any_java.do("received", handle="c", count=8)["messages"]) == 8
    any_java.do("stop", handle="c")  # The client stores its offsets at its end.

    assert any_java.server.stop() == 0
    any_java.server.start()
    any_java.do("close")

    any_java.do("send", topic=topic, count=8, body="after")
    any_java.do("consume", handle="c", topic=topic, group=group)
    messages = any_java.received("c", 8)
    any_java.do("stop", handle="c")
    assert Counter(bodies(messages)) == Counter(expected("after", 8))


def test_a_running_consumer_and_producer_survive_a_restart_of_the_server(
    any_java: DrivenClient, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    any_java.do("consume", handle="c", topic=topic, group=group)
    any_java.do("send", topic=topic, count=4, body="before")
    assert len(any_java.do("received", handle="c", count=4)["messages"]) == 4

    assert any_java.server.stop() == 0
    any_java.server.start()

    def sent() -> bool:
        return bool(any_java.call("send", topic=topic, body="after")["ok"])

    assert eventually(sent)
    # A 4.x client waits for answers to its lost pulls for 30 s before it sends new ones.
    messages = any_java.do("received", handle="c", count=5, timeout=45000, wait=60)
    any_java.do("stop", handle="c")
    assert "after-0" in bodies(messages)


def test_another_client_reads_what_this_one_sent(
    any_java: DrivenClient, go: DrivenClient, admin: Wire, name: Name
) -> None:
    topic = name("topic")
    create_topic(admin, topic)
    any_java.do("send", topic=topic, count=4, body="java")
    go.do("send", topic=topic, count=4, body="go")
    any_java.do("send", topic=topic, mode="batch", count=4, body="javabatch")
    go.do("send", topic=topic, mode="batch", count=4, body="gobatch")
    wanted = Counter(b for who in ("java", "go", "javabatch", "gobatch") for b in expected(who, 4))

    for client in (any_java, go):
        client.do("consume", handle="x", topic=topic, group=name("group"))
        assert Counter(bodies(client.do("received", handle="x", count=16))) == wanted
        client.do("stop", handle="x")
