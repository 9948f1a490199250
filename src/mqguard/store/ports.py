"""Ports of the message store.

`MessageStore` is made for one commit per iteration of the event loop. The `stage_…` methods collect changes; `commit`
makes all of them durable and visible at once, or none. Reads return only committed state. The implementations are
`memory` and `rocksdb`; `mqguard.testing.store_contract` tests their common behaviour.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from mqguard.store.queues import Queue


class Table(enum.Enum):
    """Small tables that are stored with the messages; the value is the table's letter on disk."""

    TOPICS = b"t"
    GROUPS = b"g"
    OFFSETS = b"o"
    COUNTERS = b"c"
    TIMERS = b"w"
    POP_QUEUES = b"p"
    IN_FLIGHT = b"i"
    TIMER_IDS = b"u"
    FALLS = b"f"
    TRANSACTIONS = b"x"
    HALF_MESSAGES = b"h"
    DISCARDED_TRANSACTIONS = b"z"
    REQUEST_MODES = b"m"


class QueueEntry(NamedTuple):
    """One entry of a queue.

    Attributes:
        queue_offset: Its offset in the queue.
        physical: Physical offset of the record.
        size: Size of the record in bytes.
        tag_code: Hash of its tags, or the delivery time of a delayed message.
        store_time: Time of storage, in milliseconds since the epoch.
    """

    queue_offset: int
    physical: int
    size: int
    tag_code: int
    store_time: int


class Space(NamedTuple):
    """Disk space of the store, in bytes.

    Attributes:
        total: Size of the disk.
        free: Free space that this process may use.
        used: Space in use. Some file systems reserve space for root, which is neither in use nor free.
    """

    total: int
    free: int
    used: int

    @property
    def used_ratio(self) -> float:
        """Share of the usable space that is in use, 0.0 to 1.0, as `df` shows it."""
        return self.used / (self.used + self.free) if self.used else 0.0


