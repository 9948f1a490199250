"""Requests that wait for plugins, with limits of number and bytes for all requests and for each sender."""

import collections
from collections.abc import Callable, Sequence
from typing import Protocol

from mqguard.dispatch.request import RequestRefused
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.plugin_calls import BUSY, Call, PluginCallsPending, PluginResults
from mqguard.model.peer import Peer, address_block
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

MAX_WAITING = 4_096
"""Maximum number of suspended requests."""
MAX_BYTES = 64 * 1024 * 1024
"""Maximum bytes of all suspended requests: their bodies, fields with names, and remarks."""
USER_SHARE = 4
"""Divisor: one user, or one address before authentication, gets a quarter of all places and bytes."""


class Suspension(Protocol):
    """Store of requests that wait for plugins."""

    def suspend(self, link: Link, command: Command, pending: PluginCallsPending, resume: Callable[[], None]) -> None:
        """Keep a request, and call `resume` when its plugins have answered or timed out."""
        ...  # pragma: no cover

    def resume(self, command: Command, peer: Peer, results: PluginResults) -> AdmittedRequest:
        """Decide about a request again, with the results of its plugins.

        Raises:
            Refused: The request is denied; the error has the code and the remark for the client.
            PluginCallsPending: It has to wait for more plugins.
        """
        ...  # pragma: no cover


class PluginCaller(Protocol):
    """Caller of plugins, in threads."""

    def ask(self, calls: Sequence[Call], answers: PluginResults, done: Callable[[], None]) -> None:
        """Start all calls, and call `done` once in the event loop, never before this method returns."""
        ...  # pragma: no cover


Resume = Callable[[Command, Peer, PluginResults], AdmittedRequest]


class SuspendedRequests:
    """Suspended requests, within limits; if there is no room for one, its plugins are not called.

    Args:
        plugins: Caller of the plugins.
        resume: Function of the guard that decides again with the results.
    """

    def __init__(self, plugins: PluginCaller, resume: Resume) -> None:
        self._plugins = plugins
        self.resume: Resume = resume
        self._waiting = 0
        self._bytes = 0
        # The key is (user, ""), or ("", address block) before the connection has authenticated.
        self._waiting_of: collections.Counter[tuple[str, str]] = collections.Counter()
        self._bytes_of: collections.Counter[tuple[str, str]] = collections.Counter()

    def __len__(self) -> int:
        return self._waiting

    def suspend(self, link: Link, command: Command, pending: PluginCallsPending, resume: Callable[[], None]) -> None:
        """Keep a request as `Suspension` does. If there is no room, call `resume` at once."""
        sender, size = _sender(link.peer), _size(command)
        if not self._has_room(sender, size):
            # The guard makes a denial of this with an audit record and an id, like any failure of a plugin.
            pending.answers.over = BUSY
            resume()
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
            resume()

        self._plugins.ask(pending.calls, pending.answers, done)

    def _has_room(self, sender: tuple[str, str], size: int) -> bool:
        if self._waiting >= MAX_WAITING or self._waiting_of.get(sender, 0) >= MAX_WAITING // USER_SHARE:
            return False
        # A request that is larger than a share gets room if its sender has no other one.
        held = self._bytes_of.get(sender, 0)
        fits_share = not held or held + size <= MAX_BYTES // USER_SHARE
        return fits_share and (not self._waiting or self._bytes + size <= MAX_BYTES)


def _sender(peer: Peer) -> tuple[str, str]:
    user = peer.channel.user
    return (user, "") if user else ("", address_block(peer.ip))


def _size(command: Command) -> int:
    fields = sum(len(name) + len(value) for name, value in command.ext.items())
    return len(command.body) + fields + len(command.remark or "")


class NoSuspension:
    """Suspension for a guard without plugins: no request can wait, so each is refused."""

    def suspend(self, link: Link, command: Command, pending: PluginCallsPending, resume: Callable[[], None]) -> None:  # noqa: ARG002
        """Refuse the request.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request needs plugins, which this server does not have")

    def resume(self, command: Command, peer: Peer, results: PluginResults) -> AdmittedRequest:  # noqa: ARG002
        """Refuse the request.

        Raises:
            RequestRefused: Always.
        """
        raise RequestRefused(ResponseCode.NO_PERMISSION, "the request needs plugins, which this server does not have")
