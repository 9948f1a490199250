"""Messages that wait, under jumps of the date, restarts, failed commits and recalls: nothing is lost or delivered twice."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mqguard.engine.store_clock import FALL_SLACK_MS
from mqguard.model.topic import TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message, read

MAX_DELAY_MS = 3 * 3_600_000
LEVELS_MS = {1: 1_000, 5: 60_000}
KINDS = st.sampled_from(["TIMER_DELAY_MS", "TIMER_DELIVER_MS", "level"])


class Timers(RuleBasedStateMachine):
    """The model: what was acknowledged, and what was recalled before it was delivered."""

    def __init__(self):
        super().__init__()
        self.store, self.clock = MemoryMessageStore(), ManualClock()
        self.sent = {}
        self.staged = {}
        self.recalls = set()
        self.recalled = set()
        self.delivered = Counter()
        self.number = 0

    @initialize()
    def start(self):
        self.engine = make_engine(self.store, self.clock, timer_max_seconds=MAX_DELAY_MS // 1000)
        self.engine.topics.put(TopicConfig("orders", 1, 1))
        self.engine.group_commit.commit()

    @rule(kind=KINDS, ms=st.integers(1, MAX_DELAY_MS), level=st.sampled_from(list(LEVELS_MS)), later=st.booleans())
    def send(self, kind, ms, level, later):
        unique_id = f"U{self.number}"
        self.number += 1
        pairs = {"UNIQ_KEY": unique_id}
        if kind == "level":
            pairs["DELAY"] = str(level)
        else:
            # Delays are short, so that one which begins again after a jump of an hour ends soon.
            ms = ms if kind == "TIMER_DELIVER_MS" else 1 + ms % 60_000
            pairs[kind] = str(ms + (self.clock.now if kind == "TIMER_DELIVER_MS" else 0))
        due = self.engine.send(message(unique_id.encode(), pairs=pairs)).due
        self.staged[unique_id] = (due, kind, LEVELS_MS[level] if kind == "level" else ms)
        if not later:
            self.commit()

    @rule(data=st.data())
    def recall(self, data):
        waiting = sorted(one for one, (due, *_) in self.sent.items() if due and not self.delivered[one])
        if waiting:
            unique_id = data.draw(st.sampled_from(waiting))
            if self.engine.recall("orders", unique_id, self.sent[unique_id][0]):
                self.recalls.add(unique_id)

    @rule()
    def tick(self):
        self.engine.tick()

    @rule(ms=st.integers(1, 120_000) | st.integers(1, MAX_DELAY_MS))
    def let_time_pass(self, ms):
        self.clock.now += ms

    @rule(ms=st.sampled_from([3_600_000, -3_600_000, -20_000, -5_000]))
    def jump(self, ms):
        self.clock.jump(ms)

    @rule()
    def commit(self):
        assert self.engine.group_commit.commit()
        self.sent.update(self.staged)
        self.note()
        # A recall in the iteration of the delivery comes before it or after it; the store says which.
        self.recalled |= {one for one in self.recalls if not self.delivered[one]}
        self.forget()

    @rule()
    def fail(self):
        self.store.failure = "broken"
        self.engine.group_commit.commit()
        self.store.failure = None
        self.forget()
        # The next look at the store finds it sound.
        self.clock.now += 1_000
        self.engine.tick()

    @rule()
    def crash(self):
        self.store.discard()
        self.forget()
        self.start()

    def forget(self):
        self.staged.clear()
        self.recalls.clear()

    def note(self):
        self.delivered = Counter(one.body.decode() for one in self.all_delivered())

    def all_delivered(self):
        found = []
        while batch := read(self.engine, offset=len(found)):
            found += batch
        return found

    @invariant()
    def nothing_is_delivered_twice_or_after_its_recall(self):
        if hasattr(self, "engine"):
            self.note()
            assert all(count == 1 for count in self.delivered.values())
            assert not self.recalled & self.delivered.keys()
            assert self.delivered.keys() <= self.sent.keys()

    def teardown(self):
        """Let all dates of clocks that were right come: all messages are delivered then."""
        if not hasattr(self, "engine"):
            return
        self.crash()
        self.turn(3)
        span = max((ms for _, kind, ms in self.sent.values() if kind != "TIMER_DELIVER_MS"), default=0)
        self.clock.now += span + FALL_SLACK_MS
        self.turn(6)
        waited = {one for one, (_, kind, _) in self.sent.items() if kind != "TIMER_DELIVER_MS"}
        assert waited == (self.delivered.keys() | self.recalled) & waited
        self.clock.now = max([self.clock.now, *(due for due, *_ in self.sent.values())]) + FALL_SLACK_MS
        self.turn(6)
        assert self.sent.keys() == self.delivered.keys() | self.recalled
        assert all(count == 1 for count in self.delivered.values())

    def turn(self, times):
        for _ in range(times):
            self.clock.now += 50
            self.engine.tick()
            assert self.engine.group_commit.commit()
        self.note()


TestTimers = Timers.TestCase
TestTimers.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
