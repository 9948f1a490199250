"""Time as an argument."""

from typing import Protocol


class Clock(Protocol):
    """A source of time. No package below `runtime` reads a clock of its own."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch; the value never decreases within a process."""
        ...  # pragma: no cover
