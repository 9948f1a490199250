"""Deletion of messages by size."""

import collections
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.engine.errors import StoreFull
from mqguard.engine.messages import SendBack
from mqguard.engine.retention import Usage
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import ManualClock
from tests.fixtures.engine import make_engine, message, read, send

STORES = ("memory", "rocksdb")

TRACES = "RMQ_SYS_TRACE_TOPIC"


def run(engine, ticks=30):
    for _ in range(ticks):
        engine.tick()
        assert engine.group_commit.commit()


def many(engine, topic, count, size=1000, queue_id=0):
    for _ in range(count):
        engine.send(message(bytes(size), topic, queue_id=queue_id))
    assert engine.group_commit.commit()


def bodies_of(engine, topic, queue_id=0):
    low = engine.min_offset(topic, queue_id)
    return [one.body for one in read(engine, topic, queue_id, low)]


def kept(store):
    """Return the bytes of all records."""
    total, place = 0, 0
    while (found := store.next_record(place)) is not None:
        total += len(found[1])
        place = found[0] + 1
    return total


def test_traces_do_not_evict_the_messages_of_others(store):
    engine = make_engine(store, reserved_hours=0, max_bytes=320_000)
    for n in range(5):
        send(engine, b"order %d" % n)
    for _ in range(20):
        many(engine, TRACES, 40)
        run(engine, 2)
    run(engine)
    assert bodies_of(engine, "orders") == [b"order %d" % n for n in range(5)]
    assert engine.min_offset("orders", 0) == 0
    assert kept(store) < 320_000 // 16 + 5_000
    assert engine.max_offset(TRACES, 0) == 800


@pytest.mark.parametrize("settings", [{"trace_bytes": 50_000}, {"trace_bytes": 50_000, "max_bytes": 10_000_000}])
def test_the_trace_topic_has_its_own_limit_without_one_for_the_store(store, settings):
    engine = make_engine(store, reserved_hours=0, **settings)
    many(engine, TRACES, 200)
    run(engine)
    assert 45_000 < kept(store) <= 50_000
    assert len(bodies_of(engine, TRACES)) == 32
    assert engine.max_offset(TRACES, 0) == 200


def test_both_trace_topics_share_the_limit(store):
    cloud = "rmq_sys_TRACE_DATA_DefaultRegion"
    engine = make_engine(store, reserved_hours=0, trace_bytes=50_000)
    many(engine, TRACES, 60)
    many(engine, cloud, 200)
    run(engine)
    assert 45_000 < kept(store) <= 50_000
    assert engine.min_offset(cloud, 0) > engine.min_offset(TRACES, 0)


def test_the_largest_topic_loses_its_oldest_messages(store):
    engine = make_engine(store, reserved_hours=0, max_bytes=200_000)
    many(engine, "orders", 50)
    for _ in range(10):
        many(engine, "flood", 50, queue_id=1)
        run(engine, 3)
    assert engine.min_offset("orders", 0) == 0
    assert 190_000 < kept(store) <= 200_000
    assert engine.min_offset("flood", 1) > 0


def test_messages_from_before_a_restart_count(tmp_path):
    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, reserved_hours=0)
    many(engine, "orders", 20)
    many(engine, "flood", 3_000)
    before = kept(store)
    store.close()
    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, reserved_hours=0, max_bytes=500_000)
    usage = Usage(store)
    while not usage.complete:
        usage.step()
    assert usage.total == before
    run(engine)
    assert engine.min_offset("orders", 0) == 0
    assert 490_000 < kept(store) <= 500_000
    store.close()


def test_delayed_messages_use_a_bounded_share_and_are_kept(store):
    clock = ManualClock()
    engine = make_engine(store, clock, reserved_hours=0, max_bytes=100_000)
    many(engine, "orders", 20)
    refused = None
    for _ in range(200):
        try:
            send(engine, bytes(1000), "mine", {"DELAY": "1"})
        except StoreFull as full:
            refused = str(full)
            break
        run(engine, 2)
    assert refused is not None
    assert "wait for their time" in refused
    waiting = engine.max_offset("SCHEDULE_TOPIC_XXXX", 0)
    assert 20 < waiting < 30
    assert engine.min_offset("orders", 0) == engine.min_offset("SCHEDULE_TOPIC_XXXX", 0) == 0
    send(engine, b"at once", "mine")
    clock.now += 2_000
    run(engine, 60)
    assert engine.max_offset("mine", 0) == waiting + 1
    assert engine.min_offset("SCHEDULE_TOPIC_XXXX", 0) == waiting
    send(engine, bytes(1000), "mine", {"DELAY": "1"})


