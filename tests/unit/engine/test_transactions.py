"""Half messages, and the ends of their transactions."""

import math
from types import SimpleNamespace

import pytest

from mqguard.engine import transactions
from mqguard.engine.errors import (
    LimitReached,
    NoSuchMessage,
    NoSuchTopic,
    StoreDown,
    StoreFull,
    TransactionExpired,
    TransactionMismatch,
)
from mqguard.engine.transactions import FIRST_OFFSET, TransactionEnd
from mqguard.model.record import parse_offset_id
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import (
    begin_batch,
    end_of,
    make_engine,
    message,
    pairs_of,
    read,
    send,
    send_half,
    ticked,
)

STORES = ("memory", "rocksdb")
TABLES = (Table.TRANSACTIONS, Table.HALF_MESSAGES, Table.DISCARDED_TRANSACTIONS)


def by(owner):
    """Return the origin of a message."""
    return SimpleNamespace(owner=owner, peer=SimpleNamespace(channel=object()))


def repair(engine, store, clock):
    """Let a store accept writes again, and the engine notice it."""
    store.failure = None
    ticked(engine, clock, 1_000)


def left(store):
    """Return the number of entries in each table."""
    return [len(store.values(table)) for table in TABLES]


def commit(engine, pending, **changes):
    engine.commit_transaction(pending, end_of(pending, **changes))
    assert engine.group_commit.commit()


def roll_back(engine, pending, **changes):
    engine.roll_back_transaction(pending, end_of(pending, **changes))
    assert engine.group_commit.commit()


def test_a_half_message_is_invisible_until_its_commit(engine, store):
    pending = send_half(engine, b"paid", pairs={"TAGS": "T", "KEYS": "K", "UNIQ_KEY": "U"}, queue_id=2, flag=7)
    assert read(engine, queue_id=2) == []
    assert read(engine, "RMQ_SYS_TRANS_HALF_TOPIC") == []
    assert engine.query("orders", "K", 9, 0, 1 << 60) == []
    commit(engine, pending)
    (found,) = read(engine, queue_id=2)
    assert (found.body, found.flag, found.sys_flag, found.prepared_offset) == (b"paid", 7, 8, pending.offset)
    pairs = pairs_of(found)
    assert pairs.keys() == {
        "TRAN_MSG", "PGROUP", "TAGS", "KEYS", "UNIQ_KEY", "__transactionId__", "MSG_REGION", "TRACE_ON", "CLUSTER",
    }  # fmt: skip
    assert pairs["__transactionId__"] == "U"
    assert len(engine.query("orders", "K", 9, 0, 1 << 60)) == 1
    assert left(store) == [0, 0, 0]


def test_a_rolled_back_message_is_never_delivered(engine, store):
    roll_back(engine, send_half(engine))
    assert read(engine) == []
    assert left(store) == [0, 0, 0]
    assert (len(engine.transactions), engine.transactions.bytes) == (0, 0)
    assert engine.transactions.ended == {TransactionEnd.ROLLBACK: 1}


def test_the_answer_names_the_half_message(engine):
    pairs = {"TRAN_MSG": "true", "PGROUP": "g", "UNIQ_KEY": "U"}
    first, second = (send(engine, pairs=pairs, queue_id=3) for _ in range(2))
    assert (first.queue_id, first.queue_offset, first.unique_id) == (3, 0, "U")
    assert (second.queue_offset, parse_offset_id(second.message_id).physical_offset) == (1, FIRST_OFFSET + 1)


def test_a_transaction_ends_once(engine, store):
    pending = send_half(engine)
    engine.commit_transaction(pending, end_of(pending))
    assert engine.transactions.find(pending.offset) is None
    engine.group_commit.commit()
    assert engine.transactions.find(pending.offset) is None
    assert len(read(engine)) == 1


def test_the_end_that_could_not_be_stored_did_not_happen():
    store, clock = MemoryMessageStore(), ManualClock()
    engine = make_engine(store, clock)
    pending = send_half(engine)
    used = engine.transactions.bytes
    for end in (engine.commit_transaction, engine.roll_back_transaction):
        store.failure = "no"
        end(pending, end_of(pending))
        assert not engine.group_commit.commit()
        assert engine.transactions.find(pending.offset) is pending
        assert engine.transactions.bytes == used
        assert not any(engine.transactions.ended.values())
        with pytest.raises(StoreDown):
            end(pending, end_of(pending))
        repair(engine, store, clock)
    commit(engine, pending)
    assert len(read(engine)) == 1


