"""Counters of messages in and out for reports, and the limit of bytes that users may have copied."""

from collections import deque
from typing import Final

import msgspec

SAMPLE_MS = 10_000
MAX_SAMPLES = 61
"""Maximum samples that are kept: those of ten minutes, and one before them."""
WINDOWS = (1, 6, 60)
"""Lengths of the windows for rates, in samples: 10 s, a minute, 10 minutes."""


class _Sample(msgspec.Struct, frozen=True, gc=False):
    at_ms: int
    put: int
    got: int


class Throughput:
    """Counters of messages, with rates from periodic samples. The hot path increments the attributes directly.

    Attributes:
        put: Messages stored since the start.
        got: Messages delivered since the start.
        put_bytes: Bytes of bodies stored since the start.
    """

    __slots__ = ("_samples", "got", "put", "put_bytes")

    def __init__(self, now_ms: int) -> None:
        self.put = 0
        self.got = 0
        self.put_bytes = 0
        self._samples: deque[_Sample] = deque([_Sample(now_ms, 0, 0)], MAX_SAMPLES)

    def sample(self, now_ms: int) -> None:
        """Take a sample if one is due. It should be called about once a second."""
        if now_ms - self._samples[-1].at_ms >= SAMPLE_MS:
            self._samples.append(_Sample(now_ms, self.put, self.got))

    def rates(self, now_ms: int) -> tuple[list[float], list[float]]:
        """Return messages per second, stored and delivered, over the three windows."""
        put, got = [], []
        for window in WINDOWS:
            since = self._samples[max(0, len(self._samples) - 1 - window)]
            seconds = max(1, now_ms - since.at_ms) / 1000
            put.append((self.put - since.put) / seconds)
            got.append((self.got - since.got) / seconds)
        return put, got


MAX_BURST_BYTES: Final = 1024 * 1024
"""Maximum bytes that a user may have copied at once. The last copy may exceed it, so any message can be copied."""
MAX_BYTES_PER_S: Final = 20 * 1024 * 1024
"""Maximum bytes a second that a user may have copied in the long run."""
_MAX_USERS: Final = 1_024


class CopyLimiter:
    """Limit of the bytes that each user may have copied.

    A copy of a message costs as much as a send, but the request for it is small.
    """

    def __init__(self) -> None:
        # Level in bytes by user, and the time of that level in milliseconds.
        self._levels: dict[str, tuple[float, int]] = {}

    def wait_ms(self, user: str, now_ms: int) -> int:
        """Return the milliseconds after which a user may have another message copied; 0 is now."""
        over = self._level(user, now_ms) - MAX_BURST_BYTES
        return 0 if over <= 0 else int(over / MAX_BYTES_PER_S * 1000) + 1

    def add(self, user: str, size: int, now_ms: int) -> None:
        """Count a copy."""
        levels = self._levels
        if user not in levels and len(levels) >= _MAX_USERS:
            self._levels = levels = {one: kept for one, kept in levels.items() if self._level(one, now_ms) > 0}
        levels[user] = (self._level(user, now_ms) + size, now_ms)

    def _level(self, user: str, now_ms: int) -> float:
        level, then_ms = self._levels.get(user, (0.0, now_ms))
        return max(0.0, level - (now_ms - then_ms) * MAX_BYTES_PER_S / 1000)
