"""Offsets of groups: reports on them, and offsets that an administrator has set for a running consumer."""

from collections.abc import Callable

from mqguard.broker.group_rules import RESERVED_GROUPS
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.request import RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import EngineError
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue
from mqguard.remoting.bodies.groups import ConsumeStats, QueueProgress, QueueTimeSpan
from mqguard.remoting.codes import ResponseCode

MAX_QUEUES = 16_384
"""Maximum queues of one report. Each blocks the server for some 5 us."""
MAX_TIME_READS = 1_024
"""Maximum times that one report reads from the store. The others are 0, like unknown times."""


class StoreTimes:
    """Reader of the times at which messages were stored, with a limit for one report."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._left = MAX_TIME_READS

    def at(self, topic: str, queue_id: int, offset: int) -> int:
        """Return the time at which the message at an offset was stored, 0 if unknown."""
        return self._read(lambda: self._engine.time_of(topic, queue_id, offset))

    def first(self, topic: str, queue_id: int) -> int:
        """Return the time at which the first message of a queue was stored, -1 without messages, 0 if unknown."""
        return self._read(lambda: self._engine.earliest_store_time(topic, queue_id))

    def last(self, topic: str, queue_id: int) -> int:
        """Return the time at which the last message of a queue was stored, 0 without messages or if unknown."""
        return self._read(lambda: self._engine.last_store_time(topic, queue_id))

    def _read(self, read: Callable[[], int]) -> int:
        if not self._left:
            return 0
        self._left -= 1
        try:
            return read()
        except EngineError:
            return 0


class Progress:
    """Progress of groups: their offsets compared with the queues.

    Args:
        engine: Queues and offsets.
        clients: Subscriptions of connected groups.
        statistics: Rates of groups.
        broker: The broker's name, which is part of the names of queues.
    """

    def __init__(self, engine: Engine, clients: Clients, statistics: Statistics, broker: str) -> None:
        self._engine = engine
        self._statistics = statistics
        self._clients = clients
        self._broker = broker

    def queue(self, topic: str, queue_id: int) -> MessageQueue:
        """Return the name of a queue on the wire."""
        return MessageQueue(topic, self._broker, queue_id)

    def topics_of(self, group: str) -> list[TopicConfig]:
        """Return the topics in which a group has offsets; of a connected group, only those that it subscribes to."""
        live = self._clients.group(group)
        names = self._engine.offsets.topics_of(group)
        if live is not None and live.subscriptions:
            names = [name for name in names if name in live.subscriptions]
        return [topic for name in names if (topic := self._engine.topics.get(name)) is not None]

    def groups_of(self, topic: str) -> list[str]:
        """Return the groups of a topic: connected ones that subscribe to it, and those that have offsets in it."""
        found = {*self._clients.groups_of_topic(topic), *self._engine.offsets.groups_of(topic)}
        return sorted(found - RESERVED_GROUPS)

    def times(self) -> StoreTimes:
        """Return a reader of times for one report."""
        return StoreTimes(self._engine)

    def stats(self, group: str, topics: list[TopicConfig], times: StoreTimes) -> ConsumeStats:
        """Return the progress of a group in every queue of topics.

        Raises:
            RequestRefused: The topics have too many queues.
        """
        check_queue_count(sum(topic.read_queues for topic in topics))
        return ConsumeStats(
            offset_table={
                self.queue(topic.name, queue_id): self._queue_progress(group, topic.name, queue_id, times)
                for topic in topics
                for queue_id in range(topic.read_queues)
            },
            consume_tps=sum(self._statistics.consume_tps(group, topic.name) for topic in topics),
        )

    def put_tps(self, topic: str) -> float:
        """Return the messages per second that are stored in a topic, in the last minute."""
        return self._statistics.put_tps(topic)

    def spans(self, group: str, topic: TopicConfig, now_ms: int) -> list[QueueTimeSpan]:
        """Return the times of a group's offsets in every queue of a topic."""
        times = self.times()
        return [self._span(group, topic.name, queue_id, now_ms, times) for queue_id in range(topic.write_queues)]

    def _queue_progress(self, group: str, topic: str, queue_id: int, times: StoreTimes) -> QueueProgress:
        consumed = self._engine.offsets.get(group, topic, queue_id) or 0
        pulled = self._engine.offsets.pulled(group, topic, queue_id)
        return QueueProgress(
            broker_offset=self._engine.max_offset(topic, queue_id),
            consumer_offset=consumed,
            pull_offset=consumed if pulled is None else pulled,
            last_timestamp=times.at(topic, queue_id, consumed - 1) if consumed else 0,
        )

    def _span(self, group: str, topic: str, queue_id: int, now_ms: int, times: StoreTimes) -> QueueTimeSpan:
        consumed = self._engine.offsets.get(group, topic, queue_id) or 0
        waiting = self._engine.max_offset(topic, queue_id) > consumed
        following = times.at(topic, queue_id, consumed) if waiting else 0
        return QueueTimeSpan(
            message_queue=self.queue(topic, queue_id),
            min_time_stamp=times.first(topic, queue_id),
            max_time_stamp=times.last(topic, queue_id),
            consume_time_stamp=times.at(topic, queue_id, consumed - 1) if consumed else 0,
            delay_time=now_ms - following if following else 0,
        )


def check_queue_count(queues: int) -> None:
    """Refuse a report on too many queues.

    Raises:
        RequestRefused: There are more than one report may have.
    """
    if queues > MAX_QUEUES:
        raise RequestRefused(
            ResponseCode.INVALID_PARAMETER,
            f"the report would have {queues} queues, and the maximum is {MAX_QUEUES}: name a group and a topic",
        )


class OffsetResets:
    """Offsets that an administrator has set and that the group has not received yet.

    The consumer has its own position and would soon commit its old offset again. So the broker ignores its commits
    until its next pull of the queue, whose answer (21) contains the new offset.
    """

    def __init__(self) -> None:
        self._points: dict[tuple[str, str, int], int] = {}
        self._unstored: set[tuple[str, str, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._points)

    def set(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Add an offset that the group gets once it is stored."""
        self._points[group, topic, queue_id] = offset
        self._unstored.add((group, topic, queue_id))

    def stored(self, group: str, topic: str, queue_id: int) -> None:
        """Mark an offset of `set` as stored."""
        self._unstored.discard((group, topic, queue_id))

    def put_back(self, group: str, topic: str, queue_id: int, before: int | None) -> None:
        """Undo a `set` that was not stored; `before` is the result of `due` before it."""
        self.stored(group, topic, queue_id)
        if before is None:
            self._points.pop((group, topic, queue_id), None)
        else:
            self._points[group, topic, queue_id] = before

    def due(self, group: str, topic: str, queue_id: int) -> int | None:
        """Return the offset that a group has to get, None if there is none. Until then its commits are ignored."""
        return self._points.get((group, topic, queue_id))

    def take(self, group: str, topic: str, queue_id: int) -> int | None:
        """Return the offset to send to a group now, None if there is none. After that its commits count again."""
        point = group, topic, queue_id
        return None if point in self._unstored else self._points.pop(point, None)

    def remove(self, *, group: str | None = None, topic: str | None = None) -> None:
        """Remove the offsets of a deleted group or topic."""
        for point in [point for point in self._points if point[0] == group or point[1] == topic]:
            del self._points[point]
            self._unstored.discard(point)
