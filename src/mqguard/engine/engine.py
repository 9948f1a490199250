"""Engine of a broker: storing and fetching messages, and the state of topics, groups and offsets.

All calls are synchronous. Changes are staged, and reads see committed messages only. `group_commit.commit()` stores all
changes of an iteration of the event loop at its end.
"""

from collections.abc import Callable
from typing import NamedTuple

from mqguard.engine.batch_send import BatchSend
from mqguard.engine.deferred_delivery import DeferredDelivery, DelayQueues, parse_levels
from mqguard.engine.discarded_transactions import DiscardedTransactions
from mqguard.engine.errors import NoSuchMessage, StoreDown
from mqguard.engine.fetch import Fetcher, FetchResult
from mqguard.engine.filters import Filters, MessageFilter
from mqguard.engine.group_commit import Arrival, GroupCommit
from mqguard.engine.groups import Groups
from mqguard.engine.lite_pop import LitePop
from mqguard.engine.lite_topics import LiteTopics
from mqguard.engine.log import MessageLog
from mqguard.engine.lookup import Lookup
from mqguard.engine.maintenance import Maintenance
from mqguard.engine.messages import EndOfTransaction, RequestOrigin, SendBack, SendRequest, SendResult, SentBack
from mqguard.engine.offsets import Offsets
from mqguard.engine.pop import Pop
from mqguard.engine.pop_in_flight import InFlight
from mqguard.engine.pop_redelivery import Redelivery
from mqguard.engine.request_modes import RequestModes
from mqguard.engine.retry import Retries
from mqguard.engine.sender import Sender
from mqguard.engine.settings import EngineSettings
from mqguard.engine.store_clock import StoreClock
from mqguard.engine.timers import Timers
from mqguard.engine.topics import Topics
from mqguard.engine.transactions import PendingTransaction, Transactions
from mqguard.model.process import Clock
from mqguard.model.topic import LiteSettings
from mqguard.store.errors import StoreFailed
from mqguard.store.ports import MessageStore, Space
from mqguard.store.queues import Queue


class StoreExtent(NamedTuple):
    """Contents of a store.

    Attributes:
        min_physical: Physical offset below which all records are deleted.
        next_physical: Physical offset of the next record.
        oldest_ms: Store time of the oldest record, -1 if there is none.
        space: Space on the disk.
    """

    min_physical: int
    next_physical: int
    oldest_ms: int
    space: Space


