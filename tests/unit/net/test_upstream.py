"""The client for requests of a server, with a server whose answers the test chooses."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mqguard.net.errors import LinkBusy, LinkClosed, LinkRefused, LinkTimeout
from mqguard.net.upstream import Outcome, Upstream, UpstreamSettings
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.frame import FrameReader, encode_reply, encode_request

Answer = Callable[[Command], bytes | None]
_QUICK = UpstreamSettings(connect_s=5, answer_s=5, min_retry_s=0.01, max_retry_s=0.05)


class Peer:
    """A server on a free port, which keeps the requests that it gets."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Command] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()
        self.writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        frames = FrameReader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                for command in frames.feed(data):
                    self.requests.append(command)
                    answer = self.answer(command)
                    if answer is not None:
                        writer.write(answer)


def echo(command: Command) -> bytes | None:
    """Answer with the body of the request."""
    return None if command.is_oneway else encode_reply(command.opaque, 0, None, None, command.body)


@contextlib.asynccontextmanager
async def served(answer: Answer = echo, settings: UpstreamSettings = _QUICK) -> AsyncIterator[tuple[Peer, Upstream]]:
    peer = Peer(answer)
    await peer.start()
    client = Upstream("127.0.0.1", peer.port, settings, asyncio.get_running_loop())
    try:
        yield peer, client
    finally:
        client.close()
        await peer.stop()


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop, that of a server."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        uvloop.run(test(**arguments))

    return run


async def together(*calls: Coroutine[Any, Any, Outcome]) -> list[Outcome]:
    """Run calls at the same time, and return their outcomes in order."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in calls]
    return [task.result() for task in tasks]


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.01)


async def call(client: Upstream, body: bytes = b"", limit: float | None = None) -> Outcome:
    found: asyncio.Queue[Outcome] = asyncio.Queue()
    client.call(Command(1, body=body), found.put_nowait, limit)
    assert found.empty(), "the outcome came before `call` returned"
    async with asyncio.timeout(20):
        outcome = await found.get()
    await asyncio.sleep(0.02)
    assert found.empty(), "the outcome came twice"
    return outcome


def body(outcome: Outcome) -> bytes:
    assert isinstance(outcome, Command), outcome
    return outcome.body


@in_loop
async def test_each_call_gets_its_own_answer() -> None:
    """The first calls wait for the connection; the server answers in another order."""
    held: list[Command] = []

    def reversed_pairs(command: Command) -> bytes | None:
        held.append(command)
        if len(held) < 2:
            return None
        answers = b"".join(filter(None, map(echo, reversed(held))))
        held.clear()
        return answers

    async with served(reversed_pairs) as (_peer, client):
        bodies = [b"%d" % number for number in range(10)]
        outcomes = await together(*(call(client, one) for one in bodies))
        assert [body(outcome) for outcome in outcomes] == bodies
        assert client.open_calls == 0


@in_loop
async def test_a_call_without_an_answer_ends_and_the_connection_stays() -> None:
    silent = itertools.cycle([True, False])
    async with served(lambda command: None if next(silent) else echo(command)) as (peer, client):
        assert isinstance(await call(client, limit=0.05), LinkTimeout)
        assert body(await call(client, b"next")) == b"next"
        assert len(peer.writers) == 1


@in_loop
async def test_an_answer_after_the_timeout_is_ignored() -> None:
    async with served(lambda command: None) as (peer, client):
        assert isinstance(await call(client, limit=0.05), LinkTimeout)
        peer.answer = echo
        peer.writers[0].write(encode_reply(peer.requests[0].opaque, 0, None, None, b"late"))
        assert body(await call(client, b"next")) == b"next"


@in_loop
async def test_calls_fail_if_the_connection_ends_and_the_next_call_connects_again() -> None:
    async with served(lambda command: None) as (peer, client):
        waiting = asyncio.get_running_loop().create_task(together(*(call(client) for _ in range(3))))
        await until(lambda: len(peer.requests) == 3)
        peer.cut()
        assert all(isinstance(outcome, LinkClosed) for outcome in await waiting)
        peer.answer = echo
        await asyncio.sleep(0.05)
        assert body(await call(client, b"again")) == b"again"
        assert len(peer.requests) == 4, "a request was sent twice"


@in_loop
async def test_a_server_that_cannot_be_reached_is_asked_less_and_less_often() -> None:
    async with served(settings=_QUICK._replace(min_retry_s=0.2, max_retry_s=60)) as (peer, client):
        await peer.stop()
        assert isinstance(await call(client), LinkRefused)
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcomes = [await call(client) for _ in range(3)]
        assert all(isinstance(outcome, LinkRefused) for outcome in outcomes)
        await peer.start()
        while isinstance(await call(client), LinkRefused):
            assert loop.time() - began < 20, "the client never connected again"
        assert client.is_connected


@in_loop
async def test_memory_is_bounded() -> None:
    """Beyond the maximum number of calls or bytes, a call fails at once, and the others are not affected."""
    async with served(lambda command: None, _QUICK._replace(max_calls=2, answer_s=0.3)) as (_peer, client):
        outcomes = await together(*(call(client) for _ in range(4)))
        assert [type(outcome) for outcome in outcomes] == [LinkTimeout, LinkTimeout, LinkBusy, LinkBusy]
    async with served(settings=_QUICK._replace(max_queued_bytes=1000)) as (_peer, client):
        first, second = await together(call(client, bytes(2000)), call(client, b"x"))
        assert body(first) == bytes(2000)
        assert isinstance(second, LinkBusy)
        assert not client.is_connected or client.send(Command(2))


@in_loop
async def test_bytes_that_are_not_frames_end_the_connection() -> None:
    async with served(lambda command: b"\xff" * 64) as (_peer, client):
        outcome = await call(client)
        assert isinstance(outcome, LinkClosed)
        assert "not valid in the remoting protocol" in str(outcome)


@in_loop
async def test_closing_fails_all_calls() -> None:
    async with served(lambda command: None) as (_peer, client):
        waiting = asyncio.get_running_loop().create_task(together(*(call(client) for _ in range(3))))
        await asyncio.sleep(0.05)
        client.close()
        client.close()
        assert all(isinstance(outcome, LinkClosed) for outcome in await waiting)
        assert isinstance(await call(client), LinkClosed)
        assert not client.send(Command(2))


@pytest.mark.parametrize("serves", [True, False])
@in_loop
async def test_requests_of_the_server_are_answered(*, serves: bool) -> None:
    """Without a handler they are refused. A one-way request gets no answer."""
    answers: list[Command] = []

    def ask_back(command: Command) -> bytes | None:
        if command.is_response:
            answers.append(command)
            return None
        asked = encode_request(Command(40, 7, 2)) + encode_request(Command(40, 8))
        return asked + (echo(command) or b"")

    peer = Peer(ask_back)
    await peer.start()
    handler = (lambda command: Reply(body=b"served")) if serves else None
    client = Upstream("127.0.0.1", peer.port, _QUICK, asyncio.get_running_loop(), handler=handler)
    try:
        assert body(await call(client, b"x")) == b"x"
        await until(lambda: answers)
        assert [answer.opaque for answer in answers] == [8]
        assert (answers[0].code, answers[0].body) == ((0, b"served") if serves else (3, b""))
    finally:
        client.close()
        await peer.stop()
