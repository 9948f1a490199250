"""Pop of messages from lite topics, always in order.

A client pops from all its lite topics at once. The messages that it gets from a lite topic block it for the group,
until all of them are acknowledged or visible again; see `pop_order`. Messages in flight, positions and acknowledgements
are those of `pop` and survive a crash: the name of the lite queue takes the place of the topic.
"""

import functools
from collections.abc import Iterable

import msgspec

from mqguard.engine import pop_order
from mqguard.engine.errors import ConfigIllegal, LimitReached, StoreDown
from mqguard.engine.fetch import Fetcher
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.lite_subscriptions import LiteClient, LiteSubscriptions
from mqguard.engine.lite_topics import LiteTopic, LiteTopics
from mqguard.engine.offsets import SMALL_QUEUE, Offsets
from mqguard.engine.pop_in_flight import Delivery, InFlight, PopQueue
from mqguard.engine.pop_request import MAX_ATTEMPT_CHARS, MAX_POPPED, PoppedMessage, check_invisible
from mqguard.engine.settings import EngineSettings
from mqguard.model.process import Clock
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore

QUEUE_ID = 0
"""Number of the only queue of a lite topic."""
_EXPIRED_PER_STEP = 100
_READS = 64
"""Reads of a lite queue in one pop that find only messages which are deleted; each passes up to 32."""


class LitePopRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A pop of lite topics.

    Attributes:
        group: The group.
        parent: The parent topic.
        client_id: Client whose lite topics are popped.
        invisible_ms: Milliseconds after which a message that is not acknowledged comes again.
        max_messages: Maximum number of messages.
        attempt_id: Identifier of the pop. A pop with the same one gets the same messages; empty for none.
        owner: Owner of the client id, for whose share of messages in flight the messages count.
        creator: User for which new offsets of the group count, None if they count for no user.
    """

    group: str
    parent: str
    client_id: str
    invisible_ms: int
    max_messages: int = MAX_POPPED
    attempt_id: str = ""
    owner: str = ""
    creator: str | None = None


class LitePopResult(msgspec.Struct):
    """Messages that a pop of lite topics found.

    Attributes:
        pop_time: Time of the pop, which identifies its deliveries.
        messages: The messages, those of one lite topic in order. Each offset is that in the lite queue.
        is_cut: True if the pop ended at a limit, so that another one may find messages at once.
    """

    pop_time: int
    messages: list[PoppedMessage] = msgspec.field(default_factory=list)
    is_cut: bool = False


class _Room:
    """Remaining messages and bytes of a pop."""

    __slots__ = ("messages", "size")

    def __init__(self, messages: int, size: int) -> None:
        self.messages = messages
        self.size = size

    @property
    def is_empty(self) -> bool:
        return self.messages <= 0 or self.size <= 0

    def take(self, data: bytes) -> None:
        self.messages -= 1
        self.size -= len(data)


class LitePop:
    """Pop from lite topics. All changes are staged for the next commit.

    Args:
        store: Store of the messages.
        group_commit: Commit that includes the changes.
        lite: Lite topics.
        fetcher: Search for messages by their time.
        in_flight: Messages in flight.
        offsets: Committed offsets.
        settings: Limits.
        clock: Clock.

    Attributes:
        subscriptions: Subscriptions of clients to lite topics.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        lite: LiteTopics,
        fetcher: Fetcher,
        in_flight: InFlight,
        offsets: Offsets,
        settings: EngineSettings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._lite = lite
        self._fetcher = fetcher
        self._in_flight = in_flight
        self._offsets = offsets
        self._clock = clock
        self._max_bytes = settings.max_fetch_bytes
        self.subscriptions = LiteSubscriptions(lite, self.is_available)

    def pop(self, request: LitePopRequest) -> LitePopResult:
        """Take messages of a client's lite topics, and hide them from its group for the invisible time.

        The caller checks that the group and the parent may be read.

        Raises:
            ConfigIllegal: The invisible time or the identifier of the attempt is too long.
            LimitReached: The group has no offset in a lite topic yet, and its user has used its share of them.
            StoreDown: The store cannot be read now.
        """
        check_invisible(request.invisible_ms)
        if len(request.attempt_id) > MAX_ATTEMPT_CHARS:
            raise ConfigIllegal(f"the attemptId is longer than {MAX_ATTEMPT_CHARS} characters")
        result = LitePopResult(self._clock.now_ms())
        client = self.subscriptions.find(request.owner, request.client_id, request.group)
        if client is None:
            return result
        client.popped_at = result.pop_time
        found = self.subscriptions.candidates(client, request.attempt_id)
        result.pop_time = self._pop_time(request, found, result.pop_time)
        if request.attempt_id != client.attempt_id:
            client.attempt_id, client.attempt_names = request.attempt_id, []
        room = _Room(min(request.max_messages, MAX_POPPED), self._max_bytes)
        for name in found:
            if room.is_empty:
                result.is_cut = True
                break
            if not self._visit(request, client, name, room, result):
                break
        else:
            result.is_cut = not result.messages and bool(found)
        return result

    def is_available(self, group: str, name: str) -> bool:
        """Return True if a group can pop a message from a lite queue now."""
        topic = self._lite.get(name)
        if topic is None:
            return False
        queue = self._in_flight.get(group, name, QUEUE_ID)
        if queue is not None and queue.ordered:
            return not pop_order.is_blocked(queue, "", self._clock.monotonic_ms())
        return self._position(group, topic, queue) < topic.queue.max_offset

    def visible(self, group: str, name: str) -> None:
        """Look for messages for a group in a lite queue, because one may be visible again or was acknowledged."""
        if self._lite.get(name) is not None:
            self.subscriptions.look(group, name)

    def tick(self, monotonic: int) -> None:
        """Remove expired clients, and look for messages in some lite topics."""
        self.subscriptions.expire(monotonic, _EXPIRED_PER_STEP)
        self.subscriptions.step()

    # Offsets

    def position(self, group: str, topic: LiteTopic) -> int:
        """Return the offset of the next message of a lite topic for a group."""
        return self._position(group, topic, self._in_flight.get(group, topic.name, QUEUE_ID))

    def time_of(self, topic: LiteTopic, offset: int) -> int:
        """Return when the message at an offset of a lite topic was stored.

        Raises:
            StoreDown: The store cannot be read now.
        """
        return self._fetcher.time_in(topic.queue, offset)

    def seek(self, group: str, name: str, offset: int, creator: str | None) -> None:
        """Stage an offset of a group in a lite queue, within its offsets. What the group has in flight is dropped.

        A lite topic that does not exist is left alone: its first message is the next one for the group in any case.

        Raises:
            LimitReached: The offset is new, and its user has used its share of them.
        """
        topic = self._lite.get(name)
        if topic is None:
            return
        queue = self._in_flight.get(group, name, QUEUE_ID)
        if queue is not None:
            self._in_flight.clear(queue)
        stored = topic.queue
        self._offsets.set(group, name, QUEUE_ID, max(stored.min_offset, min(offset, stored.max_offset)), creator)
        self._lite.used_by(topic, group)
        self.subscriptions.look(group, name)

    def seek_tail(self, group: str, name: str, messages: int, creator: str | None) -> None:
        """Stage the offset that is so many messages before the committed one, if there is one; see `seek`."""
        committed = self._offsets.get(group, name, QUEUE_ID)
        if committed is not None:
            self.seek(group, name, max(0, committed - max(0, messages)), creator)

    def seek_time(self, group: str, name: str, timestamp: int, creator: str | None) -> None:
        """Stage the offset of the first message that was stored at or after a time; see `seek`.

        Raises:
            StoreDown: The store cannot be read now.
        """
        topic = self._lite.get(name)
        if topic is not None:
            self.seek(group, name, self._fetcher.offset_in(topic.queue, timestamp), creator)

    # Taking

    def _visit(
        self, request: LitePopRequest, client: LiteClient, name: str, room: _Room, result: LitePopResult
    ) -> bool:
        """Take messages of a lite queue; return False if the pop must end without an error."""
        topic = self._lite.get(name)
        before = len(result.messages)
        is_done = True
        if topic is not None:
            if not self._in_flight.allows(request.owner, room.messages):
                return False
            try:
                is_done = self._take(request, topic, room, result)
            except LimitReached:
                # The answer must have the messages that were taken before.
                if not result.messages:
                    raise
                return False
            except (StoreFailed, StoreDown) as error:
                if not result.messages:
                    raise StoreDown(str(error)) from error
                return False
        if len(result.messages) > before and request.attempt_id and name not in client.attempt_names:
            client.attempt_names.append(name)
        if is_done:
            self.subscriptions.visited(client, name)
            # If the commit fails, the messages are there again.
            self._group_commit.undo(functools.partial(self.subscriptions.mark, request.group, name))
        return True

    def _take(self, request: LitePopRequest, topic: LiteTopic, room: _Room, result: LitePopResult) -> bool:
        """Take messages of a lite topic; return False if it may have more that can be taken now."""
        now = self._clock.monotonic_ms()
        queue = self._in_flight.get(request.group, topic.name, QUEUE_ID)
        delivery = Delivery(
            result.pop_time, request.invisible_ms, now + request.invisible_ms, request.owner, in_order=True
        )
        is_done = True
        found: list[PoppedMessage] = []
        if queue is not None and queue.ordered:
            if pop_order.is_blocked(queue, request.attempt_id, now):
                return True
            found = self._again(request, queue, delivery, room)
        if queue is None or len(found) == len(queue.ordered):
            fresh, is_done = self._fresh(request, topic, queue, delivery, room)
            found += fresh
        result.messages += found
        return is_done or bool(found)

    def _again(self, request: LitePopRequest, queue: PopQueue, new: Delivery, room: _Room) -> list[PoppedMessage]:
        """Deliver messages that are in flight again; those whose records are gone are dropped."""
        is_same = pop_order.is_same_attempt(queue, request.attempt_id)
        messages: list[PoppedMessage] = []
        for offset, old in list(queue.ordered.items()):
            if room.is_empty:
                if old.is_acknowledged:
                    self._in_flight.put(queue, offset, pop_order.left_for_later(old, self._clock.monotonic_ms()))
                continue
            data = self._fetcher.record(queue.topic, QUEUE_ID, offset)
            if data is None:
                self._in_flight.remove(queue, offset)
                continue
            delivery = pop_order.delivered_again(old, new, is_same=is_same)
            self._in_flight.put(queue, offset, delivery)
            messages.append(PoppedMessage(offset, data, delivery.attempts))
            room.take(data)
        self._in_flight.move(queue, queue.position, request.attempt_id)
        self._in_flight.settle(queue)
        return messages

    def _fresh(
        self, request: LitePopRequest, topic: LiteTopic, queue: PopQueue | None, delivery: Delivery, room: _Room
    ) -> tuple[list[PoppedMessage], bool]:
        """Take messages that are not in flight, and pass deleted ones; return them, and if all offsets were visited."""
        group, name, stored = request.group, topic.name, topic.queue
        position = self._position(group, topic, queue)
        if position == stored.max_offset or room.is_empty:
            return [], True
        if self._offsets.get(group, name, QUEUE_ID) is None:
            self._offsets.set(group, name, QUEUE_ID, position, request.creator)
        self._lite.used_by(topic, group)
        messages: list[PoppedMessage] = []
        for _ in range(_READS):
            limit = min(room.messages, stored.max_offset - position)
            read = self._store.read(stored, position, limit, room.size)
            messages = [PoppedMessage(at, data) for at, data in enumerate(read, position) if data is not None]
            position += len(read)
            if messages or position == stored.max_offset:
                break
        if queue is None:
            queue = self._in_flight.open(group, name, QUEUE_ID, position)
        for message in messages:
            self._in_flight.put(queue, message.offset, delivery)
            room.take(message.record)
        self._in_flight.move(queue, position, request.attempt_id)
        self._in_flight.settle(queue)
        return messages, position == stored.max_offset

    def _position(self, group: str, topic: LiteTopic, queue: PopQueue | None) -> int:
        stored = topic.queue
        committed = self._offsets.get(group, topic.name, QUEUE_ID)
        if queue is not None and not queue.is_idle:
            position = max(queue.position, committed or 0)
        elif committed is not None:
            position = committed
        elif stored.min_offset > 0 or stored.max_offset > SMALL_QUEUE:
            # As in Apache's broker, a new group begins with the last message of a large queue.
            position = stored.max_offset - 1
        else:
            position = 0
        return max(stored.min_offset, min(position, stored.max_offset))

    def _pop_time(self, request: LitePopRequest, found: Iterable[str], pop_time: int) -> int:
        """Return a pop time that no message has that the pop may deliver again, even if the date was set back."""
        now = self._clock.monotonic_ms()
        for name in found:
            queue = self._in_flight.get(request.group, name, QUEUE_ID)
            if queue is not None and queue.ordered and not pop_order.is_blocked(queue, request.attempt_id, now):
                pop_time = pop_order.next_pop_time(queue, pop_time)
        return pop_time
