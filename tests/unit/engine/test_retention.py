"""Deletion of messages by age."""

from mqguard.engine.fetch import FetchStatus
from mqguard.model.topic import TopicConfig
from mqguard.store.memory import MemoryMessageStore
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import make_engine, message, read, send

STORES = ("memory", "rocksdb")

HOUR = 3_600_000


def run(engine, clock, ticks=5):
    for _ in range(ticks):
        clock.now += 10_000
        engine.tick()
        assert engine.group_commit.commit()


def test_messages_are_deleted_by_age(store, clock):
    engine = make_engine(store, clock, reserved_hours=2)
    for n in range(12):
        clock.now = START_MS + n * HOUR // 2
        send(engine, b"%d" % n, queue_id=n % 3, pairs={"KEYS": "k"})
    run(engine, clock)
    # The last was stored at 5:30, so all from 3:30 on remain: numbers 8 to 11. Number 7 is older by the ticks.
    assert [engine.min_offset("orders", queue_id) for queue_id in range(3)] == [3, 3, 2]
    assert [one.body for queue_id in range(3) for one in read(engine, queue_id=queue_id, offset=3)] == [
        b"9",
        b"10",
        b"11",
    ]
    assert len(engine.query("orders", "k", 64, 0, 1 << 60)) == 4
    assert engine.record_at(0) is None
    assert engine.fetch("orders", 0, 0, 32, 0).status is FetchStatus.OFFSET_TOO_SMALL
    assert store.first_physical() == read(engine, queue_id=2, offset=2)[0].physical_offset


def test_all_messages_can_be_too_old(store, clock):
    engine = make_engine(store, clock, reserved_hours=1)
    for _ in range(3):
        send(engine)
    clock.now += 2 * HOUR
    run(engine, clock)
    assert (engine.min_offset("orders", 0), engine.max_offset("orders", 0)) == (3, 3)
    assert store.first_physical() is None
    sent = send(engine)
    assert sent.queue_offset == 3
    assert len(read(engine, offset=3)) == 1


def test_messages_are_deleted_by_size(store, clock):
    engine = make_engine(store, clock, reserved_hours=0, max_bytes=50_000)
    for n in range(100):
        send(engine, b"x" * 1000, queue_id=n % 2)
    run(engine, clock)
    kept = store.next_physical - store.first_physical()
    assert 45_000 < kept <= 50_000
    size = read(engine, offset=40)[1].physical_offset - read(engine, offset=40)[0].physical_offset
    assert 100 - engine.min_offset("orders", 0) - engine.min_offset("orders", 1) == -(-kept * 2 // size)
    for queue_id in (0, 1):
        low, high = engine.min_offset("orders", queue_id), engine.max_offset("orders", queue_id)
        assert high == 50
        assert [one.queue_offset for one in read(engine, queue_id=queue_id, offset=low)] == list(range(low, high))


def test_without_limits_nothing_is_deleted(store, clock):
    engine = make_engine(store, clock, reserved_hours=0, max_bytes=0)
    send(engine)
    clock.now += 1000 * HOUR
    run(engine, clock)
    assert len(read(engine)) == 1


def test_waiting_messages_are_never_deleted(store, clock):
    engine = make_engine(store, clock, reserved_hours=1, max_bytes=2000)
    send(engine, b"old")
    send(engine, b"waits", pairs={"DELAY": "18"})
    for _ in range(10):
        send(engine, b"x" * 1000)
    run(engine, clock)
    assert engine.min_offset("orders", 0) == 10
    clock.now += 2 * HOUR
    run(engine, clock, ticks=1)
    assert read(engine, offset=engine.max_offset("orders", 0) - 1)[0].body == b"waits"


def test_a_round_over_many_queues_takes_several_steps(store, clock):
    engine = make_engine(store, clock, reserved_hours=1)
    engine.topics.put(TopicConfig("wide", 300, 300))
    for queue_id in range(300):
        engine.send(message(topic="wide", queue_id=queue_id))
    engine.group_commit.commit()
    clock.now += 2 * HOUR
    engine.tick()
    engine.group_commit.commit()
    trimmed = [queue_id for queue_id in range(300) if engine.min_offset("wide", queue_id)]
    assert 0 < len(trimmed) < 300
    assert store.first_physical() == 0, "records go only when no queue points at them any more"
    run(engine, clock, ticks=6)
    assert all(engine.min_offset("wide", queue_id) == 1 for queue_id in range(300))
    assert store.first_physical() is None


def test_a_failed_commit_restarts_the_round(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock, reserved_hours=1)
    engine.topics.put(TopicConfig("wide", 300, 300))
    for queue_id in range(300):
        engine.send(message(topic="wide", queue_id=queue_id))
    engine.group_commit.commit()
    clock.now += 2 * HOUR
    engine.tick()
    store.room = 10
    engine.send(message(topic="wide"))
    assert not engine.group_commit.commit()
    store.room = 1 << 30
    for _ in range(20):
        clock.now += 10_000
        engine.tick()
        engine.group_commit.commit()
        for queue_id in range(300):
            low, high = engine.min_offset("wide", queue_id), engine.max_offset("wide", queue_id)
            assert len(read(engine, "wide", queue_id, low)) == high - low
    assert store.first_physical() is None
