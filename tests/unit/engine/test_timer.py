"""Messages for a time of the producer's choice."""

import math

import pytest

from mqguard.engine.errors import MessageIllegal
from mqguard.engine.messages import SendBack
from mqguard.model import properties
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import begin_batch, make_engine, message, pairs_of, read, send, ticked

STORES = ("memory", "rocksdb")

DAYS_3 = 3 * 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("pairs", "ms"),
    [
        ({"TIMER_DELAY_SEC": "7"}, 7_000),
        ({"TIMER_DELAY_MS": "1234"}, 1_234),
        ({"TIMER_DELIVER_MS": str(START_MS + 86_400_000)}, 86_400_000),
        ({"TIMER_DELIVER_MS": str(START_MS + DAYS_3)}, DAYS_3),
    ],
)
def test_a_message_is_delivered_at_its_time(engine, clock, pairs, ms):
    sent = send(engine, b"later", pairs={**pairs, "TAGS": "T", "UNIQ_KEY": "U"}, queue_id=3)
    assert engine.record_at(int(sent.message_id[-16:], 16)) is not None
    clock.now += ms - 60
    engine.tick()
    engine.group_commit.commit()
    assert read(engine, queue_id=3) == []
    ticked(engine, clock, 110)
    (found,) = read(engine, queue_id=3)
    assert found.body == b"later"
    assert pairs_of(found).keys() == {"TAGS", "UNIQ_KEY", "MSG_REGION", "TRACE_ON", "CLUSTER"}
    assert len(engine.query("orders", "U", 5, 0, 1 << 60, unique=True)) == 1


@pytest.mark.parametrize(
    "pairs", [{"TIMER_DELAY_SEC": "0"}, {"TIMER_DELIVER_MS": str(START_MS)}, {"TIMER_DELIVER_MS": "1"}]
)
def test_a_message_for_a_past_time_is_delivered_at_once(engine, pairs):
    send(engine, pairs=pairs)
    assert len(read(engine)) == 1


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"TIMER_DELAY_SEC": "soon"}, "must be a whole number"),
        ({"TIMER_DELAY_MS": "-5"}, "must be a whole number"),
        ({"TIMER_DELIVER_MS": "9" * 30}, "must be a whole number"),
        ({"TIMER_DELAY_SEC": "259201"}, "should not be bigger than the max delay 259200000ms"),
        ({"TIMER_DELIVER_MS": str(START_MS + DAYS_3 + 1)}, "max delay"),
    ],
)
def test_illegal_times_are_rejected(engine, pairs, words):
    with pytest.raises(MessageIllegal, match=words):
        engine.send(message(pairs=pairs))


def test_a_delay_level_wins_over_a_time(engine, clock):
    send(engine, pairs={"DELAY": "1", "TIMER_DELAY_SEC": "100"})
    ticked(engine, clock, 1_100)
    (found,) = read(engine)
    assert "TIMER_DELAY_SEC" not in pairs_of(found)


def test_a_delay_wins_over_a_time(engine, clock):
    send(engine, pairs={"TIMER_DELIVER_MS": str(clock.now + 60_000), "TIMER_DELAY_SEC": "1"})
    ticked(engine, clock, 1_100)
    assert len(read(engine)) == 1


def test_messages_are_delivered_in_order_of_their_times(engine, clock):
    for seconds in (5, 1, 3, 2, 4):
        send(engine, b"%d" % seconds, pairs={"TIMER_DELAY_SEC": str(seconds)})
    ticked(engine, clock, 6_000)
    assert [one.body for one in read(engine)] == [b"1", b"2", b"3", b"4", b"5"]


def test_a_sooner_message_does_not_wait_for_a_later_one(engine, clock):
    send(engine, b"later", pairs={"TIMER_DELAY_SEC": "100"})
    ticked(engine, clock, 1_000)
    send(engine, b"sooner", pairs={"TIMER_DELAY_SEC": "1"})
    ticked(engine, clock, 1_100)
    assert [one.body for one in read(engine)] == [b"sooner"]


def test_two_ticks_before_a_commit_deliver_once(engine, clock):
    send(engine, pairs={"TIMER_DELAY_SEC": "1"})
    clock.now += 2_000
    engine.tick()
    engine.tick()
    engine.group_commit.commit()
    engine.tick()
    engine.group_commit.commit()
    assert engine.max_offset("orders", 0) == 1


