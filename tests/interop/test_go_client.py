"""The official Go client sends, receives, and is denied."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant, read_all
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import ROUTE, User, Wire
from tests.interop.conftest import Connections, DrivenClient, Drivers
from tests.interop.driver import bodies, expected
from tests.interop.outsiders import INSIDER as ALICE
from tests.interop.outsiders import NO_PERMISSION, Outsider, create_insider_and_outsiders

pytestmark = pytest.mark.xdist_group("go")

Name = Callable[[str], str]


@pytest.fixture(scope="module", autouse=True)
def users(server: Server, connections: Connections) -> None:
    """Create one user with the permissions, and one of each kind without."""
    create_insider_and_outsiders(connections.to(server.broker_port))


@pytest.mark.parametrize("mode", ["sync", "async", "oneway", "batch", "ordered"])
def test_every_way_of_sending_arrives_once(go: DrivenClient, admin: Wire, name: Name, mode: str) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    sent = go.do("send", topic=topic, mode=mode, count=8, body=mode, tag="T", key="K")
    assert all(result["status"] == "SEND_OK" for result in sent["results"]), sent
    go.do("consume", handle="c", topic=topic, group=group)
    messages = go.do("received", handle="c", count=8)["messages"]
    go.do("stop", handle="c")

    assert Counter(m["body"] for m in messages) == Counter(expected(mode, 8))
    assert {(m["tag"], m["key"].strip(), m["topic"]) for m in messages} == {("T", "K", topic)}
    if mode in {"sync", "async", "ordered"}:
        assert {(m["queue"], m["offset"]) for m in messages} == {(r["queue"], r["offset"]) for r in sent["results"]}
        assert {m["msgId"] for m in messages} == {r["msgId"] for r in sent["results"]}


def test_ordered_messages_are_consumed_in_order(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=2)

    go.do("send", topic=topic, mode="ordered", shards=3, count=18, body="o")
    go.do("consume", handle="c", topic=topic, group=group, orderly=True)
    messages = go.do("received", handle="c", count=18, timeout=60000, wait=70)["messages"]
    go.do("stop", handle="c")

    assert Counter(bodies({"messages": messages})) == Counter(expected("o", 18))
    for queue in (0, 1):
        numbers = [int(m["body"].split("-")[1]) for m in messages if m["queue"] == queue]
        assert numbers == sorted(numbers)


def test_delayed_messages_are_never_delivered_early(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    go.do("consume", handle="c", topic=topic, group=group)
    go.do("send", topic=topic, level=1, count=2, body="d")
    messages = go.do("received", handle="c", count=2, timeout=20000, wait=30)["messages"]
    go.do("stop", handle="c")

    assert sorted(bodies({"messages": messages})) == expected("d", 2)
    assert all(950 <= m["stored"] - m["born"] <= 4000 for m in messages)


def test_a_broadcast_reaches_every_consumer_of_the_group(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    go.do("send", topic=topic, count=6, body="b")
    for handle in ("b1", "b2"):
        go.do("consume", handle=handle, topic=topic, group=group, model="BROADCASTING")
    for handle in ("b1", "b2"):
        assert Counter(bodies(go.do("received", handle=handle, count=6))) == Counter(expected("b", 6))
        go.do("stop", handle=handle)


def test_a_tag_filter_delivers_only_its_tags(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    for tag in ("A", "B", "C"):
        go.do("send", topic=topic, tag=tag, body=tag, count=3)
    go.do("consume", handle="c", topic=topic, group=group, expression="A || C")
    messages = go.received("c", 6)
    go.do("stop", handle="c")

    assert Counter(bodies(messages)) == Counter(expected("A", 3) + expected("C", 3))


def test_a_failing_message_is_retried_and_ends_in_the_dead_letter_topic(
    go: DrivenClient, admin: Wire, namesrv: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    # This client asks for routes every 30 s, so the retry and dead-letter topics are created before it starts.
    go.do("consume", handle="first", topic=topic, group=group)
    await_route(namesrv, f"%RETRY%{group}")
    go.do("stop", handle="first")

    go.do("consume", handle="c", topic=topic, group=group, failures=99, maxReconsume=1)
    go.do("send", topic=topic, body="poison")
    messages = go.do("received", handle="c", count=2, timeout=60000, wait=70)["messages"]
    assert [(m["body"], m["reconsumed"]) for m in messages] == [("poison-0", 0), ("poison-0", 1)]

    await_route(namesrv, f"%DLQ%{group}")
    go.do("consume", handle="dead", topic=f"%DLQ%{group}", group=f"{group}_dlq")
    (dead,) = go.do("received", handle="dead", timeout=60000, wait=70)["messages"]
    go.do("stop", handle="dead")
    go.do("stop", handle="c")
    assert dead["body"] == "poison-0"


def await_route(namesrv: Wire, topic: str, seconds: float = 10) -> None:
    """Wait until the name server knows a topic."""
    assert eventually(lambda: namesrv.call(ROUTE, {"topic": topic}).code == 0, seconds, pause=0.1), (
        f"{topic} has no route"
    )


def test_a_group_continues_at_its_offset(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)

    for round_ in ("first", "second"):
        go.do("send", topic=topic, count=5, body=round_)
        go.do("consume", handle=round_, topic=topic, group=group)
        messages = go.received(round_, 5)
        go.do("stop", handle=round_)
        assert Counter(bodies(messages)) == Counter(expected(round_, 5))


def test_two_consumers_of_a_group_share_the_queues(go: DrivenClient, admin: Wire, name: Name) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic, queues=4)
    for handle in ("r1", "r2"):
        go.do("consume", handle=handle, topic=topic, group=group)

    sent = 0
    end = time.monotonic() + 60
    while not all(go.do("received", handle=handle, count=1, timeout=100)["messages"] for handle in ("r1", "r2")):
        assert time.monotonic() < end, "one of the two gets everything"
        go.do("send", topic=topic, count=4, body=f"m{sent}")
        sent += 1
    every = Counter(f"m{i}-{j}" for i in range(sent) for j in range(4))
    seen: Counter[str] = Counter()
    while seen.total() < every.total():
        assert time.monotonic() < end, "messages are missing"
        seen = Counter(b for h in ("r1", "r2") for b in bodies(go.do("received", handle=h, count=1, timeout=100)))
    for handle in ("r1", "r2"):
        go.do("stop", handle=handle)
    assert set(seen) == set(every)  # A rebalance may deliver a message twice, but loses none.


def test_a_group_continues_at_its_offset_after_a_restart_of_the_server(
    go: DrivenClient, admin: Wire, name: Name
) -> None:
    topic, group = name("topic"), name("group")
    create_topic(admin, topic)
    go.do("send", topic=topic, count=5, body="before")
    go.do("consume", handle="before", topic=topic, group=group)
    assert len(go.do("received", handle="before", count=5)["messages"]) == 5
    go.do("stop", handle="before")

    go.do("close")
    assert go.server.stop() == 0
    go.server.start()

    go.do("send", topic=topic, count=5, body="after")
    go.do("consume", handle="after", topic=topic, group=group)
    messages = go.received("after", 5)
    go.do("stop", handle="after")
    assert Counter(bodies(messages)) == Counter(expected("after", 5))


def test_a_user_with_the_permissions_is_allowed(go: DrivenClient) -> None:
    alice = go.as_(ALICE)

    alice.do("send", topic="orders", body="admitted")
    alice.do("consume", handle="alice", topic="orders", group="orders_alice")
    assert "admitted-0" in bodies(alice.do("received", handle="alice"))
    alice.do("stop", handle="alice")


@pytest.mark.parametrize("mode", ["sync", "async", "batch", "oneway"])
def test_sending_is_refused(go: DrivenClient, admin: Wire, outsider: Outsider, mode: str) -> None:
    before = read_all(admin, "orders", "watch", 0)
    answer = go.as_(outsider.user).call("send", topic="orders", body="intruder", mode=mode)
    assert read_all(admin, "orders", "watch", 0) == before

    failures = [answer] if not answer["ok"] else [r for r in answer["results"] if r.get("status") is None]
    if mode == "oneway" and not failures:
        return
    assert len(failures) == 1, answer
    assert failures[0]["code"] == NO_PERMISSION, answer
    assert re.match(outsider.remark, failures[0]["remark"]), answer


def test_consuming_is_refused(go: DrivenClient, outsider: Outsider) -> None:
    go.do("send", topic="orders", body="for others")
    client = go.as_(outsider.user)

    assert not client.call("pull", topic="orders", group="orders_group", broker=go.server.broker_name)["ok"]
    if client.call("consume", handle="outsider", topic="orders", group="orders_group")["ok"]:
        assert client.do("received", handle="outsider", timeout=1000)["messages"] == []
        client.do("stop", handle="outsider")


def test_administration_is_refused(go: DrivenClient, namesrv: Wire, outsider: Outsider) -> None:
    go.as_(outsider.user).call("createTopic", topic="forbidden", broker=go.server.broker)

    assert namesrv.call(ROUTE, {"topic": "forbidden"}).code == 17


def test_the_administrator_creates_a_topic(go: DrivenClient, name: Name) -> None:
    topic = name("made")

    go.do("createTopic", topic=topic, broker=go.server.broker)

    assert go.do("send", topic=topic)["results"][0]["status"] == "SEND_OK"


def test_a_pull_consumer_that_never_signs_for_routes_is_served_if_routes_need_no_credentials(
    drivers: Drivers, tmp_path: Path
) -> None:
    """docs/requirements.md describes this client; all other requests stay guarded."""
    settings = {"authenticationWhitelist": "105", "authorizationWhitelist": "105"}
    with Server(tmp_path, settings=settings) as server, Wire(server.broker_port, ADMIN) as admin:
        create_topic(admin, "orders", 1)
        create_user(admin, ALICE.name, ALICE.secret)
        grant(admin, ALICE.name, entry("Topic:orders", "Pub,Sub"), entry("Group:orders_*", "Sub"))
        alice = DrivenClient(drivers.get("go"), server, ALICE)
        alice.do("send", topic="orders", body="pulled")
        pull = {"topic": "orders", "group": "orders_group", "broker": server.broker_name}
        assert bodies(alice.do("pull", **pull)) == ["pulled-0"]
        for user in (None, User("alice", "wrong"), User("nobody", "x")):
            answer = alice.as_(user).call("pull", **pull)
            assert not answer["ok"]
            assert answer["code"] == NO_PERMISSION
        alice.do("close")