def test_the_half_message_that_could_not_be_stored_does_not_exist():
    store, clock = MemoryMessageStore(), ManualClock()
    engine = make_engine(store, clock)
    send_half(engine)
    store.failure = "no"
    sent = engine.send(message(pairs={"TRAN_MSG": "true", "PGROUP": "g"}))
    assert not engine.group_commit.commit()
    assert engine.transactions.find(int(sent.message_id[-16:], 16)) is None
    repair(engine, store, clock)
    assert send_half(engine).number > sent.queue_offset
    assert len(engine.transactions) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"group": "others"}, "The producer group wrong"),
        ({"queue_offset": 9}, "The transaction state table offset wrong"),
    ],
)
def test_a_request_with_other_claims_ends_nothing(engine, changes, words):
    pending = send_half(engine)
    for end in (engine.commit_transaction, engine.roll_back_transaction):
        with pytest.raises(TransactionMismatch, match=words):
            end(pending, end_of(pending, **changes))
    assert engine.transactions.find(pending.offset) is pending


def test_the_group_of_the_send_is_that_of_the_transaction_if_the_message_names_none(engine):
    sent = send(engine, pairs={"TRAN_MSG": "TRUE"}, group="senders")
    pending = engine.transactions.find(int(sent.message_id[-16:], 16))
    assert pending.group == "senders"
    assert pairs_of(engine.transactions.half_message(pending))["PGROUP"] == "senders"


def test_properties_that_only_the_broker_writes_are_dropped_from_half_messages(engine):
    pairs = {
        "TRANSACTION_CHECK_TIMES": "14",
        "TRAN_PREPARED_QUEUE_OFFSET": "0",
        "REAL_TOPIC": "secrets",
        "REAL_QID": "77",
        "__transactionId__": "other",
        "UNIQ_KEY": "U",
    }
    pending = send_half(engine, pairs=pairs)
    half = pairs_of(engine.transactions.half_message(pending))
    assert half.keys().isdisjoint({"TRANSACTION_CHECK_TIMES", "TRAN_PREPARED_QUEUE_OFFSET"})
    assert (half["REAL_TOPIC"], half["REAL_QID"], half["__transactionId__"]) == ("orders", "0", "U")
    commit(engine, pending)
    assert len(read(engine)) == 1


@pytest.mark.parametrize(
    ("fields", "topic"),
    [({"pairs": {"DELAY": "2"}}, "SCHEDULE_TOPIC_XXXX"), ({"pairs": {"TIMER_DELAY_SEC": "5"}}, "rmq_sys_wheel_timer")],
)
def test_the_delay_of_a_transactional_message_begins_at_its_commit(engine, clock, fields, topic):
    pending = send_half(engine, b"later", **fields)
    ticked(engine, clock, 20_000)
    assert read(engine) == []
    commit(engine, pending)
    assert read(engine) == []
    ticked(engine, clock, 4_900)
    assert read(engine) == []
    ticked(engine, clock, 200)
    (found,) = read(engine)
    assert (found.body, found.sys_flag, found.prepared_offset) == (b"later", 8, pending.offset)


def test_a_message_that_an_old_client_sends_back_is_stored_as_an_ordinary_one(engine):
    engine.groups.with_retry_topic("g")
    pairs = {"TRAN_MSG": "true", "PGROUP": "p", "DELAY": "1", "RETRY_TOPIC": "orders"}
    send(engine, topic="%RETRY%g", pairs=pairs, reconsume_times=1, sys_flag=4, max_reconsume_times=16)
    assert len(engine.transactions) == 0
    assert engine.max_offset("SCHEDULE_TOPIC_XXXX", 0) == 1


def test_a_message_with_the_flag_of_a_committed_one_is_an_ordinary_message(engine):
    send(engine, sys_flag=8)
    assert len(read(engine)) == 1


def test_a_batch_has_no_transaction(engine):
    from mqguard.engine.errors import MessageIllegal  # noqa: PLC0415
    from mqguard.model.record import BatchMessage, encode_batch  # noqa: PLC0415

    with pytest.raises(MessageIllegal, match="transaction"):
        begin_batch(engine, encode_batch([BatchMessage(b"a")]), sys_flag=4).advance(math.inf)


def test_a_commit_to_a_deleted_topic_fails_and_the_transaction_waits(engine):
    pending = send_half(engine)
    engine.topics.delete("orders")
    engine.group_commit.commit()
    with pytest.raises(NoSuchTopic):
        commit(engine, pending)
    send(engine, b"new")
    commit(engine, pending)
    assert len(read(engine)) == 2


def test_a_commit_goes_to_the_last_queue_if_its_own_no_longer_exists(engine):
    from mqguard.model.topic import TopicConfig  # noqa: PLC0415

    pending = send_half(engine, queue_id=3)
    engine.topics.put(TopicConfig("orders", 2, 2))
    commit(engine, pending)
    assert len(read(engine, queue_id=1)) == 1


