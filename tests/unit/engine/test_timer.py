"""Messages for a time of the producer's choice."""

import math

import pytest

from mqguard.engine.errors import MessageIllegal
from mqguard.engine.messages import SendBack
from mqguard.model import properties
from mqguard.model.record import BatchMessage, encode_batch
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
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
    due = {"TIMER_OUT_MS": str(START_MS + ms), "REAL_TOPIC": "orders", "REAL_QID": "3"}
    assert pairs_of(found).items() >= {**pairs, **due, "TAGS": "T", "UNIQ_KEY": "U"}.items()
    assert len(engine.query("orders", "U", 5, 0, 1 << 60, unique=True)) == 1


@pytest.mark.parametrize(
    "pairs",
    [
        {"TIMER_DELAY_SEC": "0"},
        {"TIMER_DELAY_MS": "-5"},
        {"TIMER_DELIVER_MS": str(START_MS)},
        {"TIMER_DELIVER_MS": "1"},
    ],
)
def test_a_message_for_a_past_time_is_delivered_at_once(engine, pairs):
    send(engine, pairs=pairs)
    assert len(read(engine)) == 1


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"TIMER_DELAY_SEC": "soon"}, "must be a whole number"),
        ({"TIMER_DELAY_MS": "1e3"}, "must be a whole number"),
        ({"TIMER_DELAY_MS": "٣"}, "must be a whole number"),
        ({"TIMER_DELIVER_MS": str(START_MS), "TIMER_DEL_UNIQKEY": "U"}, "bigger than the current time"),
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
    assert len(read(engine)) == 1


def test_a_delay_wins_over_a_time(engine, clock):
    send(engine, pairs={"TIMER_DELIVER_MS": str(clock.now + 60_000), "TIMER_DELAY_SEC": "1"})
    ticked(engine, clock, 1_100)
    assert len(read(engine)) == 1


def test_a_copy_of_a_delivered_message_is_not_delayed_again(engine, clock):
    send(engine, pairs={"TIMER_DELAY_SEC": "1"})
    ticked(engine, clock, 1_100)
    send(engine, pairs=pairs_of(read(engine)[0]), queue_id=1)
    assert len(read(engine, queue_id=1)) == 1


def test_a_time_is_rounded_up_to_the_precision(store, clock):
    engine = make_engine(store, clock, timer_precision_ms=1_000)
    clock.now += 300
    sent = send(engine, pairs={"TIMER_DELAY_MS": "1500"})
    assert sent.due == START_MS + 2_000
    ticked(engine, clock, 1_650)
    assert engine.max_offset("orders", 0) == 0
    ticked(engine, clock, 50)
    assert engine.max_offset("orders", 0) == 1


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


def delayed(engine, unique_id="U", seconds=9, topic="orders", **pairs):
    return send(engine, topic=topic, pairs={"TIMER_DELAY_SEC": str(seconds), "UNIQ_KEY": unique_id, **pairs}).due


def recalled(engine, unique_id, due, topic="orders"):
    possible = engine.recall(topic, unique_id, due)
    assert engine.group_commit.commit()
    return possible


def test_a_recalled_message_is_not_delivered(engine, store, clock):
    due = delayed(engine)
    delayed(engine, "V")
    assert recalled(engine, "U", due)
    ticked(engine, clock, 10_000)
    assert [pairs_of(one)["UNIQ_KEY"] for one in read(engine)] == ["V"]
    assert engine.timers.recalled == 1
    assert engine.timers.bytes == 0
    assert store.values(Table.TIMERS) == store.values(Table.TIMER_IDS) == []


def test_a_recall_survives_a_restart(store, clock):
    due = delayed(make_engine(store, clock))
    assert recalled(make_engine(store, clock), "U", due)
    again = make_engine(store, clock)
    ticked(again, clock, 10_000)
    assert again.max_offset("orders", 0) == 0


def test_a_recall_reaches_only_a_message_of_its_topic_id_and_time(engine, clock):
    due = delayed(engine)
    delayed(engine, topic="others")
    for unique_id, time, topic in (("U", due, "others2"), ("W", due, "orders"), ("U", due + 1_001, "orders")):
        assert recalled(engine, unique_id, time, topic)
    assert recalled(engine, "U", due - 1_000, "others")
    ticked(engine, clock, 10_000)
    assert (engine.max_offset("orders", 0), engine.max_offset("others", 0)) == (1, 0)


def test_a_recall_of_a_message_that_is_due_is_too_late(engine, clock):
    due = delayed(engine)
    clock.now = due
    assert not recalled(engine, "U", due)
    assert not recalled(engine, "U", clock.now + DAYS_3 + 2)
    ticked(engine, clock, 50)
    assert engine.max_offset("orders", 0) == 1


def test_a_recall_and_a_delivery_in_one_iteration_exclude_each_other(engine, clock):
    due = delayed(engine)
    clock.now = due - 1
    engine.recall("orders", "U", due)
    clock.now = due
    engine.tick()
    engine.group_commit.commit()
    ticked(engine, clock, 1_000)
    assert engine.max_offset("orders", 0) == 0


