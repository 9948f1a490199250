"""The one clock of a process."""

import time


class SystemClock:
    """Milliseconds since the epoch that never run backwards, whatever happens to the machine's clock."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def now_ms(self) -> int:
        """The time now; see `Clock`."""
        now = time.time_ns() // 1_000_000
        if now < self._last:
            return self._last
        self._last = now
        return now
