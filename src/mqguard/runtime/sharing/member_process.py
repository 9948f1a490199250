"""The processes that share users and policies, as their owner sees them."""

import asyncio
import collections
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, cast

from mqguard.runtime.sharing import messages

_LOG = logging.getLogger(__name__)

MAX_UNSENT_BYTES: Final = 256 << 20
"""Maximum number of bytes that wait for a member. Beyond it, the connection is closed."""
_OLD_FILE_S: Final = 10.0
"""Age in seconds from which the file of an ended member is removed: a newer one may not be locked yet."""


class _Push(NamedTuple):
    """A message with a revision that a member has not applied.

    Attributes:
        revision: The revision.
        earlier_until_ms: End of the time that earlier messages gave the member.
        sent_ms: Time of the message.
    """

    revision: int
    earlier_until_ms: int
    sent_ms: int


class MemberProcess:
    """A process that follows an owner, or has followed an earlier one.

    Args:
        lock: The file that it has locked.
        granted_until_ms: End of the time for which it may decide without further messages.

    Attributes:
        broker: Name of its broker.
        link: Its connection, None if there is none.
        announced: Name of the broker that it has announced, empty before that.
        applied: The revision that it has applied.
        pushes: Messages with revisions that it has not applied.
        is_logged: True if it was logged as slow.
    """

    def __init__(self, lock: Path, granted_until_ms: int = 0) -> None:
        self.lock = lock
        self.broker = ""
        self.link: OwnerLink | None = None
        self.announced = ""
        self.applied = -1
        self.granted_until_ms = granted_until_ms
        self.pushes: collections.deque[_Push] = collections.deque()
        self.is_logged = False

    def blocks(self, revision: int, now_ms: int) -> bool:
        """True if the member may still decide by a revision before this one."""
        if self.applied >= revision:
            return False
        push = next((push for push in self.pushes if push.revision >= revision), None)
        return now_ms < (self.granted_until_ms if push is None else push.earlier_until_ms)

    def pushed(self, revision: int, until_ms: int, now_ms: int) -> None:
        """Note a message with a revision.

        Args:
            revision: The revision.
            until_ms: End of the time that the message gives the process; the earlier one if it was not sent.
            now_ms: The time.
        """
        self.pushes.append(_Push(revision, self.granted_until_ms, now_ms))
        self.granted_until_ms = max(self.granted_until_ms, until_ms)

    def take_applied(self, revision: int) -> None:
        """Note the revision that it has applied."""
        self.applied = revision
        while self.pushes and self.pushes[0].revision <= revision:
            self.pushes.popleft()


class OwnerLink(asyncio.Protocol):
    """The connection to one member.

    Attributes:
        member: The member, None before its first message.
    """

    def __init__(self, received: Callable[["OwnerLink", object], None], lost: Callable[["OwnerLink"], None]) -> None:
        self.member: MemberProcess | None = None
        self._on_received, self._on_lost = received, lost
        self._reader = messages.MessageReader(messages.FromMember, messages.MAX_FROM_MEMBER_BYTES)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        try:
            for message in self._reader.feed(data):
                if self._transport is not None:
                    self._on_received(self, message)
        except Exception:  # noqa: BLE001 - one member must not end the others
            _LOG.exception("a message of a process that shares users and policies could not be served")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        del exc
        self._transport = None
        self._on_lost(self)

    def send(self, data: bytes) -> bool:
        """Send bytes; return False if they were not sent."""
        if self._transport is None:
            return False
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.close()
            return False
        self._transport.write(data)
        return True

    def end(self) -> None:
        """Close the connection once everything was sent."""
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()


def has_ended(lock: Path) -> bool:
    """True if the process that locked a file has ended."""
    try:
        file = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def remove_old(lock: Path) -> None:
    """Remove the file of an ended process, unless it is so new that it may not be locked yet."""
    with contextlib.suppress(OSError):
        if lock.stat().st_mtime < time.time() - _OLD_FILE_S:
            lock.unlink()
