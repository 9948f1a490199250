"""Deleting messages where too many bytes are kept: of the topic that keeps most, its oldest first.

A topic is never cleared for the sake of one that keeps more. Topics that need no grant have a limit of their own, and
so has what waits for its time.
"""

from mqguard.engine.delay import Delays
from mqguard.engine.produce import WAITING_SHARE, Producer
from mqguard.engine.settings import EngineSettings
from mqguard.engine.timer import Timers
from mqguard.engine.usage import Usage
from mqguard.model import names
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

_ENTRIES_PER_STEP = 4_000
_TRACE_SHARE = 16
_TRACE_BYTES = 256 * 1024 * 1024
"""Limit of the trace topic if neither it nor the store has a limit set."""
_DELAYED = frozenset({names.SCHEDULE_TOPIC})


class Eviction:
    """Keeps the bytes of messages below `max_bytes`, and those of the trace topic below its own limit.

    Args:
        store: Where the messages are.
        settings: The limits.
        delays: Say which messages still wait.
        timers: Say how much more waits for a time of choice.
        producer: Is told to refuse messages that would have to wait.
    """

    def __init__(
        self, store: MessageStore, settings: EngineSettings, delays: Delays, timers: Timers, producer: Producer
    ) -> None:
        self._store = store
        self._delays = delays
        self._timers = timers
        self._producer = producer
        self._usage = Usage(store)
        self._max_bytes = settings.max_bytes
        self._trace_topic = settings.trace_topic
        self._trace_bytes = settings.trace_bytes or settings.max_bytes // _TRACE_SHARE or _TRACE_BYTES
        self._evicted: list[Queue] = []

    def step(self) -> None:
        """Stage the next piece of work, if there is any."""
        if self._evicted:
            # Looked at often, the store passes few deleted records at a time.
            self._store.first_physical()
        for queue in self._evicted:
            self._usage.count(queue)
        self._evicted = []
        self._usage.step()
        if not self._usage.complete:
            return
        over = self._usage.of(self._trace_topic) - self._trace_bytes
        if over > 0:
            self._evict(self._trace_topic, over)
        if self._max_bytes:
            self._keep_below(self._max_bytes)

    def _keep_below(self, limit: int) -> None:
        delayed = self._usage.of(names.SCHEDULE_TOPIC)
        waiting = delayed + self._timers.bytes
        over = self._usage.total - limit
        if (over > 0 or delayed * WAITING_SHARE > limit) and self._evict_delivered():
            return
        self._producer.waiting_full = (
            f"{waiting} bytes of messages wait for their time; the maximum is a quarter of `maxStoreBytes` ({limit})"
            if waiting * WAITING_SHARE > limit
            else None
        )
        if over > 0:
            largest = self._usage.largest(_DELAYED)
            if largest is not None:
                self._evict(largest, over)

    def _evict(self, topic: str, size: int) -> None:
        """Stage the end of a topic's oldest messages: at most so many bytes, and one message at least."""
        heads: list[tuple[int, int, Queue]] = []
        for queue in self._store.queues():
            if queue.topic == topic and queue.pending_min < queue.max_offset:
                entries = self._store.entries(queue, queue.pending_min, 1)
                heads += [(entry.physical, queue.queue_id, queue) for entry in entries]
        if not heads:
            return
        heads.sort(key=lambda head: head[:2])
        # All of the topic's records before this place are together no larger than the distance.
        cut = heads[0][0] + size
        left = _ENTRIES_PER_STEP
        for physical, _, queue in heads:
            if physical >= cut or left <= 0:
                return
            offset = min(first_at(self._store, queue, cut), queue.pending_min + left)
            left -= offset - queue.pending_min
            self._stage(queue, offset)

    def _evict_delivered(self) -> bool:
        """Stage the end of delayed messages that are delivered; return whether there were any."""
        left = _ENTRIES_PER_STEP
        for queue in self._store.queues():
            if queue.topic == names.SCHEDULE_TOPIC:
                end = min(self._delays.position(queue.queue_id + 1), queue.max_offset, queue.pending_min + left)
                if end > queue.pending_min:
                    left -= end - queue.pending_min
                    self._stage(queue, end)
        return left < _ENTRIES_PER_STEP

    def _stage(self, queue: Queue, offset: int) -> None:
        self._store.stage_evict(queue, offset)
        self._evicted.append(queue)


def first_at(store: MessageStore, queue: Queue, cut: int) -> int:
    """Return the first offset of a queue whose record is at or after a physical offset, found by halving."""
    low, high = queue.min_offset, queue.max_offset
    while low < high:
        middle = (low + high) // 2
        entries = store.entries(queue, middle, 1)
        if entries and entries[0].physical < cut:
            low = middle + 1
        else:
            high = middle
    return low
