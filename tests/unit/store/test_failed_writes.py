"""A write that was reported as failed and comes back from the log all the same."""

import pytest

from mqguard.store.database import Database
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import Table
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import bodies, put, queue_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "messages"


@pytest.fixture
def store(path):
    made = RocksMessageStore(path)
    for n in range(4):
        put(made, b"%d" % n, time=n)
    made.stage_value(Table.TOPICS, b"changed", b"before")
    made.stage_value(Table.TOPICS, b"removed", b"before")
    made.commit(sync=False)
    yield made
    made.close()


def fail(store):
    """Fail the commit; the batch is found in the log when the database is opened anew."""
    write, close, lost = Database.write, Database.close, []
    patch = pytest.MonkeyPatch()

    def failing(db, batch, *, sync):
        lost.append(batch)
        raise StoreFailed("cable pulled")

    def closing(db):
        patch.undo()
        if lost:
            write(db, lost.pop(), sync=True)
        close(db)

    patch.setattr(Database, "write", failing)
    patch.setattr(Database, "close", closing)
    with pytest.raises(StoreFailed, match="cable pulled"):
        store.commit(sync=False)


def test_messages_values_and_queues_are_taken_back(store, path):
    before = store.next_physical
    put(store, b"gone", time=9)
    put(store, b"gone", topic="new", time=9)
    store.stage_value(Table.TOPICS, b"changed", b"after")
    store.stage_value(Table.TOPICS, b"made", b"after")
    store.stage_removal(Table.TOPICS, b"removed")
    fail(store)
    assert store.recover()
    for found in now_and_reopened(store, path):
        assert bodies(found, queue_of(found)) == [b"0", b"1", b"2", b"3"]
        assert found.queue("new", 0) is None
        assert found.next_physical == before
        assert found.next_record(before) is None
        assert found.values(Table.TOPICS) == [(b"changed", b"before"), (b"removed", b"before")]
        assert found.last_time == 3


def test_two_failures_in_a_row_are_both_taken_back(store, path):
    put(store, b"gone")
    fail(store)
    put(store, b"gone")
    with pytest.raises(StoreFailed, match="cannot be used"):
        store.commit(sync=False)
    assert store.recover()
    put(store, b"next")
    store.commit(sync=False)
    again = reopened(store, path)
    assert bodies(again, queue_of(again)) == [b"0", b"1", b"2", b"3", b"next"]


def test_old_messages_stay_deleted(store, path):
    entries = store.entries(queue_of(store), 0, 10)
    store.stage_trim(queue_of(store), 3)
    store.stage_release(entries[3].physical, store.last_time)
    fail(store)
    assert queue_of(store).min_offset == 0
    assert store.recover()
    for found in now_and_reopened(store, path):
        queue = queue_of(found)
        assert (queue.min_offset, queue.max_offset) == (3, 4)
        assert found.min_physical == found.first_physical() == entries[3].physical
        assert bodies(found, queue, 3) == [b"3"]


def test_a_dropped_queue_lives_on(store, path):
    store.stage_drop(queue_of(store))
    fail(store)
    assert store.recover()
    again = reopened(store, path)
    assert again.sweep(10) == 0
    assert bodies(again, queue_of(again)) == [b"0", b"1", b"2", b"3"]


def now_and_reopened(store, path):
    yield store
    yield reopened(store, path)


def reopened(store, path):
    store.close()
    again = RocksMessageStore(path)
    store.close = again.close
    return again
