"""Admission of gRPC calls: the one place where a call becomes the request that the guard decides about."""

# Rule: the identity comes from the field `authorization` and its signature. Fields in which other servers pass on a
# user, a channel or an address (`x-mq-authorization-ak`, `x-mq-channel-id`, `rpc-remote-address`) are never read.

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from mqguard.auth.authentication import AUTHORIZATION, DATE_TIME, SignedCredentials, read_grpc_credentials
from mqguard.auth.call_date import MAX_ZONE_MS, read_date
from mqguard.auth.errors import AuthenticationFailed
from mqguard.dispatch.admission import AccessGuard, Resume
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.permissions import PermissionsFound
from mqguard.guard.plugin_calls import PluginResults
from mqguard.guard.request_context import Operation, Purpose
from mqguard.guard.requirements.rpc import RPC_TABLE, RpcRequirement, RpcRule
from mqguard.model.peer import Peer

PACKAGE: Final = "apache.rocketmq.v2"
SERVICE: Final = f"/{PACKAGE}.MessagingService/"
SESSION_TOKEN: Final = "x-mq-session-token"  # noqa: S105 - the name of a field
_PURPOSES: Final = {"QueryRoute": Purpose.ROUTE, "SendMessage": Purpose.SEND}
_NO_CREDENTIALS: Final = SignedCredentials(None, None, b"")


class RpcOperation(Operation, frozen=True, eq=False, kw_only=True):
    """The operation of an RPC.

    Attributes:
        rule: Finds the permissions of a request message.
        pending: True if the RPC reaches more than it names.
    """

    rule: RpcRule
    pending: bool


class Fields(Protocol):
    """The header fields of a call."""

    def field(self, name: str) -> str:
        """Return the value of a field, of several the last one; empty if there is none."""
        ...  # pragma: no cover


class RpcRequest(msgspec.Struct, frozen=True):
    """A call with one of its messages, in the form of the guard (`RequestContext`).

    Attributes:
        operation: The operation of the RPC.
        peer: The connection.
        message: The request message.
        credentials: The credentials of the call.
        token: The security token, None if there is none. It is never part of the signed content.
        malformed: The error of credentials that cannot be read, or of a signature that is too old.
    """

    operation: RpcOperation
    peer: Peer
    message: Any
    credentials: SignedCredentials
    token: str | None
    malformed: AuthenticationFailed | None = None

    @property
    def access_key(self) -> str | None:
        """The user name that the call claims."""
        return self.credentials.user

    @property
    def signature(self) -> str | None:
        """The signature in Base64, None if it must not count."""
        return None if self.malformed is not None else self.credentials.signature

    def signed_content(self) -> bytes:
        """Return the bytes that the signature covers: the date alone."""
        return self.credentials.content

    def signed_content_without_token(self) -> bytes:
        """Return the same bytes: the token is never signed."""
        return self.credentials.content

    def required_permissions(self) -> PermissionsFound:
        """Find the permissions that the message needs.

        Raises:
            PermissionsUnclear: See `RequestContext.required_permissions`.
        """
        return self.operation.rule(self.message)

    def is_public(self) -> bool:
        """Return False: no answer to a call is public."""
        return False

    def is_pending(self) -> bool:
        """Return True if the RPC reaches more than it names, so that its handler must ask the guard again."""
        return self.operation.pending


class Freshness:
    """The check of the dates that callers have signed.

    A signature covers the date of a call and nothing else. Without the check, it would admit any call for ever.

    Args:
        max_age_ms: Maximum difference of a date and the clock, in milliseconds.
        now_ms: Returns milliseconds since the epoch.
    """

    def __init__(self, max_age_ms: int, now_ms: Callable[[], int]) -> None:
        self._max_age_ms = max_age_ms
        self._now_ms = now_ms

    def check(self, text: str) -> None:
        """Check a date.

        Raises:
            AuthenticationFailed: With the reason `stale-signature`.
        """
        date = read_date(text)
        if date is not None:
            tolerance = self._max_age_ms + (0 if date.has_zone else MAX_ZONE_MS)
            if abs(self._now_ms() - date.ms) <= tolerance:
                return
        raise AuthenticationFailed(
            "stale-signature", f"the date `{text[:40]}` in `{DATE_TIME}` is not that of now: set the client's clock"
        )


class RpcAdmission:
    """Admission of the calls of one port or several.

    Args:
        guard: The guard.
        resume: The guard's function for requests that have waited for plugins; None without plugins.
        freshness: The check of the dates that callers have signed; None accepts every date.
        table: The requirements, by the name of the RPC.
    """

    def __init__(
        self,
        guard: AccessGuard,
        resume: Resume | None = None,
        freshness: Freshness | None = None,
        table: Mapping[str, RpcRequirement] = RPC_TABLE,
    ) -> None:
        self._admit = guard.admit
        self._freshness = freshness
        self._resume = resume
        self._operations = {rpc: _operation(rpc, row) for rpc, row in table.items()}

    def request(
        self, rpc: str, message: Any, fields: Fields, peer: Peer, *, is_stream_open: bool = False
    ) -> RpcRequest:
        """Return a call with one of its messages in the form of the guard.

        Args:
            rpc: Name of the RPC; it has a row in the table.
            message: The request message.
            fields: The header fields of the call.
            peer: The connection.
            is_stream_open: True if an earlier message of the call was admitted: its date was that of the beginning.
        """
        credentials, malformed = _NO_CREDENTIALS, None
        try:
            date = fields.field(DATE_TIME)
            credentials = read_grpc_credentials(fields.field(AUTHORIZATION), date)
            if credentials.signature is not None and self._freshness is not None and not is_stream_open:
                self._freshness.check(date)
        except AuthenticationFailed as failure:
            malformed = AuthenticationFailed(failure.reason, failure.message)  # without the frames of the traceback
        token = fields.field(SESSION_TOKEN) or None
        return RpcRequest(self._operations[rpc], peer, message, credentials, token, malformed)

    def admit(self, request: RpcRequest) -> AdmittedRequest:
        """Admit a call.

        Raises:
            Refused: The call is denied.
            PluginCallsPending: Plugins must be called first.
        """
        return self._admit(request)

    def resume(self, request: RpcRequest, results: PluginResults) -> AdmittedRequest:
        """Admit a call that has waited for plugins.

        Raises:
            Refused: The call is denied.
            PluginCallsPending: More plugins must be called.
        """
        return self._admit(request) if self._resume is None else self._resume(request, results)


def _operation(rpc: str, row: RpcRequirement) -> RpcOperation:
    return RpcOperation(
        name=rpc,
        listed_as=frozenset({rpc, f"{PACKAGE}.{row.request}"}),
        purpose=_PURPOSES.get(rpc, Purpose.OTHER),
        rule=row.rule,
        pending=bool(row.touched),
    )
