"""Checks of transactions: when they are due, and which connection gets them."""

import pytest

from mqguard.engine import transaction_checks
from mqguard.engine.clients import Clients
from mqguard.engine.errors import StoreDown
from mqguard.engine.group_members import ConnectedClient
from mqguard.engine.transaction_checks import TransactionChecks
from mqguard.model.peer import Channel, Peer
from mqguard.store.errors import StoreFailed
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.ports import Table
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import end_of, make_engine, pairs_of, read, send_half


class Rights:
    """Permissions that a test can take away."""

    def __init__(self, topics, *, slow=False):
        self.topics = topics
        self.slow = slow
        self.decisions = 0

    def allows(self, group, topics, *, otherwise):
        raise AssertionError("a producer does not consume")

    def allows_publishing(self, topic, *, otherwise):
        self.decisions += 1
        return otherwise if self.slow else topic in self.topics


class CheckedProducer:
    """Origin of half messages, with a connection that may be a member of a group."""

    def __init__(self, owner="alice", topics=("orders",), **rights):
        self.owner = owner
        self.rights = Rights(topics, **rights)
        self.peer = Peer("10.0.0.1", 5000, Channel())
        self.client = ConnectedClient(f"{owner}@1", self.peer, 0, 513, owner, self.rights)

    @property
    def channel(self):
        return self.peer.channel


class CheckWorld:
    """Transactions with producers, and a record of the checks that were sent."""

    def __init__(self, **settings):
        self.clock = ManualClock()
        self.store = MemoryMessageStore()
        self.engine = make_engine(self.store, self.clock, **settings)
        self.transactions = self.engine.transactions
        self.clients = Clients()
        self.sent = []
        self.checks = self.new_checks()

    def new_checks(self):
        return TransactionChecks(self.transactions, self.engine.discarded, self.clients, self.note, self.clock)

    def note(self, channel, pending, message):
        self.sent.append((channel, pending, message))

    def join(self, *senders, group="producers"):
        for sender in senders:
            self.clients.produce(sender.client, group, self.clock.now)
        return senders[0]

    def leave(self, sender):
        self.clients.leave(sender.channel)
        self.checks.leave(sender.channel)

    def half(self, sender=None, **more):
        return send_half(self.engine, origin=sender or CheckedProducer(), **more)

    def tick(self, ms=0):
        self.clock.now += ms
        self.checks.tick()
        self.engine.group_commit.commit()

    def restart(self):
        self.engine = make_engine(self.store, self.clock)
        self.transactions = self.engine.transactions
        self.clients = Clients()
        self.checks = self.new_checks()

    def asked(self):
        """Return the channels of the checks that were sent since the last call."""
        sent, self.sent = self.sent, []
        return [channel for channel, _, _ in sent]


@pytest.fixture
def world():
    return CheckWorld()


def test_checks_follow_the_intervals_and_end_with_the_maximum(world):
    alice = world.join(CheckedProducer())
    pending = world.half(alice, body=b"lost")
    world.tick(5_999)
    assert world.asked() == []
    for number in range(1, 16):
        world.tick(1 if number == 1 else 30_000)
        (_, _, message) = world.sent[-1]
        assert pairs_of(message)["TRANSACTION_CHECK_TIMES"] == str(number)
        assert (message.topic, message.queue_id, message.body) == ("orders", 0, b"lost")
        assert world.asked() == [alice.channel]
        world.tick(29_999)
        assert world.asked() == []
        world.clock.now -= 29_999
    assert world.transactions.find(pending.offset) is pending
    world.tick(30_000)
    assert world.asked() == []
    assert world.transactions.find(pending.offset) is None
    assert [one.body for one in read(world.engine, "TRANS_CHECK_MAX_TIME_TOPIC")] == [b"lost"]
    assert len(world.checks) == 0


@pytest.mark.parametrize(("text", "first"), [("20", 20_000), ("0", 0), ("-1", 6_000), ("-7", 0), ("soon", 6_000)])
def test_the_producer_chooses_the_time_of_the_first_check(world, text, first):
    alice = world.join(CheckedProducer())
    world.half(alice, pairs={"CHECK_IMMUNITY_TIME_IN_SECONDS": text})
    if first:
        world.tick(first - 1)
        assert world.asked() == []
        world.clock.now += 1
    world.tick()
    assert world.asked() == [alice.channel]
    world.tick(30_000)
    assert world.asked() == [alice.channel]


