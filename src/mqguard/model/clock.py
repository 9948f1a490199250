"""Time, as an argument."""

from typing import Protocol


class Clock(Protocol):
    """Tells the time. Nothing below `runtime` reads a clock of its own."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch; never runs backwards within a process."""
        ...  # pragma: no cover
