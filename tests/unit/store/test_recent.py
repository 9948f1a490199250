"""The newest records in memory: they equal what the disk has, and they are bounded."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mqguard.model.record import decode
from mqguard.store.queues import Queue, RecentRecords
from mqguard.store.reader import MAX_PASSED_BYTES, MAX_WALK_BYTES, PassedRecords
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.testing.store_contract import put, queue_of

KIB = 1024
QUEUES = 3


def held(queue):
    return sum(map(len, queue.recent or ()))


@given(st.lists(st.lists(st.tuples(st.integers(0, QUEUES - 1), st.integers(1, 4 * KIB)), max_size=6), max_size=60))
def test_the_records_of_all_queues_together_are_bounded_and_the_newest(turns):
    """The limit and a few commits are the maximum, and a queue keeps the end of what it was given."""
    queues = [Queue("T", number, number) for number in range(QUEUES)]
    given_records = [[] for _ in queues]
    recent, physical, largest = RecentRecords(0, 16 * KIB), 0, 0
    for turn in turns:
        for number, size in turn:
            record = bytes([len(given_records[number]) % 256]) * size
            queues[number].keep_recent(record)
            given_records[number].append(record)
            queues[number].next_offset += 1
            physical += size
        largest = max(largest, sum(size for _, size in turn))
        recent.settle(queues, physical)
        for queue in queues:
            queue.settle()
        assert sum(map(held, queues)) <= 16 * KIB + 5 * largest
        for queue, records in zip(queues, given_records, strict=True):
            if queue.recent:
                assert queue.recent == records[queue.recent_offset :]


def test_records_below_a_released_offset_are_dropped():
    queue, recent = Queue("T", 0, 0), RecentRecords(0, 4 * KIB)
    for number in range(4):
        queue.keep_recent(bytes(KIB))
        queue.next_offset += 1
        recent.settle([queue], (number + 1) * KIB)
        queue.settle()
    recent.release(2 * KIB + 1)
    assert (queue.recent_offset, held(queue)) == (3, KIB)
    recent.release(4 * KIB)
    assert held(queue) == 0


def test_records_are_recent_from_the_first_one_in_memory_on():
    queue = Queue("T", 0, 0)
    assert not queue.is_recent(0)
    queue.next_offset = 5
    queue.keep_recent(b"a")
    assert [queue.is_recent(offset) for offset in (4, 5, 6)] == [False, True, True]


def test_discarded_records_are_dropped():
    queue = Queue("T", 0, 0)
    queue.keep_recent(b"a")
    queue.next_offset += 1
    queue.settle()
    queue.keep_recent(b"b")
    queue.next_offset += 1
    queue.revert()
    assert queue.recent == [b"a"]


@pytest.mark.parametrize("reopened", [False, True])
def test_what_is_read_from_files_and_from_memory_is_the_same(tmp_path, reopened):
    """A store that was opened again has nothing in memory; it gives the same records."""
    store = RocksMessageStore(tmp_path / "store")
    records = []
    for number in range(200):
        put(store, bytes(number), queue_id=number % 2)
        if number % 7 == 0:
            store.commit(sync=False)
    store.commit(sync=False)
    records = [store.read(queue_of(store, queue_id=n), 0, 1000, 1 << 20) for n in range(2)]
    if reopened:
        store.close()
        store = RocksMessageStore(tmp_path / "store")
        assert all(queue.recent is None for queue in store.queues())
    for number in range(2):
        queue = queue_of(store, queue_id=number)
        for offset in (0, 1, 50, 99):
            assert store.read(queue, offset, 32, 1 << 20) == records[number][offset : offset + 32]
            assert store.records(queue, store.entries(queue, offset, 32)) == records[number][offset : offset + 32]
    store.close()


def test_a_closed_store_reads_nothing_from_memory(tmp_path):
    store = RocksMessageStore(tmp_path / "store")
    entry = put(store, b"one")
    store.commit(sync=False)
    queue = queue_of(store)
    store.close()
    with pytest.raises(Exception, match="closed"):
        store.read(queue, 0, 1, 100)
    with pytest.raises(Exception, match="closed"):
        store.records(queue, [entry])


@given(st.lists(st.tuples(st.integers(0, QUEUES - 1), st.integers(0, 400)), max_size=12))
@example([(0, 0), (1, 0), (0, 400)])
@settings(max_examples=15, deadline=None)
def test_a_read_returns_no_record_of_another_queue(messages):
    """Records of other queues are between them, and a last record is longer than the gap before it."""
    with tempfile.TemporaryDirectory() as directory:
        store = RocksMessageStore(Path(directory) / "store")
        written = [[] for _ in range(QUEUES)]
        for number, size in messages:
            put(store, bytes(size), topic=f"T{number}")
            written[number].append((number, size))
        store.commit(sync=False)
        store.close()
        store = RocksMessageStore(Path(directory) / "store")
        for number, expected in enumerate(written):
            queue = store.queue(f"T{number}", 0)
            for offset in range(len(expected)):
                found = [decode(data) for data in store.read(queue, offset, 32, 1 << 20)]
                assert [(int(one.topic[1:]), len(one.body)) for one in found] == expected[offset:]
        store.close()


step = st.one_of(
    st.tuples(st.just("read"), st.integers(0, QUEUES - 1), st.integers(0, 40), st.integers(1, 32)),
    st.tuples(st.just("select"), st.integers(0, QUEUES - 1), st.integers(0, 40), st.integers(1, 32)),
    st.tuples(st.just("evict"), st.integers(0, QUEUES - 1), st.integers(0, 20), st.just(0)),
    st.tuples(st.just("release"), st.just(0), st.integers(0, 30), st.just(0)),
)


@given(
    st.lists(st.tuples(st.integers(0, QUEUES - 1), st.integers(0, 400)), min_size=30, max_size=120),
    st.lists(step, max_size=20),
)
@settings(max_examples=40, deadline=None)
def test_records_that_a_read_passed_are_those_on_the_disk(messages, steps):
    """Reads of several queues after each other return what a read of each single record returns, also after deletions."""
    with tempfile.TemporaryDirectory() as directory:
        store = RocksMessageStore(Path(directory) / "store")
        for number, size in messages:
            put(store, bytes(size), topic=f"T{number}")
        store.commit(sync=False)
        store.close()
        store = RocksMessageStore(Path(directory) / "store")
        for kind, number, offset, limit in steps:
            queue = store.queue(f"T{number}", 0)
            if queue is None:
                continue
            begin = min(max(offset, queue.min_offset), queue.max_offset)
            entries = store.entries(queue, begin, limit)
            alone = [store.record(entry.physical) for entry in entries]
            if kind == "read" and entries:
                assert store.read(queue, begin, limit, 1 << 20) == alone
            elif kind == "select":
                chosen = [at for at in range(len(entries)) if at % 3 != 1]
                expected = [alone[at] for at in chosen if alone[at] is not None]
                assert store.records(queue, [entries[at] for at in chosen]) == expected
            elif kind == "evict":
                store.stage_evict(queue, begin)
            elif entries:
                store.stage_release(entries[0].physical, 0)
            store.commit(sync=False)
        store.close()


def test_the_records_that_reads_passed_are_bounded():
    passed = PassedRecords()
    for number in range(100):
        passed.add({b"%d-%d" % (number, at): bytes(KIB) for at in range(1024)})
        kept = sum(record is not None for record in passed.find([b"%d-%d" % (n, 0) for n in range(number + 1)]))
        assert kept * 1024 * KIB <= MAX_PASSED_BYTES + 2 * MAX_WALK_BYTES
    assert kept >= 4


def test_a_deleted_record_is_not_read_from_memory(tmp_path):
    store = RocksMessageStore(tmp_path / "store")
    for number in range(40):
        put(store, b"x", queue_id=number % 2)
    store.commit(sync=False)
    store.close()
    store = RocksMessageStore(tmp_path / "store")
    first, second = (queue_of(store, queue_id=number) for number in range(2))
    assert None not in store.read(first, 0, 20, 1 << 20)
    # The entries stay, so only the records are gone.
    store.stage_release(store.entries(second, 10, 1)[0].physical, 0)
    store.commit(sync=False)
    assert [data is None for data in store.read(second, 0, 20, 1 << 20)] == [True] * 10 + [False] * 10
    store.close()
