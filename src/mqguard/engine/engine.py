"""The engine: messages in, messages out, and what the broker knows about topics, groups and offsets.

Everything is synchronous and belongs to the current turn of the event loop: changes are staged, reads see what is
committed, and `turn.commit()` at the end of the turn stores all of it at once.
"""

from collections.abc import Callable
from typing import NamedTuple

from mqguard.engine.batch_send import BatchSend
from mqguard.engine.deferred_delivery import Delays, Detours, Timers, parse_levels
from mqguard.engine.errors import StoreDown
from mqguard.engine.fetch import Fetched, Fetcher
from mqguard.engine.group_commit import Arrival, GroupCommit
from mqguard.engine.groups import Groups
from mqguard.engine.log import MessageLog
from mqguard.engine.lookup import Lookup
from mqguard.engine.maintenance import Upkeep
from mqguard.engine.messages import SendBack, SendRequest, Sent
from mqguard.engine.offsets import Offsets
from mqguard.engine.produce import Producer
from mqguard.engine.retry import Retries
from mqguard.engine.settings import EngineSettings
from mqguard.engine.topics import Topics
from mqguard.model.clock import Clock
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore, Space


class StoreExtent(NamedTuple):
    """What a store keeps.

    Attributes:
        min_physical: Records below it are gone.
        next_physical: Where the next record goes.
        oldest_ms: Store time of the oldest record, -1 if there is none.
        space: The room on disk.
    """

    min_physical: int
    next_physical: int
    oldest_ms: int
    space: Space


