"""The one clock of a process."""

import time


class SystemClock:
    """Milliseconds since the epoch that never run backwards, whatever happens to the machine's clock.

    If the machine's clock is set back, time goes on from where it was, a little more slowly than it passes, until both
    agree again. It never stops: what waits for a moment, or is refused until one, must not wait for hours.
    """

    __slots__ = ("_last", "_set_back")

    def __init__(self) -> None:
        self._last = 0
        # The time when the clock was found to be set back, and the monotonic clock then; None while it is not.
        self._set_back: tuple[int, int] | None = None

    def now_ms(self) -> int:
        """The time now; see `Clock`."""
        now = time.time_ns() // 1_000_000
        if now < self._last:
            return self._catch_up()
        if self._set_back is not None:
            self._set_back = None
        self._last = now
        return now

    def _catch_up(self) -> int:
        passed = time.monotonic_ns() // 1_000_000
        if self._set_back is None:
            self._set_back = (self._last, passed)
        since, then = self._set_back
        self._last = max(self._last, since + (passed - then) * _PACE // 8)
        return self._last


_PACE = 7
"""Eighths of the time that passes which count while the clock is set back."""
