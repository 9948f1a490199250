"""Transactions under any interleaving of sends, ends, checks, clocks, failures and restarts, against a simple model."""

from collections import Counter
from types import SimpleNamespace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from mqguard.engine.clients import Clients
from mqguard.engine.errors import EngineError, LimitReached
from mqguard.engine.group_members import ConnectedClient
from mqguard.engine.transaction_checks import TransactionChecks
from mqguard.model.peer import Channel, Peer
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.ports import Table
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import end_of, make_engine, message, pairs_of, read

MAX_CHECKS, MAX_PENDING = 3, 12
INTERVAL_MS, TIMEOUT_MS = 1_000, 500


class TransactionMachine(RuleBasedStateMachine):
    """The model: each body is open, delivered, rolled back or discarded, and the broker must agree after each commit."""

    pending = Bundle("pending")

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.store = MemoryMessageStore()
        self.count = 0
        self.open = {}
        self.delivered = set()
        self.discarded = set()
        self.staged = []
        self.asked = Counter()
        self.numbers = Counter()
        self.begin()

    def begin(self):
        self.engine = make_engine(
            self.store,
            self.clock,
            transaction_timeout_ms=TIMEOUT_MS,
            transaction_check_interval_ms=INTERVAL_MS,
            transaction_check_max=MAX_CHECKS,
            max_pending_transactions=MAX_PENDING,
        )
        self.clients = Clients()
        self.checks = TransactionChecks(
            self.engine.transactions, self.engine.discarded, self.clients, self.note, self.clock
        )
        self.members = []

    def note(self, channel, pending, half):
        """Check that a check goes to a member, and concerns an open transaction."""
        assert channel in {member.peer.channel for member in self.members}
        assert half.body in self.open
        self.asked[half.body] += 1
        # A producer gets each number after the one before it; a crash may let a number come again.
        number = int(pairs_of(half)["TRANSACTION_CHECK_TIMES"])
        assert number <= self.numbers[half.body] + 1
        self.numbers[half.body] = max(self.numbers[half.body], number)

    def commit(self):
        """Commit what is staged, and bring the model up to date with it."""
        succeeded = self.engine.group_commit.commit()
        if succeeded:
            for step in self.staged:
                step()
        self.staged.clear()

    @rule(target=pending, delay=st.sampled_from([{}, {"DELAY": "1"}, {"CHECK_IMMUNITY_TIME_IN_SECONDS": "2"}]))
    def send_half(self, delay):
        body = b"%d" % self.count
        self.count += 1
        origin = SimpleNamespace(owner=f"user{self.count % 3}", peer=SimpleNamespace(channel=None))
        request = message(body, pairs={"TRAN_MSG": "true", "PGROUP": "g", **delay})
        try:
            sent = self.engine.send(request, origin)
        except LimitReached:
            assert len(self.open) + len(self.staged) >= MAX_PENDING // 3
            return None
        except EngineError:
            return None
        self.staged.append(lambda: self.open.__setitem__(body, offset))
        offset = int(sent.message_id[-16:], 16)
        return body, offset

    @rule(which=pending, is_commit=st.booleans(), from_check=st.booleans())
    def end(self, which, is_commit, from_check):
        """End a transaction; it may have ended already, or its half message may never have been stored."""
        if which is None:
            return
        body, offset = which
        found = self.engine.transactions.find(offset)
        if found is None:
            return
        if self.open.get(body) != offset:
            return  # the half message was never acknowledged, and another one has its number now
        end = end_of(found, from_check=from_check)
        try:
            if is_commit:
                self.engine.commit_transaction(found, end)
            else:
                self.engine.roll_back_transaction(found, end)
        except EngineError:
            return
        self.checks.answered(found)
        self.staged.append(lambda: self.ended(body, is_commit=is_commit))

    def ended(self, body, *, is_commit):
        del self.open[body]
        if is_commit:
            self.delivered.add(body)

    @rule(which=pending)
    def claim_wrongly(self, which):
        found = None if which is None else self.engine.transactions.find(which[1])
        if found is None:
            return
        for changes in ({"group": "others"}, {"queue_offset": found.number + 1}):
            try:
                self.engine.commit_transaction(found, end_of(found, **changes))
            except EngineError:
                continue
            raise AssertionError("a request with wrong claims was accepted")

    @rule()
    def end_iteration(self):
        self.commit()

    @rule(ms=st.sampled_from([50, 600, 1_000, 5_000]))
    def let_time_pass(self, ms):
        self.commit()
        self.clock.now += ms
        before = set(self.bodies_of("TRANS_CHECK_MAX_TIME_TOPIC"))
        self.checks.tick()
        self.engine.tick()
        self.engine.group_commit.commit()
        for body in set(self.bodies_of("TRANS_CHECK_MAX_TIME_TOPIC")) - before:
            self.open.pop(body)
            self.discarded.add(body)

    @rule(span=st.sampled_from([-7_200_000, 7_200_000]))
    def set_the_date(self, span):
        self.clock.jump(span)

    @rule()
    def connect(self):
        peer = Peer("10.0.0.1", 1, Channel())
        client = ConnectedClient(f"c{len(self.members)}", peer, 0, 513)
        self.members.append(client)
        self.clients.produce(client, "g", self.clock.monotonic_ms())

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def disconnect(self, data):
        client = self.members.pop(data.draw(st.integers(0, len(self.members) - 1)))
        self.clients.leave(client.peer.channel)
        self.checks.leave(client.peer.channel)

    @rule()
    def crash(self):
        """Lose what is staged, and start again on what is stored."""
        self.staged.clear()
        self.store.discard()
        self.begin()

    @rule()
    def fail_a_commit(self):
        self.store.failure = "the disk is full"
        self.commit()
        self.store.failure = None
        self.clock.now += 1_000
        self.engine.tick()
        self.engine.group_commit.commit()

    @rule(which=consumes(pending))
    def forget(self, which):
        """Never end a transaction."""

    def bodies_of(self, topic):
        found, offset = [], 0
        while self.engine.topics.get(topic) is not None:
            records = read(self.engine, topic, offset=offset)
            if not records:
                break
            found += [one.body for one in records]
            offset = records[-1].queue_offset + 1
        return found

    @invariant()
    def nothing_is_delivered_twice_or_by_itself(self):
        counts = Counter(self.bodies_of("orders"))
        assert all(count == 1 for count in counts.values())
        assert set(counts) <= self.delivered
        assert Counter(self.bodies_of("TRANS_CHECK_MAX_TIME_TOPIC")) == Counter(self.discarded)

    @invariant()
    def the_tables_have_the_open_transactions_and_nothing_else(self):
        for table in (Table.TRANSACTIONS, Table.HALF_MESSAGES):
            assert len(self.store.values(table)) == len(self.open)
        assert len(self.store.values(Table.DISCARDED_TRANSACTIONS)) == len(self.discarded)

    def teardown(self):
        """End everything: what is left was committed once its delay is over, or is discarded after its checks."""
        self.commit()
        self.connect()
        for _ in range(3 * (MAX_CHECKS + 2)):
            self.let_time_pass(5_000)
        assert set(self.bodies_of("orders")) == self.delivered
        assert self.open == {}
        assert len(self.engine.transactions) == self.engine.transactions.bytes == 0
        assert len(self.checks) == 0


TestTransactions = TransactionMachine.TestCase
TestTransactions.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
