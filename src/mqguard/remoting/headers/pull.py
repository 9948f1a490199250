"""Ext fields of pull requests (11, 361)."""

from typing import Final

from mqguard.remoting.headers.codec import Header, Int32, Int64

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
