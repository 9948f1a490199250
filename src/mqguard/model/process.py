"""The process: its clock as an argument, and its cycle collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """A source of time. No package below `runtime` reads a clock of its own.

    A span (a deadline, a timeout, the age of an entry in memory, a rate) uses `monotonic_ms`. A date (a store time, a
    delivery time, the end of a secret) uses `now_ms`. An operator or NTP may set the date forward or back at any
    moment, so the difference of two dates is not a span. A value of one clock is never compared with one of the other.
    A value of `monotonic_ms` is never stored: it has no meaning in another process.

    Example:
        deadline_ms = clock.monotonic_ms() + 15_000
        ...
        if clock.monotonic_ms() >= deadline_ms: ...
    """

    def now_ms(self) -> int:
        """Return the date in milliseconds since the epoch; it jumps if the machine's clock is set."""
        ...  # pragma: no cover

    def monotonic_ms(self) -> int:
        """Return milliseconds since some moment; the value never decreases and never jumps."""
        ...  # pragma: no cover


@contextmanager
def gc_disabled() -> Iterator[None]:
    """Disable the collector for a block or a function that reads or writes many thousand entries.

    The collector would search all of them repeatedly, which more than doubles the time, and find nothing: users and
    entries have no cycles.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
