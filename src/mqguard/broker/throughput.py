"""Counters of messages in and out for reports, and the limit of bytes that users may have copied."""

from collections import deque
from typing import Final

import msgspec

SAMPLE_MS = 10_000
KEPT = 61
"""Samples that are kept: ten minutes and the one before."""
WINDOWS = (1, 6, 60)
"""Rates are over that many samples."""


class _Sample(msgspec.Struct, frozen=True, gc=False):
    at_ms: int
    put: int
    got: int


class Traffic:
    """Counters that the hot path adds to, sampled by the clock.

    Attributes:
        put: Messages stored since the start.
        got: Messages given out since the start.
        put_bytes: Bytes of bodies stored since the start.
    """

    __slots__ = ("_samples", "got", "put", "put_bytes")

    def __init__(self, now_ms: int) -> None:
        self.put = 0
        self.got = 0
        self.put_bytes = 0
        self._samples: deque[_Sample] = deque([_Sample(now_ms, 0, 0)], KEPT)

    def sample(self, now_ms: int) -> None:
        """Take a sample if one is due; call it every second or so."""
        if now_ms - self._samples[-1].at_ms >= SAMPLE_MS:
            self._samples.append(_Sample(now_ms, self.put, self.got))

    def rates(self, now_ms: int) -> tuple[list[float], list[float]]:
        """Messages per second stored and given out, over the three windows."""
        put, got = [], []
        for window in WINDOWS:
            since = self._samples[max(0, len(self._samples) - 1 - window)]
            seconds = max(1, now_ms - since.at_ms) / 1000
            put.append((self.put - since.put) / seconds)
            got.append((self.got - since.got) / seconds)
        return put, got


BURST: Final = 1024 * 1024
"""Bytes that a user may have copied at once. The last copy may exceed it, so that every message can be copied."""
PER_SECOND: Final = 20 * 1024 * 1024
"""Bytes that a user may have copied in the long run."""
_MAX_USERS: Final = 1_024


class CopyRate:
    """Counts bytes by user. Time is an argument."""

    def __init__(self) -> None:
        # Bytes that are not yet forgotten, and when it was so in milliseconds.
        self._levels: dict[str, tuple[float, int]] = {}

    def wait_ms(self, user: str, now_ms: int) -> int:
        """Return how long until a user may have another message copied, in milliseconds; 0 is now."""
        over = self._level(user, now_ms) - BURST
        return 0 if over <= 0 else int(over / PER_SECOND * 1000) + 1

    def add(self, user: str, size: int, now_ms: int) -> None:
        """Count a copy."""
        levels = self._levels
        if user not in levels and len(levels) >= _MAX_USERS:
            self._levels = levels = {one: kept for one, kept in levels.items() if self._level(one, now_ms) > 0}
        levels[user] = (self._level(user, now_ms) + size, now_ms)

    def _level(self, user: str, now_ms: int) -> float:
        level, then_ms = self._levels.get(user, (0.0, now_ms))
        return max(0.0, level - (now_ms - then_ms) * PER_SECOND / 1000)
