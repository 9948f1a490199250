"""The thread for work of requests that takes long (`broker.background.Background`)."""

import asyncio
import queue
import threading
from collections.abc import Callable

from mqguard.remoting.command import Reply

MAX_WAITING = 16
"""Maximum number of pieces of work that wait."""

Done = Callable[[Reply | Exception], None]


class BackgroundThread:
    """One thread, which starts with the first piece of work."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Reply], Done] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_iteration: Callable[[], None] | None = None

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Start to accept work.

        Args:
            loop: The event loop of the requests.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop, self._end_iteration = loop, end_iteration

    def submit(self, work: Callable[[], Reply], done: Done) -> bool:
        """See `broker.background.Background`."""
        if self._loop is None or self._jobs.qsize() >= MAX_WAITING:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="background", daemon=True)
            self._thread.start()
        self._jobs.put((work, done))
        return True

    def close(self) -> None:
        """Accept no more work, and wait for the current piece, which may use the stores."""
        self._loop = None
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, done = job
            loop = self._loop
            if loop is None:
                continue
            try:
                result: Reply | Exception = work()
            except Exception as exc:  # noqa: BLE001 - the answer to the request is an error
                result = exc
            try:
                loop.call_soon_threadsafe(self._finish, done, result)
            except RuntimeError:
                # The loop is closed, so no client waits any more.
                return

    def _finish(self, done: Done, result: Reply | Exception) -> None:
        done(result)
        if self._end_iteration is not None:
            self._end_iteration()
