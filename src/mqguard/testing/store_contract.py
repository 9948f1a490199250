"""Contract tests for every `MessageStore`.

Subclass `MessageStoreContract` and define a fixture `store` with a fresh store. For a store that survives its process,
subclass `DurableStoreContract` and also define a fixture `reopen`, which closes a store and opens it again.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

from collections.abc import Callable, Iterable

from mqguard.model import record
from mqguard.model.record import Record
from mqguard.store.errors import StoreClosed
from mqguard.store.ports import MessageStore, QueueEntry, Table
from mqguard.store.queues import Queue

Reopen = Callable[[MessageStore], MessageStore]
DAY_MS = 86_400_000


def put(
    store: MessageStore,
    body: bytes,
    topic: str = "T",
    queue_id: int = 0,
    keys: Iterable[int] = (),
    time: int = 0,
    tag_code: int = 0,
) -> QueueEntry:
    """Stage one message as the engine does, and return its entry."""
    queue = store.stage_queue(topic, queue_id)
    data = record.encode(
        Record(
            topic=topic,
            body=body,
            queue_id=queue_id,
            queue_offset=queue.next_offset,
            physical_offset=store.next_physical,
            store_timestamp=time,
        )
    )
    entry = QueueEntry(queue.next_offset, store.next_physical, len(data), tag_code, time)
    store.stage_message(queue, data, tag_code, time, keys)
    return entry


def bodies(store: MessageStore, queue: Queue | None, offset: int = 0, limit: int = 1000) -> list[bytes]:
    """Return the bodies that can be read from a queue."""
    if queue is None:
        return []
    return [record.decode(data).body for data in store.records(queue, store.entries(queue, offset, limit))]


def _records(store: MessageStore, queue: Queue, offset: int, limit: int) -> list[bytes]:
    return store.records(queue, store.entries(queue, offset, limit))


def queue_of(store: MessageStore, topic: str = "T", queue_id: int = 0) -> Queue:
    """Return a queue that must exist."""
    queue = store.queue(topic, queue_id)
    assert queue is not None
    return queue


class MessageStoreContract:
    """Tests for every message store."""

    def test_a_fresh_store_is_empty(self, store: MessageStore) -> None:
        assert store.queues() == []
        assert store.first_physical() is None
        assert store.next_physical == 0
        assert not _pending(store)
        assert store.failure is None
        assert store.record(0) is None
        assert store.find(7, 0, 1 << 62, 10) == []
        assert all(store.values(table) == [] for table in Table)

    def test_staged_messages_are_invisible_until_the_commit(self, store: MessageStore) -> None:
        entry = put(store, b"one", keys=(7,), time=5)
        queue = queue_of(store)
        assert _pending(store)
        assert (queue.max_offset, queue.next_offset) == (0, 1)
        assert store.entries(queue, 0, 10) == []
        assert store.record(entry.physical) is None
        assert store.find(7, 0, 10, 10) == []

        store.commit(sync=False)
        assert not _pending(store)
        assert (queue.max_offset, queue.next_offset) == (1, 1)
        assert store.entries(queue, 0, 10) == [entry]
        assert store.find(7, 0, 10, 10) == [entry.physical]
        assert store.last_time == 5

    def test_messages_come_back_in_order_with_their_entries(self, store: MessageStore) -> None:
        entries = [put(store, b"%d" % n, queue_id=n % 2, tag_code=-n, time=n) for n in range(100)]
        store.commit(sync=True)
        for queue_id in (0, 1):
            queue = queue_of(store, queue_id=queue_id)
            assert store.entries(queue, 0, 1000) == entries[queue_id::2]
            assert store.entries(queue, 10, 5) == entries[queue_id::2][10:15]
            assert store.entries(queue, 50, 5) == []
            assert bodies(store, queue) == [b"%d" % n for n in range(queue_id, 100, 2)]

    def test_records_are_returned_in_order_across_gaps(self, store: MessageStore) -> None:
        entries = [put(store, b"%d" % n) for n in range(40)]
        store.commit(sync=False)
        wanted = entries[0:9] + entries[12:14] + entries[20:21] + entries[30:40]
        found = [record.decode(data).body for data in store.records(queue_of(store), wanted)]
        assert found == [b"%d" % entry.queue_offset for entry in wanted]
        assert store.records(queue_of(store), []) == []

    def test_a_selection_has_the_entries_with_the_tag_codes(self, store: MessageStore) -> None:
        codes = (0, 1, -1, 2**31 - 1, -(2**31), 2**62)
        entries = [put(store, b"%d" % n, tag_code=codes[n % 6]) for n in range(60)]
        put(store, b"other queue", queue_id=1, tag_code=1)
        store.commit(sync=False)
        queue = queue_of(store)
        for wanted in (frozenset({1}), frozenset({0, -1, 2**62}), frozenset(codes), frozenset({7}), frozenset[int]()):
            for offset, limit in ((0, 60), (5, 1), (7, 20), (59, 1)):
                among = entries[offset : offset + limit]
                assert store.select(queue, offset, limit, wanted) == [one for one in among if one.tag_code in wanted]
        store.stage_trim(queue, 10)
        store.commit(sync=False)
        assert store.select(queue, 10, 6, frozenset({1})) == [entries[13]]

    def test_a_read_gives_what_entries_and_records_give(self, store: MessageStore) -> None:
        for n in range(60):
            put(store, bytes(n), queue_id=n % 3 % 2)
        store.commit(sync=False)
        for queue_id in (0, 1):
            queue = queue_of(store, queue_id=queue_id)
            for offset in range(queue.max_offset):
                for limit in (1, 7, 1000):
                    assert store.read(queue, offset, limit, 1 << 20) == [*_records(store, queue, offset, limit)]

    def test_a_read_is_bounded_by_bytes_and_gives_one_record_in_any_case(self, store: MessageStore) -> None:
        sizes = [put(store, bytes(n)).size for n in (10, 20, 500, 1)]
        store.commit(sync=False)
        queue = queue_of(store)
        for count in range(1, 5):
            room = sum(sizes[:count])
            assert len(store.read(queue, 0, 10, room)) == count
            assert len(store.read(queue, 0, 10, room - 1)) == max(1, count - 1)
        assert len(store.read(queue, 2, 10, 0)) == 1

    def test_a_read_sees_nothing_that_was_discarded(self, store: MessageStore) -> None:
        put(store, b"kept")
        store.commit(sync=False)
        put(store, b"discarded")
        queue = queue_of(store)
        assert len(store.read(queue, 0, 10, 1 << 20)) == 1
        store.discard()
        put(store, b"next")
        store.commit(sync=False)
        found = store.read(queue, 0, 10, 1 << 20)
        assert [record.decode(data or b"").body for data in found] == [b"kept", b"next"]

    def test_a_read_shows_which_records_are_gone(self, store: MessageStore) -> None:
        entries = [put(store, b"%d" % n) for n in range(4)]
        store.commit(sync=False)
        store.stage_release(entries[2].physical, store.last_time)
        store.commit(sync=False)
        found = store.read(queue_of(store), 1, 10, 1 << 20)
        assert [data is None for data in found] == [True, False, False]

    def test_physical_offsets_grow_by_the_size_of_records(self, store: MessageStore) -> None:
        first, second = put(store, b"one"), put(store, b"three", topic="U")
        assert (first.physical, second.physical) == (0, first.size)
        store.commit(sync=False)
        assert store.next_physical == first.size + second.size
        assert store.first_physical() == 0
        found = store.next_record(1)
        assert found is not None
        assert found[0] == second.physical
        assert store.next_record(second.physical + 1) is None
        data = store.record(second.physical)
        assert data is not None
        assert record.decode(data).topic == "U"

    def test_a_discarded_batch_leaves_no_trace(self, store: MessageStore) -> None:
        put(store, b"kept")
        store.stage_value(Table.TOPICS, b"a", b"1")
        store.commit(sync=False)
        before = store.next_physical

        put(store, b"gone")
        put(store, b"gone", topic="U")
        store.stage_value(Table.TOPICS, b"a", b"2")
        store.stage_removal(Table.TOPICS, b"a")
        store.discard()
        assert not _pending(store)
        assert store.next_physical == before
        assert queue_of(store).next_offset == 1
        assert store.queue("U", 0) is None
        assert store.value(Table.TOPICS, b"a") == b"1"

        put(store, b"next")
        store.commit(sync=False)
        assert bodies(store, queue_of(store)) == [b"kept", b"next"]

    def test_tables_keep_the_last_value_in_order_of_keys(self, store: MessageStore) -> None:
        for key in (b"b", b"a", b"c", b"ab"):
            store.stage_value(Table.OFFSETS, key, b"1" + key)
        store.stage_value(Table.GROUPS, b"a", b"other table")
        store.stage_value(Table.OFFSETS, b"a", b"2a")
        store.stage_removal(Table.OFFSETS, b"c")
        assert store.values(Table.OFFSETS) == []
        store.commit(sync=False)
        assert store.values(Table.OFFSETS) == [(b"a", b"2a"), (b"ab", b"1ab"), (b"b", b"1b")]
        assert store.values(Table.OFFSETS, below=b"ab") == [(b"a", b"2a")]
        assert store.values(Table.OFFSETS, start=b"ab") == [(b"ab", b"1ab"), (b"b", b"1b")]
        assert store.values(Table.OFFSETS, start=b"a\0", below=b"b", limit=9) == [(b"ab", b"1ab")]
        assert store.values(Table.OFFSETS, start=b"c") == []
        assert store.values(Table.OFFSETS, max_bytes=1) == [(b"a", b"2a")]
        assert store.values(Table.OFFSETS, max_bytes=5) == [(b"a", b"2a"), (b"ab", b"1ab")]
        assert store.values(Table.OFFSETS, limit=2) == [(b"a", b"2a"), (b"ab", b"1ab")]
        assert store.value(Table.GROUPS, b"a") == b"other table"
        assert store.value(Table.OFFSETS, b"c") is None

    def test_keys_are_found_newest_first_within_the_window(self, store: MessageStore) -> None:
        times = [0, 5, 5, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 9 * DAY_MS]
        places = [put(store, b"x", keys=(7, 8), time=time).physical for time in times]
        put(store, b"x", keys=(9,), time=9 * DAY_MS)
        store.commit(sync=False)
        assert store.find(7, 0, 1 << 62, 100) == places[::-1]
        assert store.find(8, 0, 1 << 62, 2) == places[:-3:-1]
        assert store.find(7, 5, DAY_MS, 100) == [places[4], places[3], places[2], places[1]]
        assert store.find(7, DAY_MS + 1, 2 * DAY_MS, 100) == []
        assert store.find(6, 0, 1 << 62, 100) == []
        assert store.find(7, 10, 5, 100) == []
        assert store.find(7, -5, -1, 100) == []

    def test_trimming_moves_the_first_offset(self, store: MessageStore) -> None:
        entries = [put(store, b"%d" % n) for n in range(10)]
        store.commit(sync=False)
        queue = queue_of(store)
        store.stage_trim(queue, 4)
        store.stage_release(entries[4].physical, store.last_time)
        assert (queue.min_offset, store.min_physical) == (0, 0)
        store.commit(sync=False)
        assert (queue.min_offset, queue.max_offset) == (4, 10)
        assert store.min_physical == store.first_physical() == entries[4].physical
        assert store.record(entries[3].physical) is None
        assert store.entries(queue, 0, 100) == entries[4:]
        assert bodies(store, queue, 4, 2) == [b"4", b"5"]

        store.stage_trim(queue, 10)
        store.stage_release(store.next_physical, store.last_time)
        store.commit(sync=False)
        assert (queue.min_offset, queue.max_offset) == (10, 10)
        assert store.first_physical() is None
        assert put(store, b"next").queue_offset == 10

    def test_evicting_removes_entries_and_their_records_alone(self, store: MessageStore) -> None:
        mine, others = [], []
        for n in range(10):
            mine.append(put(store, b"mine %d" % n))
            others.append(put(store, b"other", topic="U"))
        store.commit(sync=False)
        queue = queue_of(store)
        store.stage_evict(queue, 3)
        store.stage_evict(queue, 2)
        store.stage_evict(queue, 7)
        assert store.record(mine[0].physical) is not None
        store.commit(sync=False)
        assert (queue.min_offset, queue.max_offset) == (7, 10)
        assert [store.record(entry.physical) is None for entry in mine] == [True] * 7 + [False] * 3
        assert bodies(store, queue_of(store, "U")) == [b"other"] * 10
        assert store.first_physical() == others[0].physical
        assert bodies(store, queue, 7) == [b"mine 7", b"mine 8", b"mine 9"]

    def test_a_discarded_eviction_leaves_the_records(self, store: MessageStore) -> None:
        put(store, b"kept")
        store.commit(sync=False)
        store.stage_evict(queue_of(store), 1)
        store.discard()
        store.commit(sync=False)
        assert bodies(store, queue_of(store)) == [b"kept"]

    def test_bytes_of_queues_are_counted(self, store: MessageStore) -> None:
        first = put(store, b"x" * 100)
        queue = queue_of(store)
        assert (queue.max_bytes, queue.next_bytes) == (0, first.size)
        store.commit(sync=False)
        put(store, b"gone")
        store.discard()
        second = put(store, b"y")
        store.commit(sync=False)
        assert queue.max_bytes == queue.next_bytes == first.size + second.size

    def test_a_dropped_queue_is_swept_and_starts_empty_again(self, store: MessageStore) -> None:
        gone = [put(store, b"gone") for _ in range(25)]
        kept = put(store, b"kept", topic="U")
        store.commit(sync=False)
        store.stage_drop(queue_of(store))
        assert store.queue("T", 0) is None
        store.commit(sync=False)

        while store.sweep(10):
            store.commit(sync=False)
        assert all(store.record(entry.physical) is None for entry in gone)
        assert store.record(kept.physical) is not None
        assert put(store, b"new").queue_offset == 0
        store.commit(sync=False)
        assert bodies(store, queue_of(store)) == [b"new"]
        assert bodies(store, queue_of(store, "U")) == [b"kept"]

    def test_a_queue_dropped_and_created_again_in_one_batch_is_new(self, store: MessageStore) -> None:
        put(store, b"old")
        store.commit(sync=False)
        old = queue_of(store)
        store.stage_drop(old)
        assert put(store, b"new").queue_offset == 0
        store.commit(sync=False)
        assert bodies(store, queue_of(store)) == [b"new"]
        assert queue_of(store).number != old.number

    def test_a_discarded_drop_leaves_the_queue(self, store: MessageStore) -> None:
        put(store, b"kept")
        store.commit(sync=False)
        queue = queue_of(store)
        store.stage_drop(queue)
        store.discard()
        assert store.queue("T", 0) is queue
        assert store.sweep(10) == 0
        assert bodies(store, queue) == [b"kept"]

        # A later commit does not drop the queue either.
        put(store, b"next")
        store.commit(sync=False)
        assert store.sweep(10) == 0
        assert bodies(store, queue) == [b"kept", b"next"]

    def test_a_queue_created_and_dropped_in_a_discarded_batch_does_not_exist(self, store: MessageStore) -> None:
        put(store, b"kept", topic="U")
        store.commit(sync=False)
        number = queue_of(store, "U").number
        put(store, b"gone")
        store.stage_drop(queue_of(store))
        store.discard()
        assert store.queue("T", 0) is None
        put(store, b"new")
        store.commit(sync=False)
        assert queue_of(store).number == number + 1
        assert bodies(store, queue_of(store)) == [b"new"]

    def test_an_empty_commit_is_accepted(self, store: MessageStore) -> None:
        store.commit(sync=True)
        assert not _pending(store)

    def test_a_healthy_store_recovers_at_once_and_has_room(self, store: MessageStore) -> None:
        assert store.recover()
        space = store.space()
        assert 0 < space.free <= space.total
        assert 0 <= space.used_ratio < 1

    def test_a_closed_store_says_so(self, store: MessageStore) -> None:
        put(store, b"x")
        store.commit(sync=False)
        queue = queue_of(store)
        store.close()
        store.close()
        for use in (
            lambda: store.commit(sync=False),
            lambda: store.entries(queue, 0, 1),
            lambda: store.record(0),
            lambda: store.value(Table.TOPICS, b"a"),
        ):
            assert _raises_closed(use)
        assert not store.recover()


class DurableStoreContract(MessageStoreContract):
    """Tests for every message store that survives its process."""

    def test_all_messages_and_values_survive_reopening(self, store: MessageStore, reopen: Reopen) -> None:
        entries = [put(store, b"%d" % n, queue_id=n % 3, keys=(n % 2,), tag_code=n, time=n) for n in range(50)]
        put(store, b"other", topic="U", time=50)
        store.stage_value(Table.OFFSETS, b"a", b"1")
        store.commit(sync=False)
        put(store, b"never committed")

        again = reopen(store)
        assert again.next_physical == store.next_physical - entries[0].size - len(b"never committed") + 1
        assert again.last_time == 50
        assert sorted((queue.topic, queue.queue_id) for queue in again.queues()) == [
            ("T", 0),
            ("T", 1),
            ("T", 2),
            ("U", 0),
        ]
        for queue_id in range(3):
            assert again.entries(queue_of(again, queue_id=queue_id), 0, 100) == entries[queue_id::3]
        assert again.find(0, 0, 100, 100) == [entry.physical for entry in entries[::2]][::-1]
        assert again.values(Table.OFFSETS) == [(b"a", b"1")]

    def test_an_empty_queue_continues_at_its_offset(self, store: MessageStore, reopen: Reopen) -> None:
        for n in range(5):
            put(store, b"%d" % n)
        store.commit(sync=False)
        store.stage_trim(queue_of(store), 5)
        store.stage_release(store.next_physical, store.last_time)
        store.commit(sync=False)
        before = store.next_physical

        again = reopen(store)
        queue = queue_of(again)
        assert (queue.min_offset, queue.max_offset) == (5, 5)
        assert again.next_physical == again.min_physical == before
        assert put(again, b"next").queue_offset == 5

    def test_physical_offsets_are_never_used_again(self, store: MessageStore, reopen: Reopen) -> None:
        put(store, b"kept", topic="U")
        last = put(store, b"gone")
        store.commit(sync=False)
        store.stage_drop(queue_of(store))
        store.commit(sync=False)
        while store.sweep(10):
            store.commit(sync=False)
        assert reopen(store).next_physical == last.physical + last.size

    def test_the_offsets_of_evicted_messages_are_not_used_again(self, store: MessageStore, reopen: Reopen) -> None:
        put(store, b"kept", topic="U")
        for n in range(3):
            put(store, b"%d" % n)
        store.commit(sync=False)
        store.stage_evict(queue_of(store), 3)
        store.commit(sync=False)
        before = store.next_physical
        again = reopen(store)
        assert again.next_physical == before
        queue = queue_of(again)
        assert (queue.min_offset, queue.max_offset, queue.opened_at, queue.max_bytes) == (3, 3, 3, 0)
        assert bodies(again, queue_of(again, "U")) == [b"kept"]

    def test_sweeping_continues_after_a_restart(self, store: MessageStore, reopen: Reopen) -> None:
        gone = [put(store, b"gone") for _ in range(25)]
        store.commit(sync=False)
        store.stage_drop(queue_of(store))
        store.commit(sync=False)
        assert store.sweep(10) == 10
        store.commit(sync=False)

        again = reopen(store)
        assert again.queue("T", 0) is None
        while again.sweep(10):
            again.commit(sync=False)
        assert all(again.record(entry.physical) is None for entry in gone)
        assert reopen(again).sweep(10) == 0

    def test_numbers_of_queues_are_never_used_again(self, store: MessageStore, reopen: Reopen) -> None:
        put(store, b"gone")
        store.commit(sync=False)
        number = queue_of(store).number
        store.stage_drop(queue_of(store))
        store.commit(sync=False)
        while store.sweep(10):
            store.commit(sync=False)
        again = reopen(store)
        put(again, b"new")
        assert queue_of(again).number > number


def _pending(store: MessageStore) -> bool:
    return store.pending


def _raises_closed(use: Callable[[], object]) -> bool:
    try:
        use()
    except StoreClosed:
        return True
    return False
