"""Messages with a delay level."""

import pytest

from mqguard.engine.deferred_delivery import DeferredDelivery, DelayLevelsInvalid, parse_levels
from mqguard.engine.errors import MessageIllegal
from mqguard.model import properties
from mqguard.model.properties import tags_code_of
from mqguard.store.errors import StoreDamaged, StoreFailed
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.engine import make_engine, message, pairs_of, read, send, ticked


@pytest.fixture
def engine(store, clock):
    made = make_engine(store, clock)
    send(made, topic="orders")
    return made


@pytest.mark.parametrize(("level", "ms"), [(1, 1_000), (3, 10_000), (5, 60_000), (18, 7_200_000), (99, 7_200_000)])
def test_a_message_waits_for_its_level_and_less_than_100_ms_longer(engine, clock, level, ms, store):
    send(engine, b"later", pairs={"DELAY": str(level), "TAGS": "T", "UNIQ_KEY": "U"}, queue_id=3)
    ticked(engine, clock, ms - 50)
    assert read(engine, queue_id=3) == []
    ticked(engine, clock, 100)
    (found,) = read(engine, queue_id=3)
    assert found.body == b"later"
    assert found.store_timestamp == clock.now - 50
    pairs = pairs_of(found)
    assert (pairs["DELAY"], pairs["REAL_TOPIC"], pairs["REAL_QID"]) == (str(level), "orders", "3")
    assert store.entries(store.queue("orders", 3), 0, 1)[0].tag_code == tags_code_of("T")
    assert len(engine.query("orders", "U", 5, 0, 1 << 60, unique=True)) == 1


def test_a_level_of_zero_or_less_means_at_once(engine):
    for level in ("0", "-1"):
        send(engine, pairs={"DELAY": level}, queue_id=1)
    assert len(read(engine, queue_id=1)) == 2


def test_messages_of_one_level_keep_their_order(engine, clock):
    for n in range(50):
        send(engine, b"%d" % n, pairs={"DELAY": "2"}, queue_id=1)
        clock.now += 7
    ticked(engine, clock, 6_000)
    found = engine.fetch("orders", 1, 0, 32, 0).records + engine.fetch("orders", 1, 32, 32, 0).records
    assert len(found) == 50
    assert [one.body for one in read(engine, queue_id=1)] == [b"%d" % n for n in range(32)]


def test_a_level_does_not_delay_another(engine, clock):
    send(engine, b"long", pairs={"DELAY": "4"}, queue_id=1)
    send(engine, b"short", pairs={"DELAY": "1"}, queue_id=1)
    ticked(engine, clock, 1_100)
    assert [one.body for one in read(engine, queue_id=1)] == [b"short"]


def test_a_thousand_due_messages_are_delivered_within_100_ms(engine, clock):
    for _ in range(1000):
        engine.send(message(pairs={"DELAY": "1"}, queue_id=1))
    engine.group_commit.commit()
    ticked(engine, clock, 1_050)
    assert engine.max_offset("orders", 1) == 1000


def test_waiting_messages_survive_a_restart_and_are_delivered_once(tmp_path, clock):
    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, clock)
    for n in range(3):
        send(engine, b"%d" % n, pairs={"DELAY": "2"})
        clock.now += 1_000
    ticked(engine, clock, 2_500)
    assert [one.body for one in read(engine)] == [b"0"]
    store.close()

    store = RocksMessageStore(tmp_path)
    engine = make_engine(store, clock)
    ticked(engine, clock, 100_000)
    assert [one.body for one in read(engine)] == [b"0", b"1", b"2"]
    store.close()


