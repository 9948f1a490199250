"""A client of one server on the event loop, for requests that a server sends to other servers.

No method blocks. The client connects at the first request, and again after it has lost the connection. All times are
those of the event loop, whose clock is monotonic.

Rule 1: the outcome of each call is reported exactly once, and never before `call` has returned.
Rule 2: memory is bounded: beyond `max_calls` open calls or `max_queued_bytes` unsent bytes, a call fails at once.
Rule 3: a request is sent at most once. If the connection ends before the answer, the call fails.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from mqguard.config.secret import Credentials
from mqguard.net.client import reason_text, signed
from mqguard.net.errors import LinkBusy, LinkClosed, LinkError, LinkRefused, LinkTimeout
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, RemoteProtocolError, Reply
from mqguard.remoting.connection import Answered, ClientConnection
from mqguard.remoting.frame import DEFAULT_MAX_FRAME

Outcome = Command | LinkError
"""The answer to a request, or why there is none."""
OnOutcome = Callable[[Outcome], None]
Handler = Callable[[Command], Reply | None]
"""Function that serves a request of the server; it returns None to send no answer."""

_SWEEP_S: Final = 0.05
"""Minimum interval between searches for calls that timed out."""


class UpstreamSettings(NamedTuple):
    """Settings of a client.

    Attributes:
        credentials: The credentials that requests are signed with; None leaves them unsigned.
        tls: The context of encrypted connections (`tls.client_context`); None does not encrypt.
        connect_s: Maximum seconds for a connection, including its TLS handshake.
        answer_s: Seconds to wait for an answer, unless the call has its own limit.
        min_retry_s: Seconds until the next attempt to connect after the first failure; each failure doubles it.
        max_retry_s: Maximum seconds until the next attempt.
        max_calls: Maximum number of open calls.
        max_queued_bytes: Maximum number of bytes that the server has not taken.
        max_frame: Maximum size of a frame of the server.
    """

    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    connect_s: float = 5.0
    answer_s: float = 5.0
    min_retry_s: float = 0.5
    max_retry_s: float = 30.0
    max_calls: int = 1_024
    max_queued_bytes: int = 32 << 20
    max_frame: int = DEFAULT_MAX_FRAME


class _Call(NamedTuple):
    deadline: float
    done: OnOutcome


class Upstream:
    """A connection to one server, opened when it is needed.

    Args:
        host: Address or name, IPv6 with or without brackets.
        port: Port.
        settings: See `UpstreamSettings`.
        loop: The event loop; every method must be called in its thread.
        handler: Serves requests of the server; without one they are refused.
        on_lost: Called when an established connection has ended.

    Attributes:
        address: `host:port` of the server.
    """

    def __init__(
        self,
        host: str,
        port: int,
        settings: UpstreamSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        handler: Handler | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.address = f"{host}:{port}"
        self._host, self._port = host.strip("[]"), port
        self._settings = settings
        self._loop = loop
        self._handler = handler
        self._on_lost = on_lost
        self._calls: dict[int, _Call] = {}
        self._connection = ClientConnection(settings.max_frame)
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._failures = 0
        self._next_attempt = 0.0
        self._refusal = ""
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def is_connected(self) -> bool:
        """True if a connection is established."""
        return self._transport is not None

    @property
    def open_calls(self) -> int:
        """Return the number of requests that wait for an answer."""
        return len(self._calls)

    def call(self, command: Command, done: OnOutcome, timeout: float | None = None) -> None:
        """Send a request.

        Args:
            command: The request; its `opaque` is chosen here.
            done: Receives the answer, or the error. It is called exactly once, after this method has returned.
            timeout: Seconds to wait for the answer, also for the connection, instead of those of the settings.
        """
        refusal = self._why_not()
        if refusal is not None:
            self._loop.call_soon(done, refusal)
            return
        self._connect()
        opaque, frame = self._connection.request(signed(command, self._settings.credentials))
        deadline = self._loop.time() + (self._settings.answer_s if timeout is None else timeout)
        self._calls[opaque] = _Call(deadline, done)
        self._write(frame)
        self._sweep_at(deadline)

    def send(self, command: Command) -> bool:
        """Send a request without an answer; return False if it could not even be queued."""
        if self._why_not() is not None:
            return False
        self._connect()
        self._write(self._connection.one_way(signed(command, self._settings.credentials)))
        return True

    def close(self) -> None:
        """Close the connection; all open calls fail, and further ones fail at once. A second call has no effect."""
        if self._closed:
            return
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._fail(LinkClosed(f"the connection to `{self.address}` was closed"))

    def _why_not(self) -> LinkError | None:
        """Return why no request can be sent now, None if it can."""
        if self._closed:
            return LinkClosed(f"the connection to `{self.address}` was closed")
        settings = self._settings
        unsent = self._queued_bytes if self._transport is None else self._transport.get_write_buffer_size()
        if len(self._calls) >= settings.max_calls or unsent >= settings.max_queued_bytes:
            return LinkBusy(f"too many requests wait for `{self.address}`")
        if self._transport is None and self._connecting is None and self._loop.time() < self._next_attempt:
            return LinkRefused(self._refusal)
        return None

    # The connection

    def _connect(self) -> None:
        if self._transport is None and self._connecting is None:
            # The reader of the old connection may have a part of a frame.
            self._connection = ClientConnection(self._settings.max_frame)
            self._connecting = self._loop.create_task(self._open())

    async def _open(self) -> None:
        tls = self._settings.tls
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await self._loop.create_connection(
                    lambda: _Protocol(self._opened, self._received, self._lost),
                    self._host,
                    self._port,
                    ssl=tls,
                    server_hostname=self._host if tls is not None else None,
                )
        except TimeoutError:
            self._refused("it does not answer")
        except OSError as exc:
            self._refused(reason_text(exc))
        finally:
            self._connecting = None

    def _refused(self, why: str) -> None:
        delay = min(self._settings.min_retry_s * 2**self._failures, self._settings.max_retry_s)
        # A larger exponent would not change the delay any more, and could overflow.
        self._failures = min(self._failures + 1, 16)
        self._next_attempt = self._loop.time() + delay
        self._refusal = f"`{self.address}` cannot be reached ({why})"
        self._fail(LinkRefused(self._refusal))

    def _opened(self, transport: asyncio.Transport) -> None:
        if self._closed:
            transport.abort()
            return
        self._transport = transport
        self._failures = 0
        queue, self._queue, self._queued_bytes = self._queue, [], 0
        if queue:
            transport.write(b"".join(queue))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)
        else:
            self._queue.append(frame)
            self._queued_bytes += len(frame)

    def _received(self, transport: asyncio.Transport, data: bytes) -> None:
        if transport is not self._transport:
            return
        try:
            events = self._connection.receive(data)
        except RemoteProtocolError as exc:
            transport.abort()
            self._end(LinkClosed(f"`{self.address}` sent bytes that are not valid in the remoting protocol: {exc}"))
            return
        for event in events:
            if isinstance(event, Answered):
                call = self._calls.pop(event.opaque, None)
                if call is not None:
                    call.done(event.command)
            else:
                self._serve(event.command)

    def _serve(self, request: Command) -> None:
        refusal = f" request type {request.code} not supported"
        reply = (
            Reply(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=refusal)
            if self._handler is None
            else self._handler(request)
        )
        if reply is not None and not request.is_oneway and self._transport is not None:
            self._write(self._connection.answer(request, reply))

    def _lost(self, transport: asyncio.Transport, exc: Exception | None) -> None:
        if transport is self._transport:
            why = f" ({reason_text(exc)})" if isinstance(exc, OSError) else ""
            self._end(LinkClosed(f"`{self.address}` has closed the connection{why}"))

    def _end(self, error: LinkClosed) -> None:
        self._transport = None
        # A server that accepts and closes at once must not be asked in a tight loop.
        self._next_attempt = self._loop.time() + self._settings.min_retry_s
        self._refusal = str(error)
        self._fail(error)
        if self._on_lost is not None:
            self._on_lost()

    # Calls that fail

    def _fail(self, error: LinkError) -> None:
        calls, self._calls = self._calls, {}
        self._queue, self._queued_bytes = [], 0
        for call in calls.values():
            self._loop.call_soon(call.done, error)

    def _sweep_at(self, deadline: float) -> None:
        if self._sweeper is not None:
            if self._sweeper.when() <= deadline:
                return
            self._sweeper.cancel()
        self._sweeper = self._loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for opaque, call in [(opaque, call) for opaque, call in self._calls.items() if call.deadline <= now]:
            del self._calls[opaque]
            self._connection.forget(opaque)
            self._loop.call_soon(call.done, LinkTimeout(f"`{self.address}` did not answer in time"))
        if self._calls:
            earliest = min(call.deadline for call in self._calls.values())
            self._sweep_at(max(earliest, now + _SWEEP_S))


class _Protocol(asyncio.Protocol):
    """One connection; it reports with its transport, so that a late report of an old connection has no effect."""

    def __init__(
        self,
        opened: Callable[[asyncio.Transport], None],
        received: Callable[[asyncio.Transport, bytes], None],
        lost: Callable[[asyncio.Transport, Exception | None], None],
    ) -> None:
        self._on_opened, self._on_received, self._on_lost = opened, received, lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._on_opened(self._transport)

    def data_received(self, data: bytes) -> None:
        self._on_received(self._transport, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self._transport, exc)