def test_an_ended_transaction_is_not_checked(world):
    alice = world.join(CheckedProducer())
    pending = world.half(alice)
    world.engine.roll_back_transaction(pending, end_of(pending))
    world.tick(6_000)
    assert world.asked() == []


@pytest.mark.parametrize("topics", [None, ("other",)], ids=["nobody", "no permission"])
def test_a_check_that_nobody_gets_does_not_count(world, topics):
    if topics is not None:
        world.join(CheckedProducer("bob", topics))
    pending = world.half()
    for _ in range(40):
        world.tick(30_000)
    assert (pending.checks, world.transactions.checks, world.asked()) == (0, 0, [])
    carol = world.join(CheckedProducer("carol"))
    numbers = []
    for _ in range(16):
        world.tick(30_000)
        numbers += [pairs_of(message)["TRANSACTION_CHECK_TIMES"] for _, _, message in world.sent]
        assert set(world.asked()) <= {carol.channel}
    assert numbers == [str(number) for number in range(1, 16)]
    assert world.transactions.find(pending.offset) is None
    assert len(read(world.engine, "TRANS_CHECK_MAX_TIME_TOPIC")) == 1


def test_a_transaction_as_old_as_messages_may_become_is_discarded(world):
    world.engine = make_engine(world.store, world.clock, reserved_hours=1, transaction_check_max=10_000)
    world.transactions = world.engine.transactions
    world.checks = world.new_checks()
    world.half(pairs={"CHECK_IMMUNITY_TIME_IN_SECONDS": "999999999999999"})
    world.tick(3_599_999)
    assert len(world.transactions) == 1
    world.tick(1)
    assert len(world.transactions) == 0


def test_the_first_check_goes_to_the_connection_that_sent_the_message(world):
    senders = [CheckedProducer(f"user{number}") for number in range(5)]
    world.join(*senders)
    for sender in senders:
        world.half(sender)
    world.tick(6_000)
    assert set(world.asked()) == {sender.channel for sender in senders}


def test_later_checks_go_to_all_members(world):
    senders = [CheckedProducer(f"user{number}") for number in range(5)]
    world.join(*senders)
    world.half(senders[0])
    world.tick(6_000)
    world.asked()
    asked = []
    for _ in range(5):
        world.tick(30_000)
        asked += world.asked()
    assert set(asked) == {sender.channel for sender in senders}


def test_a_member_without_the_permission_gets_no_check(world):
    mallory, alice = CheckedProducer("mallory", ()), CheckedProducer("alice")
    world.join(mallory, alice)
    world.half(alice)
    world.leave(alice)
    for _ in range(3):
        world.tick(30_000)
    assert world.asked() == []
    world.join(alice)
    world.tick(30_000)
    assert world.asked() == [alice.channel]


def test_the_permission_is_that_of_the_moment(world):
    alice = world.join(CheckedProducer("alice"))
    world.half(alice)
    alice.rights.topics = ()
    world.tick(6_000)
    assert world.asked() == []
    alice.rights.topics = ("orders",)
    world.tick(30_000)
    assert world.asked() == [alice.channel]


def test_a_slow_plugin_is_not_asked_about_the_user_that_sent_the_message(world):
    alice, bob = CheckedProducer("alice", slow=True), CheckedProducer("bob", slow=True)
    world.join(bob)
    world.half(alice)
    world.tick(30_000)
    assert world.asked() == []
    world.join(alice)
    world.tick(30_000)
    assert world.asked() == [alice.channel]


def test_another_connection_gets_the_check_of_one_that_has_ended(world):
    alice, bob = CheckedProducer("alice"), CheckedProducer("bob")
    world.join(alice, bob)
    pending = world.half(alice)
    world.tick(6_000)
    assert world.asked() == [alice.channel]
    world.leave(alice)
    world.tick(999)
    assert world.asked() == []
    world.tick(1)
    assert world.asked() == [bob.channel]
    # It was the same check, and the next one is due at its time.
    assert pending.checks == 1
    world.tick(28_999)
    assert world.asked() == []
    world.tick(1)
    assert world.asked() == [bob.channel]


