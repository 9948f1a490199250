"""A real listener in a thread of its own, for tests that use blocking sockets."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Self

import uvloop

from mqguard.net.server import CallApplication, RemotingServer
from mqguard.net.settings import NetSettings
from mqguard.remoting.command import Command
from mqguard.remoting.frame import FrameReader, encode_reply, encode_request
from mqguard.remoting.link import Link

ECHO, BIG, FAIL, CLOSE, LATE, ONEWAY = 310, 2, 3, 4, 5, 6
"""Codes of the application below."""
BIG_BODY = bytes(100_000)


class Echo:
    """Answers each command with its body; some codes do other things."""

    def __init__(self) -> None:
        self.served: list[tuple[str, int]] = []
        self.open: dict[str, Link] = {}
        self.gone: list[int] = []
        self.iterations = 0
        self.late: list[tuple[Link, int]] = []

    def connected(self, link: Link) -> None:
        self.open[link.peer.channel] = link

    def commands(self, link: Link, commands: list[Command]) -> None:
        for command in commands:
            self.served.append((link.peer.channel, command.opaque))
            if command.code == FAIL:
                raise ValueError("this one was asked for")
            if command.code == CLOSE:
                link.close("it was asked for")
            elif command.code == LATE:
                self.late.append((link, command.opaque))
            elif command.code != ONEWAY:
                body = BIG_BODY if command.code == BIG else command.body
                link.send(encode_reply(command.opaque, 0, {"ip": link.peer.ip, "tls": str(link.peer.tls)}, body=body))

    def closed(self, link: Link) -> None:
        del self.open[link.peer.channel]
        self.gone.append(link.peer.port)

    def end_of_iteration(self) -> None:
        self.iterations += 1
        for link, opaque in self.late:
            link.send(encode_reply(opaque, 0))
        self.late.clear()


@contextlib.contextmanager
def serving(
    app: Echo,
    settings: NetSettings | None = None,
    *,
    host: str = "127.0.0.1",
    with_uvloop: bool = True,
    calls: CallApplication | None = None,
) -> Iterator["Running"]:
    """Run a listener. At the end it is stopped, and it must stop."""
    started, running = threading.Event(), Running(app)

    async def main() -> None:
        running.server = RemotingServer(app, settings or NetSettings(), calls=calls)
        running.port = await running.server.start(host, 0)
        running.loop = asyncio.get_running_loop()
        running.ending = asyncio.Event()
        started.set()
        await running.ending.wait()
        await running.server.stop(grace=0.3)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if with_uvloop else None) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(10)
        yield running
    finally:
        running.stop()
        thread.join(10)
        for client in running.clients:
            client.close()
        assert not thread.is_alive()
    assert app.open == {}
    assert running.server.links == set()


class Running:
    """A listener that runs."""

    server: RemotingServer
    loop: asyncio.AbstractEventLoop
    ending: asyncio.Event
    port: int

    def __init__(self, app: Echo) -> None:
        self.app = app
        self.clients: list[Client] = []

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has stopped already
            self.loop.call_soon_threadsafe(self.ending.set)

    def connect(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None, first: bytes = b"") -> "Client":
        """Connect a blocking client; `first` is sent before TLS begins."""
        plain = socket.create_connection((host, self.port), 10)
        plain.sendall(first)
        client = Client(plain if tls is None else tls.wrap_socket(plain))
        self.clients.append(client)
        return client


class Client:
    """A blocking client that sends exactly the given bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.reader = FrameReader()
        self.answers: list[Command] = []

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, opaque: int, code: int = ECHO, body: bytes = b"") -> None:
        self.send(asking(opaque, code, body))

    def read(self, count: int = 1) -> list[Command]:
        """Return the next answers, `count` of them."""
        while len(self.answers) < count:
            data = self.socket.recv(1 << 18)
            assert data, "the server has closed the connection"
            self.answers += self.reader.feed(data)
        found, self.answers = self.answers[:count], self.answers[count:]
        return found

    def call(self, opaque: int = 7, code: int = ECHO, body: bytes = b"") -> Command:
        self.ask(opaque, code, body)
        return self.read()[0]

    def is_dropped(self, seconds: float = 5.0) -> bool:
        """Return True if the server ends the connection in that time; earlier answers are kept."""
        self.socket.settimeout(seconds)
        try:
            while data := self.socket.recv(1 << 18):
                self.answers += self.reader.feed(data)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def asking(opaque: int, code: int = ECHO, body: bytes = b"") -> bytes:
    return encode_request(Command(code, opaque, body=body))


def proxy_v2(ip: str, port: int) -> bytes:
    """Return a PROXY header of version 2 for an IPv4 client."""
    addresses = socket.inet_aton(ip) + socket.inet_aton("127.0.0.1") + struct.pack(">HH", port, 9876)
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack(">H", len(addresses)) + addresses
