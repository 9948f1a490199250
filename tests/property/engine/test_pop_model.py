"""Pop compared with a simple model of it: two groups without order, one in order, failed commits and restarts."""

import copy
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqguard.engine.pop_request import PopRequest
from mqguard.model import record
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message, read

QUEUES = 2
MAX_RETRIES = 2
GROUPS = ("a", "a_b")
ORDERED = "in-order"
outcomes = st.sampled_from(["commit", "commit", "commit", "fail", "crash"])
counts = st.integers(1, 5)
invisible = st.sampled_from([1, 40, 500, 20_000])


class Hiding:
    """Span for which a message is hidden; it is a monotonic time, and a date across a restart."""

    def __init__(self, clock, ms):
        self.ms = ms
        self.end = clock.monotonic_ms() + ms
        self.date = clock.now_ms() + ms

    def restart(self, clock):
        """Count from the date, but never for longer than was asked."""
        self.end = clock.monotonic_ms() + max(0, min(self.ms, self.date - clock.now_ms()))

    def is_over(self, now):
        return self.end <= now


class GroupModel:
    """State of a group without order: every message is in one of four places.

    Attributes:
        waiting: Attempts of messages that a pop may return, by body.
        flight: Body, attempts, hiding and whether the delivery counts, by handle.
        done: Acknowledged bodies.
        dead: Bodies in the dead-letter topic, in order.
    """

    def __init__(self):
        self.waiting = {}
        self.flight = {}
        self.done = set()
        self.dead = []

    def expire(self, now):
        for handle, (body, attempts, hiding, counts_as_attempt) in list(self.flight.items()):
            if not hiding.is_over(now):
                continue
            del self.flight[handle]
            if counts_as_attempt and attempts >= MAX_RETRIES:
                self.dead.append(body)
            else:
                self.waiting[body] = attempts + counts_as_attempt


class QueueModel:
    """State of one queue for the group in order.

    Attributes:
        bodies: All messages of the queue.
        position: Offset of the next message.
        flight: Attempts, hiding, pop time and whether the delivery counts, by offset.
        acked: Offsets in flight that are acknowledged, and an earlier one is not.
        attempt: Identifier of the last pop.
    """

    def __init__(self):
        self.bodies = []
        self.position = 0
        self.flight = {}
        self.acked = set()
        self.attempt = ""

    def is_blocked(self, attempt, now):
        if attempt and attempt == self.attempt and self.flight:
            return False
        return not all(offset in self.acked or hiding.is_over(now) for offset, (_, hiding, _, _) in self.flight.items())

    def acknowledge(self, offset, pop_time):
        """Acknowledge a message, and end those that no earlier one holds back; return False if the handle is old."""
        if not self.is_valid(offset, pop_time):
            return False
        self.acked.add(offset)
        for first in sorted(self.flight):
            if first not in self.acked:
                break
            self.acked.remove(first)
            del self.flight[first]
        return True

    def is_valid(self, offset, pop_time):
        return offset in self.flight and self.flight[offset][2] == pop_time and offset not in self.acked

    def expected(self, attempt, limit):
        """Return the offsets and attempts of the next batch, and whether it repeats the last pop."""
        same = bool(attempt) and attempt == self.attempt
        again = [
            (offset, attempts if same or not counts_as_attempt else attempts + 1)
            for offset, (attempts, _, _, counts_as_attempt) in sorted(self.flight.items())
        ]
        if len(again) > limit:
            return again[:limit]
        fresh = range(self.position, min(len(self.bodies), self.position + limit - len(again)))
        return again + [(offset, 0) for offset in fresh]


