"""What a failed write may have left on disk, and how it is taken back.

A write that RocksDB reports as failed can still be in its log, and then comes back when the database is opened anew.
All of it is undone, but for the deletion of old messages, which is done again instead: what is deleted stays deleted.
"""

import rocksdict

from mqguard.store import layout
from mqguard.store.database import Database
from mqguard.store.errors import StoreFailed
from mqguard.store.queues import Queue, QueueTable
from mqguard.store.reader import Reader


class FailedWrites:
    """The failed writes since the database was last known to agree with memory.

    Attributes:
        release: Records below it may be gone.
        lost: Whether it is not known any more how things were: then only a restart helps.
    """

    def __init__(self) -> None:
        self.release = 0
        self.lost = False
        self._meta: dict[bytes, bytes | None] = {}
        self._ends: dict[int, int] = {}
        self._trims: dict[Queue, int] = {}

    def note(self, reader: Reader, meta_keys: set[bytes], queues: QueueTable, release: int) -> None:
        """Remember what a failed write was about, before memory forgets it."""
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
        batch.delete_range(layout.U64.pack(next_physical), layout.U64.pack(layout.LAST_OFFSET), in_records)
        for number, end in self._ends.items():
            beyond = layout.QUEUE_KEY.pack(number, end), layout.QUEUE_KEY.pack(number, layout.LAST_OFFSET)
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
                    layout.queue_name(layout.QUEUE_LETTER, queue.number), layout.queue_value(queue, offset), in_meta
                )
                whole = layout.QUEUE_KEY.pack(queue.number, 0), layout.QUEUE_KEY.pack(queue.number, offset)
                batch.delete_range(*whole, in_queues)
        if self.release:
            batch.delete_range(layout.U64.pack(0), layout.U64.pack(self.release), in_records)
            batch.put(layout.RELEASED_KEY, layout.U64.pack(self.release), in_meta)
        batch.put(layout.FLOOR_KEY, layout.U64.pack(next_physical), in_meta)
