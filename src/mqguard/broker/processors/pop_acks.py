"""Acknowledgements of popped messages (200051, 200151), and changes of their invisible time (200053).

A handle is a claim of the client. The guard has checked the permissions for the group and the topic of the request. The
engine then compares the handle with what this group has in flight. So no handle reaches messages of another group.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from mqguard.broker.statistics import Statistics
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.model.topic import LiteSettings
from mqguard.remoting.bodies.clients import AckGroup, BatchAck
from mqguard.remoting.bodies.codec import decode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.pull import AckHeader, ChangeInvisibleAnswer, ChangeInvisibleHeader
from mqguard.remoting.pop_handles import ORDERED_QUEUE, parse_handle, stored_topic

MAX_ACKED = 4_096
"""Maximum messages of a batch of acknowledgements. Each takes some 10 us."""
MAX_BITS = 64 * 1024
"""Maximum characters of the bit set of one part of such a batch."""
_NOT_IN_FLIGHT = "the message is not in flight with this handle: it was acknowledged, has expired or was changed"


class PopAckProcessor:
    """Handlers that end or extend deliveries of popped messages.

    Args:
        engine: Engine, which has the messages in flight.
        statistics: Statistics, which count acknowledgements.
        clock: Clock for the invisible time in answers.
    """

    def __init__(self, engine: Engine, statistics: Statistics, clock: Clock) -> None:
        self._engine = engine
        self._statistics = statistics
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.ACK_MESSAGE: self.ack,
            RequestCode.BATCH_ACK_MESSAGE: self.ack_all,
            RequestCode.CHANGE_MESSAGE_INVISIBLETIME: self.change,
        }

    def ack(self, request: Request) -> Reply:
        """Acknowledge a message (200051)."""
        header = read(request.command.ext, AckHeader)
        handle = parse_handle(header.extra_info)
        topic = self._stored(header)
        group = header.consumer_group
        if (handle.queue_id, handle.offset) != (header.queue_id, header.offset) or not self._engine.pop.ack(
            group, topic, header.queue_id, header.offset, handle.pop_time
        ):
            return Reply(ResponseCode.NO_MESSAGE, remark=_NOT_IN_FLIGHT)
        self._statistics.acknowledged(header.topic if header.lite_topic else topic, group, request.access.owner, 1)
        return Reply(stored=True)

    def ack_all(self, request: Request) -> Reply:
        """Acknowledge many messages (200151). The answer is 208 if any of them is not in flight with its handle."""
        parts = decode(request.command.body, BatchAck).acks
        acks = [(part, stored_topic(part.group, part.topic, part.retry), _bits(part)) for part in parts]
        total = sum(int.from_bytes(bits).bit_count() for _, _, bits in acks)
        if total > MAX_ACKED:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"the batch acknowledges {total} messages, and one request at most {MAX_ACKED}: split it",
            )
        done = 0
        for part, topic, bits in acks:
            acked = sum(
                self._engine.pop.ack(part.group, topic, part.queue_id, part.start_offset + bit, part.pop_time)
                for bit in _set_bits(bits)
            )
            if acked:
                self._statistics.acknowledged(topic, part.group, request.access.owner, acked)
            done += acked
        if done < total or not total:
            return Reply(ResponseCode.NO_MESSAGE, remark=f"{total - done} of {total}: {_NOT_IN_FLIGHT}", stored=True)
        return Reply(stored=True)

    def change(self, request: Request) -> Reply:
        """Change the invisible time of a message (200053)."""
        header = read(request.command.ext, ChangeInvisibleHeader)
        handle = parse_handle(header.extra_info)
        topic = self._stored(header)
        changed = None
        if (handle.queue_id, handle.offset) == (header.queue_id, header.offset):
            changed = self._engine.pop.change_invisible(
                header.consumer_group,
                topic,
                header.queue_id,
                header.offset,
                handle.pop_time,
                header.invisible_time,
                is_suspended=header.suspend,
            )
        if changed is None:
            # Java clients need the fields in every answer.
            none = write(ChangeInvisibleAnswer(pop_time=0, invisible_time=0, revive_qid=0))
            return Reply(ResponseCode.NO_MESSAGE, none, remark=_NOT_IN_FLIGHT)
        shown = header.invisible_time
        if changed.in_order:
            # The handle keeps its pop time, from which clients count the invisible time.
            shown = max(0, self._clock.now_ms() + shown - changed.pop_time)
        answer = ChangeInvisibleAnswer(
            pop_time=changed.pop_time,
            invisible_time=shown,
            revive_qid=ORDERED_QUEUE if changed.in_order else 0,
        )
        return Reply(ext=write(answer), stored=True)

    def _stored(self, header: AckHeader | ChangeInvisibleHeader) -> str:
        """Return the topic that stores a message, or the name of its lite queue.

        Raises:
            NoSuchTopic: The topic does not exist.
            RequestRefused: The request names a lite topic of a topic that is not the group's parent.
        """
        if header.lite_topic:
            self._engine.topics.require(header.topic)
            group = self._engine.groups.get(header.consumer_group)
            settings = None if group is None else LiteSettings.of(group.attributes)
            if settings is None or settings.parent != header.topic:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER,
                    f"subscription bind topic not match, {header.consumer_group} (`lite.bind.topic`)",
                )
            return names.lite_queue(header.topic, header.lite_topic)
        topic = stored_topic(header.consumer_group, header.topic)
        self._engine.topics.require(topic)
        return topic


def _bits(part: AckGroup) -> bytes:
    """Return the bit set of acknowledgements; the lowest bit of the first byte is that of the first message.

    Raises:
        RequestRefused: It is too long, or not base64.
    """
    try:
        if len(part.bits) <= MAX_BITS:
            return base64.b64decode(part.bits, validate=True)
    except binascii.Error:
        pass
    raise RequestRefused(
        ResponseCode.INVALID_PARAMETER, f"`b` of an acknowledgement is not base64 of at most {MAX_BITS} characters"
    )


_NOT_ZERO = re.compile(rb"[^\0]", re.DOTALL)


def _set_bits(bits: bytes) -> Iterator[int]:
    """Yield the numbers of the bits that are set, in time that grows with the number of bytes only."""
    for found in _NOT_ZERO.finditer(bits):
        at = found.start()
        byte = bits[at]
        for bit in range(8):
            if byte >> bit & 1:
                yield 8 * at + bit
