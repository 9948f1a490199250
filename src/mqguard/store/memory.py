"""Messages in memory: for tests, and as the simplest implementation of a store."""

import bisect
import itertools
from collections.abc import Iterable, Sequence

from mqguard.store.errors import StoreClosed, StoreFailed
from mqguard.store.ports import QueueEntry, Space, Table
from mqguard.store.queues import Queue, QueueTable

_ROOM = 1 << 40


class MemoryMessageStore:
    """A `MessageStore` that keeps nothing after the end of the process.

    Attributes:
        room: Bytes of records that it accepts before a commit fails, to test a full disk.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self.room = room
        self.next_physical = 0
        self.min_physical = 0
        self.last_time = 0
        self.failure: str | None = None
        self._queues = QueueTable()
        self._records: dict[int, bytes] = {}
        self._order: list[int] = []
        self._entries: dict[int, list[QueueEntry]] = {}
        self._keys: dict[int, list[tuple[int, int]]] = {}
        self._tables: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}
        self._dropped: list[int] = []
        self._closed = False
        self._release = 0
        self._clear()

    def queue(self, topic: str, queue_id: int) -> Queue | None:
        """See `MessageStore`."""
        return self._queues.by_place.get((topic, queue_id))

    def queues(self) -> list[Queue]:
        """See `MessageStore`."""
        return list(self._queues.by_place.values())

    def stage_queue(self, topic: str, queue_id: int) -> Queue:
        """See `MessageStore`."""
        self._check_open()
        found = self._queues.by_place.get((topic, queue_id))
        if found is not None:
            return found
        self._staged = True
        return self._queues.add(topic, queue_id)

    def stage_drop(self, queue: Queue, *, keep_records: bool = False) -> None:
        """See `MessageStore`."""
        self._check_open()
        self._queues.drop(queue)
        (self._unlinked if keep_records else self._drops).append(queue.number)
        self._staged = True

    def stage_message(self, queue: Queue, record: bytes, tag_code: int, store_time: int, keys: Iterable[int]) -> None:
        """See `MessageStore`."""
        self._check_open()
        entry = QueueEntry(queue.next_offset, self.next_physical, len(record), tag_code, store_time)
        self._messages.append((queue.number, entry, record, tuple(keys)))
        queue.next_offset += 1
        queue.next_bytes += len(record)
        self.next_physical += len(record)
        self._queues.touch(queue)
        self._staged = True

    def stage_link(self, queue: Queue, physical: int, record: bytes, tag_code: int, store_time: int) -> None:
        """See `MessageStore`."""
        self._check_open()
        self._links.append((queue.number, QueueEntry(queue.next_offset, physical, len(record), tag_code, store_time)))
        queue.next_offset += 1
        queue.next_bytes += len(record)
        self._queues.touch(queue)
        self._staged = True

    def stage_value(self, table: Table, key: bytes, value: bytes) -> None:
        """See `MessageStore`."""
        self._check_open()
        self._values[table, key] = value
        self._staged = True

    def stage_removal(self, table: Table, key: bytes) -> None:
        """See `MessageStore`."""
        self._check_open()
        self._values[table, key] = None
        self._staged = True

    def stage_trim(self, queue: Queue, min_offset: int) -> None:
        """See `MessageStore`."""
        self._check_open()
        queue.pending_min = max(queue.pending_min, min_offset)
        self._queues.touch(queue)
        self._staged = True

    def stage_evict(self, queue: Queue, min_offset: int) -> None:
        """See `MessageStore`."""
        entries = self.entries(queue, queue.pending_min, max(0, min_offset - queue.pending_min))
        self._evicted += [entry.physical for entry in entries]
        self.stage_trim(queue, min_offset)

    def stage_release(self, physical: int, oldest: int) -> None:  # noqa: ARG002 - the keys of each record are removed with it
        """See `MessageStore`."""
        self._check_open()
        self._release = max(self._release, physical)
        self._staged = True

    @property
    def pending(self) -> bool:
        """See `MessageStore`."""
        return self._staged

    def commit(self, *, sync: bool) -> None:  # noqa: ARG002 - memory is never synced
        """See `MessageStore`."""
        self._check_open()
        size = sum(len(record) for _, _, record, _ in self._messages)
        if self.next_physical - self.min_physical > self.room and size:
            self.failure = f"no room: the limit of {self.room} bytes of memory is reached"
        if self.failure is not None:
            self.discard()
            raise StoreFailed(f"the store cannot be written: {self.failure}")

        for number, entry, record, keys in self._messages:
            self._entries.setdefault(number, []).append(entry)
            self._records[entry.physical] = record
            self._order.append(entry.physical)
            self.last_time = entry.store_time
            for key in keys:
                self._keys.setdefault(key, []).append((entry.store_time, entry.physical))

        for number, entry in self._links:
            self._entries.setdefault(number, []).append(entry)
        for (table, name), value in self._values.items():
            if value is None:
                self._tables[table].pop(name, None)
            else:
                self._tables[table][name] = value
        self._settle()

    def discard(self) -> None:
        """See `MessageStore`."""
        self.next_physical = self._committed_physical
        self._queues.revert()
        self._clear()

    def entries(self, queue: Queue, offset: int, limit: int) -> list[QueueEntry]:
        """See `MessageStore`."""
        self._check_open()
        kept = self._entries.get(queue.number, [])
        first = max(0, offset - kept[0].queue_offset) if kept else 0
        return kept[first : first + limit]

    def select(self, queue: Queue, offset: int, limit: int, codes: frozenset[int]) -> list[QueueEntry]:
        """See `MessageStore`."""
        found = self.entries(queue, offset, limit)
        if len(found) < limit:
            raise StoreFailed(
                f"queue {queue.queue_id} of `{queue.topic}` has no message at offset {offset + len(found)}"
            )
        return [entry for entry in found if entry.tag_code in codes]

    def record(self, physical: int) -> bytes | None:
        """See `MessageStore`."""
        self._check_open()
        return self._records.get(physical)

    def read(self, queue: Queue, offset: int, limit: int, max_bytes: int) -> list[bytes | None]:
        """See `MessageStore`."""
        found: list[bytes | None] = []
        size = 0
        for entry in self.entries(queue, offset, limit):
            size += entry.size
            if found and size > max_bytes:
                break
            found.append(self._records.get(entry.physical))
        if not found:
            raise StoreFailed(f"queue {queue.queue_id} of `{queue.topic}` has no message at offset {offset}")
        return found

    def records(self, queue: Queue, entries: Sequence[QueueEntry]) -> list[bytes]:  # noqa: ARG002 - all are in one place
        """See `MessageStore`."""
        self._check_open()
        return [record for entry in entries if (record := self._records.get(entry.physical)) is not None]

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """See `MessageStore`."""
        self._check_open()
        kept = sorted(self._keys.get(key, []), reverse=True)
        return [physical for stored, physical in kept if begin <= stored <= end][:limit]

    def first_physical(self) -> int | None:
        """See `MessageStore`."""
        self._check_open()
        return self._order[0] if self._order else None

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """See `MessageStore`."""
        self._check_open()
        at = bisect.bisect_left(self._order, physical)
        return (self._order[at], self._records[self._order[at]]) if at < len(self._order) else None

    def value(self, table: Table, key: bytes) -> bytes | None:
        """See `MessageStore`."""
        self._check_open()
        return self._tables[table].get(key)

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
        self._check_open()
        kept = sorted(self._tables[table].items())
        found = [(key, value) for key, value in kept if start <= key and (below is None or key < below)][:limit]
        if max_bytes is None:
            return found
        sizes = itertools.accumulate(len(value) for _, value in found)
        return [one for at, (one, size) in enumerate(zip(found, sizes, strict=True)) if not at or size <= max_bytes]

    def sweep(self, limit: int) -> int:
        """See `MessageStore`."""
        self._check_open()
        swept = 0
        while self._dropped and swept < limit:
            for entry in self._entries.pop(self._dropped.pop(), []):
                if self._records.pop(entry.physical, None) is not None:
                    del self._order[bisect.bisect_left(self._order, entry.physical)]
                swept += 1
        return swept

    def space(self) -> Space:
        """See `MessageStore`."""
        self._check_open()
        used = self.next_physical - self.min_physical
        return Space(self.room, self.room - used, used)

    def recover(self) -> bool:
        """See `MessageStore`."""
        if self._closed or self.pending:
            return False
        if self.next_physical - self.min_physical <= self.room:
            self.failure = None
        return self.failure is None

    def close(self) -> None:
        """See `MessageStore`."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")

    def _settle(self) -> None:
        for queue in self._queues.touched:
            kept = self._entries.get(queue.number, [])
            del kept[: max(0, queue.pending_min - kept[0].queue_offset) if kept else 0]

        self.min_physical = max(self.min_physical, self._release)
        gone = bisect.bisect_left(self._order, self.min_physical)
        for physical in self._order[:gone]:
            del self._records[physical]
        del self._order[:gone]
        for physical in self._evicted:
            if self._records.pop(physical, None) is not None:
                del self._order[bisect.bisect_left(self._order, physical)]
        self._dropped += self._drops
        for number in self._unlinked:
            self._entries.pop(number, None)
        self._queues.settle()
        self._clear()

    def _clear(self) -> None:
        self._staged = False
        self._messages: list[tuple[int, QueueEntry, bytes, tuple[int, ...]]] = []
        self._values: dict[tuple[Table, bytes], bytes | None] = {}
        self._links: list[tuple[int, QueueEntry]] = []
        self._drops: list[int] = []
        self._unlinked: list[int] = []
        self._evicted: list[int] = []
        self._release = 0
        self._committed_physical = self.next_physical
