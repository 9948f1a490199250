"""Receipt handles: the texts by which consumers name messages that they have received.

A receipt handle is the handle of the broker with the message's physical offset at its end. A peer may send any text.
The broker compares it with what the group has in flight, so that no handle reaches messages of another group.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from mqguard.model import names, properties, record
from mqguard.model.record import Record
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.command import Command
from mqguard.remoting.pop_handles import NORMAL, ORDERED_QUEUE, RETRY, RETRY_V2, named_topic
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_HANDLE: Final = 1_024
"""Maximum characters of a receipt handle."""
NOT_OURS: Final = "the receipt handle is not one of this server"
_MAX_DIGITS: Final = 19
_FIELDS: Final = 9
_POP_FIELDS: Final = 8


class Receipt(NamedTuple):
    """The fields of a receipt handle.

    Attributes:
        first: First offset of the pop.
        pop_time: Time of the pop, milliseconds since the epoch.
        invisible_ms: Milliseconds until the message is delivered again.
        revive: Number of the revive queue; it shows if the message was popped in order.
        mark: The kind of topic that contains the message.
        broker: Name of the broker.
        queue_id: The queue.
        offset: Offset of the message.
        physical: Physical offset of the message.
        lite: The lite topic of the message, empty for any other message.
    """

    first: int
    pop_time: int
    invisible_ms: int
    revive: int
    mark: str
    broker: str
    queue_id: int
    offset: int
    physical: int
    lite: str = ""

    @property
    def text(self) -> str:
        """The handle as clients get it."""
        return " ".join(map(str, self if self.lite else self[:_FIELDS]))

    @classmethod
    def parse(cls, text: str) -> "Receipt":
        """Parse a handle.

        Raises:
            CallRefused: The text is not a receipt handle.
        """
        fields = text.split(" ") if len(text) <= MAX_HANDLE else []
        lite = fields.pop() if len(fields) == _FIELDS + 1 else None
        numbers = [fields[at] for at in (0, 1, 2, 3, 6, 7, 8)] if len(fields) == _FIELDS else []
        if (
            not numbers
            or not all(number.isascii() and number.isdecimal() and len(number) <= _MAX_DIGITS for number in numbers)
            or (lite is not None and names.lite_topic_fault(lite) is not None)
        ):
            raise CallRefused(pb.INVALID_RECEIPT_HANDLE, NOT_OURS)
        first, pop_time, invisible, revive, queue_id, offset, physical = map(int, numbers)
        place = fields[4], fields[5], queue_id, offset, physical
        return cls(first, pop_time, invisible, revive, *place, lite or "")

    def topic(self, group: str, topic: str) -> str:
        """Return the topic that the broker expects for a message of a topic."""
        return named_topic(group, topic) if self.mark in {RETRY, RETRY_V2} else topic

    @property
    def is_in_order(self) -> bool:
        """True if the message was popped in order."""
        return self.revive == ORDERED_QUEUE


class ReceivedMessage(NamedTuple):
    """One message of a pop.

    Attributes:
        record: The message.
        handle: Its receipt handle.
        attempt: Number of this delivery, from 1 on.
    """

    record: Record
    handle: str
    attempt: int


def received(answer: Command, broker: str) -> Iterator[ReceivedMessage]:
    """Yield the messages in the answer to a pop.

    Args:
        answer: The answer, with messages.
        broker: Name of the broker.
    """
    ext = answer.ext
    pop_time, invisible, revive = int(ext["popTime"]), int(ext["invisibleTime"]), int(ext["reviveQid"])
    firsts = _numbers(ext.get("startOffsetInfo", ""))
    counts = _numbers(ext.get("orderCountInfo", ""))
    for one in record.decode_all(answer.body):
        place, physical = one.queue_offset, one.physical_offset
        handle = properties.value_of(one.properties.decode(errors="replace"), properties.POP_CK)
        if handle is None:
            first = firsts.get((NORMAL, str(one.queue_id)), place)
            text = Receipt(first, pop_time, invisible, revive, NORMAL, broker, one.queue_id, place, physical).text
        else:
            text = " ".join([*handle.split(" ")[:_POP_FIELDS], str(physical)])
        tries = counts.get((NORMAL, f"qo{one.queue_id}%{place}"), one.reconsume_times)
        yield ReceivedMessage(one, text, max(tries, one.reconsume_times) + 1)


def received_lite(answer: Command, broker: str) -> Iterator[ReceivedMessage]:
    """Yield the messages in the answer to a pop of lite topics.

    Args:
        answer: The answer, with messages.
        broker: Name of the broker.
    """
    ext = answer.ext
    pop_time, invisible, revive = int(ext["popTime"]), int(ext["invisibleTime"]), int(ext["reviveQid"])
    counts = [int(count) for count in ext.get("orderCountInfo", "").split(";") if count]
    for number, one in enumerate(record.decode_all(answer.body)):
        pairs = properties.parse(one.properties.decode(errors="replace"))
        offset, lite = pairs.get(properties.INNER_MULTI_QUEUE_OFFSET, ""), pairs.get(properties.LITE_TOPIC, "")
        if not offset.isdecimal():
            continue  # it is in several lite topics, and has no handle (Apache: `MQClientAPIImpl`)
        place = NORMAL, broker, 0, int(offset), one.physical_offset
        handle = Receipt(0, pop_time, invisible, revive, *place, lite).text
        tries = counts[number] if number < len(counts) else 0
        yield ReceivedMessage(one, handle, max(tries, one.reconsume_times) + 1)


def _numbers(text: str) -> dict[tuple[str, str], int]:
    """Read `mark place number;…`."""
    found: dict[tuple[str, str], int] = {}
    for part in filter(None, text.split(";")):
        mark, place, number = part.split(" ")
        found[mark, place] = int(number)
    return found
