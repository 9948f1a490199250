"""Progress of a connection, measured by the sweeps of its server."""

import asyncio
from typing import Generic, Protocol, TypeVar

from mqguard.net.link_owner import LinkOwner
from mqguard.net.settings import NetSettings


class Liveness:
    """Counts sweeps in which nothing, or too little, arrived.

    Attributes:
        received: Bytes that were received.
        sent: Bytes that were sent.
        has_progress: True if a whole request has arrived since the last sweep.
        has_request: True if a whole request had arrived at a sweep.
        idle_sweeps: Sweeps since the last byte either way.
        stalled_sweeps: Sweeps since the last byte from the peer.
        unfinished_sweeps: Sweeps since the start of a frame, a handshake or a close that is not complete.
    """

    __slots__ = (
        "_seen_received", "_seen_sent", "_unfinished_from",
        "has_progress", "has_request", "idle_sweeps", "received", "sent", "stalled_sweeps", "unfinished_sweeps",
    )  # fmt: skip

    def __init__(self) -> None:
        self.received = self._seen_received = 0
        self.sent = self._seen_sent = 0
        self.has_progress = self.has_request = False
        self.idle_sweeps = 0
        self.stalled_sweeps = 0
        self.unfinished_sweeps = 0
        self._unfinished_from = 0

    def count_sweep(self, *, is_unfinished: bool) -> None:
        """Count one sweep.

        Args:
            is_unfinished: True if the peer has to send the rest of a frame, a handshake or a close.
        """
        self.idle_sweeps += 1
        self.stalled_sweeps += 1
        if self.received != self._seen_received:
            self.idle_sweeps = self.stalled_sweeps = 0
        if self.sent != self._seen_sent:
            self.idle_sweeps = 0
        self._seen_received, self._seen_sent = self.received, self.sent
        if self.has_progress:
            self.has_progress, self.has_request = False, True
            self.unfinished_sweeps = 0
        self.unfinished_sweeps = self.unfinished_sweeps + 1 if is_unfinished else 0
        if self.unfinished_sweeps <= 1:
            self._unfinished_from = self.received
            self.stalled_sweeps = 0

    def overdue(self, settings: NetSettings, interval_s: float, *, is_anonymous: bool, is_ready: bool) -> str | None:
        """Return the reason to drop a connection whose frame or handshake is too slow, None to keep it.

        Args:
            settings: The time limits.
            interval_s: Seconds between two sweeps.
            is_anonymous: True if the connection has not authenticated.
            is_ready: True once the connection is ready for frames.
        """
        seconds = self.unfinished_sweeps * interval_s
        if not seconds:
            return None
        stall = settings.anonymous_stall_seconds if is_anonymous else settings.stall_seconds
        if self.stalled_sweeps * interval_s > stall:
            return f"nothing more of a frame or a handshake arrived for {stall:g} s"
        if seconds > (settings.frame_seconds if is_ready else settings.handshake_seconds):
            return "a frame or a handshake took too long to arrive"
        if self.received - self._unfinished_from < settings.min_rate * (seconds - settings.rate_grace_seconds):
            return f"a frame arrives with less than {settings.min_rate} bytes a second"
        return None


class SlowReader(Protocol):
    """A connection whose peer may not read its answers."""

    closed: bool

    def cut(self, reason: str) -> None:
        """Drop the connection and log the reason."""


R = TypeVar("R", bound=SlowReader)


class SlowReaderTimer(Generic[R]):
    """The time and the memory that a peer has until it reads its answers, or accepts them.

    Args:
        loop: The event loop.
        owner: The server of the connection.
        link: The connection.
    """

    __slots__ = ("_link", "_loop", "_owner", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: LinkOwner[R], link: R) -> None:
        self._loop = loop
        self._owner = owner
        self._link = link
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Count a slow reader, and drop the connection after the time, unless it is stopped before."""
        self._owner.blocked(self._link)
        self._cancel()
        if not self._link.closed:
            seconds = self._owner.settings.slow_reader_seconds
            reason = f"the client has not read its answers for {seconds:g} s"
            self._timer = self._loop.call_later(seconds, self._link.cut, reason)

    def stop(self) -> None:
        """Keep the connection."""
        self._owner.unblocked(self._link)
        self._cancel()

    def bound(self, unsent: int) -> None:
        """Drop the connection if too many bytes wait."""
        if unsent > (limit := self._owner.settings.output_limit):
            self._link.cut(f"the client reads too slowly: more than {limit} bytes of answers wait")

    def watch(self, unsent: int, *, is_blocked: bool) -> None:
        """Start or stop the time for answers that the peer does not accept.

        Args:
            unsent: Their bytes.
            is_blocked: True if the peer does not read either.
        """
        self.bound(unsent)
        if unsent <= self._owner.settings.output_high_water:
            if self._timer is not None and not is_blocked:
                self.stop()
        elif self._timer is None and not self._link.closed:
            self.start()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
