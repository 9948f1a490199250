"""The engine as a whole."""

import pytest

from mqguard.engine.errors import StoreDown, StoreFull
from mqguard.engine.messages import SendBack
from mqguard.model.record import parse_offset_id
from mqguard.store.errors import StoreFailed
from mqguard.store.memory import MemoryMessageStore
from mqguard.store.rocksdb import RocksMessageStore
from tests.fixtures.clock import START_MS, ManualClock
from tests.fixtures.engine import make_engine, message, read, send


def test_the_advertised_address_is_written_into_messages():
    engine = make_engine()
    engine.advertise("10.0.0.7", 4711)
    sent = send(engine)
    assert parse_offset_id(sent.message_id) == (bytes([10, 0, 0, 7]), 4711, 0)
    (stored,) = read(engine)
    assert (stored.store_address, stored.store_port) == (bytes([10, 0, 0, 7]), 4711)


def test_the_extent_of_the_store_is_returned():
    store = MemoryMessageStore()
    engine = make_engine(store, ManualClock())
    assert engine.extent()[:3] == (0, 0, -1)
    send(engine)
    extent = engine.extent()
    assert extent.oldest_ms == START_MS
    assert extent.next_physical > extent.min_physical == 0
    assert extent.space.free < extent.space.total

    def broken():
        raise StoreFailed("gone")

    store.space = broken
    with pytest.raises(StoreDown, match="gone"):
        engine.extent()


def test_sending_back_needs_space_too():
    engine = make_engine(MemoryMessageStore(room=1000), max_disk_ratio=0.2)
    engine.groups.with_retry_topic("g")
    send(engine, b"x" * 300)
    engine.tick()
    with pytest.raises(StoreFull):
        engine.send_back(SendBack("g", 0))


def test_a_restart_changes_nothing(tmp_path):
    store = RocksMessageStore(tmp_path)
    engine = make_engine(store)
    engine.groups.with_retry_topic("g")
    for n in range(50):
        send(engine, b"%d" % n, queue_id=n % 2, pairs={"KEYS": f"k{n % 5}", "TAGS": "T"})
    engine.offsets.set("g", "orders", 1, 7)
    engine.group_commit.commit()

    def seen(engine):
        return (
            [engine.fetch("orders", queue_id, 0, 32, 0) for queue_id in range(2)],
            engine.query("orders", "k3", 64, 0, 1 << 60),
            engine.offsets.everything(),
            engine.topics.all(),
            engine.groups.all(),
            engine.topics.data_version,
            engine.groups.data_version,
            engine.extent()[:3],
            engine.record_at(0),
        )

    before = seen(engine)
    engine.send(message(b"never committed"))
    store.close()
    store = RocksMessageStore(tmp_path)
    assert seen(make_engine(store)) == before
    store.close()


def test_a_tick_continues_if_the_disk_cannot_be_checked(monkeypatch):
    clock, store = ManualClock(), MemoryMessageStore()
    engine = make_engine(store, clock)

    def broken():
        raise StoreFailed("no such directory")

    monkeypatch.setattr(store, "space", broken)
    engine.tick()
    assert engine.trouble == "no such directory"
    send(engine)
    monkeypatch.undo()
    clock.now += 1000
    engine.tick()
    assert engine.trouble is None
