"""Fetching the messages of a queue from an offset on, with the answer if there are none."""

import enum

import msgspec

from mqguard.engine.errors import NoSuchQueue, StoreDown
from mqguard.engine.filters import MessageFilter
from mqguard.engine.settings import EngineSettings
from mqguard.engine.store_clock import StoreClock
from mqguard.engine.topics import Topics
from mqguard.model.properties import MAX_BYTES
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore, QueueEntry
from mqguard.store.queues import Queue

_SCAN_STEP = 64
_SCAN_LIMIT = 4096
"""Maximum entries read by one fetch, however few of them match its filter."""
_SCAN_RECORDS = 800
"""Maximum records read by a fetch whose filter needs the properties (Apache: `maxFilterMessageSize` / 20)."""
_SCAN_BYTES = 4 * 1024 * 1024
"""Maximum bytes of these records; one more record is always read."""
_SCAN_WORK = 16_384
"""Maximum work of such a fetch, in units of about 0.25 us: it grows with the terms of the filter and with the bytes."""
_MAX_SCAN_STEP = 256


class FetchStatus(enum.Enum):
    """Result of a fetch; the values are Apache's names, which clients show in messages."""

    FOUND = "FOUND"
    NO_MATCHED_MESSAGE = "NO_MATCHED_MESSAGE"
    MESSAGE_WAS_REMOVING = "MESSAGE_WAS_REMOVING"
    OFFSET_FOUND_NULL = "OFFSET_FOUND_NULL"
    OFFSET_OVERFLOW_BADLY = "OFFSET_OVERFLOW_BADLY"
    OFFSET_OVERFLOW_ONE = "OFFSET_OVERFLOW_ONE"
    OFFSET_TOO_SMALL = "OFFSET_TOO_SMALL"
    NO_MATCHED_LOGIC_QUEUE = "NO_MATCHED_LOGIC_QUEUE"
    NO_MESSAGE_IN_QUEUE = "NO_MESSAGE_IN_QUEUE"


class FetchResult(msgspec.Struct, gc=False):
    """Messages that a fetch found.

    Attributes:
        status: FOUND, or the reason why there are no messages.
        records: Whole records in order. Joined, they are the body of the response to a pull.
        next_offset: Offset of the next fetch.
        min_offset: First offset of the queue.
        max_offset: One after the last offset of the queue.
    """

    status: FetchStatus
    records: list[bytes]
    next_offset: int
    min_offset: int
    max_offset: int


