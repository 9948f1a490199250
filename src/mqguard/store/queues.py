"""Queues in memory: begin and end of each one, committed and staged."""

import collections
from collections.abc import Iterable
from typing import Final

MAX_RECENT_BYTES: Final = 32 * 1024 * 1024
_GENERATIONS: Final = 4


class Queue:
    """One queue of one topic. Only the store changes it.

    Attributes:
        topic: The topic.
        queue_id: Number of the queue within the topic.
        number: Number of the queue within the store, never used again.
        min_offset: First offset that can be read.
        max_offset: One after the last committed offset.
        next_offset: One after the last staged offset: the offset of the next message.
        pending_min: `min_offset` after the next commit.
        opened_at: `max_offset` when the store was opened, 0 for a queue that was created later.
        max_bytes: Bytes of the records committed since then.
        next_bytes: The same with the staged records.
        recent: The newest records if the store keeps them in memory (`RecentRecords`), those that are staged included.
        recent_offset: Offset of the first of these records.
    """

    __slots__ = (
        "max_bytes",
        "max_offset",
        "min_offset",
        "next_bytes",
        "next_offset",
        "number",
        "opened_at",
        "pending_min",
        "queue_id",
        "recent",
        "recent_offset",
        "topic",
    )

    def __init__(self, topic: str, queue_id: int, number: int, min_offset: int = 0, max_offset: int = 0) -> None:
        self.topic = topic
        self.queue_id = queue_id
        self.number = number
        self.min_offset = self.pending_min = min_offset
        self.max_offset = self.next_offset = max_offset
        self.opened_at = max_offset
        self.max_bytes = self.next_bytes = 0
        # None costs less memory than a list: there may be 100,000 queues, and most are idle.
        self.recent: list[bytes] | None = None
        self.recent_offset = 0

    def __repr__(self) -> str:
        return f"Queue({self.topic}:{self.queue_id} #{self.number} [{self.min_offset}, {self.max_offset}))"

    def settle(self) -> None:
        """Make the staged state the committed one."""
        self.max_offset = self.next_offset
        self.max_bytes = self.next_bytes
        self.min_offset = self.pending_min

    def revert(self) -> None:
        """Drop the staged state."""
        self.next_offset = self.max_offset
        self.next_bytes = self.max_bytes
        self.pending_min = self.min_offset
        if self.recent is not None:
            del self.recent[max(0, self.max_offset - self.recent_offset) :]

    def keep_recent(self, record: bytes) -> None:
        """Keep the record that is staged at `next_offset`."""
        if self.recent is None:
            self.recent = []
            self.recent_offset = self.next_offset
        self.recent.append(record)

    def is_recent(self, offset: int) -> bool:
        """Return True if the records from an offset on are in memory."""
        return self.recent is not None and offset >= self.recent_offset

    def drop_recent(self, end: int) -> None:
        """Drop the recent records before an offset."""
        if self.recent is None:
            return
        del self.recent[: max(0, end - self.recent_offset)]
        self.recent_offset = max(self.recent_offset, end)
        if not self.recent:
            self.recent = None


class QueueTable:
    """All live queues by topic and queue number, and the staged additions and removals."""

    def __init__(self) -> None:
        self.by_place: dict[tuple[str, int], Queue] = {}
        self.next_number = 0
        self._touched: dict[int, Queue] = {}
        self._added: list[Queue] = []
        self._dropped: list[Queue] = []
        self._next_number_before = 0

    def load(self, queue: Queue) -> None:
        """Add a queue that was found on opening."""
        self.by_place[queue.topic, queue.queue_id] = queue

    def start_at(self, number: int) -> None:
        """Set the number of the next new queue."""
        self.next_number = self._next_number_before = number

    def add(self, topic: str, queue_id: int) -> Queue:
        """Stage a new queue; messages can be staged for it at once."""
        queue = Queue(topic, queue_id, self.next_number)
        self.next_number += 1
        self.by_place[topic, queue_id] = queue
        self._added.append(queue)
        return queue

    def drop(self, queue: Queue) -> None:
        """Stage the removal of a queue; it accepts no more messages."""
        del self.by_place[queue.topic, queue.queue_id]
        self._dropped.append(queue)

    def touch(self, queue: Queue) -> None:
        """Mark a queue as one with staged changes."""
        self._touched[queue.number] = queue

    @property
    def touched(self) -> list[Queue]:
        """Queues with staged changes."""
        return list(self._touched.values())

    def settle(self) -> None:
        """Make the staged changes the committed state."""
        for queue in self._touched.values():
            queue.settle()
        self._clear()

    def revert(self) -> None:
        """Drop the staged changes."""
        for queue in self._touched.values():
            queue.revert()
        for queue in self._added:
            if self.by_place.get((queue.topic, queue.queue_id)) is queue:
                del self.by_place[queue.topic, queue.queue_id]

        added = {queue.number for queue in self._added}
        for queue in self._dropped:
            if queue.number not in added:
                self.by_place[queue.topic, queue.queue_id] = queue
        self.next_number = self._next_number_before
        self._clear()

    def _clear(self) -> None:
        self._touched.clear()
        self._added.clear()
        self._dropped.clear()
        self._next_number_before = self.next_number


class RecentRecords:
    """Bounds the newest records that queues keep in memory (`Queue.recent`).

    A consumer that keeps up with its producers then costs no read of the disk.

    Records leave in the order in which they were committed, a generation of commits at a time. So a record costs an
    append and no more.

    Args:
        next_physical: Physical offset of the next record.
        max_bytes: Maximum bytes of records, the last commit not counted.
    """

    def __init__(self, next_physical: int, max_bytes: int = MAX_RECENT_BYTES) -> None:
        self._max_generation_bytes = max_bytes // _GENERATIONS
        self._generations: collections.deque[tuple[int, dict[Queue, int]]] = collections.deque()
        self._begin(next_physical)

    def settle(self, queues: Iterable[Queue], next_physical: int) -> None:
        """Count the records of a commit, and drop the oldest ones if there are too many.

        Args:
            queues: Queues that the commit has changed.
            next_physical: Physical offset of the next record.
        """
        ends = self._generations[-1][1]
        for queue in queues:
            if queue.recent is not None:
                ends[queue] = queue.next_offset
        if next_physical - self._generations[-1][0] >= self._max_generation_bytes:
            self._begin(next_physical)
            if len(self._generations) > _GENERATIONS:
                self._drop_oldest()

    def release(self, physical: int) -> None:
        """Drop the records below a physical offset, and perhaps some more."""
        while len(self._generations) > 1 and self._generations[0][0] < physical:
            self._drop_oldest()
        first, ends = self._generations[0]
        if first < physical:
            _drop(ends)
            ends.clear()

    def _begin(self, next_physical: int) -> None:
        self._generations.append((next_physical, {}))

    def _drop_oldest(self) -> None:
        _drop(self._generations.popleft()[1])


def _drop(ends: dict[Queue, int]) -> None:
    for queue, end in ends.items():
        queue.drop_recent(end)
