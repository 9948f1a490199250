"""Plugins that may wait are asked in threads; whatever they do, the event loop goes on."""

import asyncio
import threading
import time

import pytest

from mqguard.guard.plugin_calls import (
    BUSY,
    LATE,
    NONSENSE,
    RAISED,
    PluginCallsPending,
    PluginFailed,
    PluginInvoker,
    PluginResults,
)
from mqguard.runtime import plugin_threads
from mqguard.runtime.plugin_threads import PluginThreads
from tests.fixtures.waiting import eventually


class Asked:
    """A plugin and those who ask it."""

    def __init__(self, ask, *, limit_ms=200, threads=2):
        self.threads = PluginThreads(limit_ms, threads)
        self.plug = PluginInvoker(
            "p", ask, lambda raw: raw, quick=False, limit_ms=limit_ms, now_ms=lambda: 0, ticks=lambda: 0
        )
        self.iterations = 0

    def attach(self):
        self.threads.attach(asyncio.get_running_loop(), self._end_iteration)

    def _end_iteration(self):
        self.iterations += 1

    async def ask(self, question):
        """Return the result of one call: the answer, or the reason why there is none."""
        answers, done = PluginResults(), asyncio.Event()
        try:
            self.plug.ask(answers, question)
        except PluginCallsPending as waits:
            self.threads.ask(waits.calls, answers, done.set)
        await done.wait()
        try:
            return self.plug.ask(answers, question)
        except PluginFailed as failed:
            return failed.reason

    def run(self, *questions):
        async def main():
            self.attach()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.ask(question)) for question in questions]
            return [task.result() for task in tasks]

        try:
            return asyncio.run(main())
        finally:
            self.threads.close()


def test_answers_come_back_and_end_an_iteration():
    asked = Asked(lambda question: f"<{question}>")
    assert asked.run("a", "b", "c") == ["<a>", "<b>", "<c>"]
    assert asked.iterations == 3


def test_so_many_are_asked_at_a_time_and_no_more():
    running, most, lock = 0, 0, threading.Lock()

    def ask(_question):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return 1

    assert Asked(ask, threads=3, limit_ms=5000).run(*range(12)) == [1] * 12
    assert most == 3


def test_errors_and_nonsense_are_failures():
    def ask(question):
        if question != "nothing":
            raise question

    errors = (ValueError("x"), SystemExit(3), KeyboardInterrupt(), "nothing")
    assert Asked(ask).run(*errors) == [RAISED, RAISED, RAISED, NONSENSE]


def test_a_plugin_that_hangs_delays_no_other_and_its_late_answer_is_ignored():
    free = threading.Event()
    slow = []

    def ask(question):
        if question == "hang":
            free.wait(20)
            slow.append(question)
        return question

    asked = Asked(ask, limit_ms=1_000, threads=2)

    async def main():
        asked.attach()
        laps = 0

        async def count():
            nonlocal laps
            while True:
                await asyncio.sleep(0.005)
                laps += 1

        counting = asyncio.get_running_loop().create_task(count())
        async with asyncio.TaskGroup() as group:
            stuck = [group.create_task(asked.ask("hang")) for _ in range(2)]
        assert [task.result() for task in stuck] == [LATE, LATE]
        assert laps >= 8, "the loop went on"
        # Both threads are stuck, others have taken their place.
        assert await asked.ask("fine") == "fine"
        free.set()
        assert await asyncio.to_thread(eventually, lambda: slow == ["hang", "hang"])
        assert [await asked.ask(number) for number in range(4)] == [0, 1, 2, 3]
        counting.cancel()

    asyncio.run(main())
    assert eventually(lambda: len(plugin_threads_alive()) <= 2)
    running = plugin_threads_alive()
    asked.threads.close()
    assert eventually(lambda: not any(thread.is_alive() for thread in running))


def plugin_threads_alive():
    return [thread for thread in threading.enumerate() if thread.name == "plugin p"]


def test_what_waits_for_a_thread_in_vain_is_late_and_never_asked():
    free, asked_for = threading.Event(), []

    def ask(question):
        asked_for.append(question)
        free.wait(20)
        return question

    asked = Asked(ask, limit_ms=100, threads=1)
    assert asked.run(1, 2, 3) == [LATE] * 3
    free.set()
    time.sleep(0.05)
    assert len(asked_for) <= 2


@pytest.mark.parametrize("bound", ["MAX_QUEUED", "MAX_STUCK"])
def test_bounds_refuse_at_once(monkeypatch, bound):
    monkeypatch.setattr(plugin_threads, bound, 0)
    asked = Asked(lambda question: question, limit_ms=5000)
    assert asked.run("x") == [BUSY]


def test_no_plugin_is_called_without_a_loop():
    asked = Asked(lambda question: question)
    answers, done = PluginResults(), []
    with pytest.raises(PluginCallsPending) as waits:
        asked.plug.ask(answers, 1)
    asked.threads.ask(waits.value.calls, answers, lambda: done.append(1))
    assert done == [1]
    with pytest.raises(PluginFailed, match=BUSY):
        asked.plug.ask(answers, 1)


def test_one_deadline_holds_for_all_questions_of_a_request():
    """Each call would end in time, but the second one ends after the deadline of the first one."""
    asked = Asked(lambda question: time.sleep(0.6) or question, limit_ms=1_000)

    async def main():
        asked.attach()
        answers, said = PluginResults(), []
        for question in range(5):
            done = asyncio.Event()
            try:
                said.append(asked.plug.ask(answers, question))
                continue
            except PluginFailed as failed:
                said.append(failed.reason)
                continue
            except PluginCallsPending as waits:
                asked.threads.ask(waits.calls, answers, done.set)
            await done.wait()
            try:
                said.append(asked.plug.ask(answers, question))
            except PluginFailed as failed:
                said.append(failed.reason)
        return said

    started = time.monotonic()
    said = asyncio.run(main())
    asked.threads.close()
    assert said == [0, LATE, LATE, LATE, LATE]
    # Without a common deadline the five calls take at least 3 s.
    assert time.monotonic() - started < 2.5
