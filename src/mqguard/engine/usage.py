"""How many bytes of messages each topic keeps.

The store counts the bytes that it adds to each queue. What queues held when the store was opened is read from their
entries, a piece per tick. Where old entries go, the sum is reduced by what lay before marks that are set on the way,
so nothing is read for it.
"""

import collections

from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

_QUEUES_PER_STEP = 500
_ENTRIES_PER_STEP = 2_000
_MARK_BYTES = 1 << 20


class _Run:
    """The bytes of consecutive entries of a queue, known at some of their offsets."""

    __slots__ = ("_marks", "bytes", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.bytes = 0
        self._marks = collections.deque([(offset, 0)])

    def grow(self, offset: int, total: int) -> None:
        """Take in entries up to an offset; `total` is the sum of bytes from the beginning on."""
        if total - self._marks[-1][1] >= _MARK_BYTES:
            self._marks.append((offset, total))
        self.offset, self.bytes = offset, total

    def left(self, low: int) -> int:
        """Return the bytes of the entries from an offset on; what lies before is forgotten."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= low:
            marks.popleft()
        offset, before = marks[0]
        end, total = marks[1] if len(marks) > 1 else (self.offset, self.bytes)
        if low >= end:
            before = total
        elif low > offset:
            before += (total - before) * (low - offset) // (end - offset)
        return self.bytes - before


class _QueueUsage:
    __slots__ = ("counted", "live", "old", "topic")

    def __init__(self, queue: Queue) -> None:
        self.topic = queue.topic
        self.old = _Run(queue.min_offset)
        self.live = _Run(max(queue.opened_at, queue.min_offset))
        self.counted = 0


class Usage:
    """Bytes by topic, up to date within about a second.

    Args:
        store: Where the messages are.

    Attributes:
        total: Bytes of all topics.
        complete: True once all queues have been counted.
    """

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self._queues: dict[int, _QueueUsage] = {}
        self._topics: collections.Counter[str] = collections.Counter()
        self._next: list[Queue] = []
        self._unread: collections.deque[Queue] = collections.deque()
        self.total = 0
        self.complete = False

    def of(self, topic: str) -> int:
        """Return the bytes of a topic."""
        return self._topics[topic]

    def largest(self, but: frozenset[str]) -> str | None:
        """Return the topic with most bytes, leaving some out; None if no other one has any."""
        return max((topic for topic in self._topics if topic not in but), key=self._topics.__getitem__, default=None)

    def step(self) -> None:
        """Count some queues, and read some of what they held at the start."""
        if not self._next:
            self._begin()
        for _ in range(min(_QUEUES_PER_STEP, len(self._next))):
            self.count(self._next.pop())
        left = _ENTRIES_PER_STEP
        while self._unread and left > 0:
            left -= self._read(self._unread[0], left)
        if not self._next and not self._unread:
            self.complete = True

    def count(self, queue: Queue) -> None:
        """Bring the sums up to date with one queue."""
        if self._store.queue(queue.topic, queue.queue_id) is not queue:
            return
        known = self._queues.get(queue.number)
        if known is None:
            known = self._queues[queue.number] = _QueueUsage(queue)
            if queue.min_offset < queue.opened_at:
                self._unread.append(queue)
        known.live.grow(queue.max_offset, queue.max_bytes)
        self._set(known, known.old.left(queue.min_offset) + known.live.left(queue.min_offset))

    def _begin(self) -> None:
        self._next = self._store.queues()
        if len(self._queues) > len(self._next):
            there = {queue.number for queue in self._next}
            for number in [number for number in self._queues if number not in there]:
                self._set(self._queues.pop(number), 0)

    def _read(self, queue: Queue, limit: int) -> int:
        known = self._queues.get(queue.number)
        if known is None or self._store.queue(queue.topic, queue.queue_id) is not queue:
            self._unread.popleft()
            return 0
        old = known.old
        begin = max(old.offset, queue.min_offset)
        entries = self._store.entries(queue, begin, min(limit, queue.opened_at - begin))
        if not entries:
            self._unread.popleft()
            return 0
        old.grow(entries[-1].queue_offset + 1, old.bytes + sum(entry.size for entry in entries))
        if old.offset >= queue.opened_at:
            self._unread.popleft()
        self.count(queue)
        return len(entries)

    def _set(self, known: _QueueUsage, now: int) -> None:
        more = now - known.counted
        if more:
            known.counted = now
            self.total += more
            self._topics[known.topic] += more
            if not self._topics[known.topic]:
                del self._topics[known.topic]
