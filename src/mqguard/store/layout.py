"""How messages, queues and tables lie in RocksDB: keys and values of each column family. All numbers big-endian.

| family | key | value |
|---|---|---|
| `records` | physical offset u64 | the record |
| `queues` | queue number u32, queue offset u64 | physical offset u64, size u32, tag code i64, store time u64 |
| `keys` | day of the store time u16, key hash u32, store time u64, physical offset u64 | nothing |
| `meta` | one letter, then a name | see below |

Letters of `meta`: those of `ports.Table`, and `Q` a queue (number u32 → queue id u32, first offset u64, topic), `D` a
dropped queue that is not swept yet (number u32 → next offset to sweep u64, end u64), `F` the format's number,
`N` the next queue number, `P` a floor under the next physical offset, `R` the first physical offset that is kept.

Records are written in the order of their keys, so their files never overlap and compaction only moves them. Keys begin
with a day, so that old ones go as one range.
"""

import struct

from mqguard.store.queues import Queue

FAMILIES = ("records", "queues", "keys", "meta")
FORMAT = b"1"
FORMAT_KEY = b"F"
NEXT_NUMBER_KEY = b"N"
FLOOR_KEY = b"P"
RELEASED_KEY = b"R"
QUEUE_LETTER = b"Q"
DROPPED_LETTER = b"D"

LAST_OFFSET = (1 << 64) - 1
DAY_MS = 86_400_000
_LAST_DAY = 0xFFFF

U64 = struct.Struct(">Q")
QUEUE_KEY = struct.Struct(">IQ")
ENTRY = struct.Struct(">QIqQ")
INDEX_KEY = struct.Struct(">HIQQ")
_QUEUE_HEAD = struct.Struct(">IQ")
_SPAN = struct.Struct(">QQ")


def day_of(store_time: int) -> int:
    """The day of a store time in milliseconds, as keys carry it."""
    return min(max(store_time, 0) // DAY_MS, _LAST_DAY)


def queue_name(letter: bytes, number: int) -> bytes:
    """The `meta` key of a live or dropped queue."""
    return letter + number.to_bytes(4, "big")


def number_in(key: bytes) -> int:
    """The queue number in a `meta` key of a live or dropped queue."""
    return int.from_bytes(key[1:5], "big")


def queue_value(queue: Queue, min_offset: int) -> bytes:
    """The `meta` value of a live queue."""
    return _QUEUE_HEAD.pack(queue.queue_id, min_offset) + queue.topic.encode()


def queue_from(key: bytes, value: bytes) -> Queue:
    """The queue that a `meta` pair describes; where it ends stands in its entries."""
    queue_id, min_offset = _QUEUE_HEAD.unpack_from(value)
    topic = value[_QUEUE_HEAD.size :].decode()
    return Queue(topic, queue_id, number_in(key), min_offset, min_offset)


def span_value(begin: int, end: int) -> bytes:
    """The `meta` value of a dropped queue: what is still to be swept."""
    return _SPAN.pack(begin, end)


def span_from(value: bytes) -> tuple[int, int]:
    """What of a dropped queue is still to be swept."""
    begin, end = _SPAN.unpack(value)
    return begin, end
