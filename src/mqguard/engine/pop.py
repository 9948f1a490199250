"""Pop: consumers take messages without owning queues, and acknowledge each one.

A popped message is in flight (`pop_in_flight`) until it is acknowledged. If its invisible time ends first, the broker
copies it to the retry topic that the group has for its topic, with one more attempt. After the last attempt the copy
goes to the dead-letter topic. The commit that stores a copy also removes the message from flight. So a message is never
lost, and an acknowledged one never delivered again. Messages that are popped in order follow `pop_order`.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from mqguard.engine import pop_order
from mqguard.engine.errors import ConfigIllegal, StoreDown
from mqguard.engine.fetch import Fetcher, FetchResult, FetchStatus
from mqguard.engine.groups import Groups
from mqguard.engine.offsets import SMALL_QUEUE, Offsets
from mqguard.engine.pop_in_flight import Delivery, InFlight, PopQueue
from mqguard.engine.pop_request import (
    MAX_ATTEMPT_CHARS,
    MAX_POPPED,
    PoppedMessage,
    PopRequest,
    PopResult,
    check_invisible,
)
from mqguard.engine.settings import EngineSettings
from mqguard.engine.topics import Topics
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.model.record import QUEUE_OFFSET_AT
from mqguard.model.topic import MESSAGE_TYPE, TopicConfig
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

MAX_SCANNED = 4096
"""Maximum queue entries that one pop passes, however few of them match its filter."""
_MAX_READ = 800
"""The same for a filter that needs the properties of every message."""
_RETRY_FIRST = 5
"""One of five pops begins with the retry topic, so that neither topic can starve the other."""
_PRIORITY_FACTOR = "priority.factor"
"""Attribute of a group: the percentage of pops that follow the priorities (Apache: 100)."""
_MISPLACED = {FetchStatus.OFFSET_TOO_SMALL, FetchStatus.OFFSET_OVERFLOW_BADLY}
_offset_in = struct.Struct(">q").unpack_from


class _Place(NamedTuple):
    """A queue that a pop visits.

    Attributes:
        topic: Topic that stores the messages: the popped one, or its retry topic.
        queue_id: The queue.
        queue: The group's messages in flight, None if there are none.
        position: Offset of the next message for the group.
        end: Offset after the last message.
    """

    topic: str
    queue_id: int
    queue: PopQueue | None
    position: int
    end: int


class _Room(msgspec.Struct):
    """Remaining messages, bytes and queue entries of a pop."""

    messages: int
    bytes: int
    entries: int

    @property
    def is_empty(self) -> bool:
        """True if the pop must end."""
        return self.messages <= 0 or self.bytes <= 0 or self.entries <= 0


class Pop:
    """Pop, acknowledgement and change of the invisible time. All changes are staged for the next commit.

    Args:
        store: Store of the messages.
        fetcher: Reader of the queues.
        in_flight: Messages in flight.
        topics: Topics.
        groups: Groups.
        offsets: Committed offsets.
        settings: Limits.
        clock: Clock.
    """

    def __init__(
        self,
        store: MessageStore,
        fetcher: Fetcher,
        in_flight: InFlight,
        topics: Topics,
        groups: Groups,
        offsets: Offsets,
        settings: EngineSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._in_flight = in_flight
        self._topics = topics
        self._groups = groups
        self._offsets = offsets
        self._clock = clock
        self._max_bytes = settings.max_fetch_bytes
        self._max_in_flight = settings.max_in_flight
        self._count = 0
        self._visible: list[Callable[[str, str], None]] = []
        topics.on_removal(self._topic_removed)
        groups.on_removal(self._group_removed)

    def on_visible(self, callback: Callable[[str, str], None]) -> None:
        """Call back with group and topic when a queue may have messages again without an arrival."""
        self._visible.append(callback)

    @property
    def in_flight_count(self) -> int:
        """Number of messages in flight of all groups."""
        return len(self._in_flight)

    def count(self, group: str, topic: str, queue_id: int) -> int:
        """Return the number of messages of a queue that a group has in flight."""
        queue = self._in_flight.get(group, topic, queue_id)
        return 0 if queue is None else len(queue)

    def pop(self, request: PopRequest) -> PopResult:
        """Take messages, and hide them from the group for the invisible time.

        Raises:
            NoSuchTopic: The topic does not exist.
            NotReadable: The topic has no read permission.
            NoSuchQueue: The topic has no such queue.
            ConfigIllegal: The invisible time or the identifier of the attempt is too long.
            LimitReached: The group needs an offset or a retry topic, and its user has used its share of them.
            StoreDown: The store cannot be read now.
        """
        check_invisible(request.invisible_ms)
        if len(request.attempt_id) > MAX_ATTEMPT_CHARS:
            raise ConfigIllegal(f"the attemptId is longer than {MAX_ATTEMPT_CHARS} characters")
        self._topics.readable(request.topic)
        result = PopResult(self._clock.now_ms())
        room = self._room(request)
        take = self._pop_ordered if request.in_order else self._pop_unordered
        places = self._places(request, retry=not request.in_order)
        if request.in_order:
            result.pop_time = self._pop_time(places, request.attempt_id, result.pop_time)
        for place in places:
            if room.is_empty:
                result.rest += self._left(request, place)
                result.is_cut = result.is_cut or room.entries <= 0
                continue
            try:
                take(request, place, room, result)
            except StoreDown:
                if not result.batches:
                    raise
        return result

    def peek(self, request: PopRequest) -> PopResult:
        """Return messages that a pop would take, and take none; raise like `pop`."""
        self._topics.readable(request.topic)
        result = PopResult(self._clock.now_ms())
        room = self._room(request)
        for place in self._places(request, retry=True):
            position = place.position
            if position < place.end and not room.is_empty:
                fetched = self._fetch(request, place, room)
                position = fetched.next_offset
                result.add(place.topic, place.queue_id, [PoppedMessage(_offset(one), one) for one in fetched.records])
            result.rest += max(0, place.end - position)
        return result

    def has_messages(self, request: PopRequest) -> bool:
        """Return True if a pop would find messages; raise like `pop`."""
        self._topics.readable(request.topic)
        now = self._clock.monotonic_ms()
        room = msgspec.structs.replace(self._room(request), messages=1, bytes=1)
        for place in self._places(request, retry=not request.in_order):
            queue = place.queue
            if request.in_order and queue is not None and queue.ordered:
                if not pop_order.is_blocked(queue, request.attempt_id, now):
                    return True
            elif place.position < place.end and (
                request.wanted is None or room.entries <= 0 or self._fetch(request, place, room).records
            ):
                return True
        return False

    def ack(self, group: str, topic: str, queue_id: int, offset: int, pop_time: int) -> bool:
        """Acknowledge a message; return False if the message is not in flight with this pop time.

        Args:
            group: The group that popped it.
            topic: Topic that stores it: the popped one, or its retry topic.
            queue_id: The queue.
            offset: Offset of the message.
            pop_time: Time of the delivery.
        """
        found = self._find(group, topic, queue_id, offset, pop_time)
        if found is None:
            return False
        queue, delivery = found
        was_full = len(queue) >= self._max_in_flight
        ended = pop_order.acknowledged(queue, offset) if delivery.in_order else [offset]
        if not ended:
            self._in_flight.put(queue, offset, msgspec.structs.replace(delivery, is_acknowledged=True))
        for one in ended:
            self._in_flight.remove(queue, one)
        self._in_flight.settle(queue)
        if delivery.in_order or was_full:
            self.notify(queue)
        return True

    def change_invisible(
        self,
        group: str,
        topic: str,
        queue_id: int,
        offset: int,
        pop_time: int,
        invisible_ms: int,
        *,
        is_suspended: bool = False,
    ) -> Delivery | None:
        """Change the time for which a message stays invisible, counted from now.

        Args:
            group: The group that popped it.
            topic: Topic that stores it: the popped one, or its retry topic.
            queue_id: The queue.
            offset: Offset of the message.
            pop_time: Time of the delivery.
            invisible_ms: The new invisible time; 0 lets the message come again at once.
            is_suspended: True if this delivery does not count as an attempt.

        Returns:
            The changed delivery, None if the message is not in flight with this pop time. A message without order gets
            a new pop time, so its earlier handle is no longer valid.

        Raises:
            ConfigIllegal: The invisible time is too long.
        """
        check_invisible(invisible_ms)
        found = self._find(group, topic, queue_id, offset, pop_time)
        if found is None:
            return None
        queue, old = found
        changed = msgspec.structs.replace(
            old,
            pop_time=old.pop_time if old.in_order else max(self._clock.now_ms(), old.pop_time + 1),
            invisible_ms=invisible_ms,
            deadline=self._clock.monotonic_ms() + invisible_ms,
            is_suspended=is_suspended,
            first_pop_time=old.first_pop_time or old.pop_time,
        )
        self._in_flight.put(queue, offset, changed)
        return changed

    def reset(self, group: str, topic: str, queue_id: int) -> None:
        """Drop the messages of a queue that a group has in flight, because its committed offset was set anew."""
        queue = self._in_flight.get(group, topic, queue_id)
        if queue is not None:
            self._in_flight.clear(queue)
        self._call_back(group, topic)

    # Places

    def _places(self, request: PopRequest, *, retry: bool) -> list[_Place]:
        """Return the queues that a pop visits, in order. The first offsets of a new group are committed."""
        self._count += 1
        config = self._topics.require(request.topic)
        queues = config.read_queues
        has_priorities = not request.in_order and self._has_priorities(request.group, config)
        if request.queue_id >= 0:
            self._fetcher.queue(request.topic, request.queue_id)
            places = [self._place(request, request.topic, request.queue_id)]
        else:
            first = self._count % max(1, queues)
            order = [(first + number) % queues for number in range(queues)]
            if has_priorities:
                order.sort(reverse=True)
            places = [self._place(request, request.topic, number) for number in order]
        again = names.pop_retry_topic(request.group, request.topic)
        if retry and self._topics.get(again) is not None:
            is_first = self._random(_RETRY_FIRST) == 0
            places.insert(0 if is_first and not has_priorities else len(places), self._place(request, again, 0))
        return places

    def _random(self, limit: int) -> int:
        """Return a number below a limit, spread over all pops so that no group always gets the same one."""
        return (self._count * 0x9E3779B1 & 0xFFFFFFFF) * limit >> 32

    def _has_priorities(self, group: str, topic: TopicConfig) -> bool:
        """Return True if this pop begins with the queue of the highest priority."""
        if topic.attributes.get(MESSAGE_TYPE) != "PRIORITY":
            return False
        config = self._groups.get(group)
        factor = "" if config is None else config.attributes.get(_PRIORITY_FACTOR, "")
        return self._random(100) < (int(factor) if factor.isdecimal() and len(factor) <= 3 else 100)

    def _place(self, request: PopRequest, topic: str, queue_id: int) -> _Place:
        stored = self._store.queue(topic, queue_id)
        committed = self._offsets.get(request.group, topic, queue_id)
        queue = self._in_flight.get(request.group, topic, queue_id)
        if queue is not None and not queue.is_idle:
            position = max(queue.position, committed or 0)
        elif committed is None:
            position = 0 if stored is None else _initial(stored, from_end=request.from_end)
            self._offsets.set(request.group, topic, queue_id, position, request.creator)
        else:
            position = committed
        return _Place(topic, queue_id, queue, position, 0 if stored is None else stored.max_offset)

    def _left(self, request: PopRequest, place: _Place) -> int:
        if request.in_order and place.queue is not None and place.queue.ordered:
            # Messages of a blocked queue would wake waiting pops in vain.
            return 0
        return max(0, place.end - place.position)

    # Taking

    def _pop_unordered(self, request: PopRequest, place: _Place, room: _Room, result: PopResult) -> None:
        if place.position == place.end:
            return
        free = self._max_in_flight - (0 if place.queue is None else len(place.queue))
        if free <= 0 or not self._in_flight.allows(request.owner, min(room.messages, free)):
            return
        fetched = self._fetch(request, place, room, free)
        messages = [PoppedMessage(_offset(one), one) for one in fetched.records]
        self._take(request, place, fetched.next_offset, messages, result.pop_time)
        room.messages -= len(messages)
        result.add(place.topic, place.queue_id, messages)
        result.rest += max(0, place.end - fetched.next_offset)
        result.is_cut = result.is_cut or room.entries <= 0

    def _take(
        self, request: PopRequest, place: _Place, position: int, messages: list[PoppedMessage], pop_time: int
    ) -> None:
        """Stage the deliveries of messages that are not in flight, and the position after them."""
        if messages and not request.in_order and not place.topic.startswith(names.RETRY_PREFIX):
            # The limits hold now, because a message that expires must not be lost for want of room.
            retry = names.pop_retry_topic(request.group, place.topic)
            self._topics.ensure_pop_retry(retry, request.creator, limited=True)
        self._offsets.set_pulled(request.group, place.topic, place.queue_id, position)
        queue = place.queue
        if not messages and (queue is None or queue.is_idle):
            self._offsets.set(request.group, place.topic, place.queue_id, position, request.creator)
            return
        if queue is None:
            queue = self._in_flight.open(request.group, place.topic, place.queue_id, position)
        delivery = self._delivery(request, pop_time)
        for message in messages:
            self._in_flight.put(queue, message.offset, delivery)
        self._in_flight.move(queue, position, request.attempt_id if request.in_order else queue.attempt_id)
        self._in_flight.settle(queue)

    def _pop_ordered(self, request: PopRequest, place: _Place, room: _Room, result: PopResult) -> None:
        queue = place.queue
        messages: list[PoppedMessage] = []
        if queue is not None and queue.ordered:
            if pop_order.is_blocked(queue, request.attempt_id, self._clock.monotonic_ms()):
                return
            messages = self._again(request, queue, room, result.pop_time)
        if queue is None or len(messages) == len(queue.ordered):
            messages += self._fresh(request, place, room, result)
        result.add(place.topic, place.queue_id, messages)

    def _fresh(self, request: PopRequest, place: _Place, room: _Room, result: PopResult) -> list[PoppedMessage]:
        """Take messages in order that were not in flight."""
        if place.position == place.end or room.is_empty or not self._in_flight.allows(request.owner, room.messages):
            return []
        fetched = self._fetch(request, place, room)
        messages = [PoppedMessage(_offset(one), one) for one in fetched.records]
        self._take(request, place, fetched.next_offset, messages, result.pop_time)
        room.messages -= len(messages)
        if not messages:
            result.rest += max(0, place.end - fetched.next_offset)
            result.is_cut = result.is_cut or room.entries <= 0
        return messages

    def _again(self, request: PopRequest, queue: PopQueue, room: _Room, pop_time: int) -> list[PoppedMessage]:
        """Deliver messages in order that are in flight again; those whose records are gone are dropped."""
        is_same = pop_order.is_same_attempt(queue, request.attempt_id)
        new = self._delivery(request, pop_time)
        messages: list[PoppedMessage] = []
        for offset, old in list(queue.ordered.items()):
            if room.is_empty:
                if old.is_acknowledged:
                    self._in_flight.put(queue, offset, pop_order.left_for_later(old, self._clock.monotonic_ms()))
                continue
            data = self._fetcher.record(queue.topic, queue.queue_id, offset)
            if data is None:
                self._in_flight.remove(queue, offset)
                continue
            delivery = pop_order.delivered_again(old, new, is_same=is_same)
            self._in_flight.put(queue, offset, delivery)
            messages.append(PoppedMessage(offset, data, delivery.attempts))
            room.messages -= 1
            room.bytes -= len(data)
        self._in_flight.move(queue, queue.position, request.attempt_id)
        self._in_flight.settle(queue)
        return messages

    def _delivery(self, request: PopRequest, pop_time: int) -> Delivery:
        deadline = self._clock.monotonic_ms() + request.invisible_ms
        return Delivery(pop_time, request.invisible_ms, deadline, request.owner, in_order=request.in_order)

    def _pop_time(self, places: list[_Place], attempt_id: str, pop_time: int) -> int:
        """Return a pop time that no message has that the pop may deliver again, even if the date was set back."""
        now = self._clock.monotonic_ms()
        for place in places:
            queue = place.queue
            if queue is not None and queue.ordered and not pop_order.is_blocked(queue, attempt_id, now):
                pop_time = pop_order.next_pop_time(queue, pop_time)
        return pop_time

    def _room(self, request: PopRequest) -> _Room:
        wanted = request.wanted
        entries = MAX_SCANNED if wanted is None or wanted.codes is not None else _MAX_READ
        return _Room(min(request.max_messages, MAX_POPPED), self._max_bytes, entries)

    def _fetch(self, request: PopRequest, place: _Place, room: _Room, free: int = MAX_POPPED) -> FetchResult:
        limit, position = min(room.messages, free), place.position
        fetched = self._fetcher.fetch(place.topic, place.queue_id, position, limit, room.bytes, request.wanted)
        if fetched.status in _MISPLACED:
            position = fetched.next_offset
            fetched = self._fetcher.fetch(place.topic, place.queue_id, position, limit, room.bytes, request.wanted)
        passed = fetched.next_offset - position - len(fetched.records)
        room.bytes -= sum(map(len, fetched.records))
        room.entries -= max(0, passed)
        if request.readable is not None and fetched.records:
            fetched.records = request.readable(fetched.records)
        return fetched

    def _find(
        self, group: str, topic: str, queue_id: int, offset: int, pop_time: int
    ) -> tuple[PopQueue, Delivery] | None:
        queue = self._in_flight.get(group, topic, queue_id)
        if queue is None:
            return None
        delivery = queue.find(offset)
        if delivery is None or delivery.pop_time != pop_time or delivery.is_acknowledged:
            return None
        return queue, delivery

    def notify(self, queue: PopQueue) -> None:
        """Call back because a pop may find messages in a queue again."""
        parts = names.pop_retry_parts(queue.topic)
        self._call_back(queue.group, queue.topic if parts is None else parts[1])

    def _call_back(self, group: str, topic: str) -> None:
        for callback in self._visible:
            callback(group, topic)

    def _topic_removed(self, topic: str) -> None:
        parts = names.pop_retry_parts(topic)
        if parts is not None and (self._groups.get(parts[0]) is None or self._topics.get(parts[1]) is None):
            # The removal of its group or of its topic has cleared it.
            return
        for queue in self._in_flight.queues_of(topic=topic):
            self._in_flight.clear(queue)

    def _group_removed(self, group: str) -> None:
        for queue in self._in_flight.queues_of(group=group):
            self._in_flight.clear(queue)


def _initial(queue: Queue, *, from_end: bool) -> int:
    """Return the offset at which a new group begins: at the end means at the last message, as with Apache's broker."""
    is_small = queue.min_offset <= 0 and queue.max_offset <= SMALL_QUEUE
    if not from_end or is_small or names.owner_of(queue.topic) is not None:
        return queue.min_offset
    return max(queue.min_offset, queue.max_offset - 1)


def _offset(record: bytes) -> int:
    offset: int = _offset_in(record, QUEUE_OFFSET_AT)[0]
    return offset
