"""Deferred messages are delivered once each, in time, with failed commits and restarts."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mqguard.model import record
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message

WAITS = {
    ("DELAY", "2"): 5_000,
    ("DELAY", "3"): 10_000,
    ("TIMER_DELAY_SEC", "5"): 5_000,
    ("TIMER_DELAY_SEC", "10"): 10_000,
}
LATE_MS = 1_100
"""Maximum delay: a failed store is tried again within a second, and a tick delivers due messages."""


class WaitingMachine(RuleBasedStateMachine):
    """Send deferred messages, let time pass, fail, restart: all due messages are delivered, and no others."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.store = MemoryMessageStore()
        self.engine = make_engine(self.store, self.clock)
        self.due = {}
        self.staged = {}
        self.made = 0

    @initialize()
    def topic(self):
        self.engine.send(message(b"first"))
        assert self.engine.group_commit.commit()

    def commit(self):
        stored = self.engine.group_commit.commit()
        if stored:
            self.due |= self.staged
        self.staged = {}
        return stored

    @rule(
        pairs=st.sampled_from(sorted(WAITS)),
        ends_iteration=st.booleans(),
    )
    def send(self, pairs, ends_iteration):
        self.made += 1
        body = b"%d" % self.made
        self.engine.send(message(body, pairs=dict([pairs])))
        self.staged[body] = self.clock.now + WAITS[pairs]
        if ends_iteration:
            self.commit()

    @rule(steps=st.integers(1, 4), step=st.sampled_from([500, 1_500]))
    def pass_time(self, steps, step):
        for _ in range(steps):
            self.clock.now += step
            self.engine.tick()
            self.commit()

    @rule(steps=st.lists(st.sampled_from([1_000, 4_000]), max_size=2))
    def fail(self, steps):
        """Fail a commit, which may include deliveries."""
        for step in steps:
            self.clock.now += step
            self.engine.tick()
        self.store.failure = "cable pulled"
        self.commit()
        self.clock.now += LATE_MS
        self.engine.tick()
        self.commit()
        assert self.store.failure is None
        self.engine.tick()
        self.commit()

    @rule()
    def restart(self):
        self.commit()
        self.engine = make_engine(self.store, self.clock)

    @invariant()
    def once_and_in_time(self):
        there = self.delivered()
        assert len(there) == len(set(there))
        assert {body for body in there if self.due[body] > self.clock.now} == set()
        late = {body for body, due in self.due.items() if due <= self.clock.now - LATE_MS}
        if late - set(there):
            # The server would make one more tick.
            self.engine.tick()
            self.commit()
            assert late <= set(self.delivered())

    def delivered(self):
        queue = self.store.queue("orders", 0)
        if queue is None:
            return []
        entries = self.store.entries(queue, 1, 100_000)
        return [record.decode(data).body for data in self.store.records(queue, entries)]


TestWaitingMessages = WaitingMachine.TestCase
TestWaitingMessages.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
