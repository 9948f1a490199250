"""Sums and rates over the last minute, hour and day, from samples of growing totals (Apache: `StatsItem`)."""

import enum
from array import array
from typing import Final, NamedTuple


class Window(enum.Enum):
    """A time for which sums are known. The value is the interval of its samples and their maximum number."""

    MINUTE = (10_000, 7)
    HOUR = (600_000, 7)
    DAY = (3_600_000, 25)

    @property
    def interval_ms(self) -> int:
        """Milliseconds between two samples."""
        return self.value[0]


_VALUES: Final = 5
"""Numbers of a sample: its time, then `Totals`."""


class Totals(NamedTuple):
    """Totals since the start of counting, or their growth within a window.

    Attributes:
        times: Requests.
        messages: Messages.
        size: Bytes.
        latency_ms: Milliseconds that the requests took together.
    """

    times: int = 0
    messages: int = 0
    size: int = 0
    latency_ms: int = 0


class Growth(NamedTuple):
    """Growth of totals between two samples.

    Attributes:
        begin_ms: Time of the first sample.
        end_ms: Time of the last sample.
        totals: Difference of the totals.
    """

    begin_ms: int
    end_ms: int
    totals: Totals


class Figures(NamedTuple):
    """A sum, as Apache's tools read it.

    Attributes:
        sum: The sum.
        tps: The sum per second.
        avgpt: The sum per request.
    """

    sum: int = 0
    tps: float = 0.0
    avgpt: float = 0.0


class SampleWindows:
    """Samples of the totals of one counter, in all windows."""

    __slots__ = ("_day", "_hour", "_minute", "changed_ms")

    def __init__(self, now_ms: int) -> None:
        self._minute, self._hour, self._day = array("q"), array("q"), array("q")
        self.changed_ms = now_ms

    def add(self, window: Window, now_ms: int, totals: Totals) -> None:
        """Add a sample. The first one has a sample of zeros before it, because the counter began within its interval.

        A sample that is not later than the one before it is dropped, so a clock that is set back gives no wrong rate.
        """
        interval_ms, maximum = window.value
        samples = self._samples(window)
        if not samples:
            samples.extend((now_ms - interval_ms, 0, 0, 0, 0))
        if samples[-_VALUES] >= now_ms:
            return
        if tuple(samples[1 - _VALUES :]) != totals:
            self.changed_ms = now_ms
        samples.extend((now_ms, *totals))
        if len(samples) > maximum * _VALUES:
            del samples[:_VALUES]

    def growth(self, window: Window) -> Growth | None:
        """Return the growth between the first and the last sample, None without samples."""
        samples = self._samples(window)
        if not samples:
            return None
        first, last = samples[:_VALUES], samples[-_VALUES:]
        differences = (after - before for before, after in zip(first[1:], last[1:], strict=True))
        return Growth(first[0], last[0], Totals(*differences))

    def _samples(self, window: Window) -> "array[int]":
        if window is Window.MINUTE:
            return self._minute
        return self._hour if window is Window.HOUR else self._day


def figures(growth: Growth | None, field: str) -> Figures:
    """Return one number of a growth as Apache computes it: the sum, the sum per second, the sum per request."""
    if growth is None:
        return Figures()
    total: int = getattr(growth.totals, field)
    seconds = (growth.end_ms - growth.begin_ms) / 1000
    times = growth.totals.times
    return Figures(total, total / seconds, total / times if times else 0.0)


class Rounds:
    """The times at which samples are due.

    Args:
        now_ms: Time of the start.
    """

    def __init__(self, now_ms: int) -> None:
        self._due = dict.fromkeys(Window, now_ms)

    def take(self, now_ms: int) -> list[Window]:
        """Return the windows that need a sample now. Each has its next sample one interval later."""
        due = [window for window, due_ms in self._due.items() if now_ms >= due_ms]
        for window in due:
            self._due[window] = now_ms + window.interval_ms
        return due
