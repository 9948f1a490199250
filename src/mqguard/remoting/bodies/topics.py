"""Bodies of topics on a broker (17, 18, 21, 202, 351)."""

import msgspec

from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.remoting.bodies.codec import Body, MessageQueue
from mqguard.remoting.bodies.tables import DataVersionBody


class TopicConfigBody(Body):
    """One topic; the answer of 351 is a single one."""

    topic_name: str
    read_queue_nums: int = 16
    write_queue_nums: int = 16
    perm: int = 6
    topic_filter_type: str = "SINGLE_TAG"
    topic_sys_flag: int = 0
    order: bool = False
    attributes: dict[str, str] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, topic: TopicConfig) -> "TopicConfigBody":
        """Return the body of a topic."""
        return cls(
            topic.name,
            topic.read_queues,
            topic.write_queues,
            topic.perm,
            topic.filter_type,
            topic.sys_flag,
            topic.order,
            topic.attributes,
        )

    def value(self) -> TopicConfig:
        """Return the topic as a value."""
        return TopicConfig(
            name=self.topic_name,
            read_queues=self.read_queue_nums,
            write_queues=self.write_queue_nums,
            perm=self.perm,
            filter_type=self.topic_filter_type,
            sys_flag=self.topic_sys_flag,
            order=self.order,
            attributes=self.attributes,
        )


class TopicTable(Body):
    """Answer of 21, and the registration of a broker: all topics of a broker.

    Attributes:
        topic_queue_mapping_detail_map: For static topics, which mqguard does not have.
    """

    topic_config_table: dict[str, TopicConfigBody]
    data_version: DataVersionBody = msgspec.field(default_factory=DataVersionBody)

    @classmethod
    def of(cls, topics: list[TopicConfig], version: DataVersion) -> "TopicTable":
        """Return the body of topics."""
        return cls({topic.name: TopicConfigBody.of(topic) for topic in topics}, DataVersionBody.of(version))


class TopicConfigs(Body):
    """18: topics to create or change."""

    topic_config_list: list[TopicConfigBody]


class QueueStats(Body):
    """The offsets of one queue; `last_update_timestamp` in milliseconds since the epoch."""

    min_offset: int
    max_offset: int
    last_update_timestamp: int


class TopicStats(Body):
    """Answer of 202: the offsets of every queue of a topic."""

    offset_table: dict[MessageQueue, QueueStats]
    topic_put_tps: float = 0.0
