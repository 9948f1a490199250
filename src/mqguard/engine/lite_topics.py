"""Lite topics: many small queues below a parent topic of the type `LITE`, each with a time to live.

The first message for a lite topic creates it. A message is stored once, in a queue of the parent. The lite queue has a
link to it, so consumers of the parent get the message too. A lite topic costs about two kilobytes of memory, and its
parent no queue. It is deleted with its parent, when its time to live is over after its last message, or when all its
messages have been deleted. Its messages in the parent stay.
"""

import functools
from collections.abc import Callable, Collection, Iterable

from mqguard.engine.errors import LiteLimitReached, MessageIllegal
from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.groups import Groups
from mqguard.engine.offsets import Offsets
from mqguard.engine.pop_in_flight import InFlight
from mqguard.engine.topics import Topics
from mqguard.model import names, properties
from mqguard.model.process import Clock
from mqguard.store.ports import MessageStore
from mqguard.store.queues import Queue

MAX_LITE_TOPICS = 20_000
"""Lite topics of all parents (Apache: `maxLmqConsumeQueueNum`). Beyond it only users below an even share get more."""
MIN_LIFE_MS = 15 * 60_000
"""Minimum time to live (Apache: `minLiteTTl`)."""
ROUND_MS = 120_000
"""Interval between two searches for expired lite topics (Apache: `liteTtlCheckInterval`)."""
_CHECKED_PER_STEP = 200
"""Lite topics that are checked in one step; one read of the disk for each takes about 2 ms together."""
_MINUTE_MS = 60_000
_HELD_BACK = frozenset({properties.DELAY, *properties.TIMER_KEYS})
_QUEUE_ID = 0


class LiteTopic:
    """A lite topic. Only `LiteTopics` changes it.

    Attributes:
        name: Name of its queue.
        parent: The parent topic.
        lite: Name within the parent.
        queue: Queue of links to its messages.
        owner: User for which it counts.
        groups: Groups that have an offset in it.
        last_ms: Store time of its last message, 0 if that must be read.
    """

    __slots__ = ("groups", "last_ms", "lite", "name", "owner", "parent", "queue")

    def __init__(self, name: str, parent: str, lite: str, queue: Queue, owner: str) -> None:
        self.name = name
        self.parent = parent
        self.lite = lite
        self.queue = queue
        self.owner = owner
        self.groups: set[str] = set()
        self.last_ms = 0


