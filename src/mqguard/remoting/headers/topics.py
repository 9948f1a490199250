"""Ext fields of topics on a broker (17, 21, 202, 215, 300, 321, 351), offsets (14, 15, 29-32, 222, 223, 314), 315."""

from mqguard.remoting.headers.codec import Header, Int32, Int64


class TopicHeader(Header):
    """202, 215, 217, 300 and 351: one topic."""

    topic: str
    lo: bool | None = None
    bname: str | None = None


class CreateTopicHeader(Header):
    """17: create a topic or change it.

    Attributes:
        perm: Bits 4 read, 2 write, 1 inherit, 8 priority.
        topic_filter_type: `SINGLE_TAG` or `MULTI_TAG`.
        attributes: `+key=value` to set, `-key` to remove, joined by commas.
    """

    topic: str
    default_topic: str
    read_queue_nums: Int32
    write_queue_nums: Int32
    perm: Int32
    topic_filter_type: str
    order: bool
    topic_sys_flag: Int32 | None = None
    attributes: str | None = None
    force: bool | None = None


class TopicSeqHeader(Header):
    """21: the topics, a page at a time."""

    topic_seq: Int32 | None = None
    data_version: str | None = None
    max_topic_num: Int32 | None = None


class TopicSeqAnswer(Header):
    """Answer of 21."""

    total_topic_num: Int32 | None = None


class ConsumeQueueHeader(Header):
    """321: the index of a queue."""

    topic: str | None = None
    queue_id: Int32 = 0
    index: Int64 = 0
    count: Int32 = 0
    consumer_group: str | None = None


class QueryOffsetHeader(Header):
    """14: the stored offset of a group.

    Attributes:
        set_zero_if_not_found: False forbids the answer 0 if no offset is stored; None lets the server decide.
    """

    consumer_group: str
    topic: str
    queue_id: Int32
    set_zero_if_not_found: bool | None = None
    bname: str | None = None


class UpdateOffsetHeader(Header):
    """15: store a group's offset."""

    consumer_group: str
    topic: str
    queue_id: Int32
    commit_offset: Int64
    bname: str | None = None


class QueueHeader(Header):
    """31 and 32: one queue of a topic."""

    topic: str
    queue_id: Int32
    bname: str | None = None


class MaxOffsetHeader(QueueHeader):
    """30: one past the last offset of a queue."""

    committed: bool = True


class SearchOffsetHeader(QueueHeader, kw_only=True):
    """29: the offset at a time.

    Attributes:
        timestamp: Milliseconds since the epoch.
        boundary_type: `LOWER` (also when absent) or `UPPER`, in any letter case.
        lite_topic: Blank counts as absent.
    """

    timestamp: Int64
    boundary_type: str | None = None
    lite_topic: str | None = None


class OffsetAnswer(Header):
    """Answer of 14, 29, 30 and 31."""

    offset: Int64


class TimestampAnswer(Header):
    """Answer of 32."""

    timestamp: Int64


class ResetOffsetHeader(Header):
    """222: move a group back (or forward), in every queue or in one.

    Attributes:
        timestamp: Milliseconds since the epoch; -1 is the end.
        queue_id: -1 is every queue.
        offset: Takes precedence over `timestamp` if a queue is given.
    """

    group: str
    topic: str
    timestamp: Int64
    is_force: bool
    queue_id: Int32 = -1
    offset: Int64 | None = None


class ConsumerStatusHeader(Header):
    """223 and 221: the offsets of the clients of a group."""

    topic: str
    group: str
    client_addr: str | None = None


class CloneOffsetHeader(Header):
    """314: give a group the offsets of another."""

    src_group: str
    dest_group: str
    topic: str | None = None
    offline: bool = False


class StatisticHeader(Header):
    """315: one statistic.

    Attributes:
        stats_name: Its name, such as `TOPIC_PUT_NUMS`.
        stats_key: The name of its object, such as `topic@group`.
    """

    stats_name: str
    stats_key: str
