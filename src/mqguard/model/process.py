"""The process: its clock as an argument, and its cycle collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """A source of time. No package below `runtime` reads a clock of its own."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch; the value never decreases within a process."""
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
