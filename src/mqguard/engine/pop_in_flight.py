"""Messages in flight: popped by a group, and neither acknowledged nor expired.

They are kept in memory and in two small tables, which a start reads. So the cost of a start depends on their number
only. A queue of a topic has an entry for each group that has messages of it in flight. The entry has the position: the
offset of the next message to pop. The committed offset of the group is that of its first message in flight, or the
position if there is none. So a queue without messages in flight needs no entry.
"""

import collections
import heapq
import itertools
import struct
from collections.abc import Iterator

import msgspec

from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.offsets import Offsets
from mqguard.model.process import Clock, gc_disabled
from mqguard.store.ports import MessageStore, Table

MAX_IN_FLIGHT = 500_000
"""Messages in flight of all groups, some 400 bytes each. Beyond this number only users below an even share get more."""
_ROW = struct.Struct(">QQQQHB")
_MAX_ATTEMPTS = 0xFFFF
_ORDERED, _SUSPENDED, _ACKNOWLEDGED = 1, 2, 4
_POSITION_BYTES = _OFFSET_BYTES = 8
_QUEUE_ID_BYTES = 4


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """Delivery of one message to a consumer.

    Attributes:
        pop_time: Date of the pop, or of the last change. With group, queue and offset it identifies the delivery.
        invisible_ms: Milliseconds after which the message is visible again.
        deadline: Monotonic time at which it is visible again; the table has the date.
        owner: User or address for whose share it counts.
        attempts: Number of earlier deliveries, for messages in order. Others have it in their record.
        is_suspended: True if this delivery does not count as an attempt.
        is_acknowledged: True if a message in order waits for the acknowledgement of an earlier one, see `pop_order`.
        in_order: True if the message blocks later ones of its queue.
        first_pop_time: Date of the pop, which a change of the invisible time keeps; 0 if it is `pop_time`.
    """

    pop_time: int
    invisible_ms: int
    deadline: int
    owner: str
    attempts: int = 0
    is_suspended: bool = False
    is_acknowledged: bool = False
    in_order: bool = False
    first_pop_time: int = 0


class PopQueue:
    """Messages of one queue that one group has in flight. Only `InFlight` changes it.

    Attributes:
        group: The group.
        topic: The topic that stores the messages: the popped one, or its retry topic.
        queue_id: The queue.
        position: Offset of the next message to pop.
        attempt_id: Identifier that the client chose for its last pop in order, empty for none.
        unordered: Deliveries without order by offset, in order of offsets.
        ordered: Deliveries in order by offset, in order of offsets. They are those of one or two pops.
    """

    __slots__ = ("attempt_id", "group", "key", "ordered", "position", "queue_id", "topic", "unordered")

    def __init__(self, group: str, topic: str, queue_id: int, position: int) -> None:
        self.group = group
        self.topic = topic
        self.queue_id = queue_id
        self.position = position
        self.attempt_id = ""
        # The first key of a `dict` from which many were deleted is slow to find.
        self.unordered: collections.OrderedDict[int, Delivery] = collections.OrderedDict()
        self.ordered: dict[int, Delivery] = {}
        self.key = f"{group}\0{topic}\0".encode() + queue_id.to_bytes(_QUEUE_ID_BYTES, "big")

    def find(self, offset: int) -> Delivery | None:
        """Return the delivery of the message at an offset, None if it is not in flight."""
        return self.unordered.get(offset) or self.ordered.get(offset)

    @property
    def is_idle(self) -> bool:
        """True if no message is in flight."""
        return not self.unordered and not self.ordered

    @property
    def first(self) -> int:
        """Offset of the first message that is in flight, the position if none is."""
        return min(next(iter(self.unordered), self.position), next(iter(self.ordered), self.position))

    def __len__(self) -> int:
        return len(self.unordered) + len(self.ordered)


class _Before(msgspec.Struct):
    """State of a queue before the changes of the next commit."""

    position: int
    attempt_id: str
    changes: list[tuple[int, Delivery | None, Delivery | None]]


_Due = tuple[int, int, PopQueue, int, Delivery]


