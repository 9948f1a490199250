"""Asks plugins, and turns whatever comes of it into an answer or a failure. No plugin ever stops the event loop.

A quick plugin is called inline. One that may wait is called on worker threads: `PluginCallsPending` gives the router
the calls. The request is suspended meanwhile, and evaluated once more from its beginning when the results are in.
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
"""A call of a quick plugin that takes longer, in nanoseconds, is slow: everybody waits for it."""
MAX_SLOW_CALLS = 3
"""Slow calls, among `CALLS_PER_SLOW_CALL` each, after which a plugin is quick no more."""
CALLS_PER_SLOW_CALL = 1_000
"""Calls in time that forgive one slow call."""
LOG_EVERY_MS = 1_000
"""A plugin that fails at every request is logged once in that time, with the number of failures."""


class PluginFailed(MqguardError):
    """A plugin gave no answer.

    Attributes:
        reason: `plugin-raised`, `plugin-late`, `plugin-nonsense` or `plugin-busy`.
    """

    def __init__(self, reason: str, name: str) -> None:
        super().__init__(f"the plugin `{name}` gave no answer: {reason}")
        self.reason = reason


class PluginFailure:
    """Stands for the answer that a plugin did not give."""

    __slots__ = ("error", "reason")

    def __init__(self, reason: str, error: BaseException | None = None) -> None:
        self.reason = reason
        self.error = error

    def forget(self) -> None:
        """Drop the error once it is logged: the frames of its traceback hold the request, and this failure."""
        error, self.error = self.error, None
        if error is not None:
            traceback.clear_frames(error.__traceback__)


RAISED, LATE, NONSENSE, BUSY = "plugin-raised", "plugin-late", "plugin-nonsense", "plugin-busy"


class Call:
    """One question to one plugin that may wait.

    Attributes:
        lane: Calls of one lane share its threads: the plugin's name.
    """

    __slots__ = ("_answers", "_call", "_key", "lane")

    def __init__(self, lane: str, call: Callable[[], object], answers: "PluginResults", key: object) -> None:
        self.lane = lane
        self._call = call
        self._answers = answers
        self._key = key

    def run(self) -> object:
        """Ask; whatever the plugin does becomes something to answer with. Runs in another thread."""
        try:
            return self._call()
        except BaseException as exc:  # noqa: BLE001 - a plugin may raise anything, `SystemExit` too
            return PluginFailure(RAISED, exc)

    def answer(self, answer: object) -> None:
        """Keep the answer, or the failure that stands for it."""
        self._answers.known[self._key] = answer


class PluginResults:
    """What plugins have answered about one request.

    Attributes:
        known: Raw answers and failures, by plugin and question.
        deadline: When all answers must be there, by the clock of whoever asks; None before the first question.
        over: Why nothing more is asked, None while there is time.
    """

    __slots__ = ("deadline", "known", "over")

    def __init__(self) -> None:
        self.known: dict[object, object] = {}
        self.deadline: float | None = None
        self.over: str | None = None

    def renew(self) -> None:
        """Forget everything that was answered, and begin to count the time anew."""
        self.known.clear()
        self.deadline = self.over = None


class PluginCallsPending(RequestSuspended):
    """A request has to wait for plugins, and for which answers.

    Attributes:
        calls: What is to be asked, at once.
        answers: Where the answers go, and what the request is looked at with afterwards.
    """

    def __init__(self, calls: list[Call], answers: PluginResults) -> None:
        super().__init__("waits for the answers of plugins")
        self.calls = calls
        self.answers = answers


class PluginInvoker(Generic[A]):
    """One plugin, made safe.

    Args:
        name: How operators know it.
        ask: Asks it.
        reads: Makes an answer of whatever it returned; None if it may not answer that.
        quick: Whether it is called inline. One that is slow nevertheless is called on worker threads from then on.
        limit_ms: How long a quick one may take until its answer counts no more.
        now_ms: The time, for the log and for quick plugins.
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
        self._told_ms = -LOG_EVERY_MS
        self._untold = 0

    def prefetch(self, answers: PluginResults, *question: object) -> Call | None:
        """The call that answers the question, None if the answer is here or at hand."""
        key = (self.name, question)
        if self._quick or answers.over or key in answers.known:
            return None
        return Call(self.name, lambda: self._ask(*question), answers, key)

    def ask(self, answers: PluginResults, *question: object) -> A:
        """The plugin's answer.

        Raises:
            Waits: It is to be asked elsewhere first.
            PluginFailed: It gave none.
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
        # Too late to help those who have waited, but an operator hears of it, and its user does not get used to it.
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
                "the plugin `%s` says that it is quick and took %.1f ms while all requests waited: it is called on "
                "worker threads from now on",
                self.name,
                took_ns / 1e6,
            )

    def _failed(self, failure: PluginFailure) -> PluginFailed:
        now = self._now_ms()
        self._untold += 1
        if now - self._told_ms >= LOG_EVERY_MS:
            error = failure.error
            _LOG.error(
                "the plugin `%s` gave no answer, so what depends on it is refused: %s (%d times since last told)",
                self.name,
                failure.reason,
                self._untold,
                exc_info=error if isinstance(error, BaseException) else None,
            )
            self._told_ms, self._untold = now, 0
        failure.forget()
        return PluginFailed(failure.reason, self.name)
