"""A server that is killed and started again while official gRPC clients use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.access import ADMIN, read_all
from tests.fixtures.access import send as send_raw
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import Wire
from tests.interop.driver import bodies, expected
from tests.interop.grpc_clients import INVISIBLE_SECONDS, QUICK, Access, GrpcClient, reader, reader_of, sender, unique


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server of our own, since it is killed."""
    with Server(tmp_path_factory.mktemp("server"), settings=QUICK) as started:
        yield started


def restart(server: Server) -> None:
    """Kill the server, and start it again on its ports and data."""
    server.kill()
    server.start()


def all_bodies(server: Server, topic: str, queues: int = 4) -> list[str]:
    """Return the bodies of all messages of a topic."""
    with Wire(server.broker_port, ADMIN) as admin:
        return [body.decode() for queue in range(queues) for body in read_all(admin, topic, "TOOLS_CONSUMER", queue)]


def test_no_acknowledged_message_is_lost(grpc: GrpcClient, access: Access, server: Server) -> None:
    topic = access.topic()
    producer, handle = sender(grpc, access, topic)
    producer.do("flood", handle=handle, topic=topic, body="m")

    def acknowledged() -> list[str]:
        found: list[str] = producer.do("flooded", handle=handle)["acknowledged"]
        return found

    assert eventually(lambda: len(acknowledged()) >= 100, 30)
    restart(server)
    survivors = len(acknowledged())
    assert eventually(lambda: len(acknowledged()) >= survivors + 100, 60, pause=0.1)
    flooded = producer.do("flooded", handle=handle, last=True)

    assert set(flooded["acknowledged"]) <= set(all_bodies(server, topic))


def test_messages_without_acknowledgement_come_back(grpc: GrpcClient, access: Access, server: Server) -> None:
    topic = access.topic(queues=1)
    producer, handle = sender(grpc, access, topic)
    consumer, group = reader(grpc, access, topic)
    producer.do("send", handle=handle, topic=topic, body="m", count=4)
    received = consumer.receive(group, 4, seconds=INVISIBLE_SECONDS)
    consumer.ack_all(group, received[:2])
    restart(server)

    again: list[dict[str, Any]] = []

    def returned() -> bool:
        answer = consumer.call("receive", handle=group, seconds=30)  # the client may still have to connect
        again.extend(answer["messages"] if answer["ok"] else [])
        return len(again) >= 2

    assert eventually(returned, 40)
    assert sorted(bodies({"messages": again})) == sorted(message["body"] for message in received[2:])
    assert {message["attempt"] for message in again} == {2}
    consumer.ack_all(group, again)
    assert consumer.do("receive", handle=group)["messages"] == []


def test_a_listener_goes_on(grpc: GrpcClient, access: Access, server: Server) -> None:
    """A message whose acknowledgement did not reach the server comes again."""
    topic, group = access.topic(), access.group()
    client = grpc.as_(reader_of(access, topic, group))
    client.do("push", handle=group, topic=topic, group=group)
    send_raw(access.admin, topic, b"before")
    client.pushed(group, 1)
    restart(server)
    with Wire(server.broker_port, ADMIN) as admin:
        send_raw(admin, topic, b"after")

    assert eventually(lambda: "after" in bodies(client.do("pushed", handle=group, count=1)), 40, pause=0.2)
    client.do("stop", handle=group)


def test_an_open_transaction_is_checked(grpc: GrpcClient, access: Access, server: Server) -> None:
    """A producer of the topic is asked; the client for Python opens its stream again only after minutes."""
    topic = access.topic("TRANSACTION", queues=1)
    producer, handle = sender(grpc, access, topic, checker="UNKNOWN")
    producer.do("half", handle=handle, topic=topic, body="m")
    restart(server)
    other = unique("producer")
    assert eventually(lambda: producer.call("produce", handle=other, topics=topic, checker="COMMIT")["ok"], 30)
    producer.do("resolve", handle=handle, as_="COMMIT")

    assert eventually(lambda: all_bodies(server, topic, 1) == expected("m", 1), 40, pause=0.5)


def test_a_server_that_stops_ends_every_call_in_time(grpc: GrpcClient, access: Access, server: Server) -> None:
    topic, group = access.topic(), access.group()
    client = grpc.as_(reader_of(access, topic, group))
    client.do("push", handle=group, topic=topic, group=group)
    send_raw(access.admin, topic, b"before")
    client.pushed(group, 1)

    assert server.stop() == 0
    server.start()
    with Wire(server.broker_port, ADMIN) as admin:
        send_raw(admin, topic, b"after")
    assert eventually(lambda: "after" in bodies(client.do("pushed", handle=group, count=1)), 40, pause=0.2)
    client.do("stop", handle=group)