class Fetcher:
    """Reads of queues.

    Args:
        store: Store of the messages.
        topics: Topics and their permissions.
        times: Falls of the store times.
        settings: Limits of one fetch.
    """

    def __init__(self, store: MessageStore, topics: Topics, times: StoreClock, settings: EngineSettings) -> None:
        self._store = store
        self._topics = topics
        self._times = times
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Put changed limits into force."""
        self._max_messages = settings.max_fetch_messages
        self._max_bytes = settings.max_fetch_bytes

    def fetch(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        max_messages: int,
        max_bytes: int,
        wanted: MessageFilter | None,
    ) -> FetchResult:
        """Return the committed messages of a queue from an offset on; see `Engine.fetch`."""
        self._topics.readable(topic)
        queue = self.queue(topic, queue_id)
        if queue is None:
            return FetchResult(FetchStatus.NO_MESSAGE_IN_QUEUE, [], 0, 0, 0)
        low, high = queue.min_offset, queue.max_offset
        status, next_offset = _locate(offset, low, high)
        if status is not FetchStatus.FOUND:
            return FetchResult(status, [], next_offset, low, high)

        limit = min(max_messages, self._max_messages) if max_messages > 0 else self._max_messages
        room = min(max_bytes, self._max_bytes) if max_bytes > 0 else self._max_bytes
        try:
            if wanted is None:
                found = self._store.read(queue, offset, limit, room)
                records = [record for record in found if record is not None]
                next_offset, is_gone = offset + len(found), True
            else:
                records, next_offset, is_gone = self._matching(queue, offset, limit, room, wanted)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        if records:
            return FetchResult(FetchStatus.FOUND, records, next_offset, low, high)
        status = FetchStatus.MESSAGE_WAS_REMOVING if is_gone else FetchStatus.NO_MATCHED_MESSAGE
        return FetchResult(status, [], next_offset, low, high)

    def record(self, topic: str, queue_id: int, offset: int) -> bytes | None:
        """Return the record at an offset of a queue, None if it is gone.

        Raises:
            StoreDown: The store cannot be read now.
        """
        queue = self._store.queue(topic, queue_id)
        if queue is None or not queue.min_offset <= offset < queue.max_offset:
            return None
        try:
            return self._store.read(queue, offset, 1, 0)[0]
        except StoreFailed as error:
            raise StoreDown(str(error)) from error

    def queue(self, topic: str, queue_id: int) -> Queue | None:
        """Return a queue of a topic, None if no message was ever stored in it.

        Raises:
            NoSuchTopic: The topic does not exist.
            NoSuchQueue: The topic has no such queue.
        """
        config = self._topics.require(topic)
        if not 0 <= queue_id < config.queues:
            raise NoSuchQueue(
                f"queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{config.queues}]"
            )
        return self._store.queue(topic, queue_id)

    def offset_at(self, topic: str, queue_id: int, timestamp: int, *, upper: bool) -> int:
        """Return the offset that belongs to a time; see `Engine.offset_at`."""
        queue = self.queue(topic, queue_id)
        return 0 if queue is None else self.offset_in(queue, timestamp, upper=upper)

    def offset_in(self, queue: Queue, timestamp: int, *, upper: bool = False) -> int:
        """Return the offset of a queue that belongs to a time; see `Engine.offset_at`.

        Raises:
            StoreDown: The store cannot be read now.
        """
        if queue.min_offset == queue.max_offset:
            return queue.max_offset
        try:
            ranges = self._times.ranges(queue)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        # Store times never fall within a range. A message of an earlier range may have a later time.
        if upper:
            for begin, end in reversed(ranges):
                found = self._search(queue, begin, end, timestamp + 1)
                if found > begin:
                    return found - 1
            return queue.min_offset
        for begin, end in ranges:
            found = self._search(queue, begin, end, timestamp)
            if found < end:
                return found
        return queue.max_offset

    def _search(self, queue: Queue, low: int, high: int, timestamp: int) -> int:
        """Return the first offset in `[low, high)` stored at or after a time, `high` if there is none."""
        while low < high:
            middle = (low + high) // 2
            if self._stored(queue, middle) >= timestamp:
                high = middle
            else:
                low = middle + 1
        return low

    def store_time(self, topic: str, queue_id: int, *, first: bool) -> int:
        """Return when the first or last message of a queue was stored, -1 if it has none."""
        queue = self.queue(topic, queue_id)
        if queue is None or queue.min_offset == queue.max_offset:
            return -1
        return self._stored(queue, queue.min_offset if first else queue.max_offset - 1)

    def time_of(self, topic: str, queue_id: int, offset: int) -> int:
        """Return when the message at an offset was stored, 0 if there is none; see `Engine.time_of`."""
        queue = self.queue(topic, queue_id)
        return 0 if queue is None else self.time_in(queue, offset)

    def time_in(self, queue: Queue, offset: int) -> int:
        """Return when the message at an offset of a queue was stored, 0 if there is none.

        Raises:
            StoreDown: The store cannot be read now.
        """
        return max(0, self._stored(queue, offset)) if queue.min_offset <= offset < queue.max_offset else 0

    def _stored(self, queue: Queue, offset: int) -> int:
        try:
            entries = self._store.entries(queue, offset, 1)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        return entries[0].store_time if entries else -1

    def _matching(
        self, queue: Queue, offset: int, limit: int, room: int, wanted: MessageFilter
    ) -> tuple[list[bytes], int, bool]:
        """Return the matching records, the offset after the last message examined, and if chosen records are gone."""
        codes = wanted.codes
        if codes is None or queue.is_recent(offset):
            records, next_offset = self._scan(queue, offset, limit, room, wanted)
            return records, next_offset, False
        chosen, next_offset = self._choose(queue, offset, limit, room, codes)
        found = self._store.records(queue, chosen)
        return [data for data in found if wanted.matches(data)], next_offset, bool(chosen) and not found

    def _choose(
        self, queue: Queue, offset: int, limit: int, room: int, codes: frozenset[int]
    ) -> tuple[list[QueueEntry], int]:
        """Return the entries to fetch, at least one whatever its size, and the offset after the last one read."""
        chosen: list[QueueEntry] = []
        size = 0
        end = min(queue.max_offset, offset + _SCAN_LIMIT)
        step = max(limit, _SCAN_STEP)
        while offset < end:
            count = min(step, end - offset)
            for entry in self._store.select(queue, offset, count, codes):
                size += entry.size
                if chosen and size > room:
                    return chosen, entry.queue_offset
                chosen.append(entry)
                if len(chosen) == limit:
                    return chosen, entry.queue_offset + 1
            offset += count
            step *= 2
        return chosen, end

    def _scan(self, queue: Queue, offset: int, limit: int, room: int, wanted: MessageFilter) -> tuple[list[bytes], int]:
        """Return the matching records, and the offset after the last one examined, within the limits of one fetch."""
        records: list[bytes] = []
        size = 0
        end = min(queue.max_offset, offset + _SCAN_RECORDS)
        step, left, work = limit, _SCAN_BYTES, _SCAN_WORK
        terms, matches = (wanted.weight if wanted.codes is None else 1), wanted.matches
        while offset < end and left > 0:
            for data in self._store.read(queue, offset, min(step, end - offset), left):
                if work <= 0:
                    return records, offset
                if data is not None:
                    length = len(data)
                    left -= length
                    work -= 6 + terms * (1 + (min(length, MAX_BYTES) >> 11)) + (length >> 9)
                    if matches(data):
                        size += length
                        if records and size > room:
                            return records, offset
                        records.append(data)
                        if len(records) == limit:
                            return records, offset + 1
                offset += 1
            step = min(2 * step, _MAX_SCAN_STEP)
        return records, offset


def _locate(offset: int, low: int, high: int) -> tuple[FetchStatus, int]:
    """Return the status of an offset in a queue of offsets `[low, high)`, and the offset of the next fetch."""
    if high == 0:
        return FetchStatus.NO_MESSAGE_IN_QUEUE, 0
    if offset < low:
        return FetchStatus.OFFSET_TOO_SMALL, low
    if offset == high:
        return FetchStatus.OFFSET_OVERFLOW_ONE, offset
    if offset > high:
        return FetchStatus.OFFSET_OVERFLOW_BADLY, high
    return FetchStatus.FOUND, offset