def test_a_full_disk_allows_rollbacks_but_no_commits(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    one, other = send_half(engine), send_half(engine)
    send(engine, bytes(1_000))
    store.room = store.next_physical
    ticked(engine, clock, 1_000)
    with pytest.raises(StoreFull):
        commit(engine, one)
    roll_back(engine, other)
    assert engine.transactions.find(one.offset) is one


def test_the_end_after_the_chosen_time_of_the_first_check_is_left_to_the_check(engine, clock):
    pending = send_half(engine, pairs={"CHECK_IMMUNITY_TIME_IN_SECONDS": "20"})
    clock.now += 20_001
    for end in (engine.commit_transaction, engine.roll_back_transaction):
        with pytest.raises(TransactionExpired, match="CHECK_IMMUNITY_TIME_IN_SECONDS"):
            end(pending, end_of(pending))
    commit(engine, pending, from_check=True)
    assert len(read(engine)) == 1


@pytest.mark.parametrize(("text", "until"), [("20", 20_000), ("1", 6_000), ("-1", 6_000), ("-7", 6_000), ("x", 6_000)])
def test_the_end_counts_until_the_chosen_time(engine, clock, text, until):
    pending = send_half(engine, pairs={"CHECK_IMMUNITY_TIME_IN_SECONDS": text})
    clock.now += until
    commit(engine, pending)
    assert len(read(engine)) == 1


def test_a_transaction_without_a_chosen_time_can_end_at_any_time(engine, clock):
    pending = send_half(engine)
    clock.now += 70 * 3_600_000
    commit(engine, pending)
    assert len(read(engine)) == 1


class TestLimits:
    def test_the_maximum_is_shared_by_users(self, store):
        engine = make_engine(store, max_pending_transactions=10)
        for _ in range(10):
            pending = send_half(engine, origin=by("alice"))
        with pytest.raises(LimitReached, match="maxPendingTransactions"):
            send_half(engine, origin=by("alice"))
        for _ in range(5):
            send_half(engine, origin=by("bob"))
        with pytest.raises(LimitReached):
            send_half(engine, origin=by("bob"))
        roll_back(engine, pending)
        assert len(engine.transactions) == 14

    def test_a_refused_half_message_changes_nothing(self, store):
        engine = make_engine(store, max_pending_transactions=1)
        send_half(engine)
        before = left(store)
        for _ in range(3):
            with pytest.raises(LimitReached):
                send_half(engine)
        engine.group_commit.commit()
        assert left(store) == before

    def test_half_messages_use_a_bounded_share_of_the_store(self, store, clock):
        engine = make_engine(store, clock, reserved_hours=0, max_bytes=100_000)
        first = send_half(engine, bytes(1_000), "mine")
        refused = None
        for _ in range(100):
            try:
                send_half(engine, bytes(1_000), "mine")
            except StoreFull as full:
                refused = str(full)
                break
            ticked(engine, clock, 100)
        assert refused is not None
        assert "the end of their transaction" in refused
        assert 15 < len(engine.transactions) < 25
        send_half(engine, bytes(1_000), "theirs")
        for pending in list(engine.transactions):
            if pending is not first:
                roll_back(engine, pending)
        ticked(engine, clock, 100)
        send_half(engine, bytes(1_000), "mine")


class TestRestart:
    @pytest.fixture
    def reopened(self, tmp_path):
        """Return a function that opens an engine on a directory again, and has the list of its stores."""
        opened = []

        def reopen(clock, **settings):
            for store in opened:
                store.close()
            opened.append(RocksMessageStore(tmp_path / "messages"))
            return make_engine(opened[-1], clock, **settings)

        reopen.stores = opened
        yield reopen
        for store in opened:
            store.close()

    def test_pending_transactions_survive(self, reopened, clock):
        engine = reopened(clock)
        kept = send_half(engine, b"kept", origin=by("alice"), pairs={"CHECK_IMMUNITY_TIME_IN_SECONDS": "30"})
        gone = send_half(engine, b"gone")
        roll_back(engine, gone)
        used = engine.transactions.bytes
        clock.now += 1_000
        engine = reopened(clock)
        found = engine.transactions.find(kept.offset)
        assert (found.owner, found.group, found.topic, found.size) == ("alice", "producers", "orders", kept.size)
        assert engine.transactions.bytes == used
        assert engine.transactions.find(gone.offset) is None
        clock.now += 29_001
        with pytest.raises(TransactionExpired):
            commit(engine, found)
        commit(engine, found, from_check=True)
        assert [one.body for one in read(engine)] == [b"kept"]
        assert len(reopened(clock).transactions) == 0

    def test_no_number_is_used_twice(self, reopened, clock, monkeypatch):
        monkeypatch.setattr(transactions, "NUMBERS_PER_WRITE", 3)
        numbers = []
        for count in (0, 1, 3, 4, 7):
            engine = reopened(clock)
            for _ in range(count):
                pending = send_half(engine)
                numbers.append(pending.number)
                roll_back(engine, pending)
        assert numbers == sorted(set(numbers))

    def test_the_limit_counts_what_was_stored_before(self, reopened, clock):
        send_half(reopened(clock, max_pending_transactions=1), origin=by("alice"))
        engine = reopened(clock, max_pending_transactions=1)
        with pytest.raises(LimitReached):
            send_half(engine, origin=by("alice"))

    def test_a_start_reads_no_half_message(self, reopened, clock):
        for _ in range(5):
            send_half(reopened(clock), bytes(100_000))
        store = reopened.stores[-1]
        reads = []
        values = store.values

        def counted(table, **more):
            reads.append(table)
            return values(table, **more)

        store.values = counted
        make_engine(store, clock)
        assert Table.TRANSACTIONS in reads
        assert Table.HALF_MESSAGES not in reads


class TestDiscarded:
    def discard(self, engine):
        pending = send_half(engine, b"lost", pairs={"TAGS": "T"}, origin=by("alice"), queue_id=1)
        pending.checks = 15
        engine.discarded.add(pending)
        engine.group_commit.commit()
        (found,) = read(engine, "TRANS_CHECK_MAX_TIME_TOPIC")
        return pending, found

    def test_the_message_is_kept_for_administrators(self, engine, store):
        pending, found = self.discard(engine)
        pairs = pairs_of(found)
        assert (found.body, pairs["REAL_TOPIC"], pairs["REAL_QID"]) == (b"lost", "orders", "1")
        assert pairs["TRANSACTION_CHECK_TIMES"] == "15"
        assert engine.transactions.find(pending.offset) is None
        assert left(store) == [0, 0, 1]
        assert engine.transactions.ended == {TransactionEnd.DISCARD: 1}
        assert engine.discarded.topic_of(found.physical_offset) == "orders"

    def test_it_can_be_resumed_once(self, engine, store):
        _, found = self.discard(engine)
        engine.resume_transaction(found.physical_offset)
        with pytest.raises(NoSuchMessage):
            engine.resume_transaction(found.physical_offset)
        engine.group_commit.commit()
        with pytest.raises(NoSuchMessage):
            engine.resume_transaction(found.physical_offset)
        assert engine.discarded.topic_of(found.physical_offset) is None
        (pending,) = engine.transactions
        assert (pending.checks, pending.owner, pending.topic) == (0, "alice", "orders")
        assert "TRANSACTION_CHECK_TIMES" not in pairs_of(engine.transactions.half_message(pending))
        commit(engine, pending)
        assert [one.body for one in read(engine, queue_id=1)] == [b"lost"]
        assert left(store) == [0, 0, 0]

    def test_a_resumption_that_could_not_be_stored_can_be_tried_again(self):
        store, clock = MemoryMessageStore(), ManualClock()
        engine = make_engine(store, clock)
        _, found = self.discard(engine)
        store.failure = "no"
        engine.resume_transaction(found.physical_offset)
        assert not engine.group_commit.commit()
        assert len(engine.transactions) == 0
        repair(engine, store, clock)
        engine.resume_transaction(found.physical_offset)
        engine.group_commit.commit()
        assert len(engine.transactions) == 1

    def test_other_messages_cannot_be_resumed(self, engine):
        send(engine)
        send_half(engine)
        for offset in (-1, 0, 10**6, FIRST_OFFSET):
            assert engine.discarded.topic_of(offset) is None
            with pytest.raises(NoSuchMessage):
                engine.resume_transaction(offset)

    def test_the_limit_counts_for_resumed_ones_too(self, store):
        engine = make_engine(store, max_pending_transactions=1)
        _, found = self.discard(engine)
        send_half(engine, origin=by("alice"))
        with pytest.raises(LimitReached):
            engine.resume_transaction(found.physical_offset)

    def test_nothing_is_left_once_the_message_was_deleted_by_age(self, store, clock):
        engine = make_engine(store, clock, reserved_hours=1)
        self.discard(engine)
        send(engine, bytes(1_000))
        clock.now += 3_600_001
        send(engine, bytes(1_000))
        engine.discarded.forget_deleted()
        engine.group_commit.commit()
        assert left(store) == [0, 0, 1]
        ticked(engine, clock, 25_000)
        engine.discarded.forget_deleted()
        engine.group_commit.commit()
        assert left(store) == [0, 0, 0]

    def test_a_damaged_half_message_is_dropped(self, engine, store):
        pending = send_half(engine)
        store.stage_value(Table.HALF_MESSAGES, pending.number.to_bytes(8, "big"), b"junk")
        engine.group_commit.commit()
        with pytest.raises(NoSuchMessage, match="Find prepared transaction message failed"):
            commit(engine, pending)
        engine.discarded.add(pending)
        engine.group_commit.commit()
        assert left(store) == [0, 0, 0]
        assert read(engine, "TRANS_CHECK_MAX_TIME_TOPIC") == []