def test_a_check_without_another_connection_waits_for_the_next_one(world):
    alice = world.join(CheckedProducer("alice"))
    pending = world.half(alice)
    world.tick(6_000)
    world.leave(alice)
    world.tick(5_000)
    world.join(alice)
    world.tick(5_000)
    assert world.asked() == [alice.channel]
    assert pending.checks == 1
    world.tick(20_000)
    assert world.asked() == [alice.channel]


def test_an_answer_frees_the_place_of_the_check(world, monkeypatch):
    monkeypatch.setattr(transaction_checks, "MAX_OPEN_PER_CHANNEL", 2)
    alice = world.join(CheckedProducer())
    pending = [world.half(alice) for _ in range(5)]
    world.tick(6_000)
    assert len(world.asked()) == len(world.checks) == 2
    asked = [one for one in pending if one.checks]
    for one in asked:
        world.checks.answered(one)
    assert len(world.checks) == 0
    world.tick(30_000)
    assert len(world.asked()) == 2


def test_a_connection_with_too_many_checks_gets_no_more_and_others_do(world, monkeypatch):
    monkeypatch.setattr(transaction_checks, "MAX_OPEN_PER_CHANNEL", 2)
    alice, bob = CheckedProducer("alice"), CheckedProducer("bob")
    world.join(alice, bob)
    for _ in range(5):
        world.half(alice)
    world.tick(6_000)
    asked = world.asked()
    assert (asked.count(alice.channel), asked.count(bob.channel)) == (2, 2)
    # The fifth one was not sent, so it does not count.
    assert sorted(one.checks for one in world.transactions) == [0, 1, 1, 1, 1]


def test_a_connection_gets_a_bounded_number_of_bytes(world, monkeypatch):
    monkeypatch.setattr(transaction_checks, "MAX_OPEN_BYTES_PER_CHANNEL", 10_000)
    alice = world.join(CheckedProducer())
    for size in (20_000, 20_000):
        world.half(alice, body=bytes(size))
    world.tick(6_000)
    assert len(world.asked()) == 1


class TestBounds:
    def test_one_tick_sends_a_bounded_number(self, world, monkeypatch):
        monkeypatch.setattr(transaction_checks, "MAX_CHECKS_PER_TICK", 3)
        alice = world.join(CheckedProducer())
        for _ in range(7):
            world.half(alice)
        world.tick(6_000)
        assert len(world.asked()) == 3
        world.tick(50)
        world.tick(50)
        assert len(world.asked()) == 4

    def test_one_tick_reads_a_bounded_number_of_bytes(self, world):
        alice = world.join(CheckedProducer())
        for _ in range(4):
            world.half(alice, body=bytes(600_000))
        world.tick(6_000)
        assert len(world.asked()) == 2
        world.tick(50)
        assert len(world.asked()) == 2

    def test_no_user_waits_for_the_checks_of_another_one(self, world, monkeypatch):
        monkeypatch.setattr(transaction_checks, "MAX_CHECKS_PER_TICK", 4)
        alice, bob = CheckedProducer("alice"), CheckedProducer("bob")
        world.join(alice, bob)
        for _ in range(50):
            world.half(alice)
        world.half(bob)
        world.tick(6_000)
        assert world.asked().count(bob.channel) == 1

    def test_a_crowd_without_the_permission_only_delays_a_check(self, world, monkeypatch):
        monkeypatch.setattr(transaction_checks, "MAX_DECISIONS_PER_TICK", 10)
        crowd = [CheckedProducer(f"mallory{number}", ()) for number in range(95)]
        bob = CheckedProducer("bob")
        world.join(*crowd[:50], bob, *crowd[50:])
        world.half(CheckedProducer("alice"))
        world.clock.now += 6_000
        ticks = 0
        while not world.sent:
            before = sum(sender.rights.decisions for sender in crowd)
            world.tick(50)
            assert sum(sender.rights.decisions for sender in crowd) - before <= 10
            ticks += 1
            assert ticks <= 11
        assert world.asked() == [bob.channel]

    def test_a_crowd_in_one_group_does_not_stop_the_checks_of_others(self, world, monkeypatch):
        monkeypatch.setattr(transaction_checks, "MAX_DECISIONS_PER_TICK", 10)
        crowd = [CheckedProducer(f"mallory{number}", ()) for number in range(500)]
        world.join(*crowd, group="crowd")
        bob = world.join(CheckedProducer("bob"), group="quiet")
        for _ in range(20):
            world.half(CheckedProducer("mallory"), group="crowd")
        world.half(bob, group="quiet")
        world.clock.now += 6_000
        for _ in range(3):
            world.tick(50)
        assert world.asked() == [bob.channel]

    def test_ended_transactions_leave_nothing_in_memory(self, world):
        alice = world.join(CheckedProducer())
        kept = world.half(alice)
        for _ in range(5_000):
            pending = world.half(alice)
            world.engine.roll_back_transaction(pending, end_of(pending))
            world.engine.group_commit.commit()
        assert world.transactions.planned < 200
        world.tick(6_000)
        assert len(world.asked()) == 1
        assert world.transactions.find(kept.offset) is kept

    def test_repeated_ends_of_connections_do_not_fill_the_schedule(self, world):
        senders = [CheckedProducer(f"user{number}") for number in range(3)]
        world.join(*senders)
        for _ in range(100):
            world.half(senders[0])
        for round_ in range(50):
            world.tick(1_000)
            world.leave(senders[round_ % 3])
            world.join(senders[round_ % 3])
        assert world.transactions.planned <= 64 + 4 * 100


