"""Bodies of clients and their groups, of queue assignment by the server, and of acknowledging in batches.

Request codes 34, 38, 41, 42, 46, 203, 204, 328, 400, 401, 200151.
"""

import msgspec

from mqguard.remoting.bodies.codec import Body, EnumName, MessageQueue


class ConsumeType(EnumName, names=("CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP")):
    """The way in which a consumer gets its messages."""

    __slots__ = ()


class MessageModel(EnumName, names=("BROADCASTING", "CLUSTERING")):
    """The consumers that get a message: all of a group, or one of them."""

    __slots__ = ()


class ConsumeFromWhere(
    EnumName,
    names=(
        "CONSUME_FROM_LAST_OFFSET",
        "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        "CONSUME_FROM_MIN_OFFSET",
        "CONSUME_FROM_MAX_OFFSET",
        "CONSUME_FROM_FIRST_OFFSET",
        "CONSUME_FROM_TIMESTAMP",
    ),
):
    """The position at which a new group begins."""

    __slots__ = ()


class RequestModeName(EnumName, names=("PULL", "POP")):
    """The requests by which a client of a group receives messages."""

    __slots__ = ()


class SubscriptionData(Body):
    """The subscription of a consumer to a topic.

    Attributes:
        sub_string: Text as written by the client: `*`, `TagA || TagB`.
        code_set: Hash codes of the tags; Go sends them as texts.
        sub_version: Grows with every change at the client (its clock).
        expression_type: `TAG` or `SQL92`.
    """

    topic: str
    sub_string: str = "*"
    tags_set: list[str] = msgspec.field(default_factory=list)
    code_set: list[int] = msgspec.field(default_factory=list)
    sub_version: int = 0
    expression_type: str = "TAG"
    class_filter_mode: bool = False


class ConsumerData(Body):
    """One consumer group of a client.

    Attributes:
        consume_type: `CONSUME_PASSIVELY` (push), `CONSUME_ACTIVELY` (pull) or `CONSUME_POP`.
        message_model: `CLUSTERING` or `BROADCASTING`.
        consume_from_where: `CONSUME_FROM_LAST_OFFSET`, `…_FIRST_OFFSET` or `…_TIMESTAMP`.
    """

    group_name: str
    consume_type: ConsumeType = ConsumeType("CONSUME_PASSIVELY")
    message_model: MessageModel = MessageModel("CLUSTERING")
    consume_from_where: ConsumeFromWhere = ConsumeFromWhere("CONSUME_FROM_LAST_OFFSET")
    subscription_data_set: list[SubscriptionData] = msgspec.field(default_factory=list)
    unit_mode: bool = False


class ProducerData(Body):
    """One producer group of a client."""

    group_name: str


class HeartbeatData(Body, rename={
    "client_id": "clientID",
    "producer_data_set": "producerDataSet",
    "consumer_data_set": "consumerDataSet",
    "heartbeat_fingerprint": "heartbeatFingerprint",
    "without_sub": "withoutSub",
}):  # fmt: skip
    """34: the producer and consumer groups of a connection.

    Attributes:
        heartbeat_fingerprint: Hash of the subscriptions of a 5.x client; 0 without one.
        without_sub: True if the subscriptions are left out because they have not changed.
    """

    client_id: str
    producer_data_set: list[ProducerData] = msgspec.field(default_factory=list)
    consumer_data_set: list[ConsumerData] = msgspec.field(default_factory=list)
    heartbeat_fingerprint: int = 0
    without_sub: bool = False


class ConsumerIdList(Body):
    """Answer of 38: the members of a group."""

    consumer_id_list: list[str]


class LockBatch(Body):
    """41 and 42: queues to lock or to release for one client of a group."""

    consumer_group: str
    client_id: str
    mq_set: list[MessageQueue]
    only_this_broker: bool = False


class LockedQueues(Body, rename={"queues": "lockOKMQSet"}):
    """Answer of 41: the queues that the client now holds."""

    queues: list[MessageQueue]


class CheckClient(Body):
    """46: a subscription to check."""

    client_id: str
    group: str
    subscription_data: SubscriptionData
    namespace: str | None = None


class ConnectionInfo(Body):
    """One client of a group; `language` by name."""

    client_id: str
    client_addr: str
    language: str
    version: int


class ConsumerConnection(Body):
    """Answer of 203: the consumers of a group, and their subscriptions."""

    connection_set: list[ConnectionInfo]
    subscription_table: dict[str, SubscriptionData]
    consume_type: str = "CONSUME_PASSIVELY"
    message_model: str = "CLUSTERING"
    consume_from_where: str = "CONSUME_FROM_LAST_OFFSET"


class ProducerConnection(Body):
    """Answer of 204: the producers of a group."""

    connection_set: list[ConnectionInfo]


class ProducerInfo(Body, rename={
    "client_id": "clientId",
    "remote_ip": "remoteIP",
    "language": "language",
    "version": "version",
    "last_update_timestamp": "lastUpdateTimestamp",
}):  # fmt: skip
    """One producer; times in milliseconds since the epoch."""

    client_id: str
    remote_ip: str
    language: str
    version: int
    last_update_timestamp: int


class ProducerTable(Body):
    """Answer of 328: all producers by group."""

    data: dict[str, list[ProducerInfo]]


class QueryAssignment(Body):
    """400: the queues of this client are requested."""

    topic: str
    consumer_group: str
    client_id: str
    message_model: MessageModel = MessageModel("CLUSTERING")
    strategy_name: str = "AVG"


class Assignment(Body):
    """One queue of a client; `mode` is `PULL` or `POP`."""

    message_queue: MessageQueue
    mode: str = "PULL"


class Assignments(Body):
    """Answer of 400; without a list the client keeps the queues that it has."""

    message_queue_assignments: list[Assignment] | None = None


class RequestMode(Body):
    """401: the way in which a group receives a topic's messages."""

    topic: str
    consumer_group: str
    mode: RequestModeName
    pop_share_queue_num: int = 0


class RequestModeTable(Body):
    """Answer of 402: the modes by topic and group."""

    message_request_mode_map: dict[str, dict[str, RequestMode]]


class AckGroup(Body, rename={
    "group": "c", "topic": "t", "retry": "r", "start_offset": "so", "queue_id": "q", "revive_queue_id": "rq",
    "pop_time": "pt", "invisible_time": "it", "bits": "b",
}):  # fmt: skip
    """Acknowledgements of one pop.

    Attributes:
        retry: `0` normal topic, `1` or `2` retry topic of version 1 or 2.
        bits: Base64 of a little-endian bit set; bit i acknowledges `start_offset + i`.
    """

    group: str
    topic: str
    retry: str
    start_offset: int
    queue_id: int
    revive_queue_id: int
    pop_time: int
    invisible_time: int
    bits: str


class BatchAck(Body):
    """200151: acknowledgements of many messages."""

    broker_name: str
    acks: list[AckGroup]
