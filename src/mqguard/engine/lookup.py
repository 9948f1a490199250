"""Lookup of single messages: by physical offset, by key, by unique id.

Only live records are returned: those that their queue still has at the offset that they name. Records of deleted topics
stay on disk for a while, and are never returned. A hash only finds candidates; the topic and the key are compared with
those of the record.
"""

from mqguard.engine.errors import StoreDown
from mqguard.engine.log import key_hash
from mqguard.model import properties, record
from mqguard.model.record import Record, RecordInvalid
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore

MAX_FOUND = 64
MAX_FOUND_BYTES = 15 * 1024 * 1024
"""Maximum bytes of the records of a query, because clients read no frame over 16 MiB. One record may be larger."""
MAX_CANDIDATES = 256
"""Maximum records read by a query."""
MAX_CANDIDATE_BYTES = 16 * 1024 * 1024
"""Maximum bytes of records read by a query: clients can choose keys that collide, and all other clients wait for it."""


class Lookup:
    """Lookup of single messages in a store."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    def record_at(self, physical_offset: int) -> bytes | None:
        """Return the live record at a physical offset, None if there is none."""
        found = self._live(physical_offset)
        return found[0] if found else None

    def topic_of(self, physical_offset: int) -> str | None:
        """Return the topic of the live record at a physical offset, None if there is no such record."""
        found = self._live(physical_offset)
        return found[1].topic if found else None

    def message_at(self, physical_offset: int) -> Record | None:
        """Return the live record at a physical offset, decoded; None if there is none."""
        found = self._live(physical_offset)
        return found[1] if found else None

    def stored_at(self, physical_offset: int) -> Record | None:
        """Return the record at a physical offset, decoded, live or not; None if there is none."""
        try:
            data = self._store.record(physical_offset)
            return None if data is None else record.decode(data)
        except (StoreFailed, RecordInvalid) as error:
            raise StoreDown(str(error)) from error

    def query(self, topic: str, key: str, max_num: int, begin: int, end: int, *, unique: bool) -> list[bytes]:
        """Return the live records of a topic that have a key, newest first; see `Engine.query`."""
        limit = min(max_num, MAX_FOUND)
        if limit <= 0 or not key:
            return []
        try:
            offsets = self._store.find(key_hash(topic, key), begin, end, MAX_CANDIDATES)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error

        matches: list[bytes] = []
        size = size_read = 0
        for physical in dict.fromkeys(offsets):
            found = self._live(physical)
            if found is None:
                continue
            data, message = found
            size_read += len(data)
            if message.topic == topic and _has_key(message, key, unique=unique):
                size += len(data)
                if matches and size > MAX_FOUND_BYTES:
                    break
                matches.append(data)
            if len(matches) == limit or size_read >= MAX_CANDIDATE_BYTES:
                break
        return matches

    def _live(self, physical_offset: int) -> tuple[bytes, Record] | None:
        if physical_offset < 0:
            return None
        try:
            data = self._store.record(physical_offset)
            if data is None:
                return None
            message = record.decode(data)
            queue = self._store.queue(message.topic, message.queue_id)
            if queue is None or not queue.min_offset <= message.queue_offset < queue.max_offset:
                return None
            entries = self._store.entries(queue, message.queue_offset, 1)
        except (StoreFailed, RecordInvalid) as error:
            raise StoreDown(str(error)) from error
        return (data, message) if entries and entries[0].physical == physical_offset else None


def _has_key(message: Record, key: str, *, unique: bool) -> bool:
    text = message.properties.decode(errors="replace")
    if properties.value_of(text, properties.UNIQ_KEY) == key:
        return True
    return not unique and key in (properties.value_of(text, properties.KEYS) or "").split(" ")