def test_a_failed_commit_deletes_nothing():
    store, clock = MemoryMessageStore(), ManualClock()
    engine = make_engine(store, clock, reserved_hours=0, max_bytes=50_000)
    many(engine, "orders", 100)
    for _ in range(10):
        clock.now += 1_000
        engine.tick()
        assert store.pending
        engine.send(message(b"x"))
        store.room = 10
        assert not engine.group_commit.commit()
        store.room = 1 << 30
    assert engine.min_offset("orders", 0) == 0
    clock.now += 1_000
    run(engine)
    assert 45_000 < kept(store) <= 50_000


def test_messages_of_many_queues_are_deleted_oldest_first(store):
    engine = make_engine(store, reserved_hours=0, max_bytes=100_000)
    engine.topics.put(TopicConfig("wide", 50, 50))
    for n in range(400):
        engine.send(message(b"%05d" % n + bytes(1000), "wide", queue_id=n % 50))
    engine.group_commit.commit()
    run(engine, 60)
    left = [
        one.body[:5]
        for queue_id in range(50)
        for one in read(engine, "wide", queue_id, engine.min_offset("wide", queue_id))
    ]
    assert sorted(left) == [b"%05d" % n for n in range(400 - len(left), 400)]
    assert len(left) > 80


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 3_000)), max_size=60))
def test_usage_is_the_sum_of_the_records(steps):
    """The sums are exact if no old messages were deleted. Deleted topics are not counted."""
    store = MemoryMessageStore()
    engine = make_engine(store)
    usage, sizes = Usage(store), collections.Counter()
    for topic, step, size in steps:
        if step == 3:
            with contextlib.suppress(Exception):
                engine.topics.delete(f"topic-{topic}")
            engine.group_commit.commit()
            del sizes[topic]
        else:
            before = store.next_physical
            send(engine, bytes(size), f"topic-{topic}", queue_id=step)
            sizes[topic] += store.next_physical - before
        usage.step()
        usage.step()
        assert usage.complete
        assert {topic: usage.of(f"topic-{topic}") for topic in "abc"} == {topic: sizes[topic] for topic in "abc"}
        assert usage.total == sizes.total()


@pytest.mark.parametrize("delay", [{"DELAY": "5"}, {"TIMER_DELAY_SEC": "60"}])
def test_deferred_messages_for_one_topic_leave_others_their_share(store, delay):
    clock = ManualClock()
    engine = make_engine(store, clock, reserved_hours=0, max_bytes=100_000)

    def accepted(topic, most):
        for number in range(most):
            try:
                send(engine, bytes(1000), topic, delay)
            except StoreFull:
                return number
            run(engine, 2)
        return most

    assert 20 < accepted("mine", 200) < 30
    assert accepted("mine", 1) == 0
    assert 10 < accepted("orders", 200) < 15
    assert accepted("payments", 1) == 1
    clock.now += 61_000
    run(engine, 60)
    assert accepted("mine", 1) == 1


def test_a_message_sent_back_many_times_takes_no_space_from_others(store):
    """A client that may read one message must not clear the topics of others with copies of it."""
    engine = make_engine(store, ManualClock(), reserved_hours=0, max_bytes=100_000)
    engine.groups.put(SubscriptionGroupConfig("g"))
    many(engine, "orders", 40)
    send(engine, bytes(1000), "news")
    (news,) = read(engine, "news")
    taken = 0
    with contextlib.suppress(StoreFull):
        while taken < 200:
            engine.send_back(SendBack("g", news.physical_offset, delay_level=18))
            run(engine, 2)
            taken += 1
    assert 20 < taken < 30
    run(engine, 60)
    assert engine.min_offset("orders", 0) == 0
    engine.send_back(SendBack("g", news.physical_offset, delay_level=-1))
