"""Answers to pops: the fields from which clients build handles, and records in the form that they need."""

from mqguard.engine.pop_request import PopBatch, PoppedMessage, PopRequest, PopResult
from mqguard.model import properties, record
from mqguard.model.properties import NAME_END, PAIR_END
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.pull import PopAnswer
from mqguard.remoting.pop_handles import (
    ORDERED_QUEUE,
    RETRY,
    all_offsets,
    attempt_counts,
    first_offsets,
    handle_of,
    mark_of,
    named_topic,
)


class PopAnswers:
    """Builder of answers.

    Args:
        broker: Name of the broker, which is part of handles.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker

    def found(self, popping: PopRequest, result: PopResult) -> Reply:
        """Return the answer with messages. It must not leave before the deliveries are stored."""
        marked = [(_mark(popping, batch), batch) for batch in result.batches]
        offsets = [(mark, batch.queue_id, [message.offset for message in batch.messages]) for mark, batch in marked]
        header = _header(popping, result)
        header.start_offset_info = first_offsets(offsets)
        header.msg_offset_info = all_offsets(offsets)
        if popping.in_order:
            header.order_count_info = attempt_counts(
                (mark, batch.queue_id, [(message.offset, message.attempts) for message in batch.messages])
                for mark, batch in marked
            )
        body = b"".join(
            message.record if batch.topic == popping.topic else self._retried(popping, result, batch, message)
            for batch in result.batches
            for message in batch.messages
        )
        return Reply(0, write(header), body, "FOUND", stored=True)

    def none(self, popping: PopRequest, result: PopResult, code: ResponseCode) -> Reply:
        """Return the answer without messages. Java clients need its fields too."""
        return Reply(code, write(_header(popping, result)), remark="NO_MESSAGE_IN_QUEUE")

    def peeked(self, popping: PopRequest, result: PopResult) -> Reply:
        """Return the answer to a peek."""
        body = b"".join(message.record for batch in result.batches for message in batch.messages)
        if not body:
            return self.none(popping, result, ResponseCode.PULL_NOT_FOUND)
        return Reply(0, write(_header(popping, result)), body, "FOUND")

    def _retried(self, popping: PopRequest, result: PopResult, batch: PopBatch, message: PoppedMessage) -> bytes:
        """Return the record of a message from a retry topic as a message of the popped topic with its handle.

        If the properties have no room for the handle, the record has the name of the retry topic, from which clients
        know it too.
        """
        handle = handle_of(
            batch.messages[0].offset,
            result.pop_time,
            popping.invisible_ms,
            RETRY,
            self._broker,
            batch.queue_id,
            message.offset,
        )
        decoded = record.decode(message.record)
        text = decoded.properties
        if text and not text.endswith(PAIR_END.encode()):
            text += PAIR_END.encode()
        text += f"{properties.POP_CK}{NAME_END}{handle}{PAIR_END}".encode()
        if len(text) <= properties.MAX_BYTES:
            decoded.topic = popping.topic
            decoded.properties = text
        else:
            decoded.topic = named_topic(popping.group, popping.topic)
        return record.encode(decoded)


def _mark(popping: PopRequest, batch: PopBatch) -> str:
    return mark_of(popping.topic) if batch.topic == popping.topic else RETRY


def _header(popping: PopRequest, result: PopResult) -> PopAnswer:
    return PopAnswer(
        pop_time=result.pop_time,
        invisible_time=popping.invisible_ms,
        revive_qid=ORDERED_QUEUE if popping.in_order else 0,
        rest_num=result.rest,
    )
