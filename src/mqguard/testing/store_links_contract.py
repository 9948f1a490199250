"""Contract tests for queues of links in a `MessageStore`, and for removals in one batch.

Subclass `StoreLinksContract` and define a fixture `store` with a fresh store.
"""
# ruff: noqa: S101, D102 - tests assert, and their names are their sentences

from mqguard.model import record
from mqguard.store.ports import MessageStore
from mqguard.testing.store_contract import bodies, put, queue_of


class StoreLinksContract:
    """Tests for every message store."""

    def test_a_queue_that_is_trimmed_and_dropped_in_one_batch_takes_no_record_of_another(
        self, store: MessageStore
    ) -> None:
        for _ in range(30):
            put(store, b"gone")
        kept = [put(store, b"kept", topic="U") for _ in range(30)]
        store.commit(sync=False)
        store.stage_trim(queue_of(store), 20)
        store.stage_drop(queue_of(store))
        store.commit(sync=False)
        while store.sweep(500):
            store.commit(sync=False)
        assert all(store.record(entry.physical) is not None for entry in kept)
        assert len(bodies(store, queue_of(store, "U"))) == 30

    def test_a_link_reads_the_record_of_another_queue(self, store: MessageStore) -> None:
        entries = [put(store, b"%d" % n, time=n) for n in range(4)]
        links = store.stage_queue("L", 0)
        store.commit(sync=False)
        for entry in entries[1:3]:
            data = store.record(entry.physical)
            assert data is not None
            store.stage_link(links, entry.physical, data, 7, entry.store_time)
        assert (links.max_offset, links.next_offset) == (0, 2)
        store.discard()
        assert (links.max_offset, links.next_offset) == (0, 0)
        for entry in entries[1:]:
            data = store.record(entry.physical)
            assert data is not None
            store.stage_link(links, entry.physical, data, 7, entry.store_time)
        store.commit(sync=False)
        assert store.entries(links, 0, 10) == [
            entry._replace(queue_offset=at, tag_code=7) for at, entry in enumerate(entries[1:])
        ]
        assert bodies(store, links) == [b"1", b"2", b"3"]
        found = store.read(links, 1, 10, 1 << 20)
        assert [None if data is None else record.decode(data).body for data in found] == [b"2", b"3"]

    def test_a_queue_of_links_is_dropped_without_its_records(self, store: MessageStore) -> None:
        links = store.stage_queue("L", 0)
        for n in range(30):
            entry = put(store, b"%d" % n)
            store.stage_link(links, entry.physical, bytes(entry.size), 0, 0)
        store.commit(sync=False)
        store.stage_drop(links, keep_records=True)
        store.commit(sync=False)
        while store.sweep(10):
            store.commit(sync=False)
        assert store.queue("L", 0) is None
        assert len(bodies(store, queue_of(store))) == 30
        assert store.entries(store.stage_queue("L", 0), 0, 10) == []
        store.discard()

    def test_a_link_to_a_removed_record_reads_as_none(self, store: MessageStore) -> None:
        links = store.stage_queue("L", 0)
        for n in range(4):
            entry = put(store, b"%d" % n)
            store.stage_link(links, entry.physical, b"", 0, 0)
        store.commit(sync=False)
        # The store keeps the newest records in memory, so the links that an earlier process made are read.
        links.recent = None
        store.stage_evict(queue_of(store), 2)
        store.commit(sync=False)
        found = store.read(links, 0, 10, 1 << 20)
        assert [None if data is None else record.decode(data).body for data in found] == [None, None, b"2", b"3"]
