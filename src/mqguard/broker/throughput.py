"""Totals of messages in and out for reports, and the limit of bytes that users may have copied."""

import bisect
import datetime as dt
from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

SAMPLE_MS = 10_000
MAX_SAMPLES = 61
"""Maximum samples that are kept: those of ten minutes, and one before them."""
WINDOWS = (1, 6, 60)
"""Lengths of the windows for rates, in samples: 10 s, a minute, 10 minutes."""


class _Sample(msgspec.Struct, frozen=True, gc=False):
    at_ms: int
    put: int
    found: int
    missed: int
    got: int


class Rates(NamedTuple):
    """Numbers per second over 10 s, a minute and 10 minutes.

    Attributes:
        put: Messages stored.
        found: Requests that got messages.
        missed: Requests that found no message.
        got: Messages delivered.
    """

    put: list[float]
    found: list[float]
    missed: list[float]
    got: list[float]


class Throughput:
    """Totals of a broker since its start, with rates from periodic samples. Others increment the attributes directly.

    Attributes:
        put: Messages stored, copies and waiting messages included.
        found: Requests of consumers that got messages.
        missed: Requests of consumers that found no message.
        got: Messages delivered.
        got_of_system: Messages delivered from topics of the broker itself.
        acked: Acknowledgements of popped messages.
        checkpoints: Checkpoints of popped messages.
        put_at_morning: Messages stored at the last midnight, and at the one before, without those in topics of the
            broker itself.
        got_at_morning: `got_without_system` at these times.
    """

    __slots__ = (
        "_day",
        "_samples",
        "acked",
        "checkpoints",
        "found",
        "got",
        "got_at_morning",
        "got_of_system",
        "missed",
        "put",
        "put_at_morning",
    )

    def __init__(self, now_ms: int) -> None:
        self.put = self.found = self.missed = self.got = self.got_of_system = 0
        self.acked = self.checkpoints = 0
        self.put_at_morning = self.got_at_morning = (0, 0)
        self._samples: deque[_Sample] = deque([_Sample(now_ms, 0, 0, 0, 0)], MAX_SAMPLES)
        self._day: int | None = None

    @property
    def got_without_system(self) -> int:
        """Messages delivered from other topics than those of the broker itself."""
        return self.got - self.got_of_system

    def sample(self, now_ms: int) -> None:
        """Take a sample if one is due. It should be called about once a second."""
        if now_ms - self._samples[-1].at_ms >= SAMPLE_MS:
            self._samples.append(_Sample(now_ms, self.put, self.found, self.missed, self.got))

    def mark_day(self, wall_ms: int, put_without_system: Callable[[], int]) -> None:
        """Note the totals when a new day begins, in the local time of this machine."""
        day = _day_of(wall_ms)
        if self._day is None:
            self._day = day
        if day > self._day:
            self._day = day
            self.put_at_morning = (put_without_system(), self.put_at_morning[0])
            self.got_at_morning = (self.got_without_system, self.got_at_morning[0])

    def rates(self, now_ms: int) -> Rates:
        """Return the rates over the three windows."""
        rates = Rates([], [], [], [])
        for window in WINDOWS:
            since = self._samples[max(0, len(self._samples) - 1 - window)]
            seconds = max(1, now_ms - since.at_ms) / 1000
            rates.put.append((self.put - since.put) / seconds)
            rates.found.append((self.found - since.found) / seconds)
            rates.missed.append((self.missed - since.missed) / seconds)
            rates.got.append((self.got - since.got) / seconds)
        return rates


def _day_of(wall_ms: int) -> int:
    """Return the number of a day in local time."""
    return dt.datetime.fromtimestamp(wall_ms / 1000).astimezone().date().toordinal()


PUT_TIME_LIMITS_MS: Final = (0, 10, 50, 100, 200, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 10_000)
"""Upper ends of the classes of `putMessageDistributeTime`; the last class has no end."""
_PUT_TIME_NAMES: Final = (
    "[<=0ms]",
    "[0~10ms]",
    "[10~50ms]",
    "[50~100ms]",
    "[100~200ms]",
    "[200~500ms]",
    "[500ms~1s]",
    "[1~2s]",
    "[2~3s]",
    "[3~4s]",
    "[4~5s]",
    "[5~10s]",
    "[10s~]",
)
_MAX_PUT_TIME_MS: Final = 10_001
_PUT_TIMES_MS: Final = 60_000


class PutTimes:
    """Times in which messages were stored, in whole milliseconds: those of the last full minute, and the maximum.

    Attributes:
        immediate: Messages that were stored in less than a millisecond. The hot path increments it directly.
        longest_ms: The maximum since the start.
    """

    __slots__ = ("_begun_ms", "_counts", "_last", "immediate", "longest_ms")

    def __init__(self, now_ms: int) -> None:
        self._begun_ms = now_ms
        self._counts: Counter[int] = Counter()
        self._last: Counter[int] = Counter()
        self.immediate = 0
        self.longest_ms = 0

    def add(self, milliseconds: int, messages: int) -> None:
        """Count messages that were stored in this time."""
        self._counts[min(milliseconds, _MAX_PUT_TIME_MS)] += messages
        self.longest_ms = max(self.longest_ms, milliseconds)

    def sample(self, now_ms: int) -> None:
        """Begin a new minute if one is due."""
        if now_ms - self._begun_ms >= _PUT_TIMES_MS:
            self._begun_ms = now_ms
            self._counts[0] += self.immediate
            self._last, self._counts, self.immediate = self._counts, Counter(), 0

    def distribution(self) -> str:
        """Return the numbers of messages by class, in the form of Apache's `putMessageDistributeTime`."""
        numbers = [0] * len(_PUT_TIME_NAMES)
        for milliseconds, messages in self._last.items():
            numbers[bisect.bisect_left(PUT_TIME_LIMITS_MS, milliseconds)] += messages
        return " ".join(f"{name}:{number}" for name, number in zip(_PUT_TIME_NAMES, numbers, strict=True))

    def quantile(self, share: float) -> float:
        """Return the time in milliseconds that this share of the messages did not exceed, 0 without messages."""
        left = share * self._last.total()
        for milliseconds in sorted(self._last):
            left -= self._last[milliseconds]
            if left <= 0:
                return float(milliseconds)
        return 0.0


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
