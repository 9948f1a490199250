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


class SystemClock:
    """The clocks of the machine."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Return the date; see `Clock`."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return the monotonic time; see `Clock`."""
        return time.monotonic_ns() // 1_000_000


class StallWatch:
    """Logs the stack of the event loop's thread while the loop does not tick.

    A thread compares the time with the loop's last tick. A blocking plugin or an internal error may stop everything
    else in the process, so only another thread can log it.

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
        """Start to watch the calling thread."""
        self._thread_id = threading.get_ident()
        self._ticked = time.monotonic()
        self._thread.start()

    def tick(self) -> None:
        """Report that the loop runs."""
        self._ticked = time.monotonic()

    def close(self) -> None:
        """Stop."""
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
                _LOG.error("the server has served no request for %.1f s; its event loop is here:\n%s", stalled, stack)
