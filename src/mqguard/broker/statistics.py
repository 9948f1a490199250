"""Statistics of topics, groups and the broker, under the names of Apache's `BrokerStatsManager`.

Counting costs almost nothing for a request. The messages of a topic are not counted at all: the sampler reads the ends
of its queues. For a delivery there are a look-up and a few additions. All else happens at ticks, in slices.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from mqguard.broker.sample_windows import Rounds, SampleWindows, Totals, Window, figures
from mqguard.broker.statistic_series import (
    GROUP,
    QUEUE,
    STATISTICS,
    TOPIC,
    CountedEvent,
    Part,
    QueuePuts,
    Series,
    Statistic,
    View,
    view_of,
)
from mqguard.broker.throughput import PutTimes, Throughput
from mqguard.engine.engine import Engine
from mqguard.engine.fair_shares import FairSlots
from mqguard.store.queues import Queue

MAX_SERIES: Final = 20_000
"""Maximum topics, and topics of groups, that have statistics.

A full table drops the oldest entry of the user with most of them, so every user has an even share."""
MAX_QUEUE_SERIES: Final = 8_000
"""Maximum queues that have statistics of their own; one user has at most an eighth of them."""
_QUEUE_SHARE: Final = 8
IDLE_MS: Final = 25 * 3_600_000
"""Time without a change after which statistics are dropped: then they are zero in all windows."""
MAX_WORK: Final = 500
"""Work of one tick, about a millisecond: a queue counts 1, and a series 4 and 2 for each of its parts."""
MAX_PARTS: Final = 100_000
"""Maximum queues of groups that are counted apart; one user has at most an eighth of them.

