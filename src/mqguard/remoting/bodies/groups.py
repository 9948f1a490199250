"""Bodies of consumer groups (200, 201, 208, 220, 221, 222, 223, 225, 303, 317)."""

import msgspec

from mqguard.model.topic import DataVersion, SubscriptionGroupConfig
from mqguard.remoting.bodies.codec import Body, MessageQueue
from mqguard.remoting.bodies.topics import DataVersionBody


class GroupConfigBody(Body):
    """200, the answer of 352, and part of others: one consumer group.

    Attributes:
        group_retry_policy: Delays of failed messages; stored unchanged.
    """

    group_name: str
    consume_enable: bool = True
    consume_from_min_enable: bool = True
    consume_broadcast_enable: bool = True
    consume_message_orderly: bool = False
    retry_queue_nums: int = 1
    retry_max_times: int = 16
    group_retry_policy: dict[str, object] | None = None
    broker_id: int = 0
    which_broker_when_consume_slowly: int = 1
    notify_consumer_ids_changed_enable: bool = True
    group_sys_flag: int = 0
    consume_timeout_minute: int = 15
    attributes: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, group: SubscriptionGroupConfig) -> "GroupConfigBody":
        """Return the body of a group."""
        return cls(
            group_name=group.name,
            consume_enable=group.consume_enable,
            consume_from_min_enable=group.consume_from_min_enable,
            consume_broadcast_enable=group.consume_broadcast_enable,
            consume_message_orderly=group.consume_orderly,
            retry_queue_nums=group.retry_queues,
            retry_max_times=group.retry_max_times,
            group_retry_policy=group.retry_policy,
            broker_id=group.broker_id,
            which_broker_when_consume_slowly=group.slow_broker_id,
            notify_consumer_ids_changed_enable=group.notify_changes,
            group_sys_flag=group.sys_flag,
            consume_timeout_minute=group.consume_timeout_minutes,
            attributes=group.attributes,
        )

    def value(self) -> SubscriptionGroupConfig:
        """Return the group as a value."""
        return SubscriptionGroupConfig(
            name=self.group_name,
            consume_enable=self.consume_enable,
            consume_from_min_enable=self.consume_from_min_enable,
            consume_broadcast_enable=self.consume_broadcast_enable,
            consume_orderly=self.consume_message_orderly,
            retry_queues=self.retry_queue_nums,
            retry_max_times=self.retry_max_times,
            retry_policy=self.group_retry_policy,
            broker_id=self.broker_id,
            slow_broker_id=self.which_broker_when_consume_slowly,
            notify_changes=self.notify_consumer_ids_changed_enable,
            sys_flag=self.group_sys_flag,
            consume_timeout_minutes=self.consume_timeout_minute,
            attributes=self.attributes,
        )


class GroupTable(Body):
    """Answer of 201: all groups of a broker.

    Attributes:
        forbidden_table: Bits by group and topic.
    """

    subscription_group_table: dict[str, GroupConfigBody]
    data_version: DataVersionBody = msgspec.field(default_factory=DataVersionBody)
    forbidden_table: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, groups: list[SubscriptionGroupConfig], version: DataVersion) -> "GroupTable":
        """Return the body of groups."""
        return cls({group.name: GroupConfigBody.of(group) for group in groups}, DataVersionBody.of(version))


class GroupConfigs(Body):
    """225: groups to create or change."""

    group_config_list: list[GroupConfigBody]


class QueueProgress(Body):
    """The progress of a group in one queue; `last_timestamp` is the store time of the last consumed message."""

    broker_offset: int
    consumer_offset: int
    pull_offset: int
    last_timestamp: int


class ConsumeStats(Body):
    """Answer of 208: the progress of a group."""

    offset_table: dict[MessageQueue, QueueProgress]
    consume_tps: float = 0.0


class ConsumeStatsList(Body):
    """Answer of 317: the progress of every group, by group."""

    consume_stats_list: list[dict[str, list[ConsumeStats]]]
    broker_addr: str
    total_diff: int = 0
    total_inflight_diff: int = 0


class ResetOffsets(Body):
    """Answer of 222 and body of 220: the current offset of each queue."""

    offset_table: dict[MessageQueue, int]


class QueueOffset(Body):
    """One queue's new offset, for C++ clients."""

    topic: str
    broker_name: str
    queue_id: int
    offset: int


class ResetOffsetsForCpp(Body):
    """Body of 220 for clients whose language is CPP: they read a list."""

    offset_table: list[QueueOffset]


class ConsumerStatus(Body):
    """Answer of 223 (by client) and of 221 (of one client): the offsets of clients."""

    message_queue_table: dict[MessageQueue, int] = msgspec.field(default_factory=dict)
    consumer_table: dict[str, dict[MessageQueue, int]] = msgspec.field(default_factory=dict)


class QueueTimeSpan(Body):
    """Times of one queue, milliseconds since the epoch."""

    message_queue: MessageQueue
    min_time_stamp: int
    max_time_stamp: int
    consume_time_stamp: int
    delay_time: int


class TimeSpans(Body):
    """Answer of 303."""

    consume_time_span_set: list[QueueTimeSpan]
