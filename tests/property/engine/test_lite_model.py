"""Lite topics compared with a simple model of them: clients of two groups, failed commits and restarts."""

import copy
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mqguard.engine.lite_pop import LitePopRequest
from mqguard.model import record
from mqguard.model.names import lite_queue
from mqguard.model.peer import Channel
from mqguard.model.topic import LiteSettings, SubscriptionGroupConfig, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message, read

LITES = ("a", "b", "c")
CLIENTS = {"x": "shared", "y": "shared", "z": "wild"}
GROUPS = {"shared": LiteSettings("p"), "wild": LiteSettings("p", is_wildcard=True)}
outcomes = st.sampled_from(["commit"] * 8 + ["fail", "crash"])
lites = st.sampled_from(LITES)


class Flight:
    """A delivery: attempts, pop time and the span for which it is hidden, a date across a restart."""

    def __init__(self, clock, attempts, pop_time, ms, counts=True):
        self.attempts, self.pop_time, self.ms, self.counts = attempts, pop_time, ms, counts
        self.end, self.date = clock.monotonic_ms() + ms, clock.now_ms() + ms

    def restart(self, clock):
        self.end = clock.monotonic_ms() + max(0, min(self.ms, self.date - clock.now_ms()))


class Progress:
    """State of one lite topic for one group."""

    def __init__(self):
        self.position = 0
        self.flight = {}
        self.acked = set()
        self.attempt = ""

    def is_blocked(self, attempt, now):
        if attempt and attempt == self.attempt and self.flight:
            return False
        return any(one.end > now for offset, one in self.flight.items() if offset not in self.acked)

    def is_valid(self, offset, pop_time):
        return offset in self.flight and self.flight[offset].pop_time == pop_time and offset not in self.acked

    def acknowledge(self, offset):
        """Acknowledge a message, and end those that no earlier one holds back."""
        self.acked.add(offset)
        for first in sorted(self.flight):
            if first not in self.acked:
                break
            self.acked.remove(first)
            del self.flight[first]

    def expected(self, stored, attempt, limit):
        same = bool(attempt) and attempt == self.attempt
        again = [
            (offset, one.attempts if same or not one.counts else one.attempts + 1)
            for offset, one in sorted(self.flight.items())
        ]
        fresh = range(self.position, min(stored, self.position + max(0, limit - len(again))))
        return (again + [(offset, 0) for offset in fresh])[:limit]