The others of a group are counted together."""
_OTHER_QUEUES: Final = -1
_MILLISECOND_S: Final = 0.001


_CHANNEL_ACTIVITY: Final = "CHANNEL_ACTIVITY"


class Requester(Protocol):
    """The sender of a request, as far as statistics need it (`AdmittedRequest`)."""

    @property
    def owner(self) -> str:
        """The name under which its statistics are counted."""
        ...  # pragma: no cover


class Statistics:
    """Statistics of a broker.

    Args:
        engine: Queues, and topics with their creators.
        cluster: Name of the cluster, the key of the broker's own statistics.
        now_ms: Time of the start.

    Attributes:
        throughput: Totals of all topics.
        put_times: Times of the commits that stored messages.
        longest_get_ms: Maximum time in which the messages of an answer were read, in milliseconds.
    """

    def __init__(self, engine: Engine, cluster: str, now_ms: int) -> None:
        self._engine = engine
        self._cluster = cluster
        self._now_ms = now_ms
        self.throughput = Throughput(now_ms)
        self.put_times = PutTimes(now_ms)
        self.longest_get_ms = 0
        self._tables: dict[CountedEvent, dict[tuple[str, str], Series]] = {kind: {} for kind in CountedEvent}
        self._gets = self._tables[CountedEvent.GET]
        self._puts = self._tables[CountedEvent.PUT]
        self._by_topic: dict[str, dict[Series, None]] = {}
        self._by_group: dict[str, dict[Series, None]] = {}
        self._slots: FairSlots[Series] = FairSlots(MAX_SERIES)
        # Queues of groups, and queues with windows, by the owner of their series.
        self._parts: Counter[str] = Counter()
        self._queue_slots: Counter[str] = Counter()
        self._uncounted = {is_system: Part(is_system=is_system) for is_system in (False, True)}
        self._events: dict[tuple[str, str], tuple[Part, SampleWindows]] = {}
        self._opened = 0
        # Messages after the first ones of batches, by topic and queue.
        self._batched: dict[str, Counter[int]] = {}
        self._followed: dict[int, QueuePuts] = {}
        # Ends of the queues whose statistics were dropped or refused, by the number of the queue.
        self._ends: dict[int, tuple[int, int]] = {}
        # Topics of the broker itself, and their messages when counting began.
        self._system_topics = {
            topic.name: engine.stored_in(topic.name)
            for topic in engine.topics.all()
            if engine.topics.is_system(topic.name)
        }
        self._rounds = Rounds(now_ms)
        self._owed: set[Window] = set()
        self._round: Iterator[None] | None = None
        first = engine.next_physical
        self._broker_totals: dict[str, Callable[[], int]] = {
            "BROKER_PUT_NUMS": lambda: self.throughput.put,
            "BROKER_GET_NUMS": lambda: self.throughput.got,
            "BROKER_PUT_NUMS_WITHOUT_SYSTEM_TOPIC": self.put_without_system_topics,
            "BROKER_GET_NUMS_WITHOUT_SYSTEM_TOPIC": lambda: self.throughput.got_without_system,
            "BROKER_ACK_NUMS": lambda: self.throughput.acked,
            "BROKER_CK_NUMS": lambda: self.throughput.checkpoints,
        }
        self._broker_windows = {name: SampleWindows(now_ms) for name in self._broker_totals}
        self._put_bytes: Callable[[], int] = lambda: engine.next_physical - first

    # Counting

    def committed(self, stored: Sequence[tuple[Queue, int, int]], seconds: float) -> None:
        """Count the messages of a commit.

        Args:
            stored: A queue for each message.
            seconds: Time of the commit.
        """
        count = len(stored)
        self.throughput.put += count
        if seconds < _MILLISECOND_S:
            self.put_times.immediate += count
            return
        milliseconds = int(seconds * 1000)
        self.put_times.add(milliseconds, count)
        for queue, _, _ in stored:
            part = self._followed.get(queue.number)
            if part is not None:
                part.latency_ms += milliseconds

    def batch_sent(self, topic: str, queue_id: int, messages: int) -> None:
        """Count a batch as one request. All messages that are not counted here were sent one by one."""
        self._batched.setdefault(topic, Counter())[queue_id] += messages - 1

    def delivered(
        self, topic: str, queue_id: int, group: str, access: Requester, messages: int, size: int, seconds: float
    ) -> None:
        """Count the messages of an answer to a group.

        Args:
            topic: The topic.
            queue_id: The queue.
            group: The group.
            access: The requester, whose user owns the statistics if they are new.
            messages: Number of messages.
            size: Their bytes.
            seconds: Time in which they were read.
        """
        try:
            part = self._gets[topic, group].parts[queue_id]
        except KeyError:
            part = self._part(CountedEvent.GET, topic, group, queue_id, access.owner)
        part.times += 1
        part.messages += messages
        part.size += size
        throughput = self.throughput
        throughput.found += 1
        throughput.got += messages
        if part.is_system:
            throughput.got_of_system += messages
        if seconds >= _MILLISECOND_S:
            milliseconds = int(seconds * 1000)
            part.latency_ms += milliseconds
            self.longest_get_ms = max(self.longest_get_ms, milliseconds)

    def sent_back(self, topic: str, group: str, owner: str, *, dead: bool) -> None:
        """Count a message that a consumer has sent back; `dead` is True if it is a dead letter now."""
        self._count(CountedEvent.SENT_BACK, topic, group, owner, 1)
        if dead:
            self._count(CountedEvent.DEAD, topic, group, owner, 1)

    def acknowledged(self, topic: str, group: str, owner: str, messages: int) -> None:
        """Count acknowledgements of messages that were popped."""
        self.throughput.acked += messages
        self._count(CountedEvent.ACK, topic, group, owner, messages)

    def checkpointed(self, topic: str, group: str, owner: str, count: int) -> None:
        """Count checkpoints of messages that were popped."""
        self.throughput.checkpoints += count
        self._count(CountedEvent.CHECKPOINT, topic, group, owner, count)

    def _happened(self, name: str, key: str, times: int, value: int) -> None:
        """Count events that happen rarely, under one of Apache's names and one of a few keys."""
        found = self._events.get((name, key))
        if found is None:
            found = self._events[name, key] = (Part(), SampleWindows(self._now_ms))
        part = found[0]
        part.times += times
        part.messages += value

    def registered(self, consumers: int, producers: int, seconds: float) -> None:
        """Count the groups of a heartbeat, which was processed in this time."""
        if consumers:
            self._happened("CONSUMER_REGISTER_TIME", self._cluster, consumers, int(seconds * 1000))
        if producers:
            self._happened("PRODUCER_REGISTER_TIME", self._cluster, producers, int(seconds * 1000))

    def opened(self, total: int) -> None:
        """Set the number of connections that were opened since the start."""
        new = total - self._opened
        if new:
            self._opened = total
            self._happened(_CHANNEL_ACTIVITY, "CONNECT", new, new)

    def closed(self) -> None:
        """Count a closed connection."""
        self._happened(_CHANNEL_ACTIVITY, "CLOSE", 1, 1)

    def topic_changed(self, topic: str) -> None:
        """Note a new topic of the broker itself, or drop the statistics of a deleted topic."""
        if self._engine.topics.get(topic) is None:
            self.drop_topic(topic)
        elif topic not in self._system_topics and self._engine.topics.is_system(topic):
            self._system_topics[topic] = self._engine.stored_in(topic)

    def drop_topic(self, topic: str) -> None:
        """Drop the statistics of a topic."""
        self._batched.pop(topic, None)
        for series in list(self._by_topic.get(topic, ())):
            self._drop(series)

    def group_deleted(self, group: str) -> None:
        """Drop the statistics of a group."""
        for series in list(self._by_group.get(group, ())):
            self._drop(series)

    # Reading

    def view(self, name: str, key: str) -> View | None:
        """Return a statistic by Apache's name and key, None if there is none."""
        if name in self._broker_totals:
            if key != self._cluster or not self._broker_totals[name]():
                return None
            return view_of(self._broker_windows[name], "messages")
        event = self._events.get((name, key))
        if event is not None:
            return view_of(event[1], "messages")
        statistic = STATISTICS.get(name)
        return None if statistic is None else self._view(statistic, key.split("@"))

    def consume_tps(self, group: str, topic: str) -> float:
        """Return the messages per second that a group gets from a topic, in the last minute."""
        return self._tps(self._gets.get((topic, group)))

    def put_tps(self, topic: str) -> float:
        """Return the messages per second that are stored in a topic, in the last minute."""
        return self._tps(self._puts.get((topic, "")))

    def put_without_system_topics(self) -> int:
        """Return the messages that were stored since the start, without those in topics of the broker itself."""
        stored_in = self._engine.stored_in
        return self.throughput.put - sum(stored_in(topic) - before for topic, before in self._system_topics.items())

    def put_bytes(self) -> int:
        """Return the bytes that were stored since the start."""
        return self._put_bytes()

    @property
    def series_count(self) -> int:
        """Return the number of topics, and topics of groups, that have statistics."""
        return len(self._slots)

    def mark_day(self, wall_ms: int) -> None:
        """Note the totals when a new day begins, in the local time of this machine."""
        self.throughput.mark_day(wall_ms, self.put_without_system_topics)

    # Sampling

    def tick(self, now_ms: int) -> None:
        """Take the samples that are due, up to `MAX_WORK` of them. Call it about every 50 ms."""
        self._now_ms = now_ms
        self.throughput.sample(now_ms)
        self.put_times.sample(now_ms)
        self._owed.update(self._rounds.take(now_ms))
        if self._round is None and self._owed:
            self._round, self._owed = self._sample(tuple(self._owed)), set()
        if self._round is not None:
            finished = object()
            if next(self._round, finished) is finished:
                self._round = None

    def _sample(self, windows: Sequence[Window]) -> Iterator[None]:
        """Take one sample of everything. Between two slices of the work it yields."""
        for name, total in self._broker_totals.items():
            for window in windows:
                self._broker_windows[name].add(window, self._now_ms, Totals(messages=total()))
        for part, samples in self._events.values():
            for window in windows:
                samples.add(window, self._now_ms, part.totals())
        yield from self._find_active_queues()
        every = [series for table in self._tables.values() for series in table.values()]
        work = 0
        for series in every:
            if self._tables[series.kind].get((series.topic, series.group)) is series:
                self._sample_series(series, windows)
            work += 4 + 2 * len(series.parts)
            if work >= MAX_WORK:
                work = 0
                yield

    def _find_active_queues(self) -> Iterator[None]:
        queues = self._engine.queues()
        for number, queue in enumerate(queues, 1):
            self._take_queue(queue)
            if number % MAX_WORK == 0:
                yield
        if len(self._ends) > len(queues):
            live = {queue.number for queue in queues}
            self._ends = {number: end for number, end in self._ends.items() if number in live}

    def _take_queue(self, queue: Queue) -> None:
        """Begin to count a queue that has new messages, and read the totals of one that is counted."""
        part = self._followed.get(queue.number)
        if part is None and queue.max_offset == self._ends.get(queue.number, (queue.opened_at, 0))[0]:
            return
        batched = self._batched.get(queue.topic)
        in_batches = batched.pop(queue.queue_id, 0) if batched else 0
        if part is None:
            part = self._count_queue(queue, *self._ends.pop(queue.number, (queue.opened_at, 0)))
            if part is None:
                self._ends[queue.number] = (queue.max_offset, queue.max_bytes)
                return
        if part.queue is not queue:
            part.follow(queue)
        part.refresh(in_batches)

    def _count_queue(self, queue: Queue, offset: int, size: int) -> QueuePuts | None:
        topic = self._engine.topics.get(queue.topic)
        if topic is None:
            return None
        series = self._series(CountedEvent.PUT, queue.topic, "", topic.creator or "")
        if series is None:
            return None
        part = series.parts[queue.queue_id] = self._followed[queue.number] = QueuePuts(queue, offset, size)
        self._give_windows(part, series)
        return part

    def _sample_series(self, series: Series, windows: Sequence[Window]) -> None:
        now_ms = self._now_ms
        totals = series.totals()
        for window in windows:
            series.windows.add(window, now_ms, totals)
            for part in series.parts.values():
                if part.windows is not None:
                    part.windows.add(window, now_ms, part.totals())
        if now_ms - series.windows.changed_ms > IDLE_MS:
            self._drop(series)

    # Series

    def _count(self, kind: CountedEvent, topic: str, group: str, owner: str, value: int) -> None:
        part = self._part(kind, topic, group, 0, owner)
        part.times += 1
        part.messages += value

    def _part(self, kind: CountedEvent, topic: str, group: str, queue_id: int, owner: str) -> Part:
        series = self._series(kind, topic, group, owner)
        system = self._engine.topics.is_system(topic)
        if series is None:
            return self._uncounted[system]
        if queue_id not in series.parts and not self._has_room_for_part(series):
            queue_id = _OTHER_QUEUES
        part = series.parts.get(queue_id)
        if part is None:
            part = series.parts[queue_id] = Part(is_system=system)
            if kind is CountedEvent.GET and queue_id != _OTHER_QUEUES:
                self._parts[series.owner] += 1
                self._give_windows(part, series)
        return part

    def _has_room_for_part(self, series: Series) -> bool:
        parts = self._parts
        if series.kind is not CountedEvent.GET:
            return True
        return parts.total() < MAX_PARTS and parts[series.owner] < MAX_PARTS // _QUEUE_SHARE

    def _series(self, kind: CountedEvent, topic: str, group: str, owner: str) -> Series | None:
        """Return a series; a missing one is created if there is room, or if its owner has less than an even share."""
        table = self._tables[kind]
        series = table.get((topic, group))
        if series is not None:
            return series
        if self._engine.topics.get(topic) is None:
            return None
        if self._slots.is_full:
            oldest = self._slots.to_remove_for(owner)
            if oldest is None:
                return None
            self._drop(oldest)
        series = table[topic, group] = Series(kind, topic, group, owner, self._now_ms)
        self._slots.take(owner, series)
        self._by_topic.setdefault(topic, {})[series] = None
        if group:
            self._by_group.setdefault(group, {})[series] = None
        return series

    def _give_windows(self, part: Part, series: Series) -> None:
        slots = self._queue_slots
        if slots.total() < MAX_QUEUE_SERIES and slots[series.owner] < MAX_QUEUE_SERIES // _QUEUE_SHARE:
            slots[series.owner] += 1
            part.windows = SampleWindows(self._now_ms)

    def _drop(self, series: Series) -> None:
        del self._tables[series.kind][series.topic, series.group]
        self._slots.free(series.owner, series)
        _remove(self._by_topic, series.topic, series)
        if series.group:
            _remove(self._by_group, series.group, series)
        if series.kind is CountedEvent.GET:
            self._parts[series.owner] -= len(series.parts) - (_OTHER_QUEUES in series.parts)
            if not self._parts[series.owner]:
                del self._parts[series.owner]
        for part in series.parts.values():
            if part.windows is not None:
                self._queue_slots[series.owner] -= 1
            if isinstance(part, QueuePuts):
                del self._followed[part.queue.number]
                self._ends[part.queue.number] = (part.queue.max_offset, part.queue.max_bytes)
        if not self._queue_slots[series.owner]:
            del self._queue_slots[series.owner]

    def _view(self, statistic: Statistic, words: Sequence[str]) -> View | None:
        if len(words) != len(statistic.key):
            return None
        named = dict(zip(statistic.key, words, strict=True))
        if any(name not in {TOPIC, GROUP, QUEUE} and name != word for name, word in named.items()):
            return None
        series = self._tables[statistic.kind].get((named[TOPIC], named.get(GROUP, "")))
        if series is None:
            return None
        queue = named.get(QUEUE)
        if queue is None:
            return view_of(series.windows, statistic.field)
        part = series.parts.get(int(queue)) if queue.isascii() and queue.isdecimal() and len(queue) < 10 else None
        return None if part is None or part.windows is None else view_of(part.windows, statistic.field)

    @staticmethod
    def _tps(series: Series | None) -> float:
        return 0.0 if series is None else figures(series.windows.growth(Window.MINUTE), "messages").tps


def _remove(index: dict[str, dict[Series, None]], name: str, series: Series) -> None:
    found = index[name]
    del found[series]
    if not found:
        del index[name]