class Engine:
    """Messages of a broker.

    Args:
        store: Store of the messages; the engine does not close it.
        settings: See `EngineSettings`.
        clock: Current time.

    Attributes:
        settings: Settings of the engine.
        group_commit: Commit of all staged changes, with the replies that wait for it.
        offsets: Committed offsets of consumer groups.
        topics: Topics.
        groups: Consumer groups.
        delays: Messages that wait at a delay level.
        timers: Messages that wait for a time.
        filters: Compiler of the filters of subscriptions.
        lite: Lite topics.
        lite_pop: Pop from lite topics, and subscriptions to them.
        pop: Pop, acknowledgement and change of the invisible time.
        redelivery: Redelivery of popped messages that were not acknowledged in time.
        transactions: Half messages that wait for the end of their transaction.
        discarded: Transactions whose checks gave no result.
        request_modes: Ways in which groups receive the messages of topics.
    """

    def __init__(self, store: MessageStore, settings: EngineSettings, clock: Clock) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self.group_commit = GroupCommit(store, sync=settings.sync_flush)
        self.offsets = Offsets(store, self.group_commit)
        self.topics = Topics(store, self.group_commit, clock, settings, self.offsets)
        self.groups = Groups(store, self.group_commit, clock, settings, self.topics, self.offsets)
        times = StoreClock(store, self.group_commit, clock)
        self._log = MessageLog(store, self.group_commit, times, clock, settings)
        deferred = DeferredDelivery(self._log, self.topics)
        self.delays = DelayQueues(store, deferred, self.offsets, times, clock, parse_levels(settings.delay_levels))
        self.timers = Timers(store, self.group_commit, deferred, clock, times, settings)
        self.transactions = Transactions(store, self.group_commit, self._log, deferred, settings, clock)
        self.discarded = DiscardedTransactions(store, self.group_commit, self._log, self.transactions)
        in_flight = InFlight(store, self.group_commit, self.offsets, clock)
        self.lite = LiteTopics(store, self.group_commit, self.topics, self.groups, self.offsets, in_flight, clock)
        self._sender = Sender(
            self._log, self.topics, self.groups, self.delays, self.timers, self.transactions, self.lite, settings
        )
        self.filters = Filters(has_sql=settings.property_filter)
        self._fetcher = Fetcher(store, self.topics, times, settings)
        self._lookup = Lookup(store)
        self.pop = Pop(store, self._fetcher, in_flight, self.topics, self.groups, self.offsets, settings, clock)
        self.lite_pop = LitePop(
            store, self.group_commit, self.lite, self._fetcher, in_flight, self.offsets, settings, clock
        )
        self.pop.on_visible(self.lite_pop.visible)
        self.groups.on_change(self._group_changed)
        self.request_modes = RequestModes(store, self.group_commit, self.topics, self.groups)
        self.redelivery = Redelivery(store, self._log, in_flight, self.topics, self.groups, self.pop.notify)
        steps = self.redelivery.deliver, self.lite.tick, self.lite_pop.tick
        self._maintenance = Maintenance(
            store, self.group_commit, clock, settings, self._sender, self.delays, self.timers, steps
        )
        self._retries = Retries(
            self._log, self._lookup, self.topics, self.groups, self.delays, self._sender.check_waiting
        )

    def configure(self, settings: EngineSettings) -> None:
        """Put changed settings into force. All others must be the same.

        They are limits, ages, sizes, times of checks, permissions and automatic creation.
        """
        self.settings = settings
        for part in (self.topics, self.groups, self.transactions, self._sender, self._fetcher, self._maintenance):
            part.configure(settings)

    def advertise(self, address: str, port: int) -> None:
        """Set the address at which clients reach this broker, once the port is known."""
        self._log.advertise(address, port)

    def message_id(self, physical_offset: int) -> str:
        """Return the offset id by which clients name a message of this broker."""
        return self._log.message_id(physical_offset)

    def send(self, request: SendRequest, origin: RequestOrigin | None = None) -> SendResult:
        """Check a message and stage it. The result is valid only once the commit has succeeded.

        Args:
            request: The message.
            origin: Its sender, for whom a half message counts.

        Raises:
            NoSuchTopic: The topic does not exist, and this request may not create it.
            NoSuchGroup: The topic is the retry topic of a group that does not exist.
            NotWritable: The topic has no write permission.
            NoSuchQueue: The topic has no such queue.
            MessageIllegal: The message is too large or malformed.
            LimitReached: It is a half message, and too many transactions have not ended.
            NotSupported: The message needs a feature that the engine does not have.
            StoreFull: The disk is nearly full.
            StoreDown: The store cannot be written now.
        """
        return self._sender.send(request, origin)

    def send_batch(self, request: SendRequest, ticks: Callable[[], float]) -> BatchSend:
        """Check a batch except for its messages; `BatchSend.advance` checks and stages them.

        Args:
            request: The batch.
            ticks: Clock in seconds that ends each call of `advance`.

        Raises:
            MessageIllegal: The batch or one of its messages is too large or malformed.
            EngineError: See `send`.
        """
        return BatchSend(request, self._sender, self._log, self.group_commit, ticks)

    def send_back(self, request: SendBack) -> SentBack | None:
        """Stage a copy of a message for its group's retry topic, or for the dead-letter topic after the last retry.

        Return the copy, None if the group has no retries.

        The caller first checks that the client may read the message's topic, which `topic_of` returns.

        Raises:
            NoSuchGroup: The group does not exist.
            NoSuchMessage: There is no message at that offset.
            NotWritable: The retry topic has no write permission.
            StoreFull: The disk is nearly full.
            StoreDown: The store cannot be written now.
        """
        self._sender.check_room()
        return self._retries.send_back(request)

    def commit_transaction(self, pending: PendingTransaction, end: EndOfTransaction) -> None:
        """Stage the message of a transaction at its destination, and the end of the transaction.

        The caller first checks that the client may publish to the topic of the transaction.

        Raises:
            TransactionExpired: Only the answer to a check can commit it.
            TransactionMismatch: The request names another group or queue offset.
            NoSuchMessage: The half message is damaged.
            NoSuchTopic: Its topic was deleted.
            StoreFull: The disk is nearly full.
            StoreDown: The store cannot be written now.
        """
        self.transactions.require_end(pending, end)
        self.transactions.commit(pending, self._sender.deliver)

    def roll_back_transaction(self, pending: PendingTransaction, end: EndOfTransaction) -> None:
        """Stage the end of a transaction without its message; see `commit_transaction`.

        Raises:
            TransactionExpired: Only the answer to a check can roll it back.
            TransactionMismatch: The request names another group or queue offset.
            StoreDown: The store cannot be written now.
        """
        self.transactions.require_end(pending, end)
        self._sender.check_down()
        self.transactions.roll_back(pending)

    def resume_transaction(self, physical_offset: int) -> None:
        """Stage a discarded transaction as one that has not ended, whose checks begin again.

        The caller first checks the permission for the topic that `discarded.topic_of` returns.

        Raises:
            NoSuchMessage: There is no discarded transaction at that offset.
            LimitReached: Too many transactions have not ended.
            StoreFull: The disk is nearly full.
            StoreDown: The store cannot be written now.
        """
        self._sender.check_room()
        message = self._lookup.message_at(physical_offset)
        if message is None:
            raise NoSuchMessage(f"look message by offset failed, {physical_offset}")
        self.discarded.resume(physical_offset, message)

    def recall(self, topic: str, unique_id: str, due: int) -> bool:
        """Stage the recall of a message for a time; return False if the time is not one for which a message may wait.

        As in Apache's broker, the result does not depend on the message: it may be unknown, delivered or recalled. So
        a client learns nothing about messages of others.

        Args:
            topic: Topic of the message.
            unique_id: Unique id of the message.
            due: Time of its delivery, in milliseconds since the epoch.

        Raises:
            StoreDown: The store cannot be read now.
        """
        if not self.timers.is_possible(due):
            return False
        try:
            self.timers.recall(topic, unique_id, due)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error
        return True

    def fetch(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        max_messages: int,
        max_bytes: int,
        wanted: MessageFilter | None = None,
    ) -> FetchResult:
        """Return the committed messages of a queue from an offset on.

        Args:
            topic: The topic.
            queue_id: The queue.
            offset: Offset of the first message.
            max_messages: Maximum number of messages, up to the limit of the settings; 0 or less for that limit.
            max_bytes: Maximum bytes, up to the limit of the settings; 0 or less for that limit. One message may be
                larger.
            wanted: Filter of the messages, None for all; see `filters`.

        Raises:
            NoSuchTopic: The topic does not exist.
            NotReadable: The topic has no read permission.
            NoSuchQueue: The topic has no such queue.
            StoreDown: The store cannot be read now.
        """
        return self._fetcher.fetch(topic, queue_id, offset, max_messages, max_bytes, wanted)

    def min_offset(self, topic: str, queue_id: int) -> int:
        """Return the first offset of a queue, 0 for a queue without messages.

        Raises:
            NoSuchTopic: The topic does not exist.
            NoSuchQueue: The topic has no such queue.
        """
        queue = self._fetcher.queue(topic, queue_id)
        return queue.min_offset if queue else 0

    def max_offset(self, topic: str, queue_id: int) -> int:
        """Return one after the last committed offset of a queue.

        Raises:
            NoSuchTopic: The topic does not exist.
            NoSuchQueue: The topic has no such queue.
        """
        queue = self._fetcher.queue(topic, queue_id)
        return queue.max_offset if queue else 0

    def offset_at(self, topic: str, queue_id: int, timestamp: int, *, upper: bool = False) -> int:
        """Return the offset of the first message stored at or after a time.

        With `upper` it is the last message stored at or before the time. For a time before the first message it is the
        minimum offset. For a time after the last message it is the maximum offset, with `upper` the last message.

        Raises:
            NoSuchTopic: The topic does not exist.
            NoSuchQueue: The topic has no such queue.
            StoreDown: The store cannot be read now.
        """
        return self._fetcher.offset_at(topic, queue_id, timestamp, upper=upper)

    def earliest_store_time(self, topic: str, queue_id: int) -> int:
        """Return when the first message of a queue was stored, -1 if it has none.

        Raises:
            NoSuchTopic: The topic does not exist.
            NoSuchQueue: The topic has no such queue.
            StoreDown: The store cannot be read now.
        """
        return self._fetcher.store_time(topic, queue_id, first=True)

    def last_store_time(self, topic: str, queue_id: int) -> int:
        """Return when the last message of a queue was stored, 0 if it has none; raise like `earliest_store_time`."""
        return max(0, self._fetcher.store_time(topic, queue_id, first=False))

    def time_of(self, topic: str, queue_id: int, offset: int) -> int:
        """Return when the message at an offset was stored, 0 if there is none; raise like `earliest_store_time`."""
        return self._fetcher.time_of(topic, queue_id, offset)

    def record_at(self, physical_offset: int) -> bytes | None:
        """Return the live record at a physical offset, None if there is none.

        Raises:
            StoreDown: The store cannot be read now.
        """
        return self._lookup.record_at(physical_offset)

    def topic_of(self, physical_offset: int) -> str | None:
        """Return the topic of the live record at a physical offset, which a request by offset or message id reads.

        Raises:
            StoreDown: The store cannot be read now.
        """
        return self._lookup.topic_of(physical_offset)

    def query(self, topic: str, key: str, max_num: int, begin: int, end: int, *, unique: bool = False) -> list[bytes]:
        """Return the live records of a topic that have a key, newest first.

        Args:
            topic: The topic; records of other topics are never returned.
            key: One of the message's KEYS, or its unique id with `unique`.
            max_num: Maximum number of records, up to 64.
            begin: Earliest store time.
            end: Latest store time.
            unique: True if the key is a unique id.

        Raises:
            StoreDown: The store cannot be read now.
        """
        return self._lookup.query(topic, key, max_num, begin, end, unique=unique)

    def queues(self) -> list[Queue]:
        """Return all queues in which a message was ever stored, for statistics."""
        return self._store.queues()

    def stored_in(self, topic: str) -> int:
        """Return the number of messages that were ever stored in the present queues of a topic."""
        config = self.topics.get(topic)
        queues = (self._store.queue(topic, queue_id) for queue_id in range(config.queues if config else 0))
        return sum(queue.max_offset for queue in queues if queue is not None)

    @property
    def next_physical(self) -> int:
        """Return the physical offset of the next record."""
        return self._store.next_physical

    def extent(self) -> StoreExtent:
        """Return the extent of the store and the space on its disk, for reports.

        Raises:
            StoreDown: The store cannot be read now.
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

    def delete_expired(self) -> None:
        """Delete old messages at the next tick, and do not wait for the next round of deletion by age."""
        self._maintenance.delete_expired()

    def tick(self) -> None:
        """Deliver due messages, check the disk, delete old messages. Call it about every 50 ms.

        The changes are staged; the caller commits them as after any other work.
        """
        self._maintenance.tick()

    def _group_changed(self, name: str) -> None:
        group = self.groups.get(name)
        settings = None if group is None else LiteSettings.of(group.attributes)
        self.lite_pop.subscriptions.group_changed(name, settings)

    @property
    def trouble(self) -> str | None:
        """Reason why the last tick did not do all of its work, or why messages are rejected; None if there is none."""
        return self._maintenance.trouble or self._sender.full

    def on_arrival(self, callback: Arrival) -> None:
        """Call back for every queue once its messages are stored: `(topic, queue_id, next_offset, tag_codes)`."""
        self.group_commit.on_arrival(callback)
