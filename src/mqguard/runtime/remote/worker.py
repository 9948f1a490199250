"""A thread that makes the slow calls of a remote store, one after the other."""

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")


class Worker:
    """One thread. The results of its calls are passed to the event loop."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work.

        Args:
            loop: The event loop for the results.
        """
        self._loop = loop
        self._thread.start()

    def close(self) -> None:
        """End the thread after its present call; results are dropped from now on."""
        self._loop = None
        self._work.put(None)

    def call(self, work: Callable[[], _T], done: Callable[[_T | Exception], None]) -> None:
        """Make a call in the thread, and pass its result or its error to `done` in the event loop."""

        def run() -> None:
            result: _T | Exception
            try:
                result = work()
            except Exception as exc:  # noqa: BLE001 - every error is a result
                result = exc
            self.post(lambda: done(result))

        self._work.put(run)

    def post(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop; called in any thread."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: the process ends
                loop.call_soon_threadsafe(callback)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()