class LiteTopics:
    """All lite topics of a broker.

    Args:
        store: Store of the messages.
        group_commit: Commit that includes the changes.
        topics: Topics, among them the parents.
        groups: Groups.
        offsets: Committed offsets.
        in_flight: Popped messages.
        clock: Clock.
        capacity: See `MAX_LITE_TOPICS`.
    """

    def __init__(
        self,
        store: MessageStore,
        group_commit: GroupCommit,
        topics: Topics,
        groups: Groups,
        offsets: Offsets,
        in_flight: InFlight,
        clock: Clock,
        capacity: int = MAX_LITE_TOPICS,
    ) -> None:
        self._store = store
        self._group_commit = group_commit
        self._topics = topics
        self._offsets = offsets
        self._in_flight = in_flight
        self._clock = clock
        self._shares = FairQuota(capacity)
        self._capacity = capacity
        self._parents: dict[str, dict[str, LiteTopic]] = {}
        self._by_name: dict[str, LiteTopic] = {}
        self._arrived: dict[str, None] = {}
        self._arrival: list[Callable[[str, str], None]] = []
        self._unchecked: list[LiteTopic] = []
        self._next_round = 0
        self._load()
        topics.on_removal(self._parent_removed)
        groups.on_removal(self._group_removed)

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> LiteTopic | None:
        """Return the lite topic with this name of its queue, None if it does not exist."""
        return self._by_name.get(name)

    def of(self, parent: str) -> Collection[LiteTopic]:
        """Return the lite topics of a parent."""
        return self._parents.get(parent, {}).values()

    def names_of(self, parent: str) -> Iterable[str]:
        """Return the names of the lite queues of a parent."""
        return self._parents.get(parent, {}).keys()

    def on_arrival(self, callback: Callable[[str, str], None]) -> None:
        """Call back with parent and name of every lite queue that has new messages, once they are stored."""
        self._arrival.append(callback)

    # Messages

    def open(self, parent: str, pairs: dict[str, str], creator: str | None) -> LiteTopic | None:
        """Return the lite topic of a message, and note the place of the message in its properties.

        A missing lite topic is created. As in Apache's broker, only the broker names the lite queue of a message.

        Args:
            parent: Topic of the message.
            pairs: Properties of the message.
            creator: User for which a new lite topic counts, None if it counts for no user.

        Returns:
            None if the topic has no lite topics.

        Raises:
            MessageIllegal: The name is invalid, or the message is delayed or part of a transaction.
            LiteLimitReached: The lite topic is new, and there are too many.
        """
        lite = pairs[properties.LITE_TOPIC]
        name = pairs[properties.INNER_MULTI_DISPATCH] = names.lite_queue(parent, lite)
        pairs.pop(properties.INNER_MULTI_QUEUE_OFFSET, None)
        config = self._topics.get(parent)
        if config is None or not config.is_lite:
            return None
        fault = names.lite_topic_fault(lite)
        if fault:
            raise MessageIllegal(fault)
        if pairs.get(properties.TRAN_MSG, "").lower() == "true" or any(
            pairs.get(key, "0") != "0" for key in _HELD_BACK
        ):
            raise MessageIllegal("a message for a lite topic cannot be delayed, and cannot be part of a transaction")
        topic = self._by_name.get(name) or self._create(name, parent, lite, creator or "")
        pairs[properties.INNER_MULTI_QUEUE_OFFSET] = str(topic.queue.next_offset)
        return topic

    def require_none(self, parent: str, pairs: dict[str, str]) -> None:
        """Check that a message of a batch is not for a lite topic.

        Raises:
            MessageIllegal: It is.
        """
        config = self._topics.get(parent)
        if properties.LITE_TOPIC in pairs and config is not None and config.is_lite:
            raise MessageIllegal("a batch cannot hold messages for lite topics: send each of them alone")

    def appended(self, topic: LiteTopic, now: int) -> None:
        """Note that a message was staged for a lite topic."""
        topic.last_ms = now
        if not self._arrived:
            self._group_commit.after(self._notify)
            self._group_commit.undo(self._arrived.clear)
        self._arrived[topic.name] = None

    def used_by(self, topic: LiteTopic, group: str) -> None:
        """Note that a group has an offset in a lite topic."""
        topic.groups.add(group)

    def last_time(self, topic: LiteTopic) -> int:
        """Return when the last message of a lite topic was stored, 0 if it has none.

        Raises:
            StoreFailed: The store cannot be read.
        """
        queue = topic.queue
        if not topic.last_ms and queue.min_offset < queue.max_offset:
            entries = self._store.entries(queue, queue.max_offset - 1, 1)
            topic.last_ms = entries[0].store_time if entries else 0
        return topic.last_ms

    # Deletion

    def delete(self, topic: LiteTopic) -> None:
        """Stage the deletion of a lite topic, with the offsets of groups in it and what they have in flight."""
        for group in topic.groups:
            queue = self._in_flight.get(group, topic.name, _QUEUE_ID)
            if queue is not None:
                self._in_flight.clear(queue)
            self._offsets.remove(group, topic.name)
        self._store.stage_drop(topic.queue, keep_records=True)
        self._take_out(topic)
        self._group_commit.undo(functools.partial(self._put_in, topic))

    def tick(self, monotonic: int) -> None:
        """Stage the deletion of some expired lite topics, if a search is due at a monotonic time.

        Raises:
            StoreFailed: The store cannot be read.
        """
        if not self._unchecked:
            if monotonic < self._next_round:
                return
            self._next_round = monotonic + ROUND_MS
            self._unchecked = list(self._by_name.values())
        now = self._clock.now_ms()
        for _ in range(min(_CHECKED_PER_STEP, len(self._unchecked))):
            topic = self._unchecked.pop()
            if self._by_name.get(topic.name) is topic and self._is_expired(topic, now):
                self.delete(topic)

    def _is_expired(self, topic: LiteTopic, now: int) -> bool:
        queue = topic.queue
        if queue.next_offset != queue.max_offset:
            return False
        config = self._topics.get(topic.parent)
        # As in Apache's broker, it counts only when the last message was sent, and not if it was consumed.
        if config is None or queue.min_offset == queue.max_offset:
            return True
        if not config.is_lite or config.lite_minutes <= 0:
            return False
        return now - self.last_time(topic) > max(MIN_LIFE_MS, config.lite_minutes * _MINUTE_MS)

    def _parent_removed(self, parent: str) -> None:
        for topic in list(self.of(parent)):
            self.delete(topic)

    def _group_removed(self, group: str) -> None:
        for topic in self._by_name.values():
            if group in topic.groups:
                self._offsets.remove(group, topic.name)

    # Table

    def _create(self, name: str, parent: str, lite: str, owner: str) -> LiteTopic:
        if not self._shares.allows(owner, 1):
            raise LiteLimitReached(
                f"the lite topic `{lite}` of topic `{parent}` cannot be created: there are {len(self._shares)}, and at "
                f"most {self._capacity} are kept"
            )
        topic = LiteTopic(name, parent, lite, self._store.stage_queue(name, _QUEUE_ID), owner)
        self._put_in(topic)
        self._group_commit.undo(functools.partial(self._take_out, topic))
        return topic

    def _put_in(self, topic: LiteTopic) -> None:
        self._by_name[topic.name] = topic
        self._parents.setdefault(topic.parent, {})[topic.name] = topic
        self._shares.change(topic.owner, 1)

    def _take_out(self, topic: LiteTopic) -> None:
        del self._by_name[topic.name]
        siblings = self._parents[topic.parent]
        del siblings[topic.name]
        if not siblings:
            del self._parents[topic.parent]
        self._shares.change(topic.owner, -1)

    def _notify(self) -> None:
        arrived = list(self._arrived)
        self._arrived.clear()
        for name in arrived:
            topic = self._by_name.get(name)
            if topic is not None:
                for callback in self._arrival:
                    callback(topic.parent, name)

    def _load(self) -> None:
        for queue in self._store.queues():
            parts = names.lite_parts(queue.topic)
            if parts is not None:
                self._put_in(LiteTopic(queue.topic, *parts, queue, ""))
        for group, name in self._offsets.places():
            topic = self._by_name.get(name)
            if topic is not None:
                topic.groups.add(group)
