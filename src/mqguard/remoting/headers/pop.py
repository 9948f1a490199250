"""Ext fields of pop consumption (200050 to 200055). Frames with these codes always have JSON headers."""

from mqguard.remoting.headers.codec import Header, Int32, Int64


class PopHeader(Header):
    """200050: take messages and hide them.

    Attributes:
        queue_id: -1 is any queue.
        invisible_time: Milliseconds until they are visible again.
        poll_time: Milliseconds to wait if there is no message.
        init_mode: Start of a new group: 0 the first message, 1 the last.
    """

    consumer_group: str
    topic: str
    queue_id: Int32
    max_msg_nums: Int32
    invisible_time: Int64
    poll_time: Int64
    born_time: Int64
    init_mode: Int32
    exp_type: str | None = None
    exp: str | None = None
    order: bool | None = None
    attempt_id: str | None = None
    bname: str | None = None


class PopAnswer(Header):
    """Answer of 200050."""

    pop_time: Int64
    invisible_time: Int64
    revive_qid: Int32
    rest_num: Int64
    start_offset_info: str | None = None
    msg_offset_info: str | None = None
    order_count_info: str | None = None


class AckHeader(Header):
    """200051: a message is acknowledged.

    Attributes:
        topic: The real topic, or the retry topic that contained it.
        extra_info: The handle received with the message.
        lite_topic: Blank counts as absent.
    """

    consumer_group: str
    topic: str
    queue_id: Int32
    extra_info: str
    offset: Int64
    lite_topic: str | None = None
    bname: str | None = None


class ChangeInvisibleHeader(Header):
    """200053: the time after which a message is visible again."""

    consumer_group: str
    topic: str
    queue_id: Int32
    extra_info: str
    offset: Int64
    invisible_time: Int64
    lite_topic: str | None = None
    suspend: bool = False
    bname: str | None = None


class ChangeInvisibleAnswer(Header):
    """Answer of 200053."""

    pop_time: Int64
    invisible_time: Int64
    revive_qid: Int32


class PeekHeader(Header):
    """200052: read messages without hiding them."""

    topic: str
    queue_id: Int32
    max_msg_nums: Int32
    consumer_group: str


class NotificationHeader(Header):
    """200054: wait for messages without taking them."""

    consumer_group: str
    topic: str
    queue_id: Int32
    poll_time: Int64
    born_time: Int64
    order: bool | None = None
    attempt_id: str | None = None
    exp_type: str | None = None
    exp: str | None = None


class NotificationAnswer(Header):
    """Answer of 200054."""

    has_msg: bool
    polling_full: bool = False


class PollingInfoHeader(Header):
    """200055: the number of waiting requests at a queue."""

    consumer_group: str
    topic: str
    queue_id: Int32


class PollingInfoAnswer(Header):
    """Answer of 200055."""

    polling_num: Int32
