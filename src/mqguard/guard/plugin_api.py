"""The interfaces of plugins: the parts of the guard that an operator may replace or add.

At most one plugin of these: `AuthenticationProvider`, `AuthorizationProvider`, `CacheStrategy`. Any number of these:
`AuthenticationHandler`, `AuthorizationHandler`, `RecordSink`. The store of users and policies is
`auth.ports.MetadataStore`. `docs/plugins.md` describes how plugins are written, found and tested.
"""

# Rule 1: the guard never trusts a plugin to work. A plugin that raises, is late or returns an invalid answer denies.
# Rule 2: no plugin decides if a user is Super or disabled: the server's own users do.
# Rule 3: a handler and a strategy can only deny more.

import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec


class Ruling(enum.Enum):
    """The answer of an authorization provider."""

    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no-opinion"
    """No opinion: implicit grants are allowed, all else is denied."""


class HandlerResult(enum.Enum):
    """The answer of a handler."""

    NEXT = "next"
    """No objection: the guard calls the next handler."""
    REFUSE = "refuse"


class NotAuthenticated(enum.Enum):
    """The answer of an authentication provider about a request without valid credentials."""

    REFUSED = "refused"


class AuthenticationRequest(msgspec.Struct, frozen=True):
    """The credentials of a request.

    Attributes:
        user: The access key; empty for none.
        signature: The signature as received; empty for none.
        token: The security token; empty for none.
        content: The bytes that the signature covers.
        operation: The kind of request, such as `SEND_MESSAGE_V2` (RocketMQ protocol) or `SendMessage` (gRPC).
        code: The request code, None for a protocol without numbers.
        source: The source address.
        tls: True if the connection is encrypted.
    """

    user: str
    signature: str
    token: str
    content: bytes
    operation: str
    code: int | None
    source: str
    tls: bool

    def __repr__(self) -> str:
        return f"AuthenticationRequest(user={self.user!r}, operation={self.operation!r}, source={self.source!r})"


class AuthorizationRequest(msgspec.Struct, frozen=True):
    """One resource that a request touches.

    Attributes:
        user: The user.
        method: The method that authenticated the user: `signature` or `plugin`; `claim` if the operator trusts names.
        source: The source address.
        operation: The kind of request, such as `SEND_MESSAGE_V2` (RocketMQ protocol) or `SendMessage` (gRPC).
        code: The request code, None for a protocol without numbers.
        type: `Topic`, `Group`, `Cluster` or `Namespace`; empty if the request needs no permission.
        name: The name of the resource; empty if the request needs no permission.
        actions: The actions, such as `Pub`; any one of them is enough. Empty if the request needs no permission.
    """

    user: str
    method: str
    source: str
    operation: str
    code: int | None
    type: str
    name: str
    actions: tuple[str, ...]


class CachedResult(msgspec.Struct, frozen=True):
    """An earlier result that the guard may use again.

    Attributes:
        user: The user.
        channel: The connection that authenticated as the user; empty for an answer of an authorization provider.
        question: The request to an authorization provider; None for an authentication.
        age_ms: Age of the result in milliseconds.
    """

    user: str
    channel: str
    question: AuthorizationRequest | None
    age_ms: int


class Plugin(Protocol):
    """The common part of all plugins except sinks.

    Attributes:
        quick: True if the plugin answers from memory at once; the guard calls it inline. False if it may wait for
            network or disk; the guard calls it on worker threads, several at a time, and only the request waits.
    """

    @property
    def quick(self) -> bool:
        """True if the plugin answers at once. A class attribute is enough; a plugin without it may wait."""
        ...  # pragma: no cover


class AuthenticationProvider(Plugin, Protocol):
    """Replacement of the server's signatures: finds the user who sent a request."""

    def authenticate(self, request: AuthenticationRequest) -> str | NotAuthenticated:
        """Return the name of the user that the credentials authenticate, or `NotAuthenticated.REFUSED`."""
        ...  # pragma: no cover


class AuthenticationHandler(Plugin, Protocol):
    """Additional check after a request is authenticated."""

    def check(self, request: AuthenticationRequest, user: str) -> HandlerResult:
        """Return NEXT if the authentication is enough."""
        ...  # pragma: no cover


class AuthorizationProvider(Plugin, Protocol):
    """Replacement of the server's policies: decides if a user may touch a resource."""

    def decide(self, question: AuthorizationRequest) -> Ruling:
        """Return the decision."""
        ...  # pragma: no cover


class AuthorizationHandler(Plugin, Protocol):
    """Additional check after a request is allowed, once for each resource that it touches."""

    def check(self, question: AuthorizationRequest) -> HandlerResult:
        """Return NEXT if the request may continue."""
        ...  # pragma: no cover


class CacheStrategy(Protocol):
    """Decision about the use of earlier results. The guard calls it inline, so it must be quick.

    It can only shorten the use of a result. A new version of the users, the end of a secret and the configured time end
    a cached result too.
    """

    def accepts(self, result: CachedResult) -> bool:
        """Return True to use an earlier result; otherwise the guard finds a new one."""
        ...  # pragma: no cover


class RecordSink(Protocol):
    """Receiver of audit records in addition to the files. One thread of its own calls it."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Take records, each a line of JSON as in `audit.jsonl`. A sink that raises gets the same lines again."""
        ...  # pragma: no cover

    def close(self) -> None:
        """Release resources: the server stops."""
        ...  # pragma: no cover
