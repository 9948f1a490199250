"""Threads for blocking plugins: a few for each plugin, with a deadline for each call.

Only `Call.run` runs in these threads. A plugin that never returns blocks its thread, and a new thread replaces it.
Beyond a limit the plugin counts as busy, and requests that need it are refused.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from mqguard.guard.plugin_calls import BUSY, LATE, Call, PluginFailure, PluginResults

MAX_QUEUED = 1_024
"""Maximum number of calls of one plugin that wait for a thread."""
MAX_STUCK = 64
"""Maximum number of threads of one plugin in a call that has timed out."""


class _Batch:
    """The calls that one request waits for."""

    __slots__ = ("calls", "done", "missing", "over", "timer")

    def __init__(self, calls: Sequence[Call], done: Callable[[], None]) -> None:
        self.calls = calls
        self.done = done
        self.missing = len(calls)
        self.over = False
        self.timer: asyncio.TimerHandle | None = None


class _Job:
    __slots__ = ("batch", "call", "ended", "started", "stuck")

    def __init__(self, batch: _Batch, call: Call) -> None:
        self.batch = batch
        self.call = call
        self.started = False
        self.ended = False
        self.stuck = False


class _PluginPool:
    """The threads of one plugin."""

    def __init__(self, name: str, threads: int, answered: Callable[[_Job, object], None]) -> None:
        self._name = name
        self._threads = threads
        self._answered = answered
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        # INVARIANT, under the lock: the number of running threads that are not stuck is the number of open calls, or
        # the maximum.
        self._running = 0
        self._stuck = 0
        self._open = 0

    @property
    def is_full(self) -> bool:
        """True if the pool accepts no more calls."""
        return self._jobs.qsize() >= MAX_QUEUED or self._stuck >= MAX_STUCK

    def take(self, job: _Job) -> None:
        """Queue a call for the next free thread."""
        self._jobs.put(job)
        with self._lock:
            self._open += 1
            self._staff()

    def give_up(self, job: _Job) -> None:
        """Handle a call that has timed out: a thread that runs it counts as stuck."""
        with self._lock:
            if job.started and not job.ended:
                job.stuck = True
                self._stuck += 1
                self._open -= 1
                self._staff()

    def end(self) -> None:
        """End the free threads; the others end with the process."""
        with self._lock:
            for _ in range(self._running):
                self._jobs.put(None)

    def _staff(self) -> None:
        if self._running - self._stuck >= min(self._threads, self._open):
            return
        self._running += 1
        threading.Thread(target=self._run, name=f"plugin {self._name}", daemon=True).start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            with self._lock:
                if job.batch.over:
                    self._open -= 1
                    continue
                job.started = True
            answer = job.call.run()
            with self._lock:
                job.ended = True
                if job.stuck:
                    self._stuck -= 1
                    if self._running - self._stuck > self._threads:
                        # Another thread has replaced it.
                        self._running -= 1
                        return
                    continue
                self._open -= 1
            self._answered(job, answer)
        with self._lock:
            self._running -= 1


class PluginThreads:
    """Calls plugins in threads (`dispatch.suspended.PluginCaller`).

    Args:
        limit_ms: Maximum time that a request waits for all of its plugins.
        threads: Maximum number of simultaneous calls of one plugin.
    """

    def __init__(self, limit_ms: int, threads: int) -> None:
        self._limit = limit_ms / 1000
        self._threads = threads
        self._pools: dict[str, _PluginPool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_iteration: Callable[[], None] = _nothing

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Start to accept calls.

        Args:
            loop: The event loop of the requests.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop = loop
        self._end_iteration = end_iteration

    def close(self) -> None:
        """Accept no more calls; stuck threads end with the process."""
        self._loop = None
        for pool in self._pools.values():
            pool.end()

    def ask(self, calls: Sequence[Call], answers: PluginResults, done: Callable[[], None]) -> None:
        """See `Asker`."""
        loop = self._loop
        if loop is None:
            answers.over = BUSY
            done()
            return
        now = loop.time()
        if answers.deadline is None:
            answers.deadline = now + self._limit
        batch = _Batch(calls, done)
        jobs = [_Job(batch, call) for call in calls]
        batch.timer = loop.call_at(answers.deadline, self._give_up, batch, jobs, answers)
        for job in jobs:
            pool = self._pool(job.call.lane)
            if pool.is_full:
                loop.call_soon(self._take, job, PluginFailure(BUSY))
            else:
                pool.take(job)

    def _pool(self, name: str) -> _PluginPool:
        found = self._pools.get(name)
        if found is None:
            found = self._pools[name] = _PluginPool(name, self._threads, self._answered)
        return found

    def _answered(self, job: _Job, answer: object) -> None:
        """Pass the answer to the event loop; called in the plugin's thread."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._take, job, answer)
            except RuntimeError:
                # The loop is closed, so no request waits any more.
                return

    def _take(self, job: _Job, answer: object) -> None:
        batch = job.batch
        if batch.over:
            return
        job.call.answer(answer)
        batch.missing -= 1
        if not batch.missing:
            batch.over = True
            if batch.timer is not None:
                batch.timer.cancel()
            self._go_on(batch)

    def _give_up(self, batch: _Batch, jobs: Sequence[_Job], answers: PluginResults) -> None:
        if batch.over:
            return
        answers.over = LATE
        batch.over = True
        for job in jobs:
            self._pool(job.call.lane).give_up(job)
        self._go_on(batch)

    def _go_on(self, batch: _Batch) -> None:
        batch.done()
        self._end_iteration()


def _nothing() -> None:
    """Do nothing, until `attach` sets another function."""