class MessageStore(Protocol):
    """Messages, queues and small tables.

    Attributes:
        next_physical: Physical offset of the next record to be staged; grows by each record's size.
        min_physical: Records below it are gone.
        last_time: Store time of the newest committed record, milliseconds since the epoch; 0 without one.
        failure: Reason for which the store accepts no writes, None if it does.
    """

    next_physical: int
    min_physical: int
    last_time: int
    failure: str | None

    def queue(self, topic: str, queue_id: int) -> Queue | None:
        """Return a queue, staged ones included; None if it does not exist."""
        ...

    def queues(self) -> list[Queue]:
        """Return all queues."""
        ...

    def stage_queue(self, topic: str, queue_id: int) -> Queue:
        """Return a queue; stage its creation if it does not exist."""
        ...

    def stage_drop(self, queue: Queue, *, keep_records: bool = False) -> None:
        """Stage the removal of a queue; later `sweep` calls remove its entries, and its records unless they are kept.

        The records of a queue of links belong to other queues, so they are kept.
        """
        ...

    def stage_message(self, queue: Queue, record: bytes, tag_code: int, store_time: int, keys: Iterable[int]) -> None:
        """Append a record to a queue.

        INVARIANT: the record contains `queue.next_offset` and `next_physical`; both advance.

        Args:
            queue: The queue.
            record: The whole record.
            tag_code: Signed 64-bit number that `entries` returns.
            store_time: Milliseconds since the epoch; smaller than that of the record before only if the date fell.
            keys: 32-bit hashes under which `find` finds the record.
        """
        ...

    def stage_link(self, queue: Queue, physical: int, record: bytes, tag_code: int, store_time: int) -> None:
        """Append an entry for a record of another queue, which the same commit stores.

        If that record is removed, `read` returns None for the entry.

        Args:
            queue: Queue of links.
            physical: Physical offset of the record, larger than those of the queue's earlier entries.
            record: The record.
            tag_code: See `stage_message`.
            store_time: See `stage_message`.
        """
        ...

    def stage_value(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a value of a small table."""
        ...

    def stage_removal(self, table: Table, key: bytes) -> None:
        """Remove a value of a small table."""
        ...

    def stage_trim(self, queue: Queue, min_offset: int) -> None:
        """Remove the entries of a queue below an offset, `min_offset <= queue.max_offset`."""
        ...

    def stage_evict(self, queue: Queue, min_offset: int) -> None:
        """Remove the entries of a queue below an offset and their records, `min_offset <= queue.max_offset`."""
        ...

    def stage_release(self, physical: int, oldest: int) -> None:
        """Remove all records below a physical offset.

        Args:
            physical: The offset, `physical <= next_physical`.
            oldest: Time that is not later than the store time of any record from this offset on. Keys of an earlier day
                may be removed.
        """
        ...

    @property
    def pending(self) -> bool:
        """True if anything is staged."""
        ...

    def commit(self, *, sync: bool) -> None:
        """Make the staged changes durable and visible.

        They survive kill -9 always, and a loss of power with `sync`. Without `sync` a store may write them to the disk
        later.

        Raises:
            StoreFailed: Nothing of it is visible; queues are as before the changes.
        """
        ...

    def discard(self) -> None:
        """Drop the staged changes."""
        ...

    def entries(self, queue: Queue, offset: int, limit: int) -> list[QueueEntry]:
        """Return committed entries from an offset on, in order, at most `limit`.

        Raises:
            StoreFailed: The disk cannot be read.
        """
        ...

    def select(self, queue: Queue, offset: int, limit: int, codes: frozenset[int]) -> list[QueueEntry]:
        """Return the entries with one of these tag codes among `limit` committed entries from an offset on, in order.

        Raises:
            StoreFailed: The disk cannot be read, or it has no entry at one of the offsets.
        """
        ...

    def record(self, physical: int) -> bytes | None:
        """Return the record that starts at a physical offset, None if there is none.

        Raises:
            StoreFailed: The disk cannot be read.
        """
        ...

    def read(self, queue: Queue, offset: int, limit: int, max_bytes: int) -> list[bytes | None]:
        """Return the committed records of a queue from an offset on, None for each that is gone.

        Args:
            queue: Queue to read.
            offset: First offset, `queue.min_offset <= offset < queue.max_offset`.
            limit: Maximum number of records, at least 1.
            max_bytes: Maximum bytes of the records together; the first one is returned in any case.

        Raises:
            StoreFailed: The disk cannot be read, or it has no entry at one of the offsets.
        """
        ...

    def records(self, queue: Queue, entries: Sequence[QueueEntry]) -> list[bytes]:
        """Return the records of entries of a queue, in their order; those that are gone are left out.

        Raises:
            StoreFailed: The disk cannot be read.
        """
        ...

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """Return physical offsets of records with a key hash and a store time in `[begin, end]`, newest first.

        Raises:
            StoreFailed: The disk cannot be read.
        """
        ...

    def first_physical(self) -> int | None:
        """Return the physical offset of the oldest record, None if there is none."""
        ...

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """Return the first record at or after a physical offset, with its offset."""
        ...

    def value(self, table: Table, key: bytes) -> bytes | None:
        """Return a committed value of a small table."""
        ...

    def values(
        self,
        table: Table,
        *,
        start: bytes = b"",
        below: bytes | None = None,
        limit: int | None = None,
        max_bytes: int | None = None,
    ) -> list[tuple[bytes, bytes]]:
        """Return the committed keys and values of a small table in order of their keys.

        Args:
            table: The table.
            start: First key. The store does not look at the keys before it, not even at removed ones.
            below: End of the keys; None for all.
            limit: Maximum number of values.
            max_bytes: Maximum bytes of values together; the first one is returned in any case.
        """
        ...

    def sweep(self, limit: int) -> int:
        """Stage the removal of at most `limit` entries of dropped queues; return their number."""
        ...

    def space(self) -> Space:
        """Return the disk space."""
        ...

    def recover(self) -> bool:
        """Try to accept writes again after a failure; return True if it does. Nothing may be staged. Never raises."""
        ...

    def close(self) -> None:
        """Release the directory. Later commits and reads raise `StoreClosed`; a second call has no effect."""
        ...
