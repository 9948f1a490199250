"""Ext fields of consumer groups (200, 201, 207, 208, 303, 317, 343, 345, 352, 353)."""

from mqguard.remoting.headers.codec import Header, Int32


class DeleteGroupHeader(Header):
    """207: delete a group.

    Attributes:
        clean_offset: Whether its offsets go too.
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
    """353: whether a group may read a topic; without `readable` it only asks."""

    group: str
    topic: str
    readable: bool | None = None


class ConsumeStatsHeader(Header):
    """208: how far a group has come.

    Attributes:
        topic: None and empty are all topics of the group.
        topic_list: Several topics, joined by `;`.
    """

    consumer_group: str
    topic: str | None = None
    topic_list: str | None = None


class TimeSpanHeader(Header):
    """303: the times that a group's offsets stand for."""

    topic: str
    group: str


class BrokerConsumeStatsHeader(Header):
    """317: how far every group has come."""

    is_order: bool


class GroupSeqHeader(Header):
    """201: the groups, a page at a time.

    Attributes:
        group_seq: First position wanted.
        max_group_num: Most entries wanted.
        data_version: JSON of the version that the asker has.
    """

    group_seq: Int32 | None = None
    data_version: str | None = None
    max_group_num: Int32 | None = None
