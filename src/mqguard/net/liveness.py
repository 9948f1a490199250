"""How a connection gets on, as the sweep of its server sees it."""

from mqguard.net.settings import NetSettings


class Liveness:
    """Counts sweeps in which nothing, or too little, arrived.

    Attributes:
        received: Bytes that were received.
        sent: Bytes that were sent.
        has_progress: True if a whole request has arrived since the last sweep.
        has_request: True if a whole request had arrived at a sweep.
        quiet: Sweeps since the last byte either way.
        stalled: Sweeps since the last byte of the peer.
        slow: Sweeps since a frame, a handshake or the end began that has not ended.
    """

    __slots__ = (
        "_seen_received", "_seen_sent", "_slow_from",
        "has_progress", "has_request", "quiet", "received", "sent", "slow", "stalled",
    )  # fmt: skip

    def __init__(self) -> None:
        self.received = self._seen_received = 0
        self.sent = self._seen_sent = 0
        self.has_progress = self.has_request = False
        self.quiet = 0
        self.stalled = 0
        self.slow = 0
        self._slow_from = 0

    def count_sweep(self, *, is_unfinished: bool) -> None:
        """Count that a while has gone by.

        Args:
            is_unfinished: True if the peer owes the rest of what it has begun.
        """
        self.quiet += 1
        self.stalled += 1
        if self.received != self._seen_received:
            self.quiet = self.stalled = 0
        if self.sent != self._seen_sent:
            self.quiet = 0
        self._seen_received, self._seen_sent = self.received, self.sent
        if self.has_progress:
            self.has_progress, self.has_request = False, True
            self.slow = 0
        self.slow = self.slow + 1 if is_unfinished else 0
        if self.slow <= 1:
            self._slow_from = self.received
            self.stalled = 0

    def overdue(self, settings: NetSettings, interval_s: float, *, is_anonymous: bool, is_ready: bool) -> str | None:
        """Return what is wrong with a frame or a handshake that has not ended, None if it may go on.

        Args:
            settings: Limits of time.
            interval_s: Seconds between two sweeps.
            is_anonymous: True if the connection has to authenticate still.
            is_ready: True once the connection is ready for frames.
        """
        seconds = self.slow * interval_s
        if not seconds:
            return None
        stall = settings.anonymous_stall_seconds if is_anonymous else settings.stall_seconds
        if self.stalled * interval_s > stall:
            return f"nothing more of a frame or a handshake arrived for {stall:g} s"
        if seconds > (settings.frame_seconds if is_ready else settings.handshake_seconds):
            return "a frame or a handshake took too long to arrive"
        if self.received - self._slow_from < settings.min_rate * (seconds - settings.rate_grace_seconds):
            return f"a frame arrives with less than {settings.min_rate} bytes a second"
        return None