class InFlight:
    """All messages in flight.

    Args:
        store: Store of the tables.
        group_commit: Commit that includes the changes; if it fails, the changes in memory are reverted.
        offsets: Committed offsets of the groups.
        clock: Clock. Deadlines are monotonic times in memory, and dates in the table.
        capacity: Maximum number of messages, see `MAX_IN_FLIGHT`.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        offsets: Offsets,
        clock: Clock,
        capacity: int = MAX_IN_FLIGHT,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._offsets = offsets
        self._clock = clock
        self._queues: dict[tuple[str, str, int], PopQueue] = {}
        self._shares = FairQuota(capacity)
        self._before: dict[PopQueue, _Before] = {}
        # A heap of due times for each owner, so that the expiry of one owner's messages does not delay that of others.
        self._due: dict[str, list[_Due]] = {}
        self._next_due = 0
        self._numbers = itertools.count()
        with gc_disabled():
            self._load()

    def __len__(self) -> int:
        return len(self._shares)

    def get(self, group: str, topic: str, queue_id: int) -> PopQueue | None:
        """Return the entry of a queue, None if the group has no message of it in flight."""
        return self._queues.get((group, topic, queue_id))

    def open(self, group: str, topic: str, queue_id: int, position: int) -> PopQueue:
        """Return the entry of a queue; a missing one begins at a position."""
        key = group, topic, queue_id
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = PopQueue(group, topic, queue_id, position)
            self._note(queue)
        return queue

    def queues_of(self, *, group: str | None = None, topic: str | None = None) -> list[PopQueue]:
        """Return the entries of a group, or of a topic with its retry topics."""
        retries = f"+{topic}"
        return [
            queue
            for queue in self._queues.values()
            if queue.group == group or (topic is not None and (queue.topic == topic or queue.topic.endswith(retries)))
        ]

    def allows(self, owner: str, more: int) -> bool:
        """Return True if an owner may have that many more messages in flight."""
        return self._shares.allows(owner, more)

    def put(self, queue: PopQueue, offset: int, delivery: Delivery) -> None:
        """Stage the delivery of a message, which replaces an earlier one of the same message."""
        self._set(queue, offset, delivery)
        flags = (
            (_ORDERED if delivery.in_order else 0)
            | (_SUSPENDED if delivery.is_suspended else 0)
            | (_ACKNOWLEDGED if delivery.is_acknowledged else 0)
        )
        visible_at = max(0, self._clock.now_ms() + delivery.deadline - self._clock.monotonic_ms())
        row = _ROW.pack(
            delivery.pop_time,
            delivery.first_pop_time,
            visible_at,
            delivery.invisible_ms,
            min(delivery.attempts, _MAX_ATTEMPTS),
            flags,
        )
        self._store.stage_value(Table.IN_FLIGHT, _row_key(queue, offset), row + delivery.owner.encode())
        self.watch(queue, offset, delivery)

    def remove(self, queue: PopQueue, offset: int) -> None:
        """Stage the end of a delivery; `settle` must follow."""
        self._set(queue, offset, None)
        self._store.stage_removal(Table.IN_FLIGHT, _row_key(queue, offset))

    def move(self, queue: PopQueue, position: int, attempt_id: str = "") -> None:
        """Stage a new position of a queue; `settle` must follow."""
        self._note(queue)
        queue.position = position
        queue.attempt_id = attempt_id

    def settle(self, queue: PopQueue) -> None:
        """Stage the position of a queue after changes, and the group's committed offset, which never falls here."""
        self._note(queue)
        if queue.is_idle:
            self._store.stage_removal(Table.POP_QUEUES, queue.key)
        else:
            row = queue.position.to_bytes(_POSITION_BYTES, "big") + queue.attempt_id.encode()
            self._store.stage_value(Table.POP_QUEUES, queue.key, row)
        first = queue.first
        if first > (self._offsets.get(queue.group, queue.topic, queue.queue_id) or 0):
            self._offsets.set(queue.group, queue.topic, queue.queue_id, first)

    def clear(self, queue: PopQueue) -> None:
        """Stage the removal of a queue's entry and of all its deliveries; the committed offset stays."""
        self._note(queue)
        for offset in (*queue.unordered, *queue.ordered):
            self.remove(queue, offset)
        self._store.stage_removal(Table.POP_QUEUES, queue.key)

    def watch(self, queue: PopQueue, offset: int, delivery: Delivery) -> None:
        """Have `due` return a delivery when its message is visible again."""
        heap = self._due.setdefault(delivery.owner, [])
        heapq.heappush(heap, (delivery.deadline, next(self._numbers), queue, offset, delivery))
        self._next_due = min(self._next_due, delivery.deadline)
        if len(heap) > 64 and len(heap) > 2 * self._shares.count(delivery.owner) + 2:
            # Messages are acknowledged long before their time, so the heap would keep those of a minute.
            heap[:] = [entry for entry in heap if entry[2].find(entry[3]) is entry[4]]
            heapq.heapify(heap)

    def due(self, now: int, limit: int) -> Iterator[tuple[PopQueue, int, Delivery]]:
        """Yield deliveries whose messages are visible again, in rounds, one of each owner per round.

        Args:
            now: Current monotonic time.
            limit: Maximum number of deliveries to check.
        """
        if now < self._next_due:
            return
        while limit > 0:
            ready = [owner for owner, heap in self._due.items() if heap[0][0] <= now]
            if not ready:
                self._next_due = min((heap[0][0] for heap in self._due.values()), default=now + 1000)
                return
            for owner in ready[:limit]:
                heap = self._due.pop(owner)
                _, _, queue, offset, delivery = heapq.heappop(heap)
                if heap:
                    # The owner is moved to the end, so that the next call begins with others.
                    self._due[owner] = heap
                limit -= 1
                if queue.find(offset) is delivery:
                    yield queue, offset, delivery

    def _set(self, queue: PopQueue, offset: int, delivery: Delivery | None) -> None:
        old = queue.find(offset)
        self._note(queue).changes.append((offset, old, delivery))
        self._replace(queue, offset, old, delivery)

    def _replace(self, queue: PopQueue, offset: int, old: Delivery | None, new: Delivery | None) -> None:
        if old is not None:
            self._shares.change(old.owner, -1)
            if new is None or new.in_order != old.in_order:
                del (queue.ordered if old.in_order else queue.unordered)[offset]
        if new is not None:
            self._shares.change(new.owner, 1)
            (queue.ordered if new.in_order else queue.unordered)[offset] = new

    def _note(self, queue: PopQueue) -> _Before:
        """Return the state of a queue before the changes of this commit, which is kept until the commit."""
        before = self._before.get(queue)
        if before is None:
            if not self._before:
                self._group_commit.undo(self._revert)
                self._group_commit.after(self._committed)
            before = self._before[queue] = _Before(queue.position, queue.attempt_id, [])
        return before

    def _committed(self) -> None:
        self._drop_idle(self._before)
        self._before.clear()

    def _revert(self) -> None:
        for queue, before in self._before.items():
            queue.position, queue.attempt_id = before.position, before.attempt_id
            for offset, old, new in reversed(before.changes):
                self._replace(queue, offset, new, old)
                if old is not None:
                    self.watch(queue, offset, old)
            queue.unordered = collections.OrderedDict(sorted(queue.unordered.items()))
            queue.ordered = dict(sorted(queue.ordered.items()))
        self._drop_idle(self._before)
        self._before.clear()

    def _drop_idle(self, queues: dict[PopQueue, _Before]) -> None:
        for queue in queues:
            if queue.is_idle:
                self._queues.pop((queue.group, queue.topic, queue.queue_id), None)

    def _load(self) -> None:
        for key, value in self._store.values(Table.POP_QUEUES):
            group, topic, queue_id = _unpack(key)
            queue = PopQueue(group, topic, queue_id, int.from_bytes(value[:_POSITION_BYTES], "big"))
            queue.attempt_id = value[_POSITION_BYTES:].decode()
            self._queues[group, topic, queue_id] = queue
        date, monotonic = self._clock.now_ms(), self._clock.monotonic_ms()
        for key, value in self._store.values(Table.IN_FLIGHT):
            # INVARIANT: the commit that stores a delivery also stores the position of its queue.
            queue = self._queues[_unpack(key[:-_OFFSET_BYTES])]
            offset = int.from_bytes(key[-_OFFSET_BYTES:], "big")
            delivery = _delivery(value, date, monotonic)
            self._replace(queue, offset, None, delivery)
            self.watch(queue, offset, delivery)


def _delivery(row: bytes, date: int, monotonic: int) -> Delivery:
    pop_time, first_pop_time, visible_at, invisible_ms, attempts, flags = _ROW.unpack_from(row)
    # If the date was set back before the start, no message must stay invisible for longer than its consumer asked for.
    left = max(0, min(visible_at - date, invisible_ms))
    return Delivery(
        pop_time,
        invisible_ms,
        monotonic + left,
        row[_ROW.size :].decode(),
        attempts,
        is_suspended=bool(flags & _SUSPENDED),
        is_acknowledged=bool(flags & _ACKNOWLEDGED),
        in_order=bool(flags & _ORDERED),
        first_pop_time=first_pop_time,
    )


def _row_key(queue: PopQueue, offset: int) -> bytes:
    return queue.key + offset.to_bytes(_OFFSET_BYTES, "big")


def _unpack(key: bytes) -> tuple[str, str, int]:
    group, topic = key[: -_QUEUE_ID_BYTES - 1].decode().split("\0")
    return group, topic, int.from_bytes(key[-_QUEUE_ID_BYTES:], "big")
