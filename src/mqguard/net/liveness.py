"""Progress of a connection, measured by the sweeps of its server."""

import asyncio
from collections.abc import Callable

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


class SlowReaderTimer:
    """The time that a peer has to read its answers, or to accept them.

    Args:
        loop: The event loop.
        seconds: The time.
        cut: Drops the connection with a reason.
    """

    __slots__ = ("_cut", "_loop", "_seconds", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, cut: Callable[[str], None]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._cut = cut
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """True between `start` and `stop`."""
        return self._timer is not None

    def start(self) -> None:
        """Drop the connection after the time, unless it is stopped before."""
        self.stop()
        reason = f"the client has not read its answers for {self._seconds:g} s"
        self._timer = self._loop.call_later(self._seconds, self._cut, reason)

    def stop(self) -> None:
        """Keep the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
