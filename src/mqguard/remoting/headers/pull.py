"""Ext fields of reading messages: pull (11, 361), pop (200050 to 200055), and queries (12, 33).

Frames with the codes of pop always have JSON headers.
"""

from typing import Final

from mqguard.remoting.header import write_json_reply
from mqguard.remoting.headers.codec import FRAME_HEAD, SAMPLE_OPAQUE, Header, Int32, Int64

COMMIT_OFFSET: Final = 1
"""`sys_flag`: `commit_offset` is to be stored for the group."""
SUSPEND: Final = 2
"""`sys_flag`: wait for a message if there is none."""
SUBSCRIPTION: Final = 4
"""`sys_flag`: `subscription` counts, not that of the group's heartbeat."""
CLASS_FILTER: Final = 8
"""`sys_flag`: filter by a class, obsolete."""
LITE_PULL: Final = 16
"""`sys_flag`: the sender is a lite pull consumer."""


class PullHeader(Header):
    """A pull.

    Attributes:
        queue_offset: First offset.
        max_msg_nums: Maximum number of messages.
        sys_flag: Bits above.
        suspend_timeout_millis: Maximum time to wait if there is no message.
        subscription: Tag expression, such as `TagA || TagB`; None or empty is everything.
        sub_version: Version of the subscription, milliseconds since the epoch.
        proxy_froward_client_id: Misspelt in the protocol.
    """

    consumer_group: str
    topic: str
    queue_id: Int32
    queue_offset: Int64
    max_msg_nums: Int32
    sys_flag: Int32
    commit_offset: Int64
    suspend_timeout_millis: Int64
    sub_version: Int64
    subscription: str | None = None
    expression_type: str | None = None
    max_msg_bytes: Int32 | None = None
    request_source: Int32 | None = None
    proxy_froward_client_id: str | None = None
    lite_topic: str | None = None
    bname: str | None = None


class PullAnswer(Header):
    """Answer of a pull with code 0, 19, 20 or 21: Java clients need the four required fields in each of them."""

    suggest_which_broker_id: Int64
    next_begin_offset: Int64
    min_offset: Int64
    max_offset: Int64
    offset_delta: Int64 | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None
    forbidden_type: Int32 | None = None


class PullAnswerTemplate:
    """Template of the frame that delivers messages. All its values are numbers, so no value needs escapes.

    Args:
        broker_id: The broker that a client should pull from next.
        remark: The remark of every answer.
    """

    __slots__ = ("_end", "_offsets", "_start")

    def __init__(self, broker_id: int, remark: str) -> None:
        fields = {"suggestWhichBrokerId": str(broker_id), "nextBeginOffset": "", "minOffset": "", "maxOffset": ""}
        sample = write_json_reply(SAMPLE_OPAQUE, 0, fields, remark).decode()
        self._start, _, rest = sample.partition(str(SAMPLE_OPAQUE))
        self._offsets, _, rest = rest.partition('","minOffset":"')
        self._end = rest.partition('"maxOffset":"')[2]

    def frame(self, opaque: int, next_offset: int, low: int, high: int, body: bytes) -> bytes:
        """Return the bytes of `encode_reply`."""
        header = (
            f'{self._start}{opaque}{self._offsets}{next_offset}","minOffset":"{low}","maxOffset":"{high}{self._end}'
        ).encode()
        size = len(header)
        return b"".join((FRAME_HEAD.pack(4 + size + len(body), size), header, body))


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


UNIQUE_KEY_QUERY: Final = "_UNIQUE_KEY_QUERY"
"""Ext field in addition to the header of 12: `true` searches the unique keys, not the users' keys."""


class QueryMessageHeader(
    Header,
    rename={
        "max_num": "maxNum",
        "begin_timestamp": "beginTimestamp",
        "end_timestamp": "endTimestamp",
        "index_type": "indexType",
        "last_key": "lastKey",
        "unique": UNIQUE_KEY_QUERY,
    },
):
    """12: messages by key.

    Attributes:
        begin_timestamp: Milliseconds since the epoch, inclusive.
        end_timestamp: Milliseconds since the epoch, inclusive.
        index_type: `K` keys, `U` unique keys, `T` tags; None is `K`, or `U` with `_UNIQUE_KEY_QUERY`.
        unique: The field `_UNIQUE_KEY_QUERY` in addition to the header.
    """

    topic: str
    key: str
    max_num: Int32
    begin_timestamp: Int64
    end_timestamp: Int64
    index_type: str | None = None
    last_key: str | None = None
    unique: bool = False


class QueryMessageAnswer(Header):
    """Answer of 12."""

    index_last_update_timestamp: Int64
    index_last_update_phyoffset: Int64


class ViewMessageHeader(Header):
    """33: one message by its physical offset; clients up to 4.9 and Go send no topic."""

    offset: Int64
    topic: str | None = None
