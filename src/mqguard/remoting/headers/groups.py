"""Ext fields of clients and their groups (34, 35, 38, 40, 41, 42, 200, 201, 203, 204, 207, 208, 303 to 353)."""

from mqguard.remoting.headers.codec import Header, Int32


class UnregisterClientHeader(
    Header, rename={"client_id": "clientID", "producer_group": "producerGroup", "consumer_group": "consumerGroup"}
):
    """35: a client leaves."""

    client_id: str
    producer_group: str | None = None
    consumer_group: str | None = None


class ConsumerGroupHeader(Header):
    """38, 40 and 203: one consumer group."""

    consumer_group: str


class ProducerGroupHeader(Header):
    """204: one producer group."""

    producer_group: str


class RunningInfoHeader(Header):
    """307: the running information of a consumer; requested by an administrator, passed on to the client."""

    consumer_group: str
    client_id: str
    jstack_enable: bool = False


class ConsumeDirectlyHeader(Header):
    """309: one message for direct consumption; requested by an administrator, passed on to the client."""

    consumer_group: str
    client_id: str | None = None
    msg_id: str | None = None
    broker_name: str | None = None
    topic: str | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None


class DeleteGroupHeader(Header):
    """207: delete a group.

    Attributes:
        clean_offset: True to delete its offsets too.
    """

    group_name: str
    clean_offset: bool = False


class GroupHeader(Header):
    """343 and 352: one group."""

    group: str


class GroupTopicHeader(Header):
    """345: one group, and one of its topics."""

    group: str
    topic: str | None = None


class GroupForbiddenHeader(Header):
    """353: the permission of a group to read a topic; without `readable` it is only queried."""

    group: str
    topic: str
    readable: bool | None = None


class ConsumeStatsHeader(Header):
    """208: the progress of a group.

    Attributes:
        topic: None and empty mean all topics of the group.
        topic_list: Several topics, joined by `;`.
    """

    consumer_group: str
    topic: str | None = None
    topic_list: str | None = None


class TimeSpanHeader(Header):
    """303: the times of a group's offsets."""

    topic: str
    group: str


class BrokerConsumeStatsHeader(Header):
    """317: the progress of every group."""

    is_order: bool


class GroupSeqHeader(Header):
    """201: the groups, a page at a time.

    Attributes:
        group_seq: First position wanted.
        max_group_num: Maximum number of entries.
        data_version: JSON of the version that the requester has.
    """

    group_seq: Int32 | None = None
    data_version: str | None = None
    max_group_num: Int32 | None = None
