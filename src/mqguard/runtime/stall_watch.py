"""Watches whether the event loop goes on, and logs where it stands still.

A thread looks at the time of the loop's last tick. A plugin that calls itself quick and never returns, or a fault of
ours, stops everything else in the process, so only another thread can log it.
"""

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


class StallWatch:
    """Logs the stack of the event loop's thread while the loop does not tick.

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
