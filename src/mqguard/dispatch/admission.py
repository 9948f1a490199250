"""Admission of frames: the one place where a command becomes the request that the guard decides about."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from mqguard.auth.errors import AuthenticationFailed
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.permissions import PermissionsFound
from mqguard.guard.plugin_calls import PluginResults
from mqguard.guard.request_context import Purpose, RequestContext
from mqguard.guard.requirements.evaluation import RemotingOperation, Requirements
from mqguard.model.names import TEMPLATE_TOPIC
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signed_content import ACCESS_KEY, SECURITY_TOKEN, SIGNATURE, signed_content


class RemotingRequest(msgspec.Struct, frozen=True, gc=False):
    """A command in the form of the guard (`RequestContext`).

    Attributes:
        operation: The operation of the request code.
        peer: The connection.
        access_key: The user name that the request claims, None if it names none.
        signature: The signature, None if there is none.
        command: The command.
    """

    operation: RemotingOperation
    peer: Peer
    access_key: str | None
    signature: str | None
    command: Command

    @property
    def token(self) -> str | None:
        """The security token, None if there is none."""
        return self.command.ext.get(SECURITY_TOKEN)

    @property
    def malformed(self) -> AuthenticationFailed | None:
        """None: any texts in the two fields are credentials."""
        return None

    def signed_content(self) -> bytes:
        """Return the bytes that the signature covers."""
        command = self.command
        return signed_content(command.ext, command.body, command.version)

    def signed_content_without_token(self) -> bytes:
        """Return the bytes that the signature covers if the client leaves the token out."""
        command = self.command
        ext = {name: value for name, value in command.ext.items() if name != SECURITY_TOKEN}
        return signed_content(ext, command.body, command.version)

    def required_permissions(self) -> PermissionsFound:
        """Find the permissions that the request needs.

        Raises:
            PermissionsUnclear: See `RequestContext.required_permissions`.
        """
        return self.operation.find(self.command)

    def is_public(self) -> bool:
        """Return True for the route of `TBW102`: it contains the addresses that the brokers advertise, and no topic."""
        return self.operation.purpose is Purpose.ROUTE and self.command.ext.get("topic") == TEMPLATE_TOPIC

    def is_pending(self) -> bool:
        """Return True if the request reaches more than it names, so that its handler must ask the guard again."""
        pending = self.operation.pending
        return pending is not None and pending(self.command)


class AccessGuard(Protocol):
    """The guard, as far as admission needs it."""

    def admit(self, request: RequestContext) -> AdmittedRequest:
        """Admit a request.

        Raises:
            Refused: The request is denied.
        """
        ...  # pragma: no cover


Resume = Callable[[RequestContext, PluginResults], AdmittedRequest]
"""Decides again about a request that has waited for plugins (`PluginGuard.resume`)."""


class RemotingAdmission:
    """Admission of the requests of one port or several.

    Args:
        guard: The guard.
        cluster: Name of the cluster that is served.
        resume: The guard's function for requests that have waited for plugins; None without plugins.
    """

    def __init__(self, guard: AccessGuard, cluster: str, resume: Resume | None = None) -> None:
        self._admit = guard.admit
        self._resume = resume
        requirements = Requirements(cluster)
        self._operation = requirements.operation
        self._known = requirements.known

    def request(self, command: Command, peer: Peer) -> RemotingRequest:
        """Return a command in the form of the guard."""
        ext = command.ext
        return RemotingRequest(self._operation(command.code), peer, ext.get(ACCESS_KEY), ext.get(SIGNATURE), command)

    def admit(self, command: Command, peer: Peer) -> AdmittedRequest:
        """Admit a command.

        Raises:
            Refused: The request is denied.
        """
        # As `request`, written out: the two calls cost 0.1 of the 6 µs of the guard.
        ext = command.ext
        operation = self._known(command.code) or self._operation(command.code)
        try:
            return self._admit(RemotingRequest(operation, peer, ext.get(ACCESS_KEY), ext.get(SIGNATURE), command))
        except Refused:
            _note_denied_route(operation, peer)
            raise

    def resume(self, command: Command, peer: Peer, results: PluginResults) -> AdmittedRequest:
        """Admit a command that has waited for plugins.

        Raises:
            Refused: The request is denied.
            PluginCallsPending: More plugins must be called.
        """
        if self._resume is None:
            return self.admit(command, peer)
        request = self.request(command, peer)
        try:
            return self._resume(request, results)
        except Refused:
            _note_denied_route(request.operation, peer)
            raise


def _note_denied_route(operation: RemotingOperation, peer: Peer) -> None:
    """Note a denied route: the connection may then find a broker, where its user reads the reason."""
    if operation.purpose is Purpose.ROUTE:
        peer.channel.has_denied_route = True
