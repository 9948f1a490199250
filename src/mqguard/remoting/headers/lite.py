"""Headers of requests about lite topics (200070, 200073, 200075 to 200079)."""

from mqguard.remoting.headers.codec import Header, Int32, Int64


class PopLiteHeader(Header):
    """200070: take messages of a client's lite topics; `topic` is their parent."""

    client_id: str
    consumer_group: str
    topic: str
    max_msg_num: Int32
    invisible_time: Int64
    poll_time: Int64
    attempt_id: str | None = None


class PopLiteAnswer(Header):
    """Answer of 200070.

    Attributes:
        order_count_info: Number of earlier deliveries of each message, separated by semicolons.
    """

    pop_time: Int64
    invisible_time: Int64
    revive_qid: Int32
    order_count_info: str = ""


class LiteExclusion(Header):
    """200073: tell a client that it has lost a lite topic."""

    lite_topic: str
    consumer_group: str
    client_id: str


class ParentTopicHeader(Header):
    """200075: report about a parent topic."""

    topic: str


class LiteTopicHeader(Header):
    """200076: report about a lite topic."""

    parent_topic: str
    lite_topic: str = ""


class LiteClientHeader(Header):
    """200077: report about a client's lite topics."""

    parent_topic: str
    group: str
    client_id: str = ""
    max_count: Int32 = 1000


class LiteGroupHeader(Header):
    """200078: report about the progress of a group."""

    group: str
    lite_topic: str | None = None
    top_k: Int32 = 20


class LiteDispatchHeader(Header):
    """200079: look for messages of a group, or of one of its clients."""

    group: str
    client_id: str | None = None