def test_a_failed_commit_delivers_later_and_once(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    send(engine, b"x" * 1000, pairs={"DELAY": "1"})
    store.room = 1500
    ticked(engine, clock, 1_500)
    assert engine.max_offset("orders", 0) == 0
    store.room = 100_000
    ticked(engine, clock, 3_000)
    assert engine.max_offset("orders", 0) == 1


def test_a_deleted_topic_does_not_delay_other_messages(engine, clock):
    send(engine, topic="gone", pairs={"DELAY": "1"})
    send(engine, pairs={"DELAY": "1"}, queue_id=1)
    engine.topics.delete("gone")
    engine.group_commit.commit()
    ticked(engine, clock, 1_100)
    assert engine.delays.undeliverable == 1
    assert len(read(engine, queue_id=1)) == 1


def test_a_client_cannot_choose_the_real_destination_by_a_property(engine, clock):
    send(engine, pairs={"DELAY": "1", "REAL_TOPIC": "%DLQ%other", "REAL_QID": "0"}, queue_id=1)
    ticked(engine, clock, 1_100)
    assert len(read(engine, queue_id=1)) == 1


def test_levels_that_the_settings_no_longer_have_are_delivered_too(clock):
    store = MemoryMessageStore()
    send(make_engine(store, clock), pairs={"DELAY": "5"})
    fewer = make_engine(store, clock, delay_levels="1s 5s")
    ticked(fewer, clock, 60_100)
    assert len(read(fewer)) == 1


def test_levels_are_parsed_from_text():
    assert parse_levels("1s 5m 2h 1d") == (1_000, 300_000, 7_200_000, 86_400_000)
    assert parse_levels("") == ()
    for text in ("1", "s", "1x", "-1s", "1s,2s", "1.5s", " ".join(["1s"] * 19)):
        with pytest.raises(DelayLevelsInvalid):
            parse_levels(text)


def test_a_damaged_message_does_not_delay_later_ones(engine, clock, monkeypatch, store):
    first = send(engine, b"damaged", pairs={"DELAY": "1"}, queue_id=1)
    send(engine, b"sound", pairs={"DELAY": "1"}, queue_id=1)
    record_of = store.record
    damaged = int(first.message_id[-16:], 16)

    def reading(physical):
        if physical == damaged:
            raise StoreDamaged("checksum")
        return record_of(physical)

    monkeypatch.setattr(store, "record", reading)
    ticked(engine, clock, 1_100)
    assert engine.delays.undeliverable == 1
    assert [one.body for one in read(engine, queue_id=1)] == [b"sound"]


def test_each_message_is_delivered_once_if_the_disk_cannot_be_read_for_a_while(engine, clock, monkeypatch, store):
    for n in range(10):
        send(engine, b"%d" % n, pairs={"DELAY": "1"}, queue_id=1)
    record_of = store.record
    calls = []

    def reading(physical):
        calls.append(physical)
        if len(calls) % 4 == 0:
            raise StoreFailed("can not be read")
        return record_of(physical)

    monkeypatch.setattr(store, "record", reading)
    ticked(engine, clock, 1_500)
    assert [one.body for one in read(engine, queue_id=1)] == [b"%d" % n for n in range(10)]


def test_deliveries_of_a_failed_commit_are_repeated_once_the_store_works_again(clock):
    store = MemoryMessageStore()
    engine = make_engine(store, clock)
    send(engine, topic="orders")
    send(engine, b"due", pairs={"DELAY": "18"}, queue_id=1)
    clock.now += 3_600_000
    send(engine, b"later", pairs={"DELAY": "18"}, queue_id=1)
    clock.now += 3_600_000
    engine.tick()
    store.failure = "cable pulled"
    assert not engine.group_commit.commit()
    ticked(engine, clock, 2_000)
    assert store.failure is None
    assert [one.body for one in read(engine, queue_id=1)] == [b"due"]


def test_a_tick_delivers_a_bounded_number_of_bytes_of_all_levels_in_rounds(engine, clock):
    """Large messages that are due at once must not delay all others, and one level must not delay another."""
    for level in ("1", "1", "1", "2"):
        send(engine, b"x" * 700_000, pairs={"DELAY": level}, queue_id=int(level))
    clock.now += 60_000
    counts = []
    for _ in range(4):
        engine.tick()
        engine.group_commit.commit()
        counts.append((engine.max_offset("orders", 1), engine.max_offset("orders", 2)))
        clock.now += 100
    assert counts == [(1, 1), (2, 1), (3, 1), (3, 1)]


def test_a_tick_delivers_a_bounded_number_of_messages(engine, clock):
    for number in range(700):
        engine.send(message(pairs={"DELAY": str(1 + number % 7)}, queue_id=1))
    engine.group_commit.commit()
    clock.now += 600_000
    engine.tick()
    engine.group_commit.commit()
    assert engine.max_offset("orders", 1) == 512
    clock.now += 50
    engine.tick()
    engine.group_commit.commit()
    assert engine.max_offset("orders", 1) == 700


def test_a_message_that_is_refused_does_not_count_as_waiting(engine, monkeypatch):
    changes = []
    monkeypatch.setattr(DeferredDelivery, "count", lambda _self, _topic, size: changes.append(size))
    monkeypatch.setattr(DeferredDelivery, "uncount", lambda _self, _topic, size: changes.append(-size))
    for pairs in ({"DELAY": "1"}, {"TIMER_DELAY_SEC": "9"}):
        with pytest.raises(MessageIllegal):
            send(engine, b"x" * 100, "orders", {**pairs, "mine": "x" * (properties.MAX_BYTES - 50)})
    assert changes
    assert sum(changes) == 0