def test_messages_beyond_the_maximum_of_a_tick_are_delivered_by_the_next(engine, clock):
    for _ in range(1_500):
        engine.send(message(pairs={"TIMER_DELAY_SEC": "1"}))
    engine.group_commit.commit()
    ticked(engine, clock, 1_150)
    assert engine.max_offset("orders", 0) == 1_500


def test_a_tick_delivers_a_bounded_number_of_bytes(engine, clock):
    """Large messages that are due at once must not delay all others."""
    for _ in range(6):
        engine.send(message(body=b"x" * 700_000, pairs={"TIMER_DELAY_SEC": "1"}))
    engine.group_commit.commit()
    clock.now += 1_000
    counts = []
    for _ in range(7):
        engine.tick()
        engine.group_commit.commit()
        counts.append(engine.max_offset("orders", 0))
        clock.now += 50
    assert counts == [1, 2, 3, 4, 5, 6, 6]


def test_waiting_messages_survive_a_restart_and_the_deletion_of_old_messages(tmp_path, clock):
    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, clock, reserved_hours=1)
    send(engine, b"waits", pairs={"TIMER_DELAY_SEC": str(48 * 3600)})
    send(engine, b"old")
    clock.now += 24 * 3_600_000
    for _ in range(3):
        ticked(engine, clock, 10_050)
    assert store.first_physical() is None
    store.close()

    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, clock, reserved_hours=1)
    engine.tick()
    engine.group_commit.commit()
    clock.now = START_MS + 48 * 3_600_000
    engine.tick()
    engine.group_commit.commit()
    assert [one.body for one in read(engine, offset=1)] == [b"waits"]
    store.close()


def test_a_failed_commit_delivers_later_and_once(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    send(engine, b"x" * 1000, pairs={"TIMER_DELAY_SEC": "1"})
    store.room = 1500
    ticked(engine, clock, 1_500)
    assert engine.max_offset("orders", 0) == 0
    store.room = 100_000
    ticked(engine, clock, 3_000)
    assert engine.max_offset("orders", 0) == 1


def test_a_deleted_topic_does_not_delay_other_messages(engine, clock):
    send(engine, topic="gone", pairs={"TIMER_DELAY_SEC": "1"})
    send(engine, pairs={"TIMER_DELAY_SEC": "1"})
    engine.topics.delete("gone")
    engine.group_commit.commit()
    ticked(engine, clock, 1_100)
    assert engine.timers.undeliverable == 1
    assert len(read(engine)) == 1


def test_a_damaged_message_does_not_delay_other_messages(engine, clock, store):
    store.stage_value(Table.TIMERS, (clock.now + 500).to_bytes(8, "big") + bytes(8), b"no record")
    engine.group_commit.commit()
    send(engine, b"sound", pairs={"TIMER_DELAY_SEC": "1"}, queue_id=1)
    ticked(engine, clock, 1_100)
    assert engine.timers.undeliverable == 1
    assert [one.body for one in read(engine, queue_id=1)] == [b"sound"]


def test_a_batch_cannot_be_deferred(engine):
    parts = [BatchMessage(b"a"), BatchMessage(b"b", properties.text_of({"TIMER_DELAY_SEC": "5"}).encode())]
    with pytest.raises(MessageIllegal, match="delayed"):
        begin_batch(engine, encode_batch(parts)).advance(math.inf)


def test_a_message_sent_back_does_not_wait_for_its_old_time(engine, clock):
    engine.groups.put(SubscriptionGroupConfig("g"))
    send(engine, pairs={"TIMER_DELAY_SEC": "1"})
    ticked(engine, clock, 1_100)
    (found,) = read(engine)
    engine.send_back(SendBack("g", found.physical_offset, delay_level=1))
    engine.group_commit.commit()
    ticked(engine, clock, 1_100)
    assert len(read(engine, "%RETRY%g")) == 1
    engine.send_back(SendBack("g", found.physical_offset, delay_level=-1))
    engine.group_commit.commit()
    assert len(read(engine, "%DLQ%g")) == 1


def test_a_dead_letter_does_not_wait(engine):
    engine.groups.put(SubscriptionGroupConfig("g", retry_max_times=1))
    send(engine, topic="%RETRY%g", pairs={"TIMER_DELAY_SEC": "9", "DELAY": "3"}, reconsume_times=5)
    assert len(read(engine, "%DLQ%g")) == 1
