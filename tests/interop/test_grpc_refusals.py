"""Users who must be refused, with the official gRPC clients: what they read, and that nothing is stored or delivered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.access import (
    disable_user,
    entry,
    expect,
    grant,
    read_all,
)
from tests.fixtures.access import send as send_raw
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import DELETE_ACL, User, Wire
from tests.interop.driver import bodies
from tests.interop.grpc_clients import (
    INVISIBLE_SECONDS,
    QUICK,
    Access,
    GrpcClient,
    client_log,
    reader,
    reader_of,
    sender,
    unique,
)
from tests.interop.outsiders import INSIDER, OUTSIDERS, Outsider, create_insider_and_outsiders

SERVER_SETTINGS = QUICK
ORDERS = "orders"
DENIED = r"User:\S+ has no permission to access {} from 127\.0\.0\.1, no matched policies\."
DECISION = r" \[decision \w+\]"
UNAUTHORIZED = 40100


@pytest.fixture(scope="module")
def crowd(server: Server) -> Server:
    """Create the users of `outsiders`, and a message that none of them may see."""
    with Wire(server.broker_port, User("rocketmq", "12345678")) as admin:
        create_insider_and_outsiders(admin)
        send_raw(admin, ORDERS, b"secret")
    return server


@pytest.fixture
def nothing_stored(crowd: Server, admin: Wire) -> Iterator[None]:
    """Check that the test stores no message."""
    before = read_all(admin, ORDERS, "TOOLS_CONSUMER", 0)
    yield
    assert read_all(admin, ORDERS, "TOOLS_CONSUMER", 0) == before


def assert_told(client: GrpcClient, answer: dict[str, Any], remark: str, log: str) -> None:
    """Check that the user of a client reads why it was refused, in the exception or in the client's log.

    Args:
        client: The client.
        answer: The answer of the refused step.
        remark: Pattern of the message.
        log: The client's log before the step.
    """
    assert not answer["ok"]
    pattern = rf"{UNAUTHORIZED}\W+(message:)?({remark}){DECISION}"
    texts = answer["message"], client_log(client.driver)[len(log) :]
    assert any(re.search(pattern, text) for text in texts), texts


@pytest.mark.usefixtures("nothing_stored")
def test_an_outsider_cannot_send(grpc: GrpcClient, outsider: Outsider) -> None:
    client, handle, log = grpc.as_(outsider.user), unique("producer"), client_log(grpc.driver)
    answer = client.call("produce", handle=handle, topics=ORDERS)
    if answer["ok"]:
        answer = client.call("send", handle=handle, topic=ORDERS, body="intruder")
    assert_told(client, answer, outsider.remark, log)


@pytest.mark.usefixtures("nothing_stored")
def test_an_outsider_cannot_receive(grpc: GrpcClient, outsider: Outsider) -> None:
    client, handle, log = grpc.as_(outsider.user), unique("consumer"), client_log(grpc.driver)
    answer = client.call("open", handle=handle, topic=ORDERS, group="orders_group")
    if answer["ok"]:
        answer = client.call("receive", handle=handle)
    assert_told(client, answer, outsider.remark, log)


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("which", ["wrong secret"])
def test_an_outsider_cannot_listen(grpc: GrpcClient, which: str) -> None:
    """A listener of the client for Python waits 10 s for an answer to its settings."""
    outsider = OUTSIDERS[which]
    client, handle, log = grpc.as_(outsider.user), unique("listener"), client_log(grpc.driver)
    answer = client.call("push", handle=handle, topic=ORDERS, group="orders_group")
    assert_told(client, answer, outsider.remark, log)


def test_the_insider_sends_and_receives(grpc: GrpcClient, crowd: Server) -> None:
    client, handle = grpc.as_(INSIDER), unique("orders")
    client.do("produce", handle=handle, topics=ORDERS)
    client.do("send", handle=handle, topic=ORDERS, body=handle)
    client.do("open", handle=f"{handle}_c", topic=ORDERS, group=handle)
    assert eventually(lambda: f"{handle}-0" in bodies(client.do("receive", handle=f"{handle}_c")), 30)


def test_a_user_who_may_only_consume_cannot_send(grpc: GrpcClient, access: Access) -> None:
    topic, group = access.topic(queues=1), access.group()
    client, handle, log = grpc.as_(reader_of(access, topic, group)), unique("producer"), client_log(grpc.driver)
    answer = client.call("produce", handle=handle, topics=topic)
    if answer["ok"]:
        answer = client.call("send", handle=handle, topic=topic, body="intruder")
    assert_told(client, answer, DENIED.format(f"Topic:{topic}"), log)
    assert answer["code"] == UNAUTHORIZED
    assert read_all(access.admin, topic, "TOOLS_CONSUMER", 0) == []


@pytest.mark.parametrize("lacking", ["Topic", "Group"])
def test_a_consumer_needs_its_topic_and_its_group(grpc: GrpcClient, access: Access, lacking: str) -> None:
    topic, group = access.topic(), access.group()
    rights = {"Topic": (f"Topic:{topic}", "Pub"), "Group": (f"Topic:{topic}", "Sub")}
    granted = [rights[lacking]] + ([(f"Group:{group}", "Sub")] if lacking == "Topic" else [])
    client, handle, log = grpc.as_(access.user(*granted)), unique("consumer"), client_log(grpc.driver)
    remark = DENIED.format(f"{lacking}:{topic if lacking == 'Topic' else group}")

    answer = client.call("open", handle=handle, topic=topic, group=group)
    if answer["ok"]:
        answer = client.call("receive", handle=handle)
    assert_told(client, answer, remark, log)
    assert answer["code"] == UNAUTHORIZED
    log = client_log(grpc.driver)
    assert_told(client, client.call("push", handle=unique("listener"), topic=topic, group=group), remark, log)


def test_a_producer_that_loses_its_right_is_refused_at_once(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic(queues=1)
    producer, handle = sender(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="allowed")
    assert producer.user is not None
    expect(access.admin.call(DELETE_ACL, {"subject": f"User:{producer.user.name}"}))
    log = client_log(grpc.driver)

    answer = producer.call("send", handle=handle, topic=topic, body="intruder")
    assert_told(producer, answer, DENIED.format(f"Topic:{topic}"), log)
    assert answer["code"] == UNAUTHORIZED
    assert read_all(access.admin, topic, "TOOLS_CONSUMER", 0) == [b"allowed-0"]


def test_a_disabled_consumer_cannot_acknowledge(grpc: GrpcClient, access: Access) -> None:
    topic = access.topic(queues=1)
    consumer, group = reader(grpc, access, topic)
    send_raw(access.admin, topic, b"m")
    (message,) = consumer.receive(group, 1, seconds=INVISIBLE_SECONDS)
    assert consumer.user is not None
    disable_user(access.admin, consumer.user.name)

    answer = consumer.call("ack", handle=group, id=message["id"])
    assert not answer["ok"]
    assert answer["code"] == UNAUTHORIZED
    other = grpc.as_(reader_of(access, topic, group))
    other.do("open", handle=f"{group}-2", topic=topic, group=group)
    assert bodies({"messages": other.receive(f"{group}-2", 1)}) == ["m"]


def test_a_listener_that_loses_its_right_gets_nothing_until_it_has_it_again(grpc: GrpcClient, access: Access) -> None:
    """The receive that waits when the right is taken away delivers nothing either."""
    topic, group = access.topic(), access.group()
    user = reader_of(access, topic, group)
    client = grpc.as_(user)
    client.do("push", handle=group, topic=topic, group=group)
    send_raw(access.admin, topic, b"before")
    client.pushed(group, 1)
    expect(access.admin.call(DELETE_ACL, {"subject": f"User:{user.name}"}))
    send_raw(access.admin, topic, b"after")
    assert len(client.do("pushed", handle=group, count=2, timeout=4000)["messages"]) == 1

    grant(access.admin, user.name, entry(f"Topic:{topic}", "Sub"), entry(f"Group:{group}", "Sub"))
    assert bodies({"messages": client.pushed(group, 2, seconds=60)}) == ["before", "after"]
    client.do("stop", handle=group)
