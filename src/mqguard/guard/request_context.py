"""The form in which every protocol shows its requests to the guard.

Each face (the one for the RocketMQ protocol, one for gRPC) makes a `RequestContext` of each of its requests. The guard
knows neither frames nor headers, and its denials carry a reason, which each face maps to a status of its own.
"""

import enum
from typing import Protocol

import msgspec

from mqguard.auth.errors import AuthenticationFailed
from mqguard.guard.permissions import PermissionsFound
from mqguard.model.peer import Peer


class Purpose(enum.Enum):
    """The use of an operation, as far as implicit grants depend on it (`authorization.ImplicitGrants`)."""

    ROUTE = "route"
    """Ask where a topic is."""
    SEND = "send"
    """Send messages."""
    REPLY = "reply"
    """Send a reply to a message."""
    OTHER = "other"


class Operation(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One kind of request of one protocol. Two operations are the same only if they are the same object.

    Attributes:
        name: Name in the protocol, such as `SEND_MESSAGE_V2` or `SendMessage`; `unknown` for one without requirements.
        code: Number in the protocol, None if the protocol has no numbers.
        listed_as: Items of a whitelist that mean this operation.
        purpose: The use, for implicit grants.
        is_access_change: True for a change of users or policies: it is not admitted without an audit record.
        is_administrative: True if admissions are audited with the denials, as far as the user's budget of lines goes.
        is_always_enforced: True if shadow mode does not apply.
        is_partial: True if a permission that is not granted denies only a part of the request
            (`AdmittedRequest.denied`).
        shares_permissions: True if requests that need equal permissions usually get one tuple of them, the same object,
            so that a decision can be cached for it.
    """

    name: str
    code: int | None = None
    listed_as: frozenset[str] = frozenset()
    purpose: Purpose = Purpose.OTHER
    is_access_change: bool = False
    is_administrative: bool = False
    is_always_enforced: bool = False
    is_partial: bool = False
    shares_permissions: bool = False

    @property
    def text(self) -> str:
        """The operation for log lines, such as `310 SEND_MESSAGE_V2`."""
        return self.name if self.code is None else f"{self.code} {self.name}"


class RequestContext(Protocol):
    """One request, as a face shows it to the guard. All of it was chosen by the peer, except `peer` and `operation`."""

    @property
    def operation(self) -> Operation:
        """The kind of request."""
        ...  # pragma: no cover

    @property
    def peer(self) -> Peer:
        """The connection, with the address that the sockets or a trusted proxy gave."""
        ...  # pragma: no cover

    @property
    def access_key(self) -> str | None:
        """The user name that the request claims, None if it names none."""
        ...  # pragma: no cover

    @property
    def signature(self) -> str | None:
        """The signature, None if there is none."""
        ...  # pragma: no cover

    @property
    def token(self) -> str | None:
        """The security token, None if there is none."""
        ...  # pragma: no cover

    @property
    def malformed(self) -> AuthenticationFailed | None:
        """The error of credentials that cannot be read, or are too old; None if the signature counts."""
        ...  # pragma: no cover

    def signed_content(self) -> bytes:
        """Return the bytes that the signature covers."""
        ...  # pragma: no cover

    def signed_content_without_token(self) -> bytes:
        """Return the bytes that the signature covers if the client leaves the token out, as Go clients do."""
        ...  # pragma: no cover

    def required_permissions(self) -> PermissionsFound:
        """Find the permissions that the request needs. Empty if an authenticated user is enough.

        Raises:
            PermissionsUnclear: The request does not say what it must say, or says too much; or only a Super user may
                send it. An iterator may raise it at any permission.
        """
        ...  # pragma: no cover

    def is_public(self) -> bool:
        """Return True if the answer contains nothing that is worth protecting (`GuardSettings.default_route_open`)."""
        ...  # pragma: no cover

    def is_pending(self) -> bool:
        """Return True if the request reaches more than it names, so that its handler must ask the guard again."""
        ...  # pragma: no cover
