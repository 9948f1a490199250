"""Ext fields of topics on a broker (17, 21, 202, 215, 300, 321, 351)."""

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
