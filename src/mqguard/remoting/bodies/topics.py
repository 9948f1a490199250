"""Bodies of topics on a broker, of the name server, and of plain tables and lists.

Request codes 17, 18, 21, 28, 43, 45, 103, 105, 106, 202, 206, 219, 300, 304, 343, 351, 901.
"""

import msgspec

from mqguard.model.topic import DataVersion, TopicConfig
from mqguard.remoting.bodies.codec import Body, EnumName, MessageQueue


class KvBody(Body):
    """Answer of 28 and 219: texts by name."""

    table: dict[str, str]


class TopicList(Body):
    """Answer of 206, 224, 304, 305 and 343: names of topics."""

    topic_list: list[str]
    broker_addr: str | None = None


class GroupList(Body):
    """Answer of 300: names of groups."""

    group_list: list[str]


class DataVersionBody(Body):
    """The version of a table, inside other bodies and alone in 103 and 322."""

    counter: int = 0
    state_version: int = 0
    timestamp: int = 0

    @classmethod
    def of(cls, version: DataVersion) -> "DataVersionBody":
        """Return the body of a version."""
        return cls(version.counter, version.state_version, version.timestamp)

    def value(self) -> DataVersion:
        """Return the version as a value."""
        return DataVersion(self.counter, self.timestamp, self.state_version)


class StoredOffsets(Body):
    """Answer of 43: offsets by `topic@group` and queue."""

    offset_table: dict[str, dict[int, int]]
    data_version: DataVersionBody = msgspec.field(default_factory=DataVersionBody)


class TopicFilterType(EnumName, names=("SINGLE_TAG", "MULTI_TAG")):
    """The number of tags that a message of a topic may have."""

    __slots__ = ()


class TopicConfigBody(Body):
    """One topic; the answer of 351 is a single one."""

    topic_name: str
    read_queue_nums: int = 16
    write_queue_nums: int = 16
    perm: int = 6
    topic_filter_type: TopicFilterType = TopicFilterType("SINGLE_TAG")
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
            TopicFilterType(topic.filter_type),
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
            filter_type=str(self.topic_filter_type),
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


class BrokerData(Body):
    """The brokers of one name.

    Attributes:
        broker_addrs: `host:port` by broker id, 0 is the master. Written as `{"0":…}`, which every client reads.
    """

    cluster: str
    broker_name: str
    broker_addrs: dict[int, str]
    enable_acting_master: bool = False
    zone_name: str | None = None


class QueueData(Body):
    """The queues of a topic at the brokers of one name; `perm` has the bits 4 read, 2 write, 1 inherit."""

    broker_name: str
    read_queue_nums: int
    write_queue_nums: int
    perm: int
    topic_sys_flag: int = 0


class TopicRouteData(Body):
    """Answer of 105: the route of a topic.

    Attributes:
        order_topic_conf: `broker:queues;broker:queues` for an ordered topic.
    """

    broker_datas: list[BrokerData]
    queue_datas: list[QueueData]
    filter_server_table: dict[str, list[str]] = msgspec.field(default_factory=dict)
    order_topic_conf: str | None = None


class ClusterInfo(Body):
    """Answer of 106: all brokers by name, and their names by cluster."""

    broker_addr_table: dict[str, BrokerData]
    cluster_addr_table: dict[str, list[str]]


class RegisterBrokerBody(Body):
    """103: the topics of a broker."""

    topic_config_serialize_wrapper: TopicTable
    filter_server_list: list[str] = msgspec.field(default_factory=list)


class RegisterBrokerAnswerBody(Body):
    """Answer of 103: configuration for brokers, stored by the name server."""

    table: dict[str, str] = msgspec.field(default_factory=dict)


class MemberGroup(Body):
    """The brokers of one name, within the answer of 901."""

    cluster: str
    broker_name: str
    broker_addrs: dict[int, str]


class MemberGroupBody(Body):
    """Answer of 901."""

    broker_member_group: MemberGroup
