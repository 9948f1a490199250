"""Reads from RocksDB: messages and small tables, and the state that a store keeps in memory."""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import rocksdict

from mqguard.model import record
from mqguard.model.record import RecordInvalid
from mqguard.store import database
from mqguard.store.database import Database, store_error
from mqguard.store.errors import StoreCorrupt, StoreDamaged, StoreFailed
from mqguard.store.ports import QueueEntry, Table
from mqguard.store.queues import Queue, QueueTable

Pairs = Iterator[tuple[bytes, bytes]]
MAX_PASSED_BYTES = 8 * 1024 * 1024
"""Maximum bytes of records that are kept because a walk has passed them, the last two walks not counted."""
MAX_WALK_BYTES = 1024 * 1024
"""Maximum bytes of a walk that passes records of other queues."""
_MAX_SPREAD = 8
"""Maximum size of a part of the records, relative to the wanted ones in it, that a walk reads."""
_MIN_PART = 4
"""Minimum mean number of records in a part that is read alone."""


class PassedRecords:
    """Records that reads of a queue have passed because the walk found them between the wanted ones.

    Consumers read the queues of a topic at about the same pace. So the records of the other queues are soon wanted.
    """

    __slots__ = ("_bytes", "_new", "_old")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all."""
        self._new: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self._bytes = 0

    def find(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the records with these keys, None for each that is not here."""
        found: list[bytes | None] = list(map(self._new.get, keys))
        if None in found and self._old:
            old = self._old.get
            found = [old(key) if record is None else record for key, record in zip(keys, found, strict=True)]
        return found

    def add(self, records: dict[bytes, bytes]) -> None:
        """Keep the records of a walk."""
        if self._bytes >= MAX_PASSED_BYTES // 2:
            self._old, self._new, self._bytes = self._new, {}, 0
        self._new.update(records)
        self._bytes += sum(map(len, records.values()))


