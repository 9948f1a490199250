"""Snapshots of the broker's data, for a backup; the request codes are mqguard's own."""

from typing import Protocol

from mqguard.broker.background import Background, answer_later
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.operations import SnapshotInfo
from mqguard.remoting.codes import OwnCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.operations import SnapshotHeader


class Snapshots(Protocol):
    """Snapshots of the data on the broker's disk. All functions run on a thread, and may take long."""

    def take(self) -> SnapshotInfo:
        """Take a snapshot, which stays until it is dropped or the broker starts again.

        Raises:
            MqguardError: It cannot be taken.
        """
        ...  # pragma: no cover

    def drop(self, snapshot_id: str) -> bool:
        """Remove a snapshot; return False if there is none with this id.

        Raises:
            MqguardError: It cannot be removed.
        """
        ...  # pragma: no cover


class BackupProcessor:
    """Handlers that take and drop snapshots.

    Args:
        snapshots: The snapshots.
        background: The thread for the work.
    """

    def __init__(self, snapshots: Snapshots, background: Background) -> None:
        self._snapshots = snapshots
        self._background = background

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {OwnCode.TAKE_SNAPSHOT: self.take, OwnCode.DROP_SNAPSHOT: self.drop}

    def take(self, request: Request) -> None:
        """Take a snapshot of the data."""
        answer_later(self._background, request, lambda: Reply(body=encode(self._snapshots.take())))

    def drop(self, request: Request) -> None:
        """Remove a snapshot."""
        wanted = read(request.command.ext, SnapshotHeader).snapshot_id
        if not wanted:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "the field `snapshotId` is missing or empty")

        def work() -> Reply:
            if self._snapshots.drop(wanted):
                return Reply()
            return Reply(ResponseCode.QUERY_NOT_FOUND, remark="no snapshot has this id")

        answer_later(self._background, request, work)
