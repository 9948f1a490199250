"""Lookup of single messages."""

import pytest

from mqguard.engine import lookup
from mqguard.engine.errors import StoreDown
from mqguard.engine.log import key_hash, key_hashes
from mqguard.model import record
from mqguard.store.errors import StoreFailed
from tests.fixtures.clock import START_MS
from tests.fixtures.engine import send

FOR_EVER = (0, 1 << 60)


def bodies(found):
    return [record.decode(data).body for data in found]


def test_each_key_and_the_unique_id_find_the_message(engine):
    send(engine, b"one", pairs={"KEYS": "k1 k2", "UNIQ_KEY": "U1"})
    send(engine, b"two", pairs={"KEYS": "k2", "UNIQ_KEY": "U2"})
    assert bodies(engine.query("orders", "k1", 10, *FOR_EVER)) == [b"one"]
    assert bodies(engine.query("orders", "k2", 10, *FOR_EVER)) == [b"two", b"one"]
    assert bodies(engine.query("orders", "U1", 10, *FOR_EVER, unique=True)) == [b"one"]
    assert engine.query("orders", "k1", 10, *FOR_EVER, unique=True) == []
    assert engine.query("orders", "k3", 10, *FOR_EVER) == []
    assert engine.query("orders", "", 10, *FOR_EVER) == []


def test_messages_of_other_topics_are_never_returned(engine, monkeypatch, store):
    send(engine, b"secret", topic="secrets", pairs={"KEYS": "k"})
    assert engine.query("orders", "k", 10, *FOR_EVER) == []
    # That is also true if the keys of two topics have the same hash.
    monkeypatch.setattr(store, "find", lambda *_: [0])
    assert engine.query("orders", "k", 10, *FOR_EVER) == []
    assert bodies(engine.query("secrets", "k", 10, *FOR_EVER)) == [b"secret"]
    assert engine.query("secrets", "other", 10, *FOR_EVER) == []


def test_a_query_returns_messages_of_its_period_up_to_its_maximum(engine, clock):
    for n in range(100):
        clock.now = START_MS + n
        send(engine, b"%d" % n, pairs={"KEYS": "k"})
    assert bodies(engine.query("orders", "k", 3, START_MS + 10, START_MS + 20)) == [b"20", b"19", b"18"]
    assert bodies(engine.query("orders", "k", 99, START_MS + 10, START_MS + 11)) == [b"11", b"10"]
    assert len(engine.query("orders", "k", 1000, *FOR_EVER)) == 64
    assert engine.query("orders", "k", 0, *FOR_EVER) == []


def test_a_message_is_found_by_its_physical_offset_only(engine):
    send(engine, b"one")
    send(engine, b"two")
    first = engine.fetch("orders", 0, 0, 1, 0).records[0]
    assert engine.record_at(0) == first
    assert record.decode(engine.record_at(len(first))).body == b"two"
    assert engine.topic_of(len(first)) == "orders"
    for physical in (1, len(first) - 1, 10_000, -1):
        assert engine.record_at(physical) is None
        assert engine.topic_of(physical) is None


def test_messages_of_a_deleted_topic_are_not_returned(engine):
    send(engine, b"old", pairs={"KEYS": "k", "UNIQ_KEY": "U"})
    engine.topics.delete("orders")
    engine.group_commit.commit()
    assert engine.record_at(0) is None
    send(engine, b"new", pairs={"KEYS": "k"})
    assert engine.record_at(0) is None
    assert bodies(engine.query("orders", "k", 10, *FOR_EVER)) == [b"new"]
    assert engine.query("orders", "U", 10, *FOR_EVER, unique=True) == []


def test_messages_deleted_from_a_queue_are_not_returned(engine, store):
    send(engine, b"old", pairs={"KEYS": "k"})
    send(engine, b"new", pairs={"KEYS": "k"})
    store.stage_trim(store.queue("orders", 0), 1)
    engine.group_commit.commit()
    assert engine.record_at(0) is None
    assert bodies(engine.query("orders", "k", 10, *FOR_EVER)) == [b"new"]


def test_a_store_that_cannot_be_read_is_an_error(engine, monkeypatch, store):
    def broken(*_):
        raise StoreFailed("can not be read")

    monkeypatch.setattr(store, "find", broken)
    monkeypatch.setattr(store, "record", broken)
    with pytest.raises(StoreDown):
        engine.query("orders", "k", 10, *FOR_EVER)
    with pytest.raises(StoreDown):
        engine.record_at(0)


def test_a_bounded_number_of_keys_has_hashes():
    assert key_hashes("t", None, None) == ()
    assert key_hashes("t", "U", None) == (key_hash("t", "U"),)
    assert key_hashes("t", "U", " a  b a ") == (key_hash("t", "a"), key_hash("t", "b"), key_hash("t", "U"))
    assert key_hashes("t", "U", "U") == (key_hash("t", "U"),)
    assert len(key_hashes("t", "U", " ".join(map(str, range(10_000))))) == 33
    assert key_hash("t", "a") != key_hash("u", "a")


def test_a_query_returns_no_more_than_fits_into_a_frame(engine, monkeypatch):
    for n in range(5):
        send(engine, b"%d" % n + bytes(1000), pairs={"KEYS": "k"})
    monkeypatch.setattr(lookup, "MAX_FOUND_BYTES", 4_000)
    assert [found[:1] for found in bodies(engine.query("orders", "k", 64, *FOR_EVER))] == [b"4", b"3", b"2"]
    monkeypatch.setattr(lookup, "MAX_FOUND_BYTES", 10)
    assert [found[:1] for found in bodies(engine.query("orders", "k", 64, *FOR_EVER))] == [b"4"]


def test_a_query_reads_a_bounded_number_of_records_with_colliding_keys(engine, store, monkeypatch):
    send(engine, b"old" + bytes(1000), pairs={"KEYS": "k"})
    for _ in range(5):
        send(engine, bytes(1000), pairs={"KEYS": "other"})
    collision = key_hash("orders", "other")
    monkeypatch.setattr(lookup, "key_hash", lambda topic, key: collision)
    reads = []
    record = store.record
    monkeypatch.setattr(store, "record", lambda offset: reads.append(offset) or record(offset))
    monkeypatch.setattr(lookup, "MAX_CANDIDATE_BYTES", 2_000)
    assert bodies(engine.query("orders", "k", 64, *FOR_EVER)) == []
    assert len(reads) == 2
