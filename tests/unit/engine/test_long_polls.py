"""Pulls that wait for messages."""

import tracemalloc

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mqguard.engine import long_polls as waiting_module
from mqguard.engine.long_polls import LongPolls, PendingPull


class Coded:
    """A filter with these tag codes, None if it needs the messages."""

    def __init__(self, codes, weight=1):
        self.codes = codes
        self.weight = weight


def waiter(what, *, topic="t", queue_id=0, offset=5, wanted=None, deadline=100, channel="c", owner="u"):
    return PendingPull(topic, queue_id, offset, wanted, deadline, channel, owner, what)


def test_an_arrival_returns_the_pulls_that_wait_for_it():
    waiting: LongPolls[str] = LongPolls()
    waiting.suspend(waiter("here"))
    waiting.suspend(waiter("other queue", queue_id=1))
    waiting.suspend(waiter("other topic", topic="u"))
    waiting.suspend(waiter("ahead", offset=9))
    assert [w.request for w in waiting.arrived("t", 0, 6, {0})] == ["here"]
    assert waiting.arrived("t", 0, 6, {0}) == []
    assert len(waiting) == 3


def test_an_arrival_returns_only_pulls_with_matching_tags():
    waiting: LongPolls[str] = LongPolls()
    waiting.suspend(waiter("tagged", wanted=Coded(frozenset({7}))))
    assert waiting.arrived("t", 0, 6, {8}) == []
    assert [w.request for w in waiting.arrived("t", 0, 7, {7})] == ["tagged"]


def test_pulls_time_out_in_order_of_their_deadlines():
    waiting: LongPolls[str] = LongPolls()
    waiting.suspend(waiter("late", deadline=200))
    waiting.suspend(waiter("soon", deadline=100))
    assert waiting.expired(99) == []
    assert [w.request for w in waiting.expired(300)] == ["soon", "late"]
    assert len(waiting) == 0


def test_pulls_of_a_closed_connection_are_dropped():
    waiting: LongPolls[str] = LongPolls()
    waiting.suspend(waiter("a", channel="gone"))
    waiting.suspend(waiter("b", channel="stays"))
    assert waiting.leave("gone") == 1
    assert [w.request for w in waiting.arrived("t", 0, 6, {0})] == ["b"]
    assert waiting.leave("gone") == 0


def test_the_number_of_pulls_is_bounded():
    waiting: LongPolls[str] = LongPolls(capacity=2)
    assert waiting.suspend(waiter("a", channel="a"))
    assert waiting.suspend(waiter("b", channel="b"))
    assert not waiting.suspend(waiter("c"))
    assert waiting.queues_of("t") == [0]
    assert len(waiting.take_queue("t", 0, 1)) == 1
    assert len(waiting.take_queue("t", 0)) == 1
    assert waiting.take_queue("t", 0) == []
    assert waiting.suspend(waiter("d"))
    assert waiting.count("t", 0) == 1


def test_the_number_of_pulls_that_need_every_message_of_a_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(waiting_module, "MAX_EVALUATING", 2)
    waiting: LongPolls[int] = LongPolls()
    for number in range(2):
        assert waiting.suspend(waiter(number))
    assert not waiting.suspend(waiter(2, wanted=Coded(None)))
    assert waiting.suspend(waiter(3, wanted=Coded(frozenset({7}))))
    assert waiting.suspend(waiter(4, wanted=Coded(None), queue_id=1))
    assert [one.request for one in waiting.arrived("t", 1, 6, {0})] == [4]


def test_the_weight_of_the_filters_of_waiting_pulls_is_bounded(monkeypatch):
    monkeypatch.setattr(waiting_module, "MAX_WEIGHT", 100)
    waiting: LongPolls[str] = LongPolls()
    heavy = Coded(frozenset({7}), weight=58)
    light = Coded(frozenset({7}), weight=8)
    assert [waiting.suspend(waiter(name, wanted=heavy)) for name in "abc"] == [True, True, False]
    assert waiting.suspend(waiter("light", wanted=light))
    assert waiting.suspend(waiter("other user", wanted=heavy, owner="v"))
    assert [w.request for w in waiting.arrived("t", 0, 6, {7}, limit=1)] == ["a"]
    assert not waiting.suspend(waiter("d", wanted=heavy))
    waiting.leave("c")
    assert waiting.suspend(waiter("e", wanted=heavy))


