"""Deletion of messages by age and by size.

Deletion by age works in rounds. A round fixes a physical offset, the cut. Queue by queue, the entries below the cut are
deleted and the minimum offsets move. Then all records below the cut are deleted at once, so a queue never points at a
record that is gone.

Deletion by size takes the oldest messages of the topic that keeps most bytes, so no topic is cleared for one that keeps
more. Topics that need no grant have a limit of their own, and so have messages that wait for their delivery.

The store counts the bytes that it adds to each queue. The bytes that a queue held when the store was opened are read
from its entries, some of them per tick. When old entries are deleted, the sum is reduced by means of marks with known
sums, so no entry is read for it.
"""

import collections

from mqguard.engine.deferred_delivery import DelayQueues
from mqguard.engine.sender import WAITING_SHARE, Sender
from mqguard.engine.settings import EngineSettings
from mqguard.engine.store_clock import first_at
from mqguard.engine.timers import Timers
from mqguard.model import names
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

_COUNTED_PER_STEP = 500
"""Queues whose bytes are counted in one step."""
_READ_PER_STEP = 2_000
"""Entries from before the start that are read in one step."""
_MARK_BYTES = 1 << 20
"""Distance of the marks of a queue."""
_EVICTED_PER_STEP = 4_000
"""Maximum entries that deletion by size removes in one step."""
_TRACE_SHARE = 16
_TRACE_BYTES = 256 * 1024 * 1024
"""Limit of the trace topic if neither it nor the store has a limit set."""
_DELAYED = frozenset({names.SCHEDULE_TOPIC})
_HOUR_MS = 3_600_000
_ROUND_MS = 10_000
"""Interval between two rounds of deletion by age."""
_TRIMMED_PER_STEP = 64
"""Queues that deletion by age trims in one step."""
_STEP_SHARE = 100
"""A round begins if it can delete at least 1/100 of all bytes (or 1 MiB); many small deleted ranges slow reads."""
_LEAST_BYTES = 1 << 20


class _Run:
    """Sum of the bytes of consecutive entries of a queue, known at some of their offsets."""

    __slots__ = ("_marks", "bytes", "offset")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.bytes = 0
        self._marks = collections.deque([(offset, 0)])

    def grow(self, offset: int, total: int) -> None:
        """Add entries up to an offset; `total` is the sum of bytes from the first entry on."""
        if total - self._marks[-1][1] >= _MARK_BYTES:
            self._marks.append((offset, total))
        self.offset, self.bytes = offset, total

    def left(self, low: int) -> int:
        """Return the bytes of the entries from an offset on, and drop the marks before it."""
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
    """Bytes of each topic, at most about a second old.

    Args:
        store: Store of the messages.

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
        """Return the topic with most bytes except some, None if no other topic has any."""
        return max((topic for topic in self._topics if topic not in but), key=self._topics.__getitem__, default=None)

    def step(self) -> None:
        """Count some queues, and read some of the entries that they held at the start."""
        if not self._next:
            self._begin()
        for _ in range(min(_COUNTED_PER_STEP, len(self._next))):
            self.count(self._next.pop())
        left = _READ_PER_STEP
        while self._unread and left > 0:
            left -= self._read(self._unread[0], left)
        if not self._next and not self._unread:
            self.complete = True

    def count(self, queue: Queue) -> None:
        """Update the sums of one queue."""
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
        # The entries of lite queues are links to records of other queues, which are counted there.
        self._next = [queue for queue in self._store.queues() if not queue.topic.startswith(names.LITE_PREFIX)]
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


class Eviction:
    """Deletion by size: limits the bytes of all messages to `max_bytes`, and those of the trace topic to its own limit.

    Args:
        store: Store of the messages.
        settings: The limits.
        delays: Delivered positions of the delay levels.
        timers: Bytes of the messages that wait for a time.
        sender: Sender that rejects deferred messages while too many wait.
    """

    def __init__(
        self, store: MessageStore, settings: EngineSettings, delays: DelayQueues, timers: Timers, sender: Sender
    ) -> None:
        self._store = store
        self._delays = delays
        self._timers = timers
        self._sender = sender
        self._usage = Usage(store)
        self._trace_topics = sorted(settings.trace_topics)
        self._evicted: list[Queue] = []
        self.configure(settings)

    def configure(self, settings: EngineSettings) -> None:
        """Put changed limits into force."""
        self._max_bytes = settings.max_bytes
        self._trace_bytes = settings.trace_bytes or settings.max_bytes // _TRACE_SHARE or _TRACE_BYTES
        if not self._max_bytes:
            self._sender.waiting_full = None

    def step(self) -> None:
        """Stage the next deletions, if any are due."""
        if self._evicted:
            # Frequent calls keep the number of deleted records small that the store skips in one call.
            self._store.first_physical()
        for queue in self._evicted:
            self._usage.count(queue)
        self._evicted = []
        self._usage.step()
        if not self._usage.complete:
            return
        over = sum(map(self._usage.of, self._trace_topics)) - self._trace_bytes
        if over > 0:
            self._evict(max(self._trace_topics, key=self._usage.of), over)
        if self._max_bytes:
            self._keep_below(self._max_bytes)

    def _keep_below(self, limit: int) -> None:
        delayed = self._usage.of(names.SCHEDULE_TOPIC)
        waiting = delayed + self._timers.bytes + self._sender.half_message_bytes
        over = self._usage.total - limit
        if (over > 0 or delayed * WAITING_SHARE > limit) and self._evict_delivered():
            return
        self._sender.waiting_full = (
            f"{waiting} bytes of messages wait for their time or the end of their transaction; the maximum is a "
            f"quarter of `maxStoreBytes` ({limit})"
            if waiting * WAITING_SHARE > limit
            else None
        )
        if over > 0:
            largest = self._usage.largest(_DELAYED)
            if largest is not None:
                self._evict(largest, over)

    def _evict(self, topic: str, size: int) -> None:
        """Stage the deletion of a topic's oldest messages: at most `size` bytes, and at least one message."""
        heads: list[tuple[int, int, Queue]] = []
        for queue in self._store.queues():
            if queue.topic == topic and queue.pending_min < queue.max_offset:
                entries = self._store.entries(queue, queue.pending_min, 1)
                heads += [(entry.physical, queue.queue_id, queue) for entry in entries]
        if not heads:
            return
        heads.sort(key=lambda head: head[:2])
        # The topic's records before this offset together have at most `size` bytes.
        cut = heads[0][0] + size
        left = _EVICTED_PER_STEP
        for physical, _, queue in heads:
            if physical >= cut or left <= 0:
                return
            offset = min(first_at(self._store, queue, cut), queue.pending_min + left)
            left -= offset - queue.pending_min
            self._stage(queue, offset)

    def _evict_delivered(self) -> bool:
        """Stage the deletion of delayed messages that were delivered; return False if there are none."""
        left = _EVICTED_PER_STEP
        for queue in self._store.queues():
            if queue.topic == names.SCHEDULE_TOPIC:
                end = min(self._delays.position(queue.queue_id + 1), queue.max_offset, queue.pending_min + left)
                if end > queue.pending_min:
                    left -= end - queue.pending_min
                    self._stage(queue, end)
        return left < _EVICTED_PER_STEP

    def _stage(self, queue: Queue, offset: int) -> None:
        self._store.stage_evict(queue, offset)
        self._evicted.append(queue)


