"""Messages on RocksDB: one write batch per commit, with the write-ahead log always on (`database` has the layout).

Rule 1: nothing is acknowledged before `commit` has returned. Nothing of a failed commit is ever visible.
Rule 2: after a failed write RocksDB may have the batch in its log. `recover` opens the database again and undoes the
batch, so that memory and disk agree again.
"""

import contextlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import rocksdict

from mqguard.store import database
from mqguard.store.database import Database, log_bytes
from mqguard.store.disk_sync import LogSync
from mqguard.store.errors import StoreClosed, StoreCorrupt, StoreDamaged, StoreError, StoreFailed
from mqguard.store.ports import QueueEntry, Space, Table
from mqguard.store.queues import Queue, QueueTable, RecentRecords
from mqguard.store.reader import DroppedQueues, Reader, load

_pack_record_key = database.U64.pack
_pack_queue_key = database.QUEUE_KEY.pack
_pack_entry = database.ENTRY.pack
_pack_index_key = database.INDEX_KEY.pack
Handle = rocksdict.ColumnFamily | None
_ROOM_TO_RECOVER = 64 << 20
"""Free bytes, besides the size of the log, that `recover` needs to open the database again.

Opening writes the content of the log to files. A failure there would also end the reads, which still work.
"""


class RocksMessageStore:
    """A `MessageStore` in a directory of its own.

    Args:
        path: The directory.
        sync_ms: Interval of syncs in the background, for commits without `sync`; None leaves it to the system.

    Raises:
        StoreBusy: Another process uses it.
        StoreCorrupt: It is damaged, or has a format that this version does not know.
        StoreFailed: It cannot be opened.
    """

    def __init__(self, path: Path, sync_ms: int | None = None) -> None:
        self._path = path
        self._log_sync: LogSync | None = None
        self.failure: str | None = None
        self._closed = False
        self._first = 0
        self._queues = QueueTable()
        self._dropped = DroppedQueues()
        self._failed_writes = FailedWrites()
        self._attach(Database(path))
        try:
            loaded = load(self._reader, self._queues, self._dropped)
        except StoreError:
            self._detach()
            raise
        self.next_physical = loaded.next_physical
        self.min_physical = self._release = loaded.released
        self.last_time = self._last_time = loaded.last_time
        self._last_day = database.day_of(loaded.last_time)
        self._recent = RecentRecords(self.next_physical)
        self._begin()
        if loaded.is_new:
            self._put(database.FORMAT_KEY, database.FORMAT)
            self.commit(sync=True)
        if sync_ms is not None:
            self._log_sync = LogSync(path, sync_ms)
            self._log_sync.start()

    # Staging

    def queue(self, topic: str, queue_id: int) -> Queue | None:
        """See `MessageStore`."""
        return self._queues.by_place.get((topic, queue_id))

    def queues(self) -> list[Queue]:
        """See `MessageStore`."""
        return list(self._queues.by_place.values())

    def stage_queue(self, topic: str, queue_id: int) -> Queue:
        """See `MessageStore`."""
        found = self._queues.by_place.get((topic, queue_id))
        if found is not None:
            return found

        added = self._queues.add(topic, queue_id)
        self._put(database.queue_name(database.QUEUE_LETTER, added.number), database.queue_value(added, 0))
        self._put(database.NEXT_NUMBER_KEY, database.U64.pack(self._queues.next_number))
        return added

    def stage_drop(self, queue: Queue, *, keep_records: bool = False) -> None:
        """See `MessageStore`."""
        self._queues.drop(queue)
        # Entries that the same batch trims are gone when the queue is swept: a read from there would find the entries
        # of the next queue. An empty range makes `sweep` remove the entries alone.
        begin = queue.next_offset if keep_records else queue.pending_min
        self._dropped.stage(queue.number, (begin, queue.next_offset))
        self._delete(database.queue_name(database.QUEUE_LETTER, queue.number))
        name = database.queue_name(database.DROPPED_LETTER, queue.number)
        self._put(name, database.span_value(begin, queue.next_offset))

    def stage_message(self, queue: Queue, record: bytes, tag_code: int, store_time: int, keys: Iterable[int]) -> None:
        """See `MessageStore`."""
        physical, offset, size = self.next_physical, queue.next_offset, len(record)
        put = self._batch.put
        put(_pack_record_key(physical), record, self._in_records)
        put(_pack_queue_key(queue.number, offset), _pack_entry(physical, size, tag_code, store_time), self._in_queues)
        if store_time != self._last_time:
            self._last_time = store_time
            self._last_day = database.day_of(store_time)
        for key in keys:
            put(_pack_index_key(self._last_day, key, store_time, physical), b"", self._in_keys)
        queue.keep_recent(record)
        queue.next_offset = offset + 1
        queue.next_bytes += size
        self.next_physical = physical + size
        self._queues.touch(queue)

    def stage_link(self, queue: Queue, physical: int, record: bytes, tag_code: int, store_time: int) -> None:
        """See `MessageStore`."""
        key = _pack_queue_key(queue.number, queue.next_offset)
        self._batch.put(key, _pack_entry(physical, len(record), tag_code, store_time), self._in_queues)
        queue.keep_recent(record)
        queue.next_offset += 1
        queue.next_bytes += len(record)
        self._queues.touch(queue)

    def stage_value(self, table: Table, key: bytes, value: bytes) -> None:
        """See `MessageStore`."""
        self._put(table.value + key, value)

    def stage_removal(self, table: Table, key: bytes) -> None:
        """See `MessageStore`."""
        self._delete(table.value + key)

    def stage_trim(self, queue: Queue, min_offset: int) -> None:
        """See `MessageStore`."""
        if min_offset <= queue.pending_min:
            return
        begin, end = (database.QUEUE_KEY.pack(queue.number, offset) for offset in (queue.pending_min, min_offset))
        self._batch.delete_range(begin, end, self._in_queues)
        queue.pending_min = min_offset
        self._queues.touch(queue)
        self._put(database.queue_name(database.QUEUE_LETTER, queue.number), database.queue_value(queue, min_offset))

    def stage_evict(self, queue: Queue, min_offset: int) -> None:
        """See `MessageStore`."""
        if min_offset <= queue.pending_min:
            return
        for entry in self.entries(queue, queue.pending_min, min_offset - queue.pending_min):
            self._batch.delete(database.U64.pack(entry.physical), self._in_records)
        self._deletes_records = True
        self.stage_trim(queue, min_offset)
        # The newest records may be deleted now; their physical offsets must not be used again.
        self._put(database.FLOOR_KEY, database.U64.pack(self.next_physical))

    def stage_release(self, physical: int, oldest: int) -> None:
        """See `MessageStore`."""
        if physical <= self._release:
            return
        self._batch.delete_range(database.U64.pack(0), database.U64.pack(physical), self._in_records)
        self._put(database.RELEASED_KEY, database.U64.pack(physical))
        self._put(database.FLOOR_KEY, database.U64.pack(self.next_physical))
        self._release = physical
        self._deletes_records = True
        self._batch.delete_range(_day_key(0), _day_key(database.day_of(oldest)), self._in_keys)

    def sweep(self, limit: int) -> int:
        """See `MessageStore`."""
        swept = 0
        while swept < limit and (step := self._sweep_next(limit - swept)):
            swept += step
        return swept

    @property
    def pending(self) -> bool:
        """See `MessageStore`."""
        return not self._batch.is_empty()

    def commit(self, *, sync: bool) -> None:
        """See `MessageStore`."""
        db = self._db
        if db is None or self.failure is not None:
            self.discard()
            raise self._out_of_order()
        try:
            db.write(self._batch, sync=sync)
        except StoreError as exc:
            self.failure = str(exc)
            self._failed_writes.note(self._reader, self._meta_keys, self._queues, self._release)
            self.discard()
            raise StoreFailed(self.failure) from exc
        self._recent.settle(self._queues.touched, self.next_physical)
        self._queues.settle()
        self._dropped.settle()
        if self._release != self.min_physical:
            self._recent.release(self._release)
        if self._deletes_records:
            self._reader.forget()
        self.min_physical = self._release
        self.last_time = self._last_time
        self._begin()

    def discard(self) -> None:
        """See `MessageStore`."""
        self._queues.revert()
        self._dropped.revert()
        self.next_physical = self._committed_physical
        self._release = self.min_physical
        self._last_time = self.last_time
        self._last_day = database.day_of(self.last_time)
        self._begin()

    # Reading

    def entries(self, queue: Queue, offset: int, limit: int) -> list[QueueEntry]:
        """See `MessageStore`."""
        begin = max(offset, queue.min_offset)
        return self._reader.entries(queue.number, begin, max(0, min(limit, queue.max_offset - begin)))

    def select(self, queue: Queue, offset: int, limit: int, codes: frozenset[int]) -> list[QueueEntry]:
        """See `MessageStore`."""
        return self._reader.select(queue, offset, limit, codes)

    def record(self, physical: int) -> bytes | None:
        """See `MessageStore`."""
        return self._reader.record(physical)

    def read(self, queue: Queue, offset: int, limit: int, max_bytes: int) -> list[bytes | None]:
        """See `MessageStore`."""
        limit = min(limit, queue.max_offset - offset)
        recent, begin = queue.recent, offset - queue.recent_offset
        if recent is None or begin < 0:
            return self._reader.read(queue, offset, limit, max_bytes)
        self._require_open()
        found = recent[begin : begin + limit]
        size = sum(map(len, found))
        while size > max_bytes and len(found) > 1:
            size -= len(found.pop())
        return cast("list[bytes | None]", found)

    def records(self, queue: Queue, entries: Sequence[QueueEntry]) -> list[bytes]:
        """See `MessageStore`."""
        recent, first = queue.recent, queue.recent_offset
        if recent is None or not entries or entries[0].queue_offset < first:
            return self._reader.records(entries)
        self._require_open()
        return [recent[entry.queue_offset - first] for entry in entries]

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """See `MessageStore`."""
        return self._reader.find(key, max(0, begin), end, limit) if end >= 0 else []

    def first_physical(self) -> int | None:
        """See `MessageStore`."""
        # Deleted records never return, so the search starts at the last result, not before all deleted records.
        found = self._reader.next_record(self._first)
        if found is None:
            return None
        self._first = found[0]
        return self._first

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """See `MessageStore`."""
        return self._reader.next_record(physical)

    def value(self, table: Table, key: bytes) -> bytes | None:
        """See `MessageStore`."""
        return self._reader.meta(table.value + key)

    def values(
        self,
        table: Table,
        *,
        start: bytes = b"",
        below: bytes | None = None,
        limit: int | None = None,
        max_bytes: int | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """See `MessageStore`."""
        return self._reader.values(table, start, below, limit, max_bytes)

    def space(self) -> Space:
        """See `MessageStore`."""
        try:
            total, used, free = shutil.disk_usage(self._path)
        except OSError as exc:
            raise StoreFailed(f"the disk space of `{self._path}` cannot be read: {exc.strerror}") from exc
        return Space(total, free, used)

    # Opening, failing, closing

    def checkpoint(self, path: Path) -> None:
        """Copy what is committed into a directory that does not exist yet. Another thread may call this.

        Raises:
            StoreFailed: The copy cannot be written, or the store failed before.
        """
        db = self._db
        if db is None or self.failure is not None:
            raise self._out_of_order()
        db.checkpoint(path)

    def recover(self) -> bool:
        """See `MessageStore`."""
        if self.failure is None or self._closed:
            return not self._closed
        if self.pending:
            return False
        try:
            space = self.space()
            if space.free < min(_ROOM_TO_RECOVER, space.total // 20) + log_bytes(self._path):
                return False
            self._detach()
            self._attach(Database(self._path))
            self._begin()
            self._repair()
        except StoreError as exc:
            self.failure = str(exc)
            return False
        self.failure = None
        return True

    def close(self) -> None:
        """See `MessageStore`."""
        if self._db is not None and self.failure is None:
            # If the disk is full, the log stays as it is and the next start reads it.
            with contextlib.suppress(StoreError):
                self._db.flush()
        self._closed = True
        self._detach()
        if self._log_sync is not None:
            self._log_sync.close()
            self._log_sync = None

    def _repair(self) -> None:
        """Make the disk agree with memory after a write with an unknown outcome."""
        db = self._db
        if db is None:
            raise self._out_of_order()
        if self._failed_writes.lost:
            raise StoreFailed(
                "neither writes nor reads were possible for some time: restart the server to read everything again"
            )
        batch = rocksdict.WriteBatch(raw_mode=True)
        self._failed_writes.repair(batch, db, self._queues, self.next_physical)
        db.write(batch, sync=True)
        for queue in self._queues.by_place.values():
            if self._reader.end_of(queue) != queue.max_offset:
                raise StoreCorrupt(
                    f"the disk has lost messages of `{queue.topic}`: restart the server to continue with the rest"
                )
        self.min_physical = self._release = max(self.min_physical, self._failed_writes.release)
        self._failed_writes = FailedWrites()

    def _attach(self, db: Database) -> None:
        self._db: Database | None = db
        self._reading: Reader | None = Reader(db)
        self._in_records: Handle = db.handles["records"]
        self._in_queues: Handle = db.handles["queues"]
        self._in_keys: Handle = db.handles["keys"]
        self._in_meta: Handle = db.handles["meta"]

    def _detach(self) -> None:
        """Release the database and all references to it: the last one releases its lock."""
        self._reading = None
        self._in_records = self._in_queues = self._in_keys = self._in_meta = None
        self._batch = rocksdict.WriteBatch(raw_mode=True)
        if self._db is not None:
            db, self._db = self._db, None
            db.close()

    @property
    def _reader(self) -> Reader:
        if self._reading is None:
            raise self._out_of_order()
        return self._reading

    def _require_open(self) -> None:
        """Raise as a read of the disk does: what is in memory is not read from a store that is closed or fails."""
        if self._reading is None:
            raise self._out_of_order()

    def _out_of_order(self) -> StoreError:
        if self._closed:
            return StoreClosed("the store is closed")
        return StoreFailed(f"the store cannot be used: {self.failure}")

    def _begin(self) -> None:
        self._batch = rocksdict.WriteBatch(raw_mode=True)
        self._meta_keys: set[bytes] = set()
        self._committed_physical = self.next_physical
        self._deletes_records = False

    def _put(self, key: bytes, value: bytes) -> None:
        self._meta_keys.add(key)
        self._batch.put(key, value, self._in_meta)

    def _delete(self, key: bytes) -> None:
        self._meta_keys.add(key)
        self._batch.delete(key, self._in_meta)

    def _sweep_next(self, limit: int) -> int:
        """Stage the removal of at most `limit` entries of one dropped queue; return their number, 0 for no queue."""
        found = self._dropped.next()
        if found is None:
            return 0
        number, begin, end = found
        upto = min(end, begin + limit)
        self._deletes_records = True
        # If entries are damaged, their records stay until they expire; otherwise the removal would never end.
        with contextlib.suppress(StoreDamaged):
            for entry in self._reader.entries(number, begin, upto - begin):
                self._batch.delete(database.U64.pack(entry.physical), self._in_records)

        name = database.queue_name(database.DROPPED_LETTER, number)
        if upto < end:
            self._dropped.stage(number, (upto, end))
            self._put(name, database.span_value(upto, end))
        else:
            self._dropped.stage(number, None)
            self._delete(name)
            whole = database.QUEUE_KEY.pack(number, 0), database.QUEUE_KEY.pack(number, database.LAST_OFFSET)
            self._batch.delete_range(*whole, self._in_queues)
            # The newest records may be deleted now; their physical offsets must not be used again.
            self._put(database.FLOOR_KEY, database.U64.pack(self.next_physical))
        return max(1, upto - begin)


def _day_key(day: int) -> bytes:
    return database.INDEX_KEY.pack(day, 0, 0, 0)


class FailedWrites:
    """The failed writes since the database last agreed with memory.

    RocksDB may have a write in its log although it reports it as failed. Such a write comes back when the database is
    opened again. `repair` undoes all of it except the deletion of old messages, which it repeats: a deleted message
    stays deleted.

    Attributes:
        release: Records below this physical offset may be deleted.
        lost: True if the old values could not be read, so only a restart can recover.
    """

    def __init__(self) -> None:
        self.release = 0
        self.lost = False
        self._meta: dict[bytes, bytes | None] = {}
        self._ends: dict[int, int] = {}
        self._trims: dict[Queue, int] = {}

    def note(self, reader: Reader, meta_keys: set[bytes], queues: QueueTable, release: int) -> None:
        """Keep the old values of a failed write, before the staged state is dropped."""
        for key in meta_keys - self._meta.keys():
            try:
                self._meta[key] = reader.meta(key)
            except StoreFailed:
                self.lost = True
        for queue in queues.touched:
            self._ends[queue.number] = queue.max_offset
            if queue.pending_min > queue.min_offset:
                self._trims[queue] = queue.pending_min
        self.release = max(self.release, release)

    def repair(self, batch: rocksdict.WriteBatch, db: Database, queues: QueueTable, next_physical: int) -> None:
        """Fill a batch that makes the disk agree with memory; queues that may have lost old entries are trimmed."""
        in_records, in_queues, in_meta = (db.handles[name] for name in ("records", "queues", "meta"))
        batch.delete_range(database.U64.pack(next_physical), database.U64.pack(database.LAST_OFFSET), in_records)
        for number, end in self._ends.items():
            beyond = database.QUEUE_KEY.pack(number, end), database.QUEUE_KEY.pack(number, database.LAST_OFFSET)
            batch.delete_range(*beyond, in_queues)
        for key, value in self._meta.items():
            if value is None:
                batch.delete(key, in_meta)
            else:
                batch.put(key, value, in_meta)

        for queue, offset in self._trims.items():
            if queues.by_place.get((queue.topic, queue.queue_id)) is queue:
                queue.min_offset = queue.pending_min = offset
                batch.put(
                    database.queue_name(database.QUEUE_LETTER, queue.number),
                    database.queue_value(queue, offset),
                    in_meta,
                )
                whole = database.QUEUE_KEY.pack(queue.number, 0), database.QUEUE_KEY.pack(queue.number, offset)
                batch.delete_range(*whole, in_queues)
        if self.release:
            batch.delete_range(database.U64.pack(0), database.U64.pack(self.release), in_records)
            batch.put(database.RELEASED_KEY, database.U64.pack(self.release), in_meta)
        batch.put(database.FLOOR_KEY, database.U64.pack(next_physical), in_meta)