class Engine:
    """A broker's messages.

    Args:
        store: Where they are kept; the engine does not close it.
        settings: See `EngineSettings`.
        clock: Tells the time.

    Attributes:
        settings: What the engine was told.
        turn: The current turn: `defer` answers to it and `commit` it.
        offsets: Committed offsets of consumer groups.
        topics: The topics.
        groups: The consumer groups.
        delays: Messages that wait at a delay level.
        timers: Messages that wait for a time of choice.
    """

    def __init__(self, store: MessageStore, settings: EngineSettings, clock: Clock) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self.turn = GroupCommit(store, sync=settings.sync_flush)
        self.offsets = Offsets(store, self.turn)
        self.topics = Topics(store, self.turn, clock, settings, self.offsets)
        self.groups = Groups(store, self.turn, clock, settings, self.topics, self.offsets)
        self._log = MessageLog(store, self.turn, clock, settings)
        detours = Detours(self._log, self.topics)
        self.delays = Delays(store, detours, self.offsets, clock, parse_levels(settings.delay_levels))
        self.timers = Timers(store, self.turn, detours, clock, settings.timer_max_seconds * 1000)
        self._producer = Producer(self._log, self.topics, self.groups, self.delays, self.timers, detours, settings)
        self._fetcher = Fetcher(store, self.topics, settings)
        self._lookup = Lookup(store)
        self._upkeep = Upkeep(store, self.turn, clock, settings, self._producer, self.delays, self.timers)
        self._retries = Retries(
            self._log, self._lookup, self.topics, self.groups, self.delays, self._producer.check_waiting
        )

    def advertise(self, address: str, port: int) -> None:
        """Set the address at which clients reach this broker, once the port is known."""
        self._log.advertise(address, port)

    def send(self, request: SendRequest) -> Sent:
        """Check a message and stage it; answer it only once the turn is committed.

        Raises:
            NoSuchTopic: the topic is missing and must not be made by this request.
            NoSuchGroup: it is the retry topic of a group that does not exist.
            NotWritable: the topic takes no messages.
            NoSuchQueue: the topic has no such queue.
            MessageIllegal: the message is too large or malformed.
            NotSupported: it asks for a feature that is not served.
            StoreFull: the disk is nearly full.
            StoreDown: the store takes no writes now.
        """
        return self._producer.send(request)

    def send_batch(self, request: SendRequest, ticks: Callable[[], float]) -> BatchSend:
        """Check a batch except for its messages; `BatchSend.advance` checks and stages them.

        Args:
            request: The batch.
            ticks: Clock in seconds that ends each call of `advance`.

        Raises:
            MessageIllegal: the batch or one of its messages is too large or malformed.
            EngineError: see `send`.
        """
        return BatchSend(request, self._producer, self._log, self.turn, ticks)

    def send_back(self, request: SendBack) -> None:
        """Stage a copy of a message for its group's retry topic, or its dead-letter topic when it is exhausted.

        The caller asks `topic_of(request.physical_offset)` first whether this client may read that topic.

        Raises:
            NoSuchGroup: the group does not exist.
            NoSuchMessage: there is no message at that offset.
            NotWritable: the retry topic takes no messages.
            StoreFull: the disk is nearly full.
            StoreDown: the store takes no writes now.
        """
        self._producer.check_room()
        self._retries.send_back(request)

    def fetch(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        max_messages: int,
        max_bytes: int,
        tags: frozenset[int] | None = None,
    ) -> Fetched:
        """The committed messages of a queue from an offset on.

        Args:
            topic: The topic.
            queue_id: The queue.
            offset: Where to begin.
            max_messages: How many at most; our own limit holds beside it, alone if this is not positive.
            max_bytes: How many bytes at most, though one message is given whatever its size; 0 as above.
            tags: Tag codes let through, None for all.

        Raises:
            NoSuchTopic: there is no such topic.
            NotReadable: the topic gives no messages.
            NoSuchQueue: the topic has no such queue.
            StoreDown: the store can not be read now.
        """
        return self._fetcher.fetch(topic, queue_id, offset, max_messages, max_bytes, tags)

    def min_offset(self, topic: str, queue_id: int) -> int:
        """First offset of a queue, 0 for a queue without messages.

        Raises:
            NoSuchTopic: there is no such topic.
            NoSuchQueue: the topic has no such queue.
        """
        queue = self._fetcher.queue(topic, queue_id)
        return queue.min_offset if queue else 0

    def max_offset(self, topic: str, queue_id: int) -> int:
        """One after the last committed offset of a queue.

        Raises:
            NoSuchTopic: there is no such topic.
            NoSuchQueue: the topic has no such queue.
        """
        queue = self._fetcher.queue(topic, queue_id)
        return queue.max_offset if queue else 0

    def offset_at(self, topic: str, queue_id: int, timestamp: int, *, upper: bool = False) -> int:
        """The offset that belongs to a time: the first message stored at or after it.

        With `upper` it is the last message stored at or before it. A time before the first message gives the minimum,
        one after the last message the maximum (with `upper` the last message).

        Raises:
            NoSuchTopic: there is no such topic.
            NoSuchQueue: the topic has no such queue.
            StoreDown: the store can not be read now.
        """
        return self._fetcher.offset_at(topic, queue_id, timestamp, upper=upper)

    def earliest_store_time(self, topic: str, queue_id: int) -> int:
        """When the first message of a queue was stored, -1 if it has none.

        Raises:
            NoSuchTopic: there is no such topic.
            NoSuchQueue: the topic has no such queue.
            StoreDown: the store can not be read now.
        """
        return self._fetcher.store_time(topic, queue_id, first=True)

    def last_store_time(self, topic: str, queue_id: int) -> int:
        """When the last message of a queue was stored, 0 if it has none; raises as `earliest_store_time`."""
        return max(0, self._fetcher.store_time(topic, queue_id, first=False))

    def time_of(self, topic: str, queue_id: int, offset: int) -> int:
        """When the message at an offset was stored, 0 if there is none (any more); raises as `earliest_store_time`."""
        return self._fetcher.time_of(topic, queue_id, offset)

    def record_at(self, physical_offset: int) -> bytes | None:
        """The live record at a physical offset, None if there is none (any more).

        Raises:
            StoreDown: the store can not be read now.
        """
        return self._lookup.record_at(physical_offset)

    def topic_of(self, physical_offset: int) -> str | None:
        """The topic of the live record at a physical offset: what a request by offset or id touches.

        Raises:
            StoreDown: the store can not be read now.
        """
        return self._lookup.topic_of(physical_offset)

    def query(self, topic: str, key: str, max_num: int, begin: int, end: int, *, unique: bool = False) -> list[bytes]:
        """The live records of a topic that carry a key, newest first.

        Args:
            topic: The topic; nothing of another topic is ever given.
            key: One of the message's KEYS, or its unique id with `unique`.
            max_num: How many at most; 64 whatever is asked.
            begin: Earliest store time.
            end: Latest store time.
            unique: Whether the key is a unique id.

        Raises:
            StoreDown: the store can not be read now.
        """
        return self._lookup.query(topic, key, max_num, begin, end, unique=unique)

    def extent(self) -> StoreExtent:
        """What is kept, for people: where it begins and ends, since when, and the room beside it.

        Raises:
            StoreDown: the store can not be read now.
        """
        store = self._store
        try:
            first = store.first_physical()
            data = None if first is None else self._lookup.stored_at(first)
            space = store.space()
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        oldest = -1 if data is None else data.store_timestamp
        return StoreExtent(store.min_physical, store.next_physical, oldest, space)

    def tick(self) -> None:
        """Do what is due: deliver delayed messages, watch the disk, delete old messages. Call it every 50 ms or so.

        It stages; the caller commits the turn as after any other work.
        """
        self._upkeep.tick()

    @property
    def trouble(self) -> str | None:
        """Why the last tick could not do all it should, or why messages are refused; None if all is well."""
        return self._upkeep.trouble or self._producer.full

    def on_arrival(self, callback: Arrival) -> None:
        """Call back for every queue once messages are stored: `(topic, queue_id, next_offset, tag_codes)`."""
        self.turn.on_arrival(callback)
