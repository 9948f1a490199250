"""Where requests wait for plugins: bounded, by number and by bytes, for all and for each connection."""

import collections
from collections.abc import Callable, Sequence
from typing import Protocol

from mqguard.dispatch.request import RequestRefused
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.plugin_calls import BUSY, Call, PluginCallsPending, PluginResults
from mqguard.model.peer import Peer, address_block
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

MAX_WAITING = 4_096
MAX_BYTES = 64 * 1024 * 1024
"""Bodies, fields with their names, and remarks of all requests that wait together."""
_SHARE = 4
"""One user, or one address whose connections have not authenticated, may have a quarter of all places and bytes."""


class Suspension(Protocol):
    """Where requests wait for plugins."""

    def park(self, link: Link, command: Command, waits: PluginCallsPending, go_on: Callable[[], None]) -> None:
        """Keep a request, and call `go_on` when its answers are there or its time is up."""
        ...  # pragma: no cover

    def resume(self, command: Command, peer: Peer, answers: PluginResults) -> AdmittedRequest:
        """Let a request in that has waited, or raise as the guard does.

        Raises:
            Refused: With code and remark for the peer.
            Waits: For more.
        """
        ...  # pragma: no cover


class PluginCaller(Protocol):
    """Asks plugins in threads."""

    def ask(self, calls: Sequence[Call], answers: PluginResults, done: Callable[[], None]) -> None:
        """Ask all at once, and call `done` in the event loop, once; never before this returns."""
        ...  # pragma: no cover


Resume = Callable[[Command, Peer, PluginResults], AdmittedRequest]


class SuspendedRequests:
    """Keeps requests within bounds while their plugins are asked; where there is no room, no plugin is asked.

    Args:
        asker: Asks.
        resume: The guard's.
    """

    def __init__(self, asker: PluginCaller, resume: Resume) -> None:
        self._asker = asker
        self.resume: Resume = resume
        self._waiting = 0
        self._bytes = 0
        # By user and no address, or by no user and the address before the connection has authenticated.
        self._waiting_of: collections.Counter[tuple[str, str]] = collections.Counter()
        self._bytes_of: collections.Counter[tuple[str, str]] = collections.Counter()

    def __len__(self) -> int:
        return self._waiting

    def park(self, link: Link, command: Command, waits: PluginCallsPending, go_on: Callable[[], None]) -> None:
        """See `Suspension`. Where there is no room, `go_on` is called at once."""
        sender, size = _sender(link.peer), _size(command)
        if not self._has_room(sender, size):
            # The guard makes a refusal of it, with a record and an id, as of whatever a plugin fails in.
            waits.answers.over = BUSY
            go_on()
            return
        self._waiting += 1
        self._bytes += size
        self._waiting_of[sender] += 1
        self._bytes_of[sender] += size

        def done() -> None:
            self._waiting -= 1
            self._bytes -= size
            self._waiting_of[sender] -= 1
            self._bytes_of[sender] -= size
            if not self._waiting_of[sender]:
                del self._waiting_of[sender], self._bytes_of[sender]
            go_on()

        self._asker.ask(waits.calls, waits.answers, done)

    def _has_room(self, sender: tuple[str, str], size: int) -> bool:
        if self._waiting >= MAX_WAITING or self._waiting_of.get(sender, 0) >= MAX_WAITING // _SHARE:
            return False
        # A request that is bigger than a share finds room where its sender has no other.
        held = self._bytes_of.get(sender, 0)
        fits_share = not held or held + size <= MAX_BYTES // _SHARE
        return fits_share and (not self._waiting or self._bytes + size <= MAX_BYTES)


def _sender(peer: Peer) -> tuple[str, str]:
    user = peer.channel.user
    return (user, "") if user else ("", address_block(peer.ip))


def _size(command: Command) -> int:
    fields = sum(len(name) + len(value) for name, value in command.ext.items())
    return len(command.body) + fields + len(command.remark or "")


class NoSuspension:
    """Where there are no plugins, nothing waits; what asks for it nevertheless is refused."""

    def park(self, link: Link, command: Command, waits: PluginCallsPending, go_on: Callable[[], None]) -> None:  # noqa: ARG002
        """Refuse.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request cannot wait for its checks here")

    def resume(self, command: Command, peer: Peer, answers: PluginResults) -> AdmittedRequest:  # noqa: ARG002
        """Refuse.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request cannot wait for its checks here")
