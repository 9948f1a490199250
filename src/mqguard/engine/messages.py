"""What a send asks for and what it gets."""

import msgspec

from mqguard.model.names import TEMPLATE_TOPIC


class SendRequest(msgspec.Struct, gc=False):
    """One message, or one batch, that a producer sends.

    Attributes:
        topic: Where to.
        body: Message body, or the body of a batch (`model.batch`).
        properties: Property text (`model.properties`); of a batch, what all its messages share (unused).
        group: The producer's group.
        queue_id: Queue within the topic; negative lets the broker choose.
        flag: The user's number.
        sys_flag: Bits of `model.sysflag`; address bits are ignored.
        born_timestamp: When the client made it, milliseconds since the epoch.
        born_ip: Address of the client's connection, as text.
        born_port: Port of the client's connection.
        reconsume_times: Deliveries that have failed so far (sends to retry topics).
        max_reconsume_times: The client's limit of deliveries; None leaves it to the group.
        default_topic: Template for a missing topic.
        default_queues: Queues that the client wishes a missing topic to have.
        may_create: Whether a missing topic may be made. The caller grants this after asking the guard.
        creator: The user that a topic made by this send counts for, None for nobody.
        in_order: Whether the group of the retry topic consumes in order now: it tries a message on the spot, so what
            it sends back has been tried enough.
    """

    topic: str
    body: bytes
    properties: str = ""
    group: str = ""
    queue_id: int = -1
    flag: int = 0
    sys_flag: int = 0
    born_timestamp: int = 0
    born_ip: str = ""
    born_port: int = 0
    reconsume_times: int = 0
    max_reconsume_times: int | None = None
    default_topic: str = TEMPLATE_TOPIC
    default_queues: int = 4
    may_create: bool = False
    creator: str | None = None
    in_order: bool = False


class Sent(msgspec.Struct, gc=False):
    """Where a message went. True only once the turn is committed.

    Attributes:
        message_id: Offset id; of a batch, the ids of all messages joined by commas.
        queue_id: The queue.
        queue_offset: The place in the queue; of a batch, that of its first message.
        unique_id: The message's UNIQ_KEY; of a batch, those of all messages joined by commas.
    """

    message_id: str
    queue_id: int
    queue_offset: int
    unique_id: str


class SendBack(msgspec.Struct, gc=False):
    """A consumer gives a message back, to get it again later (request 36).

    Attributes:
        group: The consumer group.
        physical_offset: Which message.
        delay_level: 0 lets the broker choose, negative sends it to the dead-letter topic, else a delay level.
        origin_message_id: Id by which the consumer knows the message; only shown to people.
        max_reconsume_times: The client's limit of deliveries; None leaves it to the group.
    """

    group: str
    physical_offset: int
    delay_level: int = 0
    origin_message_id: str = ""
    max_reconsume_times: int | None = None