class Reader:
    """Reads committed data; `MessageStore` describes the methods.

    Raises:
        StoreFailed: (every method) The disk cannot be read, or the data are damaged.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._records = db.family("records")
        self._queues = db.family("queues")
        self._keys = db.family("keys")
        self._meta = db.family("meta")
        self._passed = PassedRecords()

    def entries(self, number: int, offset: int, limit: int) -> list[QueueEntry]:
        """Return entries of a queue by its number; the range must be within the queue."""
        begin = database.QUEUE_KEY.pack(number, offset)
        unpack = database.ENTRY.unpack
        try:
            values = self._queues.values(from_key=begin)
            # INVARIANT: the offsets of a queue are dense, so the n-th value belongs to the n-th offset.
            found = [
                QueueEntry(at, *unpack(value)) for at, value in zip(range(offset, offset + limit), values, strict=False)
            ]
            if len(found) == limit:
                return found
            # rocksdict's fast iterators stop at damaged data without an error; the slow walk raises one.
            return [
                QueueEntry(database.QUEUE_KEY.unpack(key)[1], *unpack(value))
                for key, value in itertools.islice(_walk(self._queues, begin), limit)
                if key.startswith(begin[:4])
            ]
        except Exception as exc:
            raise self._failed(exc) from exc

    def select(self, queue: Queue, offset: int, limit: int, codes: frozenset[int]) -> list[QueueEntry]:
        """Return the entries with one of these tag codes among those of a range of a queue."""
        begin = database.QUEUE_KEY.pack(queue.number, offset)
        unpack, packed = database.ENTRY.unpack, _packed(codes)
        try:
            values = list(itertools.islice(self._queues.values(from_key=begin), limit))
            if len(values) == limit:
                # Only entries that match become objects, which takes most of the time.
                return [
                    QueueEntry(at, *unpack(value))
                    for at, value in enumerate(values, offset)
                    if value[database.TAG_CODE] in packed
                ]
        except Exception as exc:
            raise self._failed(exc) from exc
        raise self._gap(queue, offset, limit)

    def read(self, queue: Queue, offset: int, limit: int, max_bytes: int) -> list[bytes | None]:
        """Return records of a queue from an offset on; the caller does not ask beyond its end."""
        begin = database.QUEUE_KEY.pack(queue.number, offset)
        try:
            # INVARIANT: the offsets of a queue are dense, so the n-th value belongs to the n-th offset.
            values = list(itertools.islice(self._queues.values(from_key=begin), limit))
            if len(values) == limit:
                return self._places(values, max_bytes)
        except Exception as exc:
            raise self._failed(exc) from exc
        raise self._gap(queue, offset, limit)

    def _gap(self, queue: Queue, offset: int, limit: int) -> StoreFailed:
        """Return the error for a range of a queue of which an entry is missing."""
        # rocksdict's quick iterators end at damage without an error; the careful walk raises it.
        found = self.entries(queue.number, offset, limit)
        if len(found) == limit:
            return StoreFailed(f"the entries of queue {queue.queue_id} of `{queue.topic}` changed while they were read")
        # Only damage makes a gap: to go on behind it would lose messages without an error.
        return StoreFailed(f"queue {queue.queue_id} of `{queue.topic}` has no message at offset {offset + len(found)}")

    def _places(self, values: Sequence[bytes], max_bytes: int) -> list[bytes | None]:
        """Return the records of the values of entries, as many as are no more than so many bytes, and one at least."""
        entries = list(database.ENTRY.iter_unpack(b"".join(values)))
        if sum([length for _, length, _, _ in entries]) > max_bytes:
            ends = itertools.accumulate([length for _, length, _, _ in entries])
            values = values[: max(1, sum([end <= max_bytes for end in ends]))]
        keys = [value[:8] for value in values]
        first, last = entries[0], entries[len(keys) - 1]
        return self._get(keys, last[0] + last[1] - first[0], sum([length for _, length, _, _ in entries[: len(keys)]]))

    def _get(self, keys: Sequence[bytes], span: int, size: int) -> list[bytes | None]:
        """Return the records with these keys, which rise, None for each that is deleted.

        Args:
            keys: Keys of the records.
            span: Distance from the start of the first record to the end of the last one, with what is between them.
            size: Size of the records.
        """
        if len(keys) == 1:
            return [self._records.get(keys[0])]
        if span == size:
            walk = cast("Pairs", self._records.items(from_key=keys[0]))
            adjacent: list[bytes | None] = [data for key, data in itertools.islice(walk, len(keys)) if key <= keys[-1]]
            if len(adjacent) == len(keys):
                return adjacent
        elif span <= min(size * _MAX_SPREAD, MAX_WALK_BYTES):
            found = self._passed.find(keys)
            if None in found:
                missing = [key for key, data in zip(keys, found, strict=True) if data is None]
                self._passed.add(read := self._walk(missing[0], missing[-1]))
                # INVARIANT: in a gap are records of other queues, which the caller may not be permitted to read. So
                # each record is taken by the key in its queue's own entry.
                found = [read.get(key) if data is None else data for key, data in zip(keys, found, strict=True)]
            if None not in found:
                return found
        # A walk ends at damaged data without an error; this raises one.
        return cast("list[bytes | None]", self._records.get(list(keys)))

    def _walk(self, first: bytes, last: bytes) -> dict[bytes, bytes]:
        """Return all records between two keys, by key."""
        found: dict[bytes, bytes] = {}
        for key, value in cast("Pairs", self._records.items(from_key=first)):
            if key > last:
                break
            found[key] = value
            if key == last:
                break
        return found

    def forget(self) -> None:
        """Drop the records that are kept in memory: some records were deleted."""
        self._passed.clear()

    def record(self, physical: int) -> bytes | None:
        """Return one record."""
        try:
            found: bytes | None = self._records.get(database.U64.pack(physical))
        except Exception as exc:
            raise self._failed(exc) from exc
        return found

    def records(self, entries: Sequence[QueueEntry]) -> list[bytes]:
        """Return records in the order of their entries, without deleted ones."""
        if not entries:
            return []
        try:
            parts = list(_parts(entries))
            if len(parts) * _MIN_PART > len(entries):
                parts = [entries]
            found: list[bytes | None] = []
            for part in parts:
                first, last = part[0], part[-1]
                keys = [database.U64.pack(entry.physical) for entry in part]
                found += self._get(keys, last.physical + last.size - first.physical, sum([one.size for one in part]))
        except Exception as exc:
            raise self._failed(exc) from exc
        return [data for data in found if data is not None]

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """Return physical offsets by key, newest first, with one walk per day of the window."""
        try:
            days = self._days()
            if days is None:
                return []
            found: list[int] = []
            for day in range(min(database.day_of(end), days[1]), max(database.day_of(begin), days[0]) - 1, -1):
                found += itertools.islice(self._day(day, key, begin, end), limit - len(found))
                if len(found) == limit:
                    break
        except Exception as exc:
            raise self._failed(exc) from exc
        return found

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """Return the first record at or after an offset."""
        try:
            for key, value in _walk(self._records, database.U64.pack(physical)):
                return database.U64.unpack(key)[0], value
        except Exception as exc:
            raise self._failed(exc) from exc
        return None

    def last_record(self) -> tuple[int, bytes] | None:
        """Return the newest record."""
        try:
            for key, value in _walk_back(self._records, None):
                return database.U64.unpack(key)[0], value
        except Exception as exc:
            raise self._failed(exc) from exc
        return None

    def end_of(self, queue: Queue) -> int:
        """Return one after the last offset of a queue, its first offset if it is empty."""
        last = database.QUEUE_KEY.pack(queue.number, database.LAST_OFFSET)
        try:
            for key, _ in _walk_back(self._queues, last):
                number, offset = database.QUEUE_KEY.unpack(key)
                return max(queue.min_offset, int(offset) + 1) if number == queue.number else queue.min_offset
        except Exception as exc:
            raise self._failed(exc) from exc
        return queue.min_offset

    def meta(self, key: bytes) -> bytes | None:
        """Return one value of the small tables."""
        try:
            found: bytes | None = self._meta.get(key)
        except Exception as exc:
            raise self._failed(exc) from exc
        return found

    def metas(
        self,
        prefix: bytes,
        *,
        start: bytes = b"",
        below: bytes | None = None,
        limit: int | None = None,
        max_bytes: int | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return whole keys and values of the small tables under a prefix."""
        end = None if below is None else prefix + below
        size = 0
        found: list[tuple[bytes, bytes]] = []
        try:
            for key, value in _walk(self._meta, prefix + start):
                if not key.startswith(prefix) or (end is not None and key >= end) or len(found) == limit:
                    break
                size += len(value)
                if max_bytes is not None and found and size > max_bytes:
                    break
                found.append((key, value))
        except Exception as exc:
            raise self._failed(exc) from exc
        return found

    def is_empty(self) -> bool:
        """Return True if the database is empty."""
        return self.next_record(0) is None and not self.metas(b"", limit=1)

    def values(
        self, table: Table, start: bytes, below: bytes | None, limit: int | None, max_bytes: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return keys and values of one table."""
        found = self.metas(table.value, start=start, below=below, limit=limit, max_bytes=max_bytes)
        return [(key[1:], value) for key, value in found]

    def _days(self) -> tuple[int, int] | None:
        for first, _ in _walk(self._keys, b""):
            for last, _ in _walk_back(self._keys, None):
                return int.from_bytes(first[:2], "big"), int.from_bytes(last[:2], "big")
        return None

    def _day(self, day: int, key: int, begin: int, end: int) -> Iterator[int]:
        last = database.INDEX_KEY.pack(day, key, min(end, database.LAST_OFFSET), database.LAST_OFFSET)
        for name, _ in _walk_back(self._keys, last):
            found_day, found_key, stored, physical = database.INDEX_KEY.unpack(name)
            if (found_day, found_key) != (day, key) or stored < begin:
                return
            yield physical

    def _failed(self, error: Exception) -> StoreFailed:
        found = store_error(error, self._db.path)
        return StoreDamaged(str(found)) if isinstance(found, StoreCorrupt) else StoreFailed(str(found))


@functools.lru_cache(maxsize=64)
def _packed(codes: frozenset[int]) -> frozenset[bytes]:
    """Return tag codes in the form of an entry."""
    return frozenset(map(database.I64.pack, codes))


def _walk(family: rocksdict.Rdict, begin: bytes) -> Pairs:
    """Yield keys and values from the first key at or after `begin` on; raise at damaged data."""
    walk = family.iter()
    walk.seek(begin)
    while walk.valid():
        yield walk.key(), walk.value()
        walk.next()
    walk.status()


def _walk_back(family: rocksdict.Rdict, begin: bytes | None) -> Pairs:
    """Yield keys and values backwards from the last key at or before `begin`, None for all; raise at damaged data."""
    walk = family.iter()
    if begin is None:
        walk.seek_to_last()
    else:
        walk.seek_for_prev(begin)
    while walk.valid():
        yield walk.key(), walk.value()
        walk.prev()
    walk.status()


def _parts(entries: Sequence[QueueEntry]) -> Iterator[Sequence[QueueEntry]]:
    """Split entries where a gap between two records is too large for a walk."""
    begin = 0
    for at in range(1, len(entries)):
        before = entries[at - 1]
        if entries[at].physical - before.physical > _MAX_SPREAD * before.size:
            yield entries[begin:at]
            begin = at
    yield entries[begin:]


class DroppedQueues:
    """Dropped queues whose entries and records are still on disk, as offsets `[begin, end)` by queue number.

    They are deleted in parts. Changes are staged like all others.
    """

    def __init__(self) -> None:
        self._committed: dict[int, tuple[int, int]] = {}
        self._staged: dict[int, tuple[int, int] | None] = {}

    def load(self, number: int, begin: int, end: int) -> None:
        """Add a dropped queue that was found on opening."""
        self._committed[number] = (begin, end)

    def stage(self, number: int, span: tuple[int, int] | None) -> None:
        """Stage the rest of a queue, None for nothing."""
        self._staged[number] = span

    def next(self) -> tuple[int, int, int] | None:
        """Return number, begin and end of a committed queue without staged changes, None if there is none."""
        for number, (begin, end) in self._committed.items():
            if number not in self._staged:
                return number, begin, end
        return None

    def settle(self) -> None:
        """Make the staged changes the committed state."""
        for number, span in self._staged.items():
            if span is None:
                self._committed.pop(number, None)
            else:
                self._committed[number] = span
        self._staged.clear()

    def revert(self) -> None:
        """Drop the staged changes."""
        self._staged.clear()


class Loaded(NamedTuple):
    """State of a store on opening.

    Attributes:
        is_new: True if the database is new.
        next_physical: Physical offset of the next record.
        released: Records below this physical offset are deleted.
        last_time: Store time of the newest record, 0 without one.
    """

    is_new: bool
    next_physical: int
    released: int
    last_time: int


def load(reader: Reader, queues: QueueTable, dropped: DroppedQueues) -> Loaded:
    """Fill the tables of queues, with one seek for each queue and without reading the messages.

    Raises:
        StoreCorrupt: The format is unknown or a record cannot be read.
        StoreFailed: The disk cannot be read.
    """
    is_new = _is_new(reader)
    for key, value in reader.metas(database.QUEUE_LETTER):
        queue = database.queue_from(key, value)
        queue.max_offset = queue.next_offset = queue.opened_at = reader.end_of(queue)
        queues.load(queue)
    for key, value in reader.metas(database.DROPPED_LETTER):
        dropped.load(database.number_in(key), *database.span_from(value))
    queues.start_at(_number(reader, database.NEXT_NUMBER_KEY))

    released = _number(reader, database.RELEASED_KEY)
    floor = max(released, _number(reader, database.FLOOR_KEY))
    last = reader.last_record()
    if last is None:
        return Loaded(is_new, floor, released, 0)
    try:
        stored = record.decode(last[1]).store_timestamp
    except RecordInvalid as exc:
        raise StoreCorrupt(f"the newest message cannot be read: {exc}") from exc
    return Loaded(is_new, max(floor, last[0] + len(last[1])), released, stored)


def _is_new(reader: Reader) -> bool:
    found = reader.meta(database.FORMAT_KEY)
    if found == database.FORMAT:
        return False
    if found is None and reader.is_empty():
        return True
    format_found = "no format number" if found is None else f"format `{found.decode(errors='replace')}`"
    raise StoreCorrupt(f"the data have {format_found}, this version reads format `{database.FORMAT.decode()}`")


def _number(reader: Reader, key: bytes) -> int:
    found = reader.meta(key)
    return int.from_bytes(found, "big") if found else 0