class LiteMachine(RuleBasedStateMachine):
    """Send, subscribe, pop, acknowledge, wait, fail and crash: every pop finds all that the model has, in order."""

    kind = "memory"

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.directory = Path(tempfile.mkdtemp())
        self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        self.stored = {lite: [] for lite in LITES}
        self.progress = {(group, lite): Progress() for group in GROUPS for lite in LITES}
        self.subscribed = {"x": {"a", "b"}, "y": {"b", "c"}, "z": set()}
        self.attempts = {}
        self.handles = []
        self.made = 0

    def open(self):
        return MemoryMessageStore() if self.kind == "memory" else RocksMessageStore(self.directory / "messages")

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.directory)

    @initialize()
    def create(self):
        self.engine.topics.put(TopicConfig("p", 1, 1, attributes={"message.type": "LITE"}))
        for group, one in GROUPS.items():
            attributes = {"lite.bind.topic": "p", "lite.sub.wildcard": "true" if one.is_wildcard else "false"}
            self.engine.groups.put(SubscriptionGroupConfig(group, attributes=attributes))
        assert self.engine.group_commit.commit()
        self.resubscribe()

    def resubscribe(self):
        """Send all lite topics of the clients again, as they do every 30 s."""
        for client, group in CLIENTS.items():
            known = self.client(client)
            if GROUPS[group].is_wildcard:
                self.engine.lite_pop.subscriptions.add_all(known)
            else:
                names = [lite_queue("p", lite) for lite in sorted(self.subscribed[client])]
                self.engine.lite_pop.subscriptions.add(known, names)
        self.engine.tick()
        assert self.engine.group_commit.commit()

    def client(self, client):
        subscriptions, group = self.engine.lite_pop.subscriptions, CLIENTS[client]
        subscriptions.check("u", client, group, GROUPS[group], self.subscribed[client], is_part=False)
        return subscriptions.open("u", client, group, "p", Channel(client), self.clock.monotonic_ms(), 0)

    def before(self):
        self.clock.now += 1
        return copy.deepcopy((self.stored, self.progress))

    def finish(self, outcome, before):
        if outcome == "commit":
            assert self.engine.group_commit.commit()
            return True
        self.stored, self.progress = before
        if outcome == "crash":
            self.restart()
            return False
        changed = self.store.pending
        self.store.failure = "pulled out"
        assert self.engine.group_commit.commit() != changed
        self.store.failure = None
        self.pass_time(1000)
        return False

    @rule(ms=st.sampled_from([40, 500, 30_000]))
    def pass_time(self, ms):
        self.clock.now += ms
        self.resubscribe()

    def restart(self):
        self.store.discard()
        if self.kind != "memory":
            self.store.close()
            self.store = self.open()
        self.engine = make_engine(self.store, self.clock)
        for one in self.progress.values():
            for flight in one.flight.values():
                flight.restart(self.clock)
        self.attempts.clear()
        self.resubscribe()

    @rule(lite=lites, outcome=outcomes)
    def send(self, lite, outcome):
        before = self.before()
        body = b"%d" % self.made
        self.made += 1
        self.engine.send(message(body, "p", {"__LITE_TOPIC": lite}))
        self.stored[lite].append(body)
        self.finish(outcome, before)

    @rule(client=st.sampled_from(["x", "y"]), lite=lites)
    def subscribe_or_unsubscribe(self, client, lite):
        subscriptions, name = self.engine.lite_pop.subscriptions, lite_queue("p", lite)
        known = self.client(client)
        (subscriptions.remove if lite in self.subscribed[client] else subscriptions.add)(known, [name])
        self.subscribed[client] ^= {lite}

    @rule(client=st.sampled_from(["x", "y"]))
    def leave_and_return(self, client):
        self.engine.lite_pop.subscriptions.close(self.client(client))
        self.attempts.pop(client, None)
        self.resubscribe()

    @rule(
        client=st.sampled_from(sorted(CLIENTS)),
        limit=st.integers(1, 5),
        hidden=st.sampled_from([1, 40, 500, 20_000]),
        attempt=st.sampled_from(["", "1", "2"]),
        outcome=outcomes,
    )
    def pop(self, client, limit, hidden, attempt, outcome):
        self.pass_time(0)
        before = self.before()
        group, now = CLIENTS[client], self.clock.monotonic_ms()
        attempt = attempt and f"{client}-{attempt}"
        last, again = self.attempts.get(client, ("", set()))
        repeated = again if attempt and attempt == last else set()
        mine = set(LITES) if GROUPS[group].is_wildcard else self.subscribed[client]
        expected, possible = {}, {}
        for lite in mine | repeated:
            one = self.progress[group, lite]
            # A new message makes a lite topic ready again, and the attempt may be one of before the client left.
            if lite in mine and attempt and one.attempt == attempt:
                possible[lite] = one.expected(len(self.stored[lite]), attempt, limit)
            # Time has passed since the last search for visible messages, so one millisecond is left out.
            is_ready = lite in mine and not one.is_blocked("", now - 1)
            if is_ready or (lite in repeated and not one.is_blocked(attempt, now)):
                expected[lite] = possible[lite] = one.expected(len(self.stored[lite]), attempt, limit)
        found = self.engine.lite_pop.pop(
            LitePopRequest(
                group=group,
                parent="p",
                client_id=client,
                invisible_ms=hidden,
                max_messages=limit,
                attempt_id=attempt,
                owner="u",
            )
        )
        got = {}
        for one in found.messages:
            decoded = record.decode(one.record)
            lite = decoded.properties.decode().partition("__LITE_TOPIC\x01")[2].partition("\x02")[0]
            assert decoded.body == self.stored[lite][one.offset]
            got.setdefault(lite, []).append((one.offset, one.attempts))
        for lite, messages in got.items():
            assert messages == possible[lite][: len(messages)]
        least, most = (min(limit, sum(map(len, lites.values()))) for lites in (expected, possible))
        assert least <= len(found.messages) <= most
        handles = []
        for lite, messages in got.items():
            one = self.progress[group, lite]
            for offset, attempts in messages:
                one.flight[offset] = Flight(self.clock, attempts, found.pop_time, hidden)
                one.position = max(one.position, offset + 1)
                handles.append((group, lite, offset, found.pop_time))
            one.attempt = attempt
            for offset in one.acked - {offset for offset, _ in messages}:
                one.flight[offset].end, one.flight[offset].date = self.clock.monotonic_ms(), self.clock.now_ms()
            one.acked = set()
        self.attempts[client] = (attempt, repeated | set(got) if attempt else set())
        if self.finish(outcome, before):
            self.handles += handles

    @rule(data=st.data(), outcome=outcomes)
    @precondition(lambda self: self.handles)
    def ack(self, data, outcome):
        group, lite, offset, pop_time = data.draw(st.sampled_from(self.handles[-3:]))
        before = self.before()
        one = self.progress[group, lite]
        is_valid = one.is_valid(offset, pop_time)
        assert self.engine.pop.ack(group, lite_queue("p", lite), 0, offset, pop_time) == is_valid
        if is_valid:
            one.acknowledge(offset)
        self.finish(outcome, before)

    @rule(data=st.data(), hidden=st.sampled_from([0, 40, 5000]), suspended=st.booleans(), outcome=outcomes)
    @precondition(lambda self: self.handles)
    def change(self, data, hidden, suspended, outcome):
        group, lite, offset, pop_time = data.draw(st.sampled_from(self.handles[-3:]))
        before = self.before()
        one = self.progress[group, lite]
        is_valid = one.is_valid(offset, pop_time)
        changed = self.engine.pop.change_invisible(
            group, lite_queue("p", lite), 0, offset, pop_time, hidden, is_suspended=suspended
        )
        assert (changed is not None) == is_valid
        if is_valid:
            attempts = one.flight[offset].attempts
            one.flight[offset] = Flight(self.clock, attempts, pop_time, hidden, counts=not suspended)
        self.finish(outcome, before)

    @invariant()
    def the_parent_has_every_message_once(self):
        if self.made:
            found = sorted(int(one.body) for one in read(self.engine, "p") if one)
            assert found == sorted(int(body) for bodies in self.stored.values() for body in bodies)[:32]


TestLiteInMemory = LiteMachine.TestCase
TestLiteInMemory.settings = settings(stateful_step_count=40, deadline=None)


class OnDisk(LiteMachine):
    kind = "rocksdb"


TestLiteOnDisk = OnDisk.TestCase
TestLiteOnDisk.settings = settings(stateful_step_count=25, max_examples=15, deadline=None)
