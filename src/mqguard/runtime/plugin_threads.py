"""Asks plugins that may wait: in threads, a few for each plugin, each question with a deadline.

All is done in the event loop but `Call.run`. A plugin that never comes back costs its thread; another takes its place,
up to a limit, beyond which the plugin counts as busy, and what it should answer is refused.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence

from mqguard.guard.plugin_calls import BUSY, LATE, Call, PluginFailure, PluginResults

MOST_QUEUED = 1_024
"""Questions to one plugin that wait for a thread."""
MOST_STUCK = 64
"""Threads of one plugin that may be stuck in a question whose time is up."""


class _Batch:
    """The questions that one request waits for."""

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
        # INVARIANT, under the lock: of the threads that run and are not stuck there are as many as there are open
        # questions, or as many as there may be.
        self._running = 0
        self._stuck = 0
        self._open = 0

    @property
    def is_full(self) -> bool:
        """Whether a question more would find no room."""
        return self._jobs.qsize() >= MOST_QUEUED or self._stuck >= MOST_STUCK

    def take(self, job: _Job) -> None:
        """Have a question asked as soon as a thread is free."""
        self._jobs.put(job)
        with self._lock:
            self._open += 1
            self._staff()

    def give_up(self, job: _Job) -> None:
        """The time of a question is up: if a thread is in it, others must do without that thread."""
        with self._lock:
            if job.started and not job.ended:
                job.stuck = True
                self._stuck += 1
                self._open -= 1
                self._staff()

    def end(self) -> None:
        """Let the threads end that are free; the others end with the process."""
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
                        # Another thread has taken its place.
                        self._running -= 1
                        return
                    continue
                self._open -= 1
            self._answered(job, answer)
        with self._lock:
            self._running -= 1


class PluginThreads:
    """Asks plugins (`dispatch.suspended.PluginCaller`).

    Args:
        limit_ms: How long a request waits for all of its plugins.
        threads: How many questions a plugin is asked at a time.
    """

    def __init__(self, limit_ms: int, threads: int) -> None:
        self._limit = limit_ms / 1000
        self._threads = threads
        self._lanes: dict[str, _PluginPool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end_turn: Callable[[], None] = _nothing

    def attach(self, loop: asyncio.AbstractEventLoop, end_turn: Callable[[], None]) -> None:
        """Begin to ask.

        Args:
            loop: Where requests are served.
            end_turn: Has a turn ended that nothing arrived in.
        """
        self._loop = loop
        self._end_turn = end_turn

    def close(self) -> None:
        """Ask no more; threads that are stuck are left to the end of the process."""
        self._loop = None
        for lane in self._lanes.values():
            lane.end()

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
            lane = self._lane(job.call.lane)
            if lane.is_full:
                loop.call_soon(self._take, job, PluginFailure(BUSY))
            else:
                lane.take(job)

    def _lane(self, name: str) -> _PluginPool:
        found = self._lanes.get(name)
        if found is None:
            found = self._lanes[name] = _PluginPool(name, self._threads, self._answered)
        return found

    def _answered(self, job: _Job, answer: object) -> None:
        """In the plugin's thread: carry the answer over."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._take, job, answer)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
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
            self._lane(job.call.lane).give_up(job)
        self._go_on(batch)

    def _go_on(self, batch: _Batch) -> None:
        batch.done()
        self._end_turn()


def _nothing() -> None:
    """Before there are turns, there is none to end."""
