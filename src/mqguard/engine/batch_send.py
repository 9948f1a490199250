"""A batch that is being stored: several messages that one request sends to one queue.

A batch may hold thousands of messages, so it is stored in slices: in several turns of the event loop, each of which
commits a part. All messages are checked before the first is staged.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from mqguard.engine.errors import MessageIllegal, StoreDown
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog
from mqguard.engine.messages import SendRequest, Sent
from mqguard.engine.produce import Producer, check_kind
from mqguard.model import batch, names, properties
from mqguard.model.errors import RecordInvalid

MAX_BATCH: Final = 32_768
"""Maximum number of messages of a batch. 190,000 empty ones would fit into the largest body."""
_SHORT_PROPERTIES: Final = properties.MAX_BYTES // 2
"""Bytes of properties that are within the limit after the broker has added its own."""
_NEED_PARSING: Final = tuple(
    name.encode() for name in (properties.DELAY, properties.TRAN_MSG, properties.TIMER_DELIVER_MS)
)
"""Parts of the names of all properties that may not be in a batch. `DELAY` is a part of other names too."""

_COMMIT_S: Final = 0.6e-6
"""Seconds that the commit takes for each value that is stored. The turn ends later by them."""


class BatchSend:
    """A batch of which some messages may be stored.

    Messages of other producers may come between those of two slices. If a commit fails, the slices before it stay.

    Args:
        request: The batch. `may_create` counts at the beginning only.
        producer: Checks and completes messages.
        log: Stages messages.
        turn: The current turn of the event loop.
        ticks: Clock in seconds.

    Raises:
        EngineError: see `Engine.send_batch`.
    """

    def __init__(
        self, request: SendRequest, producer: Producer, log: MessageLog, turn: GroupCommit, ticks: Callable[[], float]
    ) -> None:
        if names.owner_of(request.topic) is not None:
            raise MessageIllegal(f"batch request does not support retry or dead-letter topics: `{request.topic}`")
        request.queue_id = producer.place_of(request)
        request.may_create = False
        check_kind({}, request.sys_flag)
        if not request.body:
            raise MessageIllegal("the batch holds no message")
        self._request = request
        self._producer = producer
        self._log = log
        self._turn = turn
        self._ticks = ticks
        self._count = self._checked = self._staged = 0
        self._first_offset = -1
        self._message_ids: list[str] = []
        self._unique_ids: list[str] = []
        self._failed = False

    def advance(self, until: float) -> Sent | None:
        """Check or stage messages until a time of the clock, at least one.

        Call it again in a later turn if it returns None.

        Returns:
            Where the messages went once all are staged, true only once the turn is committed. None before.

        Raises:
            EngineError: see `Engine.send_batch`. What was staged is kept.
        """
        if self._failed:
            raise StoreDown("the store could not write a part of the batch")
        if self._checked:
            self._producer.place_of(self._request)
        if self._checked < len(self._request.body) and not self._check(until):
            return None
        self._turn.undo(self._fail)
        if not self._stage(until):
            return None
        message_ids, unique_ids = ",".join(self._message_ids), ",".join(self._unique_ids)
        return Sent(message_ids, self._request.queue_id, self._first_offset, unique_ids)

    @property
    def count(self) -> int:
        """The number of messages, as far as they were checked."""
        return self._count

    @property
    def staged(self) -> int:
        """The number of messages that were staged."""
        return len(self._message_ids)

    def _fail(self) -> None:
        self._failed = True

    def _check(self, until: float) -> bool:
        """Check messages, and return whether all are."""
        data, at = self._request.body, self._checked
        while at < len(data):
            if self._count == MAX_BATCH:
                raise MessageIllegal(f"the batch can not be read: it holds more than {MAX_BATCH} messages")
            try:
                part, at = batch.decode_at(data, at)
            except RecordInvalid as error:
                raise MessageIllegal(f"the batch can not be read: {error}") from error
            self._count += 1
            self._check_properties(part.properties)
            if self._ticks() >= until:
                break
        self._checked = at
        return at >= len(data)

    def _check_properties(self, data: bytes) -> None:
        # Preparing a message costs as much as staging it, and most need no more than these looks.
        if len(data) < _SHORT_PROPERTIES and data.isascii():
            for name in _NEED_PARSING:
                if name in data:
                    break
            else:
                return
        self._producer.prepare_part(self._request, data)

    def _stage(self, until: float) -> bool:
        """Stage messages, and return whether all are."""
        request, log = self._request, self._log
        data, at, queue_id = request.body, self._staged, request.queue_id
        message = msgspec.structs.replace(request)
        while at < len(data):
            part, at = batch.decode_at(data, at)
            message.body, message.flag = part.body, part.flag
            text, tag_code, hashes, unique_id = self._producer.prepare_part(request, part.properties)
            offset, physical = log.append_sent(message, queue_id, text, tag_code, hashes)
            if self._first_offset < 0:
                self._first_offset = offset
            self._message_ids.append(log.message_id(physical))
            self._unique_ids.append(unique_id)
            until -= _COMMIT_S * (2 + len(hashes))
            if self._ticks() >= until:
                break
        self._staged = at
        return at >= len(data)