class TestRestart:
    def test_producers_have_time_to_connect_after_a_start(self, world):
        pending = world.half(world.join(CheckedProducer("before")))
        world.tick(6_000)
        assert len(world.asked()) == 1
        world.clock.now += 3_600_000
        world.restart()
        alice = world.join(CheckedProducer())
        world.tick(29_999)
        assert world.asked() == []
        world.tick(1)
        (_, found, message) = world.sent[0]
        assert (found.number, found.checks) == (pending.number, 2)
        assert pairs_of(message)["TRANSACTION_CHECK_TIMES"] == "2"
        assert world.asked() == [alice.channel]

    @pytest.mark.parametrize("span", [-3_600_000, 3_600_000])
    def test_a_date_that_is_set_moves_no_check(self, world, span):
        alice = world.join(CheckedProducer())
        world.half(alice)
        world.clock.jump(span)
        world.tick(5_999)
        assert world.asked() == []
        world.tick(1)
        assert world.asked() == [alice.channel]

    @pytest.mark.parametrize("span", [-3_600_000, 3_600_000])
    def test_a_date_that_was_wrong_before_a_restart_delays_no_check(self, world, span):
        world.half()
        world.clock.jump(span)
        world.restart()
        alice = world.join(CheckedProducer())
        world.tick(30_000)
        assert world.asked() == [alice.channel]


class TestFailures:
    def test_no_check_is_due_while_the_store_cannot_be_written(self, world):
        alice = world.join(CheckedProducer())
        world.half(alice)
        world.store.failure = "no"
        world.tick(6_000)
        assert world.asked() == []
        world.store.failure = None
        world.tick(50)
        assert world.asked() == [alice.channel]

    def test_a_check_that_could_not_be_read_is_tried_again(self, world, monkeypatch):
        alice = world.join(CheckedProducer())
        world.half(alice)
        value = world.store.value

        def fail(table, key):
            if table is Table.HALF_MESSAGES:
                raise StoreFailed("the disk cannot be read")
            return value(table, key)

        monkeypatch.setattr(world.store, "value", fail)
        with pytest.raises(StoreDown):
            world.tick(6_000)
        monkeypatch.undo()
        world.tick(50)
        assert pairs_of(world.sent[0][2])["TRANSACTION_CHECK_TIMES"] == "1"
        assert world.asked() == [alice.channel]

    def test_a_damaged_half_message_is_discarded_without_checks_to_clients(self, world):
        alice = world.join(CheckedProducer())
        pending = world.half(alice)
        world.store.stage_value(Table.HALF_MESSAGES, pending.number.to_bytes(8, "big"), b"junk")
        world.engine.group_commit.commit()
        for _ in range(17):
            world.tick(30_000)
        assert world.asked() == []
        assert len(world.transactions) == 0
