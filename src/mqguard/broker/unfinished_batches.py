"""Batches that are too large for one iteration of the event loop, stored in slices, with a limit of their bytes."""

from collections.abc import Callable
from typing import Final

from mqguard.dispatch.request import DeferredReply, Request, RequestRefused, error_reply
from mqguard.engine.batch_send import BatchSend
from mqguard.engine.fair_shares import FairQuota
from mqguard.engine.group_commit import GroupCommit
from mqguard.engine.messages import SendResult
from mqguard.model.peer import Channel
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Reply

# Rule 1: a batch gets one answer, when its last slice is committed or when it cannot be continued.
# Rule 2: each slice is stored only if the sender still has the permissions at that time.


MAX_BYTES: Final = 32 * 1024 * 1024
"""Maximum bytes of unfinished batches. One user may use all of them; others still get an equal share."""
BUSY: Final = "too many batches are being stored: wait for their answers before you send more"
CHANGED: Final = "the account or the rights of the sender changed while the batch was being stored: send the rest again"

ReplyTo = Callable[[SendResult], Reply]
"""Function that makes the answer for a stored batch."""


class UnfinishedBatches:
    """Batches that are being stored in several slices.

    Args:
        group_commit: Commit that includes each slice.
    """

    def __init__(self, group_commit: GroupCommit) -> None:
        self._group_commit = group_commit
        self._shares = FairQuota(MAX_BYTES)
        self._of: dict[Channel, dict[int, tuple[str, int]]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._shares)

    def require_room(self, request: Request) -> None:
        """Refuse a batch for which there is no room.

        Raises:
            RequestRefused: Too many batches are unfinished.
        """
        if not self._shares.allows(request.access.owner, len(request.command.body)):
            raise RequestRefused(ResponseCode.SYSTEM_BUSY, BUSY)

    def add(self, request: Request, batch: BatchSend, reply_to: ReplyTo) -> None:
        """Store the rest of a batch in later iterations of the event loop, then answer the request."""
        owner, size, channel = request.access.owner, len(request.command.body), request.link.peer.channel
        self._number += 1
        number = self._number
        self._of.setdefault(channel, {})[number] = owner, size
        self._shares.change(owner, size)
        request = request.without_body()

        def work(until: float) -> bool:
            if self._advance(request, batch, reply_to, until):
                return True
            self._remove(channel, number)
            return False

        request.link.work.add(work)

    def leave(self, channel: Channel) -> None:
        """Remove the batches of a closed connection; their stored slices stay."""
        for owner, size in self._of.pop(channel, {}).values():
            self._shares.change(owner, -size)

    def _remove(self, channel: Channel, number: int) -> None:
        numbers = self._of.get(channel)
        if numbers is None:
            return
        owner, size = numbers.pop(number)
        self._shares.change(owner, -size)
        if not numbers:
            del self._of[channel]

    def _advance(self, request: Request, batch: BatchSend, reply_to: ReplyTo, until: float) -> bool:
        """Store the next slice, and return True if more is left."""
        try:
            if not request.access.is_current() and not request.access.still_allowed():
                raise RequestRefused(ResponseCode.NO_PERMISSION, CHANGED)  # noqa: TRY301 - handled like all failures below
            sent = batch.advance(until)
        except Exception as exc:  # noqa: BLE001 - any failure must be answered
            reply = error_reply(request.command.code, exc)
            request.respond(Reply(reply.code, remark=_with_extent(reply.remark, batch)))
            return False
        if sent is None:
            return True
        if not request.command.is_oneway:
            frame = request.encode(reply_to(sent))
            self._group_commit.defer(_BatchReply(request.link, frame, request.command.opaque, batch))
        return False


class _BatchReply(DeferredReply, eq=False):
    """Reply to a batch, sent once its last slice is stored."""

    batch: BatchSend

    def remark(self, reason: str) -> str:
        return _with_extent(reason, self.batch)


def _with_extent(reason: str | None, batch: BatchSend) -> str:
    """Return the remark with the number of messages that may be stored."""
    staged = f"at most the first {batch.staged} of its messages are stored" if batch.staged else "nothing was stored"
    return f"the batch was not stored completely, {staged}: {reason}"
