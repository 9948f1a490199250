"""Requests to the engine to send a message, to send one back or to end a transaction, and the result of a send."""

from typing import NamedTuple, Protocol

import msgspec

from mqguard.model.names import TEMPLATE_TOPIC
from mqguard.model.peer import Peer


class RequestOrigin(Protocol):
    """Sender of a request."""

    peer: Peer

    @property
    def owner(self) -> str:
        """User or address for which the request counts in shares of bounded resources."""
        ...  # pragma: no cover


class SendRequest(msgspec.Struct, gc=False):
    """A message, or a batch of messages, that a producer sends.

    Attributes:
        topic: Topic of the message.
        body: Message body, or the body of a batch (`model.batch`).
        properties: Property text (`model.properties`); for a batch it is not used.
        group: Group of the producer.
        queue_id: Queue within the topic; if it is negative, the broker chooses one.
        flag: Number that the producer chose.
        sys_flag: Bits of `model.sysflag`; address bits are ignored.
        born_timestamp: Time when the client created it, in milliseconds since the epoch.
        born_ip: Address of the client's connection, as text.
        born_port: Port of the client's connection.
        reconsume_times: Number of failed deliveries so far (for sends to retry topics).
        max_reconsume_times: Maximum number of redeliveries; None for that of the group.
        default_topic: Template for a missing topic.
        default_queues: Number of queues that the client wants for a missing topic.
        may_create: True if a missing topic may be created. The caller sets it after a check by the guard.
        creator: User for which a new topic counts, None if it counts for no user.
        in_order: True if the group of the retry topic consumes in order now. Its consumers retry a message themselves,
            so a message that they send to the retry topic is a dead letter.
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


class SendResult(msgspec.Struct, gc=False):
    """Ids and offset of a sent message, valid only once the commit has succeeded.

    Attributes:
        message_id: Offset id; for a batch, the ids of all messages joined by commas.
        queue_id: Queue of the message.
        queue_offset: Offset in the queue; for a batch, that of its first message.
        unique_id: UNIQ_KEY of the message; for a batch, those of all messages joined by commas.
        due: Time at which a message for a time will be delivered, 0 for any other.
    """

    message_id: str
    queue_id: int
    queue_offset: int
    unique_id: str
    due: int = 0


class SendBack(msgspec.Struct, gc=False):
    """A message that a consumer sends back, to get it again later.

    Attributes:
        group: The consumer group.
        physical_offset: Physical offset of the message.
        delay_level: Delay level; 0 lets the broker choose one, a negative one means the dead-letter topic.
        max_reconsume_times: Maximum number of redeliveries; None for that of the group.
    """

    group: str
    physical_offset: int
    delay_level: int = 0
    max_reconsume_times: int | None = None


class SentBack(NamedTuple):
    """The copy of a message that a consumer has sent back.

    Attributes:
        original_topic: Topic of the message that was first sent.
        is_dead: True if the copy is in the dead-letter topic.
    """

    original_topic: str
    is_dead: bool


class EndOfTransaction(msgspec.Struct, gc=False):
    """Claims of a request to end a transaction, which must match the half message.

    Attributes:
        group: Producer group of the sender.
        queue_offset: Queue offset of the half message.
        from_check: True if the request answers a check.
    """

    group: str
    queue_offset: int
    from_check: bool = False
