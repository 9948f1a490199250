"""`mqguard proxy` in front of servers that die, are gone, or send bytes that are not frames."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.access import ADMIN, create_topic, expect, send
from tests.fixtures.apache import free_port
from tests.fixtures.server import INNER, GuardProxy, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import ROUTE, Wire

RECONNECTS = 1_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "cluster", settings={"vipChannelEnable": "false"}) as started:
        yield started


@pytest.fixture
def guard(cluster: Server, tmp_path: Path) -> Iterator[GuardProxy]:
    with GuardProxy(tmp_path / "guard", cluster.namesrv, settings=INNER) as started:
        yield started


def is_served(guard: GuardProxy, topic: str) -> bool:
    try:
        with Wire(guard.broker_port, ADMIN) as wire:
            return send(wire, topic, b"body", 0).code == 0
    except (OSError, EOFError, AssertionError):
        return False


def is_closed(wire: Wire) -> bool:
    """Return True once the peer has ended the connection, without a byte of an answer."""
    wire.socket.settimeout(60)
    try:
        return wire.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_broker_that_dies_closes_its_clients_and_serves_them_again_when_it_is_back(
    cluster: Server, guard: GuardProxy
) -> None:
    with Wire(guard.broker_port, ADMIN) as wire:
        create_topic(wire, "orders")
        expect(send(wire, "orders", b"body", 0))
        port = guard.broker_port
        cluster.kill()
        assert is_closed(wire)
    with Wire(port, ADMIN) as later:
        later.socket.sendall(b"")
        with contextlib.suppress(OSError, EOFError, AssertionError):
            send(later, "orders", b"nobody serves this", 0)
            pytest.fail("a request was answered without a broker")
    cluster.start()
    assert eventually(lambda: is_served(guard, "orders"), 60)
    assert guard.broker_port == port


def test_the_ports_of_brokers_stay_the_same_after_a_restart(guard: GuardProxy) -> None:
    ports = guard.broker_ports
    guard.kill()
    guard.start()
    assert guard.broker_ports == ports


def test_nothing_is_left_of_clients_that_are_gone(cluster: Server, guard: GuardProxy) -> None:
    with Wire(guard.broker_port, ADMIN) as wire:
        create_topic(wire, "orders")
    process = psutil.Process(guard.pid)
    for number in range(RECONNECTS):
        with Wire(guard.broker_port, ADMIN) as wire:
            expect(send(wire, "orders", b"body", 0))
        if number == RECONNECTS // 4:
            size = process.memory_info().rss
    open_ports = lambda: [one for one in process.net_connections("tcp") if one.status == "ESTABLISHED"]  # noqa: E731
    # The guard's own connection to the name server stays.
    assert eventually(lambda: len(open_ports()) <= 3, 60), open_ports()
    assert process.memory_info().rss - size < 32 << 20


def _serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def _garbage(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(1 << 16)


def test_bytes_of_a_server_that_are_not_frames_reach_no_client(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, _garbage), daemon=True).start()
        namesrv = f"127.0.0.1:{listener.getsockname()[1]}"
        with GuardProxy(tmp_path / "guard", namesrv, settings=INNER) as guard, Wire(guard.namesrv_port, ADMIN) as wire:
            wire.post(ROUTE, {"topic": "TBW102"})
            assert is_closed(wire), "an answer that is not a frame was passed on"


def test_the_next_name_server_is_used_if_the_first_is_gone(cluster: Server, tmp_path: Path) -> None:
    gone = f"127.0.0.1:{free_port()}"
    with (
        GuardProxy(tmp_path / "guard", f"{gone};{cluster.namesrv}", settings=INNER) as guard,
        Wire(guard.namesrv_port, ADMIN) as wire,
    ):
        expect(wire.call(ROUTE, {"topic": "TBW102"}))
