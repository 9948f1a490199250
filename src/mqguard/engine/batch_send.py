"""Storing of a batch: several messages that one request sends to one queue.

A batch may hold thousands of messages, so it is stored in slices. Each slice is committed in another iteration of the
event loop. All messages are checked before the first is staged.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from mqguard.engine.errors import MessageIllegal, StoreDown
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.log import MessageLog
from mqguard.engine.messages import SendRequest, SendResult
from mqguard.engine.sender import Sender, check_kind
from mqguard.model import names, properties
from mqguard.model.record import RecordInvalid, decode_batch_message

MAX_BATCH: Final = 32_768
"""Maximum number of messages of a batch. 190,000 empty ones would fit into the largest body."""
_SHORT_PROPERTIES: Final = properties.MAX_BYTES // 2
"""Maximum bytes of properties that surely stay within the limit after the broker has added its own."""
_NEED_PARSING: Final = tuple(
    name.encode() for name in (properties.DELAY, properties.TRAN_MSG, properties.TIMER_DELIVER_MS)
)
"""Parts of the names of all properties that a batch must not have. `DELAY` is a part of other names too."""

_COMMIT_S: Final = 0.6e-6
"""Seconds that the commit takes for each stored value; a slice ends earlier by them."""


class BatchSend:
    """A batch with the progress of its checks and its storing.

    Messages of other producers may be stored between those of two slices. If a commit fails, earlier slices stay.

    Args:
        request: The batch. Its `may_create` is used at the beginning only.
        sender: Sender that checks and completes the messages.
        log: Log to which the messages are appended.
        group_commit: Commit that includes each slice.
        ticks: Clock in seconds.

    Raises:
        EngineError: See `Engine.send_batch`.
    """

    def __init__(
        self,
        request: SendRequest,
        sender: Sender,
        log: MessageLog,
        group_commit: GroupCommit,
        ticks: Callable[[], float],
    ) -> None:
        if names.owner_of(request.topic) is not None:
            raise MessageIllegal(f"batch request does not support retry or dead-letter topics: `{request.topic}`")
        request.queue_id = sender.check(request)
        request.may_create = False
        check_kind({}, request.sys_flag)
        if not request.body:
            raise MessageIllegal("the batch holds no messages")
        self._request = request
        self._sender = sender
        self._log = log
        self._group_commit = group_commit
        self._ticks = ticks
        self._count = self._checked = self._staged = 0
        self._first_offset = -1
        self._message_ids: list[str] = []
        self._unique_ids: list[str] = []
        self._failed = False

    def advance(self, until: float) -> SendResult | None:
        """Check or stage messages until a time of the clock, at least one.

        If it returns None, call it again after the next commit.

        Returns:
            The result once all messages are staged, valid only once the commit has succeeded. None before.

        Raises:
            EngineError: See `Engine.send_batch`. Messages that were staged before are kept.
        """
        if self._failed:
            raise StoreDown("the store could not write a part of the batch")
        if self._checked:
            self._sender.check(self._request)
        if self._checked < len(self._request.body) and not self._check(until):
            return None
        self._group_commit.undo(self._fail)
        if not self._stage(until):
            return None
        message_ids, unique_ids = ",".join(self._message_ids), ",".join(self._unique_ids)
        return SendResult(message_ids, self._request.queue_id, self._first_offset, unique_ids)

    @property
    def count(self) -> int:
        """Number of messages that were checked."""
        return self._count

    @property
    def staged(self) -> int:
        """Number of messages that were staged."""
        return len(self._message_ids)

    def _fail(self) -> None:
        self._failed = True

    def _check(self, until: float) -> bool:
        """Check messages, and return True once all are checked."""
        data, at = self._request.body, self._checked
        while at < len(data):
            if self._count == MAX_BATCH:
                raise MessageIllegal(f"the batch cannot be read: it holds more than {MAX_BATCH} messages")
            try:
                part, at = decode_batch_message(data, at)
            except RecordInvalid as error:
                raise MessageIllegal(f"the batch cannot be read: {error}") from error
            self._count += 1
            self._check_properties(part.properties)
            if self._ticks() >= until:
                break
        self._checked = at
        return at >= len(data)

    def _check_properties(self, data: bytes) -> None:
        # Preparing a message costs as much as staging it. Most messages need only these quick checks.
        if len(data) < _SHORT_PROPERTIES and data.isascii():
            for name in _NEED_PARSING:
                if name in data:
                    break
            else:
                return
        self._sender.prepare_part(self._request, data)

    def _stage(self, until: float) -> bool:
        """Stage messages, and return True once all are staged."""
        request, log = self._request, self._log
        data, at, queue_id = request.body, self._staged, request.queue_id
        message = msgspec.structs.replace(request)
        while at < len(data):
            part, at = decode_batch_message(data, at)
            message.body, message.flag = part.body, part.flag
            text, tag_code, hashes, unique_id = self._sender.prepare_part(request, part.properties)
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
