"""What a store needs in memory, read from RocksDB on opening: a seek per queue, never a walk over messages."""

from typing import NamedTuple

from mqguard.model import record
from mqguard.model.errors import RecordInvalid
from mqguard.store import layout
from mqguard.store.dropped_queues import DroppedQueues
from mqguard.store.errors import StoreCorrupt
from mqguard.store.queues import QueueTable
from mqguard.store.reader import Reader


class Loaded(NamedTuple):
    """What was found.

    Attributes:
        is_new: Whether the database is fresh.
        next_physical: Where the next record goes.
        released: Records below it are gone.
        last_time: Store time of the newest record, 0 without one.
    """

    is_new: bool
    next_physical: int
    released: int
    last_time: int


def load(reader: Reader, queues: QueueTable, dropped: DroppedQueues) -> Loaded:
    """Fill the tables of queues.

    Raises:
        StoreCorrupt: the format is unknown or something can not be read.
        StoreFailed: the disk can not be read.
    """
    is_new = _is_new(reader)
    for key, value in reader.metas(layout.QUEUE_LETTER):
        queue = layout.queue_from(key, value)
        queue.max_offset = queue.next_offset = queue.opened_at = reader.end_of(queue)
        queues.load(queue)
    for key, value in reader.metas(layout.DROPPED_LETTER):
        dropped.load(layout.number_in(key), *layout.span_from(value))
    queues.start_at(_number(reader, layout.NEXT_NUMBER_KEY))

    released = _number(reader, layout.RELEASED_KEY)
    floor = max(released, _number(reader, layout.FLOOR_KEY))
    last = reader.last_record()
    if last is None:
        return Loaded(is_new, floor, released, 0)
    try:
        stored = record.decode(last[1]).store_timestamp
    except RecordInvalid as error:
        raise StoreCorrupt(f"the newest message can not be read: {error}") from error
    return Loaded(is_new, max(floor, last[0] + len(last[1])), released, stored)


def _is_new(reader: Reader) -> bool:
    found = reader.meta(layout.FORMAT_KEY)
    if found == layout.FORMAT:
        return False
    if found is None and reader.is_empty():
        return True
    theirs = "no format number" if found is None else f"format `{found.decode(errors='replace')}`"
    raise StoreCorrupt(f"the data have {theirs}, this version reads format `{layout.FORMAT.decode()}`")


def _number(reader: Reader, key: bytes) -> int:
    found = reader.meta(key)
    return int.from_bytes(found, "big") if found else 0
