"""Connections are accepted many at a time, and bounded."""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from mqguard.net import acceptor
from mqguard.net.acceptor import Acceptor


class Counted(asyncio.Protocol):
    """Counts its connections, and answers what comes."""

    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).made += 1
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Failing(Counted):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raise ValueError("an internal error")


def listener() -> socket.socket:
    found = socket.create_server(("127.0.0.1", 0), backlog=4_096)
    found.setblocking(False)
    return found


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param else None)


def test_many_connections_are_accepted_in_few_iterations_and_each_is_served(runner: asyncio.Runner) -> None:
    class Here(Counted):
        made = 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = listener()
        clients = [socket.create_connection(server.getsockname()) for _ in range(300)]
        found = Acceptor(loop, server, Here, logging.warning)
        found.start()
        iterations = 0
        while Here.made < 300 and iterations < 200:
            await asyncio.sleep(0)
            iterations += 1
        assert Here.made == 300
        assert iterations < 150
        for client in clients:
            client.sendall(b"x")
        for client in clients:
            client.setblocking(False)
            assert await loop.sock_recv(client, 1) == b"x"
            client.close()
        found.close()
        found.close()
        await asyncio.sleep(0.01)

    with runner:
        runner.run(main())


def test_an_iteration_has_a_bounded_share(runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    class Here(Counted):
        made = 0

    monkeypatch.setattr(acceptor, "MAX_PER_TURN", 5)

    async def main() -> None:
        server = listener()
        clients = [socket.create_connection(server.getsockname()) for _ in range(100)]
        found = Acceptor(asyncio.get_running_loop(), server, Here, logging.warning)
        found.start()
        iterations = 0
        while Here.made < 100:
            await asyncio.sleep(0)
            iterations += 1
        assert iterations >= 20
        for client in clients:
            client.close()
        found.close()
        await asyncio.sleep(0.01)

    with runner:
        runner.run(main())


def test_a_protocol_that_fails_ends_its_connection_only(
    runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    class Here(Counted):
        made = 0

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        server = listener()
        kinds = iter([_broken, Here])
        found = Acceptor(loop, server, lambda: make(next(kinds)), logging.warning)
        clients = [socket.create_connection(server.getsockname()) for _ in range(2)]
        found.start()
        await until(lambda: Here.made == 1)
        assert clients[0].recv(1) == b""
        for client in clients:
            client.close()
        found.close()
        await asyncio.sleep(0.01)

    with runner:
        runner.run(main())
    assert "a connection could not be accepted: internal error" in caplog.text


def make(kind: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
    return kind()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000_000):
        if holds():
            return
        await asyncio.sleep(0)


def _broken() -> asyncio.Protocol:
    raise ValueError("an internal error")


def test_a_system_without_room_is_asked_again_later(
    runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Here(Counted):
        made = 0

    class Full:
        """A listening socket that fails twice."""

        def __init__(self, real: socket.socket) -> None:
            self.real = real
            self.tried = 0

        def fileno(self) -> int:
            return self.real.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            self.tried += 1
            if self.tried <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return self.real.accept()

        def close(self) -> None:
            self.real.close()

    monkeypatch.setattr(acceptor, "PAUSE_S", 0.05)

    async def main() -> None:
        server = listener()
        full = Full(server)
        client = socket.create_connection(server.getsockname())
        found = Acceptor(asyncio.get_running_loop(), full, Here, logging.warning)  # type: ignore[arg-type]
        found.start()
        begun = time.monotonic()
        await until(lambda: Here.made == 1)
        assert time.monotonic() - begun > 0.08
        assert 3 <= full.tried <= 5
        client.close()
        found.close()
        await asyncio.sleep(0.01)

    with runner:
        runner.run(main())
    assert "a connection could not be accepted: Too many open files" in caplog.text
