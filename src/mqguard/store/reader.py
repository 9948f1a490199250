"""Reading messages from RocksDB."""

import itertools
from collections.abc import Iterator, Sequence
from typing import cast

import rocksdict

from mqguard.store import layout
from mqguard.store.database import Database, store_error
from mqguard.store.errors import StoreCorrupt, StoreDamaged, StoreFailed
from mqguard.store.ports import Entry, Table
from mqguard.store.queues import Queue

Pairs = Iterator[tuple[bytes, bytes]]
_RUN = 4
"""So many records that lie next to each other are read by one walk rather than one by one."""


class Reader:
    """Reads what is committed; see `MessageStore` for what its methods give.

    Raises:
        StoreFailed: (every method) the disk can not be read, or what it gives is damaged.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._records = db.family("records")
        self._queues = db.family("queues")
        self._keys = db.family("keys")
        self._meta = db.family("meta")

    def entries(self, number: int, offset: int, limit: int) -> list[Entry]:
        """Entries of a queue by its number; the caller does not ask beyond its end."""
        begin = layout.QUEUE_KEY.pack(number, offset)
        unpack = layout.ENTRY.unpack
        try:
            values = self._queues.values(from_key=begin)
            # INVARIANT: the offsets of a queue are dense, so the n-th value belongs to the n-th offset.
            found = [
                Entry(at, *unpack(value)) for at, value in zip(range(offset, offset + limit), values, strict=False)
            ]
            if len(found) == limit:
                return found
            # rocksdict's quick iterators end at damage without a word; the careful walk raises it.
            return [
                Entry(layout.QUEUE_KEY.unpack(key)[1], *unpack(value))
                for key, value in itertools.islice(_walk(self._queues, begin), limit)
                if key.startswith(begin[:4])
            ]
        except Exception as error:
            raise self._failed(error) from error

    def record(self, physical: int) -> bytes | None:
        """One record."""
        try:
            found: bytes | None = self._records.get(layout.U64.pack(physical))
        except Exception as error:
            raise self._failed(error) from error
        return found

    def records(self, entries: Sequence[Entry]) -> list[bytes]:
        """Records in the order of their entries, without those that are gone."""
        try:
            found: list[bytes] = []
            for run in _runs(entries):
                found += self._run(run)
        except Exception as error:
            raise self._failed(error) from error
        return found

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """Physical offsets by key, newest first, a walk per day of the window."""
        try:
            days = self._days()
            if days is None:
                return []
            found: list[int] = []
            for day in range(min(layout.day_of(end), days[1]), max(layout.day_of(begin), days[0]) - 1, -1):
                found += itertools.islice(self._day(day, key, begin, end), limit - len(found))
                if len(found) == limit:
                    break
        except Exception as error:
            raise self._failed(error) from error
        return found

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """The first record at or after an offset."""
        try:
            for key, value in _walk(self._records, layout.U64.pack(physical)):
                return layout.U64.unpack(key)[0], value
        except Exception as error:
            raise self._failed(error) from error
        return None

    def last_record(self) -> tuple[int, bytes] | None:
        """The newest record."""
        try:
            for key, value in _walk_back(self._records, None):
                return layout.U64.unpack(key)[0], value
        except Exception as error:
            raise self._failed(error) from error
        return None

    def end_of(self, queue: Queue) -> int:
        """One after the last offset of a queue, its first offset if it has none."""
        last = layout.QUEUE_KEY.pack(queue.number, layout.LAST_OFFSET)
        try:
            for key, _ in _walk_back(self._queues, last):
                number, offset = layout.QUEUE_KEY.unpack(key)
                return max(queue.min_offset, int(offset) + 1) if number == queue.number else queue.min_offset
        except Exception as error:
            raise self._failed(error) from error
        return queue.min_offset

    def meta(self, key: bytes) -> bytes | None:
        """One value of the small tables."""
        try:
            found: bytes | None = self._meta.get(key)
        except Exception as error:
            raise self._failed(error) from error
        return found

    def metas(
        self, prefix: bytes, *, below: bytes | None = None, limit: int | None = None, max_bytes: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Keys and values of the small tables under a prefix, the whole keys."""
        end = None if below is None else prefix + below
        size = 0
        found: list[tuple[bytes, bytes]] = []
        try:
            for key, value in _walk(self._meta, prefix):
                if not key.startswith(prefix) or (end is not None and key >= end) or len(found) == limit:
                    break
                size += len(value)
                if max_bytes is not None and found and size > max_bytes:
                    break
                found.append((key, value))
        except Exception as error:
            raise self._failed(error) from error
        return found

    def is_empty(self) -> bool:
        """Whether there is nothing at all."""
        return self.next_record(0) is None and not self.metas(b"", limit=1)

    def values(
        self, table: Table, below: bytes | None, limit: int | None, max_bytes: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Keys and values of one table."""
        found = self.metas(table.value, below=below, limit=limit, max_bytes=max_bytes)
        return [(key[1:], value) for key, value in found]

    def _run(self, run: Sequence[Entry]) -> list[bytes]:
        get, pack = self._records.get, layout.U64.pack
        if len(run) >= _RUN:
            end = pack(run[-1].physical)
            walk = self._records.items(from_key=pack(run[0].physical))
            found = [value for key, value in itertools.islice(cast("Pairs", walk), len(run)) if key <= end]
            if len(found) == len(run):
                return found
        return [data for entry in run if (data := get(pack(entry.physical))) is not None]

    def _days(self) -> tuple[int, int] | None:
        for first, _ in _walk(self._keys, b""):
            for last, _ in _walk_back(self._keys, None):
                return int.from_bytes(first[:2], "big"), int.from_bytes(last[:2], "big")
        return None

    def _day(self, day: int, key: int, begin: int, end: int) -> Iterator[int]:
        last = layout.INDEX_KEY.pack(day, key, min(end, layout.LAST_OFFSET), layout.LAST_OFFSET)
        for name, _ in _walk_back(self._keys, last):
            found_day, found_key, stored, physical = layout.INDEX_KEY.unpack(name)
            if (found_day, found_key) != (day, key) or stored < begin:
                return
            yield physical

    def _failed(self, error: Exception) -> StoreFailed:
        found = store_error(error, self._db.path)
        return StoreDamaged(str(found)) if isinstance(found, StoreCorrupt) else StoreFailed(str(found))


def _walk(family: rocksdict.Rdict, begin: bytes) -> Pairs:
    """Keys and values from the first key at or after `begin` on; raises at damage."""
    walk = family.iter()
    walk.seek(begin)
    while walk.valid():
        yield walk.key(), walk.value()
        walk.next()
    walk.status()


def _walk_back(family: rocksdict.Rdict, begin: bytes | None) -> Pairs:
    """Keys and values from the last key at or before `begin` (None: the very last) backwards; raises at damage."""
    walk = family.iter()
    if begin is None:
        walk.seek_to_last()
    else:
        walk.seek_for_prev(begin)
    while walk.valid():
        yield walk.key(), walk.value()
        walk.prev()
    walk.status()


def _runs(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut entries into runs whose records lie next to each other."""
    begin = 0
    for at in range(1, len(entries)):
        before = entries[at - 1]
        if entries[at].physical != before.physical + before.size:
            yield entries[begin:at]
            begin = at
    if entries:
        yield entries[begin:]
