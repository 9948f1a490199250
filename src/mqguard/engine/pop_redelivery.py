"""Redelivery of popped messages that were not acknowledged within their invisible time."""

from collections.abc import Callable

from mqguard.engine.groups import Groups
from mqguard.engine.log import MessageLog, key_hashes
from mqguard.engine.pop_in_flight import Delivery, InFlight, PopQueue
from mqguard.engine.retry import note_origin
from mqguard.engine.topics import Topics
from mqguard.model import names, properties, record
from mqguard.model.properties import tags_code_of
from mqguard.model.record import Record, RecordInvalid
from mqguard.store.errors import StoreDamaged, StoreFailed
from mqguard.store.ports import MessageStore

MAX_PER_TICK = 512
"""Maximum messages in flight that are checked in one tick."""
MAX_BYTES_PER_TICK = 1024 * 1024
"""Maximum bytes copied in one tick, because all clients wait for the commit. One message may be larger."""
BYTES_PER_MS = 20 * 1024
"""Bytes of copies for which the next copy waits a millisecond, so that large messages leave time for others."""


class Redelivery:
    """Copies expired messages to the retry topic of their group and topic, or to the dead-letter topic of the group.

    Args:
        store: Store of the messages.
        log: Log to which the copies are appended.
        in_flight: Messages in flight.
        topics: Topics; it creates missing retry and dead-letter topics.
        groups: Groups and their maximum numbers of retries.
        visible: Function to call with a queue that has messages in order which are visible again.

    Attributes:
        undeliverable: Expired messages that were dropped, because their record or their group no longer exists.
    """

    def __init__(
        self,
        store: MessageStore,
        log: MessageLog,
        in_flight: InFlight,
        topics: Topics,
        groups: Groups,
        visible: Callable[[PopQueue], None],
    ) -> None:
        self._store = store
        self._log = log
        self._in_flight = in_flight
        self._topics = topics
        self._groups = groups
        self._visible = visible
        self._paused_until = 0
        self.undeliverable = 0

    def deliver(self, now: int) -> None:
        """Stage the copies of a bounded number of messages that have expired at a monotonic time.

        Raises:
            StoreFailed: The store cannot be read. The copies that are staged already are complete.
        """
        if now < self._paused_until:
            return
        size = 0
        for queue, offset, delivery in self._in_flight.due(now, MAX_PER_TICK):
            if delivery.in_order:
                self._visible(queue)
                continue
            try:
                size += self._expire(queue, offset, delivery)
            except StoreFailed:
                self._in_flight.watch(queue, offset, delivery)
                raise
            if size >= MAX_BYTES_PER_TICK:
                break
        self._paused_until = now + size // BYTES_PER_MS

    def _expire(self, queue: PopQueue, offset: int, delivery: Delivery) -> int:
        """Stage the copy of a message, and its removal from flight; return the bytes of the copy."""
        message = self._message(queue, offset)
        group = self._groups.get(queue.group)
        size = 0
        if message is None or group is None:
            self.undeliverable += 1
        else:
            size = len(message.body) + len(message.properties)
            is_last = not delivery.is_suspended and message.reconsume_times >= group.retry_max_times
            self._append(queue, message, delivery, is_last=is_last)
        # INVARIANT: the commit that stores the copy also removes the message from flight.
        self._in_flight.remove(queue, offset)
        self._in_flight.settle(queue)
        return size

    def _message(self, queue: PopQueue, offset: int) -> Record | None:
        """Return the message at an offset, None if it is gone or damaged."""
        stored = self._store.queue(queue.topic, queue.queue_id)
        if stored is None or not stored.min_offset <= offset < stored.max_offset:
            return None
        try:
            data = self._store.read(stored, offset, 1, 0)[0]
            return None if data is None else record.decode(data)
        except (StoreDamaged, RecordInvalid):
            return None

    def _append(self, queue: PopQueue, message: Record, delivery: Delivery, *, is_last: bool) -> None:
        pairs = properties.parse(message.properties.decode(errors="replace"))
        origin = note_origin(message, pairs, self._log.message_id(message.physical_offset))
        pairs.setdefault(properties.FIRST_POP_TIME, str(delivery.first_pop_time or delivery.pop_time))
        dead = names.dlq_topic(queue.group)
        if is_last and self._topics.ensure(dead).writable:
            pairs.setdefault(properties.DLQ_ORIGIN_TOPIC, pairs[properties.RETRY_TOPIC])
            pairs.setdefault(properties.DLQ_ORIGIN_MESSAGE_ID, origin)
            message.topic = dead
        elif not message.topic.startswith(names.RETRY_PREFIX):
            message.topic = names.pop_retry_topic(queue.group, message.topic)
            # A pop creates the topic. It is missing if the message was popped before a client deleted the topic.
            self._topics.ensure_pop_retry(message.topic)
        message.queue_id = 0
        if not delivery.is_suspended:
            message.reconsume_times += 1
        text = properties.text_of(pairs).encode(errors="replace")
        if len(text) <= properties.MAX_BYTES:
            message.properties = text
        tags = pairs.get(properties.TAGS)
        hashes = key_hashes(message.topic, pairs.get(properties.UNIQ_KEY), pairs.get(properties.KEYS))
        self._log.append(message, tags_code_of(tags) if tags else 0, hashes)
