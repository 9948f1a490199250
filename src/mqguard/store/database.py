"""RocksDB for messages: options, column families, keys and values, and errors that name the remedy.

Layout of messages, queues and tables: keys and values of each column family. All numbers are big-endian.

| family | key | value |
|---|---|---|
| `records` | physical offset u64 | the record |
| `queues` | queue number u32, queue offset u64 | physical offset u64, size u32, tag code i64, store time u64 |
| `keys` | day of the store time u16, key hash u32, store time u64, physical offset u64 | nothing |
| `meta` | one letter, then a name | see below |

Letters of `meta`: those of `ports.Table`, and `Q` a queue (number u32 → queue id u32, first offset u64, topic), `D` a
dropped queue that is not fully removed (number u32 → next offset to remove u64, end u64), `F` the format's number,
`N` the next queue number, `P` a floor under the next physical offset, `R` the first physical offset that is kept.

Records are written in the order of their keys, so their files never overlap and compaction only moves them. Keys begin
with a day, so that old ones are deleted as one range.
"""

import contextlib
import struct
from pathlib import Path

import rocksdict

from mqguard.store.errors import StoreBusy, StoreCorrupt, StoreError, StoreFailed
from mqguard.store.queues import Queue

_MIB = 1 << 20
# Memory: buffers grow with use, so an idle store is small; under load it takes at most ~100 MiB.
_RECORD_BUFFER = 32 * _MIB
_SMALL_BUFFER = 8 * _MIB
_CACHE = 16 * _MIB
_ALL_WAL = 64 * _MIB
"""Maximum size of the write-ahead log. A larger one is flushed, since a start has to read it (~0.1 s)."""
_RECORD_BLOCK = 32 * 1024
_OPEN_FILES = 1024


