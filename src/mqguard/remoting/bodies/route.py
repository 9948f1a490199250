"""Bodies of the name server (103, 105, 106, 901)."""

import msgspec

from mqguard.remoting.bodies.codec import Body
from mqguard.remoting.bodies.topics import TopicTable


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
