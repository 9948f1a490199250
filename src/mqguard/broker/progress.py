"""How far groups have come, read from the engine."""

from mqguard.broker.reserved import RESERVED_GROUPS
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import EngineError
from mqguard.model.topic import TopicConfig
from mqguard.remoting.bodies.codec import MessageQueue
from mqguard.remoting.bodies.groups import ConsumeStats, QueueProgress, QueueTimeSpan


class Progress:
    """Compares the offsets of groups with the queues.

    Args:
        engine: Queues and offsets.
        clients: What live groups subscribe to.
        broker: The broker's name, part of every queue's.
    """

    def __init__(self, engine: Engine, clients: Clients, broker: str) -> None:
        self._engine = engine
        self._clients = clients
        self._broker = broker

    def queue(self, topic: str, queue_id: int) -> MessageQueue:
        """The name of a queue on the wire."""
        return MessageQueue(topic, self._broker, queue_id)

    def topics_of(self, group: str) -> list[TopicConfig]:
        """The topics of a group: those it has offsets in, of a live group only those that it still subscribes to."""
        live = self._clients.group(group)
        names = self._engine.offsets.topics_of(group)
        if live is not None and live.subscriptions:
            names = [name for name in names if name in live.subscriptions]
        return [topic for name in names if (topic := self._engine.topics.get(name)) is not None]

    def groups_of(self, topic: str) -> list[str]:
        """The groups of a topic: live ones that subscribe to it, and those that have offsets in it."""
        found = {*self._clients.groups_of_topic(topic), *self._engine.offsets.groups_of(topic)}
        return sorted(found - RESERVED_GROUPS)

    def stats(self, group: str, topics: list[TopicConfig]) -> ConsumeStats:
        """How far a group has come in every queue of topics."""
        return ConsumeStats(
            offset_table={
                self.queue(topic.name, queue_id): self._queue_progress(group, topic.name, queue_id)
                for topic in topics
                for queue_id in range(topic.read_queues)
            }
        )

    def spans(self, group: str, topic: TopicConfig, now_ms: int) -> list[QueueTimeSpan]:
        """The times that a group's offsets stand for, in every queue of a topic."""
        return [self._span(group, topic.name, queue_id, now_ms) for queue_id in range(topic.write_queues)]

    def store_time_at(self, topic: str, queue_id: int, offset: int) -> int:
        """When the message at an offset was stored, 0 if that cannot be found out."""
        try:
            return self._engine.time_of(topic, queue_id, offset)
        except EngineError:
            return 0

    def _queue_progress(self, group: str, topic: str, queue_id: int) -> QueueProgress:
        consumed = self._engine.offsets.get(group, topic, queue_id) or 0
        pulled = self._engine.offsets.pulled(group, topic, queue_id)
        return QueueProgress(
            broker_offset=self._engine.max_offset(topic, queue_id),
            consumer_offset=consumed,
            pull_offset=consumed if pulled is None else pulled,
            last_timestamp=self.store_time_at(topic, queue_id, consumed - 1),
        )

    def _span(self, group: str, topic: str, queue_id: int, now_ms: int) -> QueueTimeSpan:
        consumed = self._engine.offsets.get(group, topic, queue_id) or 0
        waiting = self._engine.max_offset(topic, queue_id) > consumed
        following = self.store_time_at(topic, queue_id, consumed) if waiting else 0
        return QueueTimeSpan(
            message_queue=self.queue(topic, queue_id),
            min_time_stamp=self._engine.earliest_store_time(topic, queue_id),
            max_time_stamp=self._engine.last_store_time(topic, queue_id),
            consume_time_stamp=self.store_time_at(topic, queue_id, consumed - 1),
            delay_time=now_ms - following if following else 0,
        )
