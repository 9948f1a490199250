"""A request loop that serves requests only while the users and policies of a member are valid."""

import logging
from collections.abc import Callable
from typing import Protocol

from mqguard.net.server import Application, CallApplication
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link
from mqguard.rpc.calls import Event, EventKind, GrpcStatus

_LOG = logging.getLogger(__name__)


class AccessFollower(Protocol):
    """Users and policies that are stored elsewhere, and are valid for some time.

    Attributes:
        outdated: The reason for refusals after this time.
        refused: Number of requests that were refused for it.
    """

    outdated: str
    refused: int

    @property
    def is_current(self) -> bool:
        """True if requests may be decided by these users and policies now."""
        ...  # pragma: no cover


class ValidityCheck:
    """Request loop of a process that stores no users and policies itself (`net.server.Application`).

    Args:
        app: The request loop.
        follower: The users and policies.
        refuse: Refuses the requests whose changes are not stored yet, with a reason.
    """

    def __init__(self, app: Application, follower: AccessFollower, refuse: Callable[[str], None]) -> None:
        self._app = app
        self._follower = follower
        self._refuse = refuse
        self._is_logged = False

    def connected(self, link: Link) -> None:
        """Note a client that is ready to send commands."""
        self._app.connected(link)

    def commands(self, link: Link, commands: list[Command]) -> None:
        """Serve commands, or refuse them while users and policies may be out of date."""
        if self.is_valid:
            self._app.commands(link, commands)
            return
        for command in commands:
            if command.is_response:
                continue
            self._follower.refused += 1
            if not command.is_oneway:
                link.send(encode_reply(command.opaque, ResponseCode.SYSTEM_BUSY, None, self._follower.outdated))

    def closed(self, link: Link) -> None:
        """Forget a client that has disconnected."""
        self._app.closed(link)

    def end_of_iteration(self) -> None:
        """Commit, unless users and policies may be out of date: waiting pulls must not be answered by them.

        The time can end between a request and its commit. Its client then gets an error at once: the next commit may
        be far away, and a change of rights may come before it.
        """
        if self.is_valid:
            self._app.end_of_iteration()
        else:
            self._refuse(self._follower.outdated)

    @property
    def reason(self) -> str:
        """The reason for refusals."""
        return self._follower.outdated

    @property
    def is_valid(self) -> bool:
        """True if requests are served."""
        is_valid = self._follower.is_current
        if is_valid is self._is_logged:
            self._is_logged = not is_valid
            if is_valid:
                _LOG.warning("users and policies are up to date, and requests are served again")
            else:
                _LOG.error("%s", self._follower.outdated)
        return is_valid


class CallValidityCheck:
    """Serves gRPC calls of a member (`net.server.CallApplication`).

    Args:
        calls: The server of calls.
        validity: The check of the member's request loop.

    Attributes:
        methods: The methods of the server.
    """

    def __init__(self, calls: CallApplication, validity: ValidityCheck) -> None:
        self._calls = calls
        self._validity = validity
        self.methods = calls.methods

    def calls(self, link: Link, events: list[Event]) -> None:
        """Serve events of calls, or refuse new calls while users and policies may be out of date."""
        if not self._validity.is_valid:
            reason = self._validity.reason
            begun = [event for event in events if event.kind in {EventKind.CALL, EventKind.MESSAGE}]
            for event in begun:
                event.call.fail(GrpcStatus.UNAVAILABLE, reason)
            events = [event for event in events if event not in begun]
        self._calls.calls(link, events)

    def end_calls(self) -> None:
        """End the calls that wait: the server stops."""
        self._calls.end_calls()