class Retention:
    """Deletion by age.

    Args:
        store: Store of the messages.
        settings: The maximum age, `reserved_hours`.
        delays: Delay levels, whose waiting messages are kept at any age.
    """

    def __init__(self, store: MessageStore, settings: EngineSettings, delays: DelayQueues) -> None:
        self._store = store
        self._times = delays.times
        self._delays = delays
        self.configure(settings)
        self._cut = 0
        self._left: list[Queue] = []

    def configure(self, settings: EngineSettings) -> None:
        """Put a changed maximum age into force."""
        self._reserved_ms = settings.reserved_hours * _HOUR_MS
        self.hasten()

    def hasten(self) -> None:
        """Begin the next round at the next step, however little it deletes."""
        self._next_round = 0
        self._is_hastened = True

    def step(self, now: int, monotonic: int) -> None:
        """Stage the next deletions, if any are due, by the date and the monotonic time."""
        if self._left:
            self._trim_some()
        elif monotonic >= self._next_round:
            self._next_round = monotonic + _ROUND_MS
            self.begin(now)

    def begin(self, now: int) -> bool:
        """Begin a round now; return False if there is not enough to delete."""
        first = self._store.first_physical()
        self._times.forget(self._store.next_physical if first is None else first)
        if first is None:
            return False
        cut = self._cut_by_time(first, now)
        waiting = self._delays.first_waiting()
        if waiting is not None:
            cut = min(cut, waiting)
        least = 0 if self._is_hastened else min(_LEAST_BYTES, (self._store.next_physical - first) // _STEP_SHARE)
        self._is_hastened = False
        if cut - first <= max(0, least):
            return False

        self._cut = cut
        self._left = self._store.queues()
        self._trim_some()
        return True

    def restart(self) -> None:
        """Abandon the current round, because a failed commit may have undone some of its deletions."""
        self._left = []

    def _trim_some(self) -> None:
        for _ in range(min(_TRIMMED_PER_STEP, len(self._left))):
            queue = self._left.pop()
            offset = first_at(self._store, queue, self._cut)
            if offset > queue.min_offset and self._store.queue(queue.topic, queue.queue_id) is queue:
                self._store.stage_trim(queue, offset)
        if not self._left:
            self._store.stage_release(self._cut, self._times.oldest_from(self._cut))

    def _cut_by_time(self, first: int, now: int) -> int:
        """Return the offset of the first record that is young enough; all records before it can be deleted."""
        if not self._reserved_ms:
            return first
        return self._times.first_young(first, now - self._reserved_ms, now)
