"""Ext fields of clients and their groups (34, 35, 38, 40, 41, 42, 203, 204, 307, 309, 328)."""

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
