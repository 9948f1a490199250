"""gRPC as the protocol of a connection."""

import time
from collections.abc import Callable
from typing import Final

from mqguard.net.link_protocol import ServedLink
from mqguard.net.scheduler import Scheduler
from mqguard.rpc.calls import Event, EventKind, GrpcConnection, Methods
from mqguard.rpc.errors import ErrorCode

START: Final = b"PRI"
"""The first bytes of HTTP/2. `PROXY` shares two of them; no frame of the remoting protocol begins so."""
_FRAMES_PER_CALL: Final = 4
"""A call has a frame of fields and one of data, and clients add window updates."""

_clock = time.monotonic


class GrpcProtocol:
    """The calls of one connection.

    Args:
        methods: The methods of the server.
        scheduler: Counts the answers of an iteration.
        on_output: Called when there are bytes to send, once until they are taken.
    """

    __slots__ = ("_connection", "_scheduler", "push", "take_output")

    def __init__(self, methods: Methods, scheduler: Scheduler, on_output: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._connection = connection = GrpcConnection(methods, on_output)
        self.push = connection.push
        self.take_output = connection.take_output

    @property
    def has_input(self) -> bool:
        """True if `serve` has not yet examined all bytes."""
        return self._connection.has_input

    @property
    def pending(self) -> int:
        """Bytes that are kept: those of unfinished messages and open calls, and those not yet decoded."""
        return self._connection.held

    @property
    def is_unfinished(self) -> bool:
        """True if a frame, a message or the first message of a call has begun and not ended."""
        return self._connection.is_unfinished

    @property
    def missing(self) -> int:
        """Always 0: a frame is never large."""
        return 0

    @property
    def has_calls(self) -> bool:
        """True if answers are missing, or not sent yet."""
        return self._connection.has_calls

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait until the peer accepts them."""
        return self._connection.streams.unsent

    def serve(self, link: ServedLink, count: int, size: int) -> int:
        """Decode events of calls and have them served."""
        connection = self._connection
        queued = connection.streams.queued
        events = connection.take(count * _FRAMES_PER_CALL, size, _clock())
        if events:
            link.deliver_calls(events)
        self._scheduler.queued += connection.streams.queued - queued
        if connection.is_over:
            link.fail(connection.failure)
        return sum([event.kind is not EventKind.CANCELLED for event in events]) or 1

    def end(self) -> list[Event]:
        """Drop all calls, because the connection is gone; return what this says about them."""
        self._connection.end(ErrorCode.NO_ERROR)
        return self._connection.take(0, 0, _clock())

    def leave(self) -> None:
        """Announce that the connection ends: open calls are still answered, new ones are refused."""
        self._connection.leave()
