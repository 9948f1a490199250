"""The ports through which everything above reaches what is kept.

`MessageStore` is made for one commit per turn of the event loop: `stage_…` calls collect, `commit` makes all of them
durable and visible at once, or none. Reads see committed state only. Implementations: `memory`, `rocksdb`; their common
behaviour is `mqguard.testing.store_contract`.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from mqguard.store.queues import Queue


class Table(enum.Enum):
    """Small tables kept beside the messages; the value is the table's letter on disk."""

    TOPICS = b"t"
    GROUPS = b"g"
    OFFSETS = b"o"
    COUNTERS = b"c"
    TIMERS = b"w"


class Entry(NamedTuple):
    """One place in a queue.

    Attributes:
        queue_offset: The place.
        physical: Physical offset of the record.
        size: Size of the record in bytes.
        tag_code: Hash of its tags, or the delivery time of a delayed message.
        store_time: When it was stored, milliseconds since the epoch.
    """

    queue_offset: int
    physical: int
    size: int
    tag_code: int
    store_time: int


class Space(NamedTuple):
    """The room on the store's disk, in bytes.

    Attributes:
        total: Size of the disk.
        free: What is left for us.
    """

    total: int
    free: int

    @property
    def used_ratio(self) -> float:
        """Share of the disk that is in use, 0.0 to 1.0."""
        return 1 - self.free / self.total if self.total else 0.0


class MessageStore(Protocol):
    """Messages, queues and small tables.

    Attributes:
        next_physical: Physical offset of the next record to be staged; grows by each record's size.
        min_physical: Records below it are gone.
        last_time: Store time of the newest committed record, milliseconds since the epoch; 0 without one.
        failure: Why the store takes no writes now, None if it does.
    """

    next_physical: int
    min_physical: int
    last_time: int
    failure: str | None

    def queue(self, topic: str, queue_id: int) -> Queue | None:
        """The queue at a place, this turn's additions included; None if there is none."""
        ...

    def queues(self) -> list[Queue]:
        """All queues."""
        ...

    def stage_queue(self, topic: str, queue_id: int) -> Queue:
        """The queue at a place, made if there is none."""
        ...

    def stage_drop(self, queue: Queue) -> None:
        """Take a queue away; its entries and records are removed by later `sweep` calls."""
        ...

    def stage_message(self, queue: Queue, record: bytes, tag_code: int, store_time: int, keys: Iterable[int]) -> None:
        """Append a record to a queue.

        INVARIANT: the record says `queue.next_offset` and `next_physical`; both move on.

        Args:
            queue: Where to.
            record: The whole record.
            tag_code: Signed 64-bit number that `entries` gives back.
            store_time: Milliseconds since the epoch; must not be smaller than that of the record before.
            keys: 32-bit hashes under which `find` finds the record.
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

    def stage_release(self, physical: int) -> None:
        """Remove all records below a physical offset, `physical <= next_physical`."""
        ...

    @property
    def pending(self) -> bool:
        """Whether anything is staged."""
        ...

    def commit(self, *, sync: bool) -> None:
        """Make what is staged durable and visible: against kill -9 always, against loss of power with `sync`.

        Without `sync` a store may have it reach the disk some time later.

        Raises:
            StoreFailed: nothing of it is visible; queues are as before the turn.
        """
        ...

    def discard(self) -> None:
        """Forget what is staged."""
        ...

    def entries(self, queue: Queue, offset: int, limit: int) -> list[Entry]:
        """Committed entries from an offset on, in order, at most `limit`.

        Raises:
            StoreFailed: the disk can not be read.
        """
        ...

    def record(self, physical: int) -> bytes | None:
        """The record that starts at a physical offset, None if there is none.

        Raises:
            StoreFailed: the disk can not be read.
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

    def records(self, queue: Queue, entries: Sequence[Entry]) -> list[bytes]:
        """Return the records of entries of a queue, in their order; those that are gone are left out.

        Raises:
            StoreFailed: The disk cannot be read.
        """
        ...

    def find(self, key: int, begin: int, end: int, limit: int) -> list[int]:
        """Physical offsets of records staged under a key hash with a store time in `[begin, end]`, newest first.

        Raises:
            StoreFailed: the disk can not be read.
        """
        ...

    def first_physical(self) -> int | None:
        """Physical offset of the oldest record, None if there is none."""
        ...

    def next_record(self, physical: int) -> tuple[int, bytes] | None:
        """The first record at or after a physical offset, with its offset."""
        ...

    def value(self, table: Table, key: bytes) -> bytes | None:
        """A committed value of a small table."""
        ...

    def values(
        self, table: Table, *, below: bytes | None = None, limit: int | None = None, max_bytes: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """Return the committed keys and values of a small table in order of their keys.

        Args:
            table: Which table.
            below: End of the keys; None for all.
            limit: Maximum number of values.
            max_bytes: Maximum bytes of values together; the first one is returned in any case.
        """
        ...

    def sweep(self, limit: int) -> int:
        """Stage the removal of at most `limit` entries of dropped queues; says how many there were."""
        ...

    def space(self) -> Space:
        """The room on disk."""
        ...

    def recover(self) -> bool:
        """Try to take writes again after a failure; nothing may be staged. Says whether it does now; never raises."""
        ...

    def close(self) -> None:
        """Let go of the directory. Commits and reads then raise `StoreClosed`; closing twice is fine."""
        ...