def test_one_connection_cannot_take_all_slots():
    waiting: LongPolls[int] = LongPolls(capacity=80)
    assert [waiting.suspend(waiter(n, channel="greedy")) for n in range(11)] == [True] * 10 + [False]
    assert waiting.suspend(waiter(99, channel="other"))
    waiting.arrived("t", 0, 6, {0})
    assert waiting.suspend(waiter(100, channel="greedy"))


def test_a_call_returns_at_most_as_many_pulls_as_its_limit():
    waiting: LongPolls[int] = LongPolls()
    for number in range(5):
        waiting.suspend(waiter(number, deadline=number))
    assert [w.request for w in waiting.arrived("t", 0, 6, {0}, limit=2)] == [0, 1]
    assert [w.request for w in waiting.expired(9, limit=2)] == [2, 3]
    assert [w.request for w in waiting.arrived("t", 0, 6, {0}, limit=2)] == [4]


def test_the_number_of_pulls_with_tags_on_a_queue_is_bounded(monkeypatch):
    monkeypatch.setattr(waiting_module, "MAX_FILTERING", 3)
    waiting: LongPolls[int] = LongPolls()
    tagged = [waiting.suspend(waiter(number, wanted=Coded(frozenset({7})))) for number in range(4)]
    assert tagged == [True, True, True, False]
    assert waiting.suspend(waiter(9))
    assert waiting.suspend(waiter(9, queue_id=1, wanted=Coded(frozenset({7}))))


def test_pulls_that_were_satisfied_take_no_memory_until_their_deadlines():
    waiting: LongPolls[int] = LongPolls()

    def satisfy(count):
        for number in range(count):
            waiting.suspend(waiter(number, deadline=1_000_000))
            waiting.arrived("t", 0, 6, {0})
            waiting.expired(number)

    satisfy(1_000)
    tracemalloc.start()
    try:
        satisfy(20_000)
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 200_000


class WaitingAgainstModel(RuleBasedStateMachine):
    """Pending pulls compared with a plain list."""

    def __init__(self):
        super().__init__()
        self.waiting: LongPolls[int] = LongPolls()
        self.model: list = []
        self.next = 0
        self.now = 0

    def take(self, found, condition):
        expected = [w for w in self.model if condition(w)]
        self.model = [w for w in self.model if not condition(w)]
        assert sorted(w.request for w in found) == sorted(w.request for w in expected)

    @rule(
        queue=st.integers(0, 1),
        offset=st.integers(0, 3),
        tags=st.none() | st.frozensets(st.integers(0, 2)),
        life=st.integers(1, 50),
        channel=st.sampled_from("ab"),
    )
    def park(self, queue, offset, tags, life, channel):
        wanted = None if tags is None else Coded(tags)
        parked = PendingPull("t", queue, offset, wanted, self.now + life, channel, "u", self.next)
        self.next += 1
        assert self.waiting.suspend(parked)
        self.model.append(parked)

    @rule(queue=st.integers(0, 1), end=st.integers(0, 4), tags=st.sets(st.integers(0, 2), min_size=1))
    def arrive(self, queue, end, tags):
        self.take(
            self.waiting.arrived("t", queue, end, tags),
            lambda w: w.queue_id == queue and end > w.offset and (w.wanted is None or w.wanted.codes & tags),
        )

    @rule(step=st.integers(0, 30))
    def pass_time(self, step):
        self.now += step
        self.take(self.waiting.expired(self.now), lambda w: w.deadline_ms <= self.now)

    @rule(channel=st.sampled_from("ab"))
    def close(self, channel):
        gone = [w for w in self.model if w.channel == channel]
        assert self.waiting.leave(channel) == len(gone)
        self.model = [w for w in self.model if w.channel != channel]

    @invariant()
    def agree(self):
        assert len(self.waiting) == len(self.model)
        for queue in (0, 1):
            assert self.waiting.count("t", queue) == sum(w.queue_id == queue for w in self.model)


TestWaitingAgainstModel = WaitingAgainstModel.TestCase