def test_a_recall_that_is_not_committed_does_nothing(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    due = delayed(engine)
    engine.recall("orders", "U", due)
    store.failure = "broken"
    assert not engine.group_commit.commit()
    store.failure = None
    ticked(engine, clock, 11_000)
    assert engine.max_offset("orders", 0) == 1


@pytest.mark.parametrize("target", ["U", "orders+U"])
def test_a_message_can_recall_another_one_for_the_same_time(engine, clock, target):
    due = delayed(engine)
    send(engine, b"0", pairs={"TIMER_DELIVER_MS": str(due), "TIMER_DEL_UNIQKEY": target, "UNIQ_KEY": "D"})
    ticked(engine, clock, 10_000)
    assert engine.max_offset("orders", 0) == 0


def test_a_message_is_recalled_in_the_iteration_that_stores_it(engine, clock):
    pairs = {"TIMER_DELAY_SEC": "9", "UNIQ_KEY": "U"}
    due = engine.send(message(pairs=pairs)).due
    engine.send(message(pairs={"TIMER_DELIVER_MS": str(due), "TIMER_DEL_UNIQKEY": "U"}))
    engine.group_commit.commit()
    ticked(engine, clock, 10_000)
    assert engine.max_offset("orders", 0) == 0
    assert engine.timers.bytes == 0


def test_delivered_messages_leave_nothing(engine, store, clock):
    for number in range(3):
        delayed(engine, str(number), seconds=number + 1)
    ticked(engine, clock, 4_000)
    assert engine.max_offset("orders", 0) == 3
    assert store.values(Table.TIMERS) == store.values(Table.TIMER_IDS) == []


def test_a_sooner_message_is_delivered_after_the_date_was_set_back(engine, clock):
    """Entries before the last one delivered are skipped by the search, unless a new one has its place there."""
    delayed(engine, seconds=1)
    ticked(engine, clock, 1_100)
    clock.jump(-3_600_000)
    delayed(engine, "V", seconds=2)
    ticked(engine, clock, 2_100)
    assert engine.max_offset("orders", 0) == 2


@pytest.mark.parametrize(
    ("pairs", "queue_id", "kept"),
    [
        ({}, 2, "2"),
        ({"_SYS_MSG_PRIORITY_": "99"}, 3, "99"),
        ({"_SYS_MSG_PRIORITY_": "-1"}, 1, "-1"),
        ({"_SYS_MSG_PRIORITY_": "x"}, 1, "x"),
        ({"__SHARDINGKEY": "k"}, 1, None),
        ({"DELAY": "0"}, 1, None),
        ({"TIMER_DELAY_SEC": "0"}, 1, None),
    ],
)
def test_a_priority_is_the_queue_of_a_message(store, clock, pairs, queue_id, kept):
    """The expected values are those of Apache's broker 5.5.0."""
    engine = make_engine(store, clock)
    engine.topics.put(TopicConfig("orders", 4, 4))
    sent = send(engine, pairs={"_SYS_MSG_PRIORITY_": "2", **pairs}, queue_id=1)
    assert sent.queue_id == queue_id
    (found,) = read(engine, queue_id=queue_id)
    assert pairs_of(found).get("_SYS_MSG_PRIORITY_") == kept


def test_a_delay_begins_again_after_the_date_was_set_back(store, clock):
    engine = make_engine(store, clock)
    send(engine, topic="orders", queue_id=1)
    clock.jump(3_600_000)
    late = delayed(engine, seconds=5)
    for number in range(1_100):
        engine.send(message(pairs={"TIMER_DELAY_SEC": "60", "UNIQ_KEY": str(number)}))
    fixed = clock.now + 10_000
    send(engine, b"fixed", pairs={"TIMER_DELIVER_MS": str(fixed)})
    ticked(engine, clock, 1_000)
    clock.jump(-3_600_000)
    ticked(engine, clock, 4_900)
    assert engine.max_offset("orders", 0) == 0
    ticked(engine, clock, 300)
    assert engine.max_offset("orders", 0) == 1
    assert recalled(engine, "7", late + 55_000)
    ticked(engine, clock, 60_000)
    assert engine.max_offset("orders", 0) == 1_100
    ticked(engine, clock, 11_000)
    assert engine.max_offset("orders", 0) == 1_100
    clock.now = fixed
    ticked(engine, clock, 100)
    assert engine.max_offset("orders", 0) == 1_101
    assert store.values(Table.TIMERS) == store.values(Table.TIMER_IDS) == []


def test_a_message_is_recalled_in_the_iteration_in_which_its_delay_begins_again(store, clock):
    engine = make_engine(store, clock)
    clock.jump(3_600_000)
    due = delayed(engine, seconds=60)
    ticked(engine, clock, 100)
    clock.jump(-3_600_000)
    clock.now += 50
    engine.tick()
    assert recalled(engine, "U", due)
    ticked(engine, clock, 100_000)
    clock.now = due
    ticked(engine, clock, 100)
    assert store.values(Table.TIMERS) == store.values(Table.TIMER_IDS) == []
    assert engine.timers.recalled == 1


def test_a_recall_for_another_time_reads_no_message(engine, store, clock, monkeypatch):
    """Otherwise a client could read its large messages again and again by small requests."""
    due = delayed(engine)
    monkeypatch.setattr(store, "value", None)
    assert recalled(engine, "U", due + 2_000)
    assert recalled(engine, "V", due)


def test_a_delay_begins_again_after_a_restart_with_an_earlier_date(store, clock):
    clock.jump(3_600_000)
    engine = make_engine(store, clock)
    delayed(engine, seconds=5)
    clock.jump(-3_600_000)
    engine = make_engine(store, clock)
    send(engine, queue_id=1)
    engine = make_engine(store, clock)
    ticked(engine, clock, 5_200)
    assert engine.max_offset("orders", 0) == 1


@pytest.mark.parametrize("claimed", [{}, {"INNER_MULTI_DISPATCH": "%LMQ%$others$l"}])
def test_the_broker_names_the_lite_queue_of_a_message(engine, claimed):
    """The expected value is that of Apache's broker 5.5.0, which ignores what the client claims."""
    send(engine, pairs={"__LITE_TOPIC": "l", **claimed})
    assert pairs_of(read(engine)[0])["INNER_MULTI_DISPATCH"] == "%LMQ%$orders$l"
