"""How many messages go in and out: totals, and rates over the last 10 s, minute and 10 minutes."""

from collections import deque

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
