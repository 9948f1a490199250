"""Bodies about lite topics: subscriptions of clients, and reports.

Request codes 200071, 200074 to 200078.
"""

import msgspec

from mqguard.remoting.bodies.codec import Body, EnumName


class LiteAction(EnumName, names=("PARTIAL_ADD", "PARTIAL_REMOVE", "COMPLETE_ADD", "COMPLETE_REMOVE")):
    """The change of a client's set of lite topics."""

    __slots__ = ()


class OffsetType(EnumName, names=("POLICY", "OFFSET", "TAIL_N", "TIMESTAMP")):
    """The meaning of the number in `OffsetOption`."""

    __slots__ = ()


class OffsetOption(Body):
    """The position at which a client begins a lite topic.

    Attributes:
        type: See `OffsetType`. POLICY 0 is the committed offset, 1 the first and 2 the end of the lite topic.
        value: Policy, offset, number of messages or time in milliseconds.
    """

    type: OffsetType
    value: int = 0


class LiteSubscription(Body):
    """One change of a client's lite topics; `topic` is their parent.

    Attributes:
        version: Number that the client chose. As in Apache's broker, it has no effect.
    """

    topic: str
    group: str
    client_id: str = ""
    action: LiteAction | None = None
    lite_topic_set: list[str] = msgspec.field(default_factory=list)
    offset_option: OffsetOption | None = None
    version: int = 0


class LiteSubscriptions(Body):
    """200071: changes of clients' lite topics."""

    subscription_set: list[LiteSubscription] = msgspec.field(default_factory=list)


class BrokerLiteInfo(Body):
    """Answer of 200074.

    Attributes:
        max_lmq_num: Maximum number of lite topics.
        order_info_count: Lite queues that are ready, counted for each group.
        cq_table_size: Queues of all topics.
        offset_table_size: Committed offsets.
        event_map_size: Clients with subscriptions.
        topic_meta: Minutes of the time to live, by parent topic.
        group_meta: Groups by parent topic.
    """

    store_type: str
    max_lmq_num: int
    current_lmq_num: int
    lite_subscription_count: int
    order_info_count: int
    cq_table_size: int
    offset_table_size: int
    event_map_size: int
    topic_meta: dict[str, int]
    group_meta: dict[str, list[str]]


class ParentTopicInfo(Body):
    """Answer of 200075.

    Attributes:
        ttl: Minutes, -1 for ever.
        lmq_num: Lite topics of all parents.
        lite_topic_count: Lite topics of this parent.
    """

    topic: str
    ttl: int
    groups: list[str]
    lmq_num: int
    lite_topic_count: int


class LiteSubscriber(Body):
    """A client that has subscribed to a lite topic."""

    client_id: str
    group: str


class LiteOffsets(Body):
    """The offsets of a lite topic, and when its last message was stored."""

    min_offset: int = 0
    max_offset: int = 0
    last_update_timestamp: int = 0


class LiteTopicInfo(Body):
    """Answer of 200076.

    Attributes:
        sharding_to_broker: True if the lite topic belongs to this broker.
    """

    parent_topic: str
    lite_topic: str
    subscriber: list[LiteSubscriber]
    topic_offset: LiteOffsets
    sharding_to_broker: bool = True


class LiteClientInfo(Body):
    """Answer of 200077.

    Attributes:
        last_access_time: Date of the client's last change of subscriptions or pop.
        last_consume_time: Date of its last pop.
        lite_topic_count: Number of its lite topics, -1 for an unknown client.
        lite_topic_set: Names of its lite queues, as many as the request wants.
    """

    parent_topic: str
    group: str
    client_id: str
    last_access_time: int
    last_consume_time: int
    lite_topic_count: int
    lite_topic_set: list[str]


class LiteProgress(Body):
    """The progress of a group in a lite topic."""

    broker_offset: int
    consumer_offset: int
    pull_offset: int
    last_timestamp: int


class LiteLag(Body):
    """A lite topic in which a group lags.

    Attributes:
        lite_topic: Name of the lite topic.
        lag_count: Messages that are not consumed.
        earliest_unconsumed_timestamp: Store time of the first of them.
    """

    lite_topic: str
    lag_count: int
    earliest_unconsumed_timestamp: int


class LiteGroupInfo(Body):
    """Answer of 200078. Without a lite topic, the numbers are those of all lite topics of the group."""

    group: str
    parent_topic: str
    lite_topic: str | None = None
    earliest_unconsumed_timestamp: int = -1
    total_lag_count: int = -1
    lite_topic_offset_wrapper: LiteProgress | None = None
    lag_count_top_k: list[LiteLag] = msgspec.field(name="lagCountTopK", default_factory=list)
    lag_timestamp_top_k: list[LiteLag] = msgspec.field(name="lagTimestampTopK", default_factory=list)
