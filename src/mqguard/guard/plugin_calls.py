"""Calls of plugins. Every call ends in an answer or a failure, and no call stops the event loop.

Quick plugins are called inline, others on worker threads: `PluginCallsPending` gives the router their calls. The
request is suspended, and re-evaluated from its beginning once the results are in.
"""

import logging
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

from mqguard.errors import MqguardError
from mqguard.guard.errors import RequestSuspended

_LOG = logging.getLogger(__name__)

A = TypeVar("A")
SLOW_NS = 5_000_000
"""Maximum time of a call of a quick plugin that is not slow, in nanoseconds: all connections wait for it."""
MAX_SLOW_CALLS = 3
"""Maximum number of slow calls of a quick plugin; `CALLS_PER_SLOW_CALL` calls in time reset the count."""
CALLS_PER_SLOW_CALL = 1_000
"""Calls in time that reset the count of slow calls."""
LOG_EVERY_MS = 1_000
"""Minimum interval between error log lines about one plugin, in milliseconds."""


class PluginFailed(MqguardError):
    """A plugin that gave no valid answer.

    Attributes:
        reason: `plugin-raised`, `plugin-late`, `plugin-nonsense` or `plugin-busy`.
    """

    def __init__(self, reason: str, name: str) -> None:
        super().__init__(f"the plugin `{name}` gave no valid answer: {reason}")
        self.reason = reason


class PluginFailure:
    """The result of a call without a valid answer."""

    __slots__ = ("error", "reason")

    def __init__(self, reason: str, error: BaseException | None = None) -> None:
        self.reason = reason
        self.error = error

    def forget(self) -> None:
        """Drop the error after it is logged: the frames of its traceback keep the request in memory."""
        error, self.error = self.error, None
        if error is not None:
            traceback.clear_frames(error.__traceback__)


RAISED, LATE, NONSENSE, BUSY = "plugin-raised", "plugin-late", "plugin-nonsense", "plugin-busy"


class Call:
    """One call of one plugin that may wait.

    Attributes:
        lane: The plugin's name; calls of one lane share its threads.
    """

    __slots__ = ("_answers", "_call", "_key", "lane")

    def __init__(self, lane: str, call: Callable[[], object], answers: "PluginResults", key: object) -> None:
        self.lane = lane
        self._call = call
        self._answers = answers
        self._key = key

    def run(self) -> object:
        """Call the plugin and return its answer or a failure. Runs on another thread."""
        try:
            return self._call()
        except BaseException as exc:  # noqa: BLE001 - a plugin may raise anything, `SystemExit` too
            return PluginFailure(RAISED, exc)

    def answer(self, answer: object) -> None:
        """Store the answer, or the failure."""
        self._answers.known[self._key] = answer


class PluginResults:
    """The results of plugins for one request.

    Attributes:
        known: Raw answers and failures, by plugin and question.
        deadline: Time at which all answers must be there, by the caller's clock; None before the first call.
        over: Reason for which no further plugin is called, None while there is time.
    """

    __slots__ = ("deadline", "known", "over")

    def __init__(self) -> None:
        self.known: dict[object, object] = {}
        self.deadline: float | None = None
        self.over: str | None = None

    def renew(self) -> None:
        """Drop all results, and start the time limit again."""
        self.known.clear()
        self.deadline = self.over = None


class PluginCallsPending(RequestSuspended):
    """A request that waits for plugins.

    Attributes:
        calls: The calls to make, at once.
        answers: The results, with which the request is re-evaluated.
    """

    def __init__(self, calls: list[Call], answers: PluginResults) -> None:
        super().__init__("the request waits for plugins")
        self.calls = calls
        self.answers = answers


