"""Where requests wait for plugins: bounded, by number and by bytes, for all and for each connection."""

import collections
from collections.abc import Callable, Sequence
from typing import Protocol

from mqguard.broker.errors import RequestRefused
from mqguard.guard.asking import BUSY, Answers, Call, Waits
from mqguard.guard.context import Access
from mqguard.model.channel import Channel
from mqguard.model.peer import Peer
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

MOST_WAITING = 4_096
MOST_OF_ONE = 1_024
MOST_BYTES = 64 * 1024 * 1024
"""Bodies, fields with their names, and remarks of all requests that wait together."""


class Parking(Protocol):
    """Where requests wait for plugins."""

    def park(self, link: Link, command: Command, waits: Waits, go_on: Callable[[], None]) -> None:
        """Keep a request, and call `go_on` when its answers are there or its time is up."""
        ...  # pragma: no cover

    def resume(self, command: Command, peer: Peer, answers: Answers) -> Access:
        """Let a request in that has waited, or raise as the guard does.

        Raises:
            Refused: With code and remark for the peer.
            Waits: For more.
        """
        ...  # pragma: no cover


class Asker(Protocol):
    """Asks plugins in threads."""

    def ask(self, calls: Sequence[Call], answers: Answers, done: Callable[[], None]) -> None:
        """Ask all at once, and call `done` in the event loop, once; never before this returns."""
        ...  # pragma: no cover


Resume = Callable[[Command, Peer, Answers], Access]


class ParkedRequests:
    """Keeps requests within bounds while their plugins are asked; where there is no room, no plugin is asked.

    Args:
        asker: Asks.
        resume: The guard's.
    """

    def __init__(self, asker: Asker, resume: Resume) -> None:
        self._asker = asker
        self.resume: Resume = resume
        self._waiting = 0
        self._bytes = 0
        self._of: collections.Counter[Channel] = collections.Counter()

    def __len__(self) -> int:
        return self._waiting

    def park(self, link: Link, command: Command, waits: Waits, go_on: Callable[[], None]) -> None:
        """See `Parking`. Where there is no room, `go_on` is called at once."""
        channel, size = link.peer.channel, _size(command)
        if (
            self._waiting >= MOST_WAITING
            or self._of[channel] >= MOST_OF_ONE
            or (self._waiting and self._bytes + size > MOST_BYTES)
        ):
            # The guard makes a refusal of it, with a record and an id, as of whatever a plugin fails in.
            waits.answers.over = BUSY
            go_on()
            return
        self._waiting += 1
        self._bytes += size
        self._of[channel] += 1

        def done() -> None:
            self._waiting -= 1
            self._bytes -= size
            self._of[channel] -= 1
            if not self._of[channel]:
                del self._of[channel]
            go_on()

        self._asker.ask(waits.calls, waits.answers, done)


def _size(command: Command) -> int:
    fields = sum(len(name) + len(value) for name, value in command.ext.items())
    return len(command.body) + fields + len(command.remark or "")


class NoParking:
    """Where there are no plugins, nothing waits; what asks for it nevertheless is refused."""

    def park(self, link: Link, command: Command, waits: Waits, go_on: Callable[[], None]) -> None:  # noqa: ARG002
        """Refuse.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request cannot wait for its checks here")

    def resume(self, command: Command, peer: Peer, answers: Answers) -> Access:  # noqa: ARG002
        """Refuse.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request cannot wait for its checks here")
