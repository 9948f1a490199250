"""The clock of a process, and a watch over its event loop."""

import logging
import sys
import threading
import time
import traceback

_LOG = logging.getLogger(__name__)

STALL_S = 2.0
"""Seconds without a tick after which the stall is logged."""
AGAIN_S = 60.0
"""Seconds after which a stall that goes on is logged again."""
_PACE = 7
"""Eighths of the time that passes which count while the clock is set back."""


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


class StallWatch:
    """Logs the stack of the event loop's thread while the loop does not tick.

    A thread compares the time with the loop's last tick. A plugin that claims not to block and never returns, or an
    internal error, stops everything else in the process, so only another thread can log it.

    Args:
        stall_s: Seconds without a tick after which the stall is logged.
    """

    def __init__(self, stall_s: float = STALL_S) -> None:
        self._stall_s = stall_s
        self._ticked = time.monotonic()
        self._thread_id = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch the thread that calls this."""
        self._thread_id = threading.get_ident()
        self._ticked = time.monotonic()
        self._thread.start()

    def tick(self) -> None:
        """Note that the loop goes on."""
        self._ticked = time.monotonic()

    def close(self) -> None:
        """Watch no more."""
        self._closing.set()

    def _run(self) -> None:
        logged: float | None = None
        while not self._closing.wait(self._stall_s / 4):
            stalled = time.monotonic() - self._ticked
            if stalled < self._stall_s:
                if logged is not None:
                    _LOG.warning("the server serves requests again")
                logged = None
            elif logged is None or stalled - logged >= AGAIN_S:
                logged = stalled
                frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the only way to see another thread
                stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown\n"
                _LOG.error("the server has served no request for %.1f s; it is here:\n%s", stalled, stack)