class PluginInvoker(Generic[A]):
    """Safe calls of one plugin.

    Args:
        name: The plugin's name for operators.
        ask: The method of the plugin.
        reads: Returns the valid answer in a raw one; None if there is none.
        quick: True to call the plugin inline. A plugin that is slow nevertheless is called on worker threads later.
        limit_ms: Time in milliseconds after which an answer of a quick plugin is too late.
        now_ms: Monotonic time, for the log and for quick plugins.
        ticks: A clock for durations, in nanoseconds.
    """

    def __init__(
        self,
        name: str,
        ask: Callable[..., object],
        reads: Callable[[object], A | None],
        *,
        quick: bool,
        limit_ms: int,
        now_ms: Callable[[], int],
        ticks: Callable[[], int],
    ) -> None:
        self.name = name
        self._ask = ask
        self._reads = reads
        self._quick = quick
        self._limit_ms = limit_ms
        self._now_ms = now_ms
        self._ticks = ticks
        self._slow_calls = 0
        self._calls_in_time = 0
        self._logged_ms = -LOG_EVERY_MS
        self._unlogged = 0

    def prefetch(self, answers: PluginResults, *question: object) -> Call | None:
        """Return the call that answers a question; None if it needs none."""
        key = (self.name, question)
        if self._quick or answers.over or key in answers.known:
            return None
        return Call(self.name, lambda: self._ask(*question), answers, key)

    def ask(self, answers: PluginResults, *question: object) -> A:
        """Return the plugin's answer.

        Raises:
            PluginCallsPending: The plugin must be called on a worker thread first.
            PluginFailed: The plugin gave no valid answer.
        """
        key = (self.name, question)
        if key in answers.known:
            raw = answers.known[key]
        elif self._quick:
            raw = answers.known[key] = self._ask_here(*question)
        elif answers.over:
            raw = PluginFailure(answers.over)
        else:
            raise PluginCallsPending([Call(self.name, lambda: self._ask(*question), answers, key)], answers)
        if isinstance(raw, PluginFailure):
            raise self._failed(raw)
        try:
            answer = self._reads(raw)
        except Exception as exc:  # noqa: BLE001 - what plugins return may misbehave in any way
            raise self._failed(PluginFailure(NONSENSE, exc)) from None
        if answer is None:
            raise self._failed(PluginFailure(NONSENSE, TypeError(f"it returned a `{type(raw).__name__}`")))
        return answer

    def _ask_here(self, *question: object) -> object:
        started, began = self._now_ms(), self._ticks()
        try:
            answer = self._ask(*question)
        except BaseException as exc:  # noqa: BLE001 - a plugin may raise anything, `SystemExit` too
            answer = PluginFailure(RAISED, exc)
        self._measure(self._ticks() - began)
        # The other connections have waited already. The failure makes the slow plugin visible to its operator.
        return PluginFailure(LATE) if self._now_ms() - started > self._limit_ms else answer

    def _measure(self, took_ns: int) -> None:
        """Call the plugin on worker threads from now on if it was slow too often."""
        if took_ns <= SLOW_NS:
            self._calls_in_time += 1
            if self._calls_in_time >= CALLS_PER_SLOW_CALL:
                self._calls_in_time = self._slow_calls = 0
            return
        self._slow_calls += 1
        # One call that is as slow as many together is enough.
        if self._slow_calls >= MAX_SLOW_CALLS or took_ns >= SLOW_NS * MAX_SLOW_CALLS * 4:
            self._quick = False
            _LOG.warning(
                "the plugin `%s` has `quick = True` and took %.1f ms while all requests waited: from now on it is "
                "called on worker threads",
                self.name,
                took_ns / 1e6,
            )

    def _failed(self, failure: PluginFailure) -> PluginFailed:
        now = self._now_ms()
        self._unlogged += 1
        if now - self._logged_ms >= LOG_EVERY_MS:
            error = failure.error
            _LOG.error(
                "the plugin `%s` gave no valid answer, so its requests are denied: %s (%d times since the last line)",
                self.name,
                failure.reason,
                self._unlogged,
                exc_info=error if isinstance(error, BaseException) else None,
            )
            self._logged_ms, self._unlogged = now, 0
        failure.forget()
        return PluginFailed(failure.reason, self.name)
