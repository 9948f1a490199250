"""The VIP channel: the port two below the broker's, to which Java clients 4.2 to 4.5 send messages."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant, send_fields
from tests.fixtures.command import run
from tests.fixtures.server import Server
from tests.fixtures.wire import PULL, ROUTE, SEND, User, Wire

ALICE, MALLORY = User("alice", "alice-secret"), User("alice", "a-wrong-secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("vip")) as started:
        with Wire(started.broker_port, ADMIN) as admin:
            create_topic(admin, "orders", queues=1)
            create_user(admin, ALICE.name, ALICE.secret)
            grant(admin, ALICE.name, entry("Topic:orders", "Pub"))
        yield started


def test_a_message_that_is_sent_there_is_in_the_topic(server: Server) -> None:
    with Wire(server.broker_port - 2, ALICE) as vip:
        assert vip.call(SEND, send_fields("orders"), b"over the VIP channel").code == 0
    pulled = {
        "consumerGroup": "watch", "topic": "orders", "queueId": "0", "queueOffset": "0", "maxMsgNums": "32",
        "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0",
    }  # fmt: skip
    with Wire(server.broker_port, ADMIN) as admin:
        assert b"over the VIP channel" in admin.call(PULL, pulled).body


@pytest.mark.parametrize("user", [None, MALLORY], ids=["anonymous", "wrong secret"])
def test_the_guard_is_the_same(server: Server, user: User | None) -> None:
    with Wire(server.broker_port - 2, user) as vip:
        assert vip.call(SEND, send_fields("orders"), b"intruder").code == 16


def test_a_user_has_the_same_permissions_there(server: Server) -> None:
    with Wire(server.broker_port - 2, ALICE) as vip:
        assert vip.call(SEND, send_fields("hidden"), b"intruder").code == 16


def test_the_route_has_the_main_port_only(server: Server) -> None:
    """Clients compute the port of the VIP channel by themselves."""
    with Wire(server.namesrv_port, ADMIN) as namesrv:
        route = namesrv.call(ROUTE, {"topic": "orders"}).json()
    assert [broker["brokerAddrs"] for broker in route["brokerDatas"]] == [{"0": server.broker}]


def test_its_port_in_use_is_reported_with_a_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["standalone", "--data", "data", "--namesrv-port", "0", "--grpc-port", "0", "--port", str(port + 2)]
        ended = run(*words, directory=tmp_path)
    assert ended.code == 1
    assert ended.err == (
        f"mqguard: the VIP channel's port {port} on 127.0.0.1 is in use: stop the process that listens on it, or "
        "choose another broker's port with --port, or set `vipChannelEnable = false`\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_server_without_it_has_one_port(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"vipChannelEnable": "false"}) as server:
        socket.create_connection(("127.0.0.1", server.broker_port), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.broker_port - 2), 5)