class PopMachine(RuleBasedStateMachine):
    """Send, pop, acknowledge, change, wait, fail and crash: every answer is one that the model allows."""

    kind = "memory"

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.directory = Path(tempfile.mkdtemp())
        self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        self.groups = {name: GroupModel() for name in GROUPS}
        self.queues = [QueueModel() for _ in range(QUEUES)]
        self.made = 0
        self.handles = {name: [] for name in (*GROUPS, ORDERED)}

    def open(self):
        return MemoryMessageStore() if self.kind == "memory" else RocksMessageStore(self.directory / "messages")

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.directory)

    @initialize()
    def create(self):
        self.engine.topics.put(TopicConfig("orders", QUEUES, QUEUES))
        for name in (*GROUPS, ORDERED):
            self.engine.groups.put(SubscriptionGroupConfig(name, retry_max_times=MAX_RETRIES))
        assert self.engine.group_commit.commit()

    def before(self):
        self.clock.now += 1
        return copy.deepcopy((self.groups, self.queues))

    def finish(self, outcome, before):
        """Commit the operation, or make its commit fail, or end the process before it; return True if it is stored."""
        if outcome == "commit":
            assert self.engine.group_commit.commit()
            return True
        self.groups, self.queues = before
        if outcome == "crash":
            self.restart()
            return False
        changed = self.store.pending
        self.store.failure = "pulled out"
        assert self.engine.group_commit.commit() != changed
        self.store.failure = None
        # The next check of the store lets messages in again.
        self.pass_time(1000)
        return False

    def pass_time(self, ms):
        """Move the clock, and have expired messages copied."""
        self.clock.now += ms
        self.engine.tick()
        assert self.engine.group_commit.commit()
        for group in self.groups.values():
            group.expire(self.clock.monotonic_ms())

    def restart(self):
        self.store.discard()
        if self.kind != "memory":
            self.store.close()
            self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        for one in (*self.groups.values(), *self.queues):
            for fields in one.flight.values():
                next(part for part in fields if isinstance(part, Hiding)).restart(self.clock)

    @rule(queue_id=st.integers(0, QUEUES - 1), outcome=outcomes)
    def send(self, queue_id, outcome):
        before = self.before()
        body = b"%d" % self.made
        self.made += 1
        self.engine.send(message(body, queue_id=queue_id))
        self.queues[queue_id].bodies.append(body)
        for group in self.groups.values():
            group.waiting[body] = 0
        self.finish(outcome, before)

    @rule(name=st.sampled_from(GROUPS), limit=counts, hidden=invisible, outcome=outcomes)
    def pop(self, name, limit, hidden, outcome):
        before = self.before()
        group = self.groups[name]
        found = self.engine.pop.pop(
            PopRequest(group=name, topic="orders", invisible_ms=hidden, max_messages=limit, owner="u")
        )
        popped = [(batch, one) for batch in found.batches for one in batch.messages]
        assert len(popped) == min(limit, len(group.waiting))
        assert found.rest == len(group.waiting) - len(popped)
        handles = []
        for batch, one in popped:
            decoded = record.decode(one.record)
            assert decoded.queue_offset == one.offset
            assert decoded.reconsume_times == group.waiting.pop(decoded.body)
            handle = (batch.topic, batch.queue_id, one.offset, found.pop_time)
            group.flight[handle] = (decoded.body, decoded.reconsume_times, Hiding(self.clock, hidden), True)
            handles.append(handle)
        if self.finish(outcome, before):
            self.handles[name] += handles

    @rule(limit=counts, hidden=invisible, attempt=st.sampled_from(["", "x", "y"]), outcome=outcomes)
    def pop_in_order(self, limit, hidden, attempt, outcome):
        before = self.before()
        now = self.clock.monotonic_ms()
        open_queues = {
            number: queue.expected(attempt, limit)
            for number, queue in enumerate(self.queues)
            if not queue.is_blocked(attempt, now)
        }
        found = self.engine.pop.pop(
            PopRequest(
                group=ORDERED,
                topic="orders",
                invisible_ms=hidden,
                max_messages=limit,
                in_order=True,
                attempt_id=attempt,
                owner="u",
            )
        )
        total = 0
        handles = []
        for batch in found.batches:
            queue = self.queues[batch.queue_id]
            got = [(one.offset, one.attempts) for one in batch.messages]
            assert got == open_queues[batch.queue_id][: len(got)]
            total += len(got)
            for offset, attempts in got:
                assert record.decode(batch.messages[0].record).topic == "orders"
                queue.flight[offset] = (attempts, Hiding(self.clock, hidden), found.pop_time, True)
                queue.position = max(queue.position, offset + 1)
                handles.append(("orders", batch.queue_id, offset, found.pop_time))
            queue.attempt = attempt
            for offset in queue.acked - {offset for offset, _ in got}:
                attempts, _, pop_time, counts = queue.flight[offset]
                queue.flight[offset] = (attempts, Hiding(self.clock, 0), pop_time, counts)
            queue.acked = set()
        assert total == min(limit, sum(map(len, open_queues.values())))
        if self.finish(outcome, before):
            self.handles[ORDERED] += handles

    @rule(name=st.sampled_from(GROUPS), data=st.data(), outcome=outcomes)
    @precondition(lambda self: any(self.handles[name] for name in GROUPS))
    def ack(self, name, data, outcome):
        """Acknowledge with any handle that a group ever got, perhaps one of the other group."""
        handle = self.any_handle(data, GROUPS)
        before = self.before()
        group = self.groups[name]
        valid = group.flight.pop(handle, None)
        assert self.engine.pop.ack(name, *handle) == (valid is not None)
        if valid is not None:
            group.done.add(valid[0])
        self.finish(outcome, before)

    @rule(name=st.sampled_from(GROUPS), data=st.data(), hidden=st.sampled_from([0, 40, 5000]), outcome=outcomes)
    @precondition(lambda self: any(self.handles[name] for name in GROUPS))
    def change(self, name, data, hidden, outcome):
        handle = self.any_handle(data, GROUPS)
        suspend = data.draw(st.booleans())
        before = self.before()
        group = self.groups[name]
        valid = group.flight.pop(handle, None)
        changed = self.engine.pop.change_invisible(name, *handle, hidden, is_suspended=suspend)
        assert (changed is not None) == (valid is not None)
        renewed = []
        if changed is not None:
            assert changed.pop_time != handle[3]
            renewed = [(*handle[:3], changed.pop_time)]
            group.flight[renewed[0]] = (valid[0], valid[1], Hiding(self.clock, hidden), not suspend)
        if self.finish(outcome, before):
            self.handles[name] += renewed

    @rule(data=st.data(), outcome=outcomes)
    @precondition(lambda self: self.handles[ORDERED])
    def ack_in_order(self, data, outcome):
        handle = self.any_handle(data, (ORDERED,))
        before = self.before()
        _, queue_id, offset, pop_time = handle
        assert self.engine.pop.ack(ORDERED, *handle) == self.queues[queue_id].acknowledge(offset, pop_time)
        self.finish(outcome, before)

    @rule(data=st.data(), hidden=st.sampled_from([0, 40, 5000]), outcome=outcomes)
    @precondition(lambda self: self.handles[ORDERED])
    def change_in_order(self, data, hidden, outcome):
        handle = self.any_handle(data, (ORDERED,))
        suspend = data.draw(st.booleans())
        before = self.before()
        _, queue_id, offset, pop_time = handle
        flight = self.queues[queue_id].flight
        changed = self.engine.pop.change_invisible(ORDERED, *handle, hidden, is_suspended=suspend)
        if self.queues[queue_id].is_valid(offset, pop_time):
            assert changed.pop_time == pop_time
            flight[offset] = (flight[offset][0], Hiding(self.clock, hidden), pop_time, not suspend)
        else:
            assert changed is None
        self.finish(outcome, before)

    @rule(ms=st.sampled_from([1, 50, 600, 30_000]), outcome=outcomes)
    def wait(self, ms, outcome):
        before = self.before()
        self.clock.now += ms
        self.engine.tick()
        for group in self.groups.values():
            group.expire(self.clock.monotonic_ms())
        self.finish(outcome, before)
        if outcome != "commit":
            # The expired messages are found again.
            self.pass_time(0)

    @rule(span=st.sampled_from([-3_600_000, -5, 3_600_000]))
    def set_the_date(self, span):
        """Set the date of the machine; all times of the model are monotonic."""
        self.clock.jump(span)

    @rule()
    def crash(self):
        self.restart()

    def any_handle(self, data, names):
        return data.draw(st.sampled_from([handle for name in names for handle in self.handles[name]]))

    @invariant()
    def dead_letters_are_those_that_failed_too_often(self):
        for name, group in self.groups.items():
            dead = [] if self.engine.topics.get(f"%DLQ%{name}") is None else read(self.engine, f"%DLQ%{name}")
            assert sorted(one.body for one in dead) == sorted(group.dead)

    @invariant()
    def no_message_is_lost_or_doubled(self):
        sent = sorted(body for queue in self.queues for body in queue.bodies)
        for group in self.groups.values():
            flying = [body for body, *_ in group.flight.values()]
            assert sorted([*group.waiting, *flying, *group.done, *group.dead]) == sent

    @invariant()
    def the_committed_offset_is_that_of_the_first_open_message(self):
        for name in GROUPS:
            for queue_id in range(QUEUES):
                flying = [h[2] for h in self.groups[name].flight if h[:2] == ("orders", queue_id)]
                committed = self.engine.offsets.get(name, "orders", queue_id)
                if flying:
                    assert committed == min(flying)
        for queue_id, queue in enumerate(self.queues):
            committed = self.engine.offsets.get(ORDERED, "orders", queue_id) or 0
            assert committed == min(queue.flight, default=queue.position)

    @invariant()
    def messages_in_flight_are_counted(self):
        ordered = sum(len(queue.flight) for queue in self.queues)
        assert self.engine.pop.in_flight_count == ordered + sum(len(group.flight) for group in self.groups.values())


class RocksPopMachine(PopMachine):
    """The same on RocksDB."""

    kind = "rocksdb"


TestPop = PopMachine.TestCase
TestPop.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestRocksPop = RocksPopMachine.TestCase
TestRocksPop.settings = settings(max_examples=5, stateful_step_count=40, deadline=None)