class Database:
    """An open RocksDB with its column families.

    Args:
        path: Its directory; created if it is missing.

    Raises:
        StoreBusy: Another process uses it.
        StoreCorrupt: It is damaged.
        StoreFailed: It cannot be opened for another reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # RocksDB creates files that all users can read.
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = _open(path)
            self._families = {name: self._db.get_column_family(name) for name in FAMILIES}
            handle = self._db.get_column_family_handle
            self.handles = {name: handle(name) for name in FAMILIES}
        except OSError as exc:
            raise StoreFailed(f"the directory `{path}` cannot be created: {exc.strerror}") from exc
        except Exception as exc:  # rocksdict raises plain Exception
            raise store_error(exc, path) from exc

        self._plain = rocksdict.WriteOptions()
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True

    def family(self, name: str) -> rocksdict.Rdict:
        """Return one column family, for reading."""
        return self._families[name]

    def write(self, batch: rocksdict.WriteBatch, *, sync: bool) -> None:
        """Write a batch, all or nothing.

        Raises:
            StoreFailed: RocksDB failed.
        """
        try:
            self._db.write(batch, self._synced if sync else self._plain)
        except Exception as exc:
            raise store_error(exc, self.path) from exc

    def flush(self) -> None:
        """Write the buffers to files, so that the next start has no log to read.

        Raises:
            StoreFailed: RocksDB failed.
        """
        try:
            for family in self._families.values():
                family.flush(wait=True)
        except Exception as exc:
            raise store_error(exc, self.path) from exc

    def checkpoint(self, path: Path) -> None:
        """Copy the database, as it is now, into a directory that does not exist yet; other threads may write meanwhile.

        Raises:
            StoreFailed: RocksDB failed.
        """
        # A checkpoint holds the interpreter while it writes the buffers. A flush releases it, so little is left.
        self.flush()
        try:
            rocksdict.Checkpoint(self._db).create_checkpoint(str(path))
        except Exception as exc:
            raise store_error(exc, self.path) from exc

    def close(self) -> None:
        """Release the directory."""
        self.handles.clear()
        for family in [*self._families.values(), self._db]:
            # Closing flushes the log, which fails again after a failed write. The directory is released in any case.
            with contextlib.suppress(Exception):
                family.close()
        self._families.clear()
        # rocksdict releases the lock with its last reference to the database.
        del self._db


def log_bytes(path: Path) -> int:
    """Return the size of the write-ahead logs of a database.

    Raises:
        StoreFailed: The directory cannot be read.
    """
    try:
        return sum(file.stat().st_size for file in path.glob("*.log"))
    except OSError as exc:
        raise StoreFailed(f"the directory `{path}` cannot be read: {exc.strerror}") from exc


def store_error(error: Exception, path: Path) -> StoreError:
    """Return our error for an error of RocksDB, based on its text: rocksdict has one class for all."""
    text = " ".join(str(error).split())
    if "lock" in text.lower() and "LOCK" in text:
        return StoreBusy(f"the data directory `{path}` is in use by another process")
    if text.startswith(("Corruption", "Invalid argument: Column families not opened")) or "checksum" in text.lower():
        return StoreCorrupt(f"the data in `{path}` are damaged: {text}; restore a backup or move the directory away")
    return StoreFailed(f"the store in `{path}` failed: {text}")


def _open(path: Path) -> rocksdict.Rdict:
    cache = rocksdict.Cache(_CACHE)
    families = {
        "records": _family(cache, _RECORD_BUFFER, _RECORD_BLOCK),
        "queues": _family(cache, _SMALL_BUFFER, 16 * 1024),
        "keys": _family(cache, _SMALL_BUFFER, 16 * 1024),
        "meta": _family(cache, _SMALL_BUFFER, 4 * 1024),
    }
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)  # noqa: FBT003 - rocksdict takes it by position
    options.create_missing_column_families(True)  # noqa: FBT003
    options.set_max_background_jobs(2)
    # One thread writes: support for several writers costs 7 % of each write.
    options.set_allow_concurrent_memtable_write(False)
    options.set_enable_write_thread_adaptive_yield(False)
    options.set_max_open_files(_OPEN_FILES)
    options.set_max_file_opening_threads(2)
    options.set_max_total_wal_size(_ALL_WAL)
    options.set_bytes_per_sync(_MIB)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    options.set_skip_stats_update_on_db_open(True)
    options.set_is_fd_close_on_exec(True)
    return rocksdict.Rdict(str(path), options, column_families=families)


def _family(cache: rocksdict.Cache, buffer: int, block: int) -> rocksdict.Options:
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(cache)
    table.set_block_size(block)
    table.set_cache_index_and_filter_blocks(True)
    table.set_pin_l0_filter_and_index_blocks_in_cache(True)
    table.set_format_version(5)
    options = rocksdict.Options(raw_mode=True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.none())
    options.set_write_buffer_size(buffer)
    options.set_max_write_buffer_number(3)
    return options


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
I64 = struct.Struct(">q")
TAG_CODE = slice(12, 20)
"""Position of the tag code in an entry."""
INDEX_KEY = struct.Struct(">HIQQ")
_QUEUE_HEAD = struct.Struct(">IQ")
_SPAN = struct.Struct(">QQ")


def day_of(store_time: int) -> int:
    """Return the day of a store time in milliseconds, as keys contain it."""
    return min(max(store_time, 0) // DAY_MS, _LAST_DAY)


def queue_name(letter: bytes, number: int) -> bytes:
    """Return the `meta` key of a live or dropped queue."""
    return letter + number.to_bytes(4, "big")


def number_in(key: bytes) -> int:
    """Return the queue number in a `meta` key of a live or dropped queue."""
    return int.from_bytes(key[1:5], "big")


def queue_value(queue: Queue, min_offset: int) -> bytes:
    """Return the `meta` value of a live queue."""
    return _QUEUE_HEAD.pack(queue.queue_id, min_offset) + queue.topic.encode()


def queue_from(key: bytes, value: bytes) -> Queue:
    """Return the queue that a `meta` pair describes; its end follows from its entries."""
    queue_id, min_offset = _QUEUE_HEAD.unpack_from(value)
    topic = value[_QUEUE_HEAD.size :].decode()
    return Queue(topic, queue_id, number_in(key), min_offset, min_offset)


def span_value(begin: int, end: int) -> bytes:
    """Return the `meta` value of a dropped queue: the offsets that are still to be removed."""
    return _SPAN.pack(begin, end)


def span_from(value: bytes) -> tuple[int, int]:
    """Return the offsets of a dropped queue that are still to be removed."""
    begin, end = _SPAN.unpack(value)
    return begin, end
