"""What plugins of the guard are: the few things that an operator may put in place of ours, or add.

The ports of one plugin each: `AuthenticationProvider`, `AuthorizationProvider`, `CacheStrategy`; of many:
`AuthenticationHandler`, `AuthorizationHandler`, `RecordSink`. (The store of users and policies is
`auth.ports.MetadataStore`.) `docs/plugins.md` tells how plugins are made, found and tested.
"""

# Rule 1: a plugin is never trusted to work. What raises, is late or answers what it may not answer refuses.
# Rule 2: a plugin is never asked whether somebody is Super or disabled: that stands in our users.
# Rule 3: a handler and a strategy can only make things narrower.

import enum
from collections.abc import Sequence
from typing import Protocol

import msgspec


class Ruling(enum.Enum):
    """What an authorization provider answers."""

    ALLOW = "allow"
    DENY = "deny"
    SILENT = "silent"
    """It has nothing to say: what clients touch by themselves is allowed, all else is refused."""


class HandlerResult(enum.Enum):
    """What a handler answers."""

    NEXT = "next"
    """It has nothing against it: the next handler is asked."""
    REFUSE = "refuse"


class NotAuthenticated(enum.Enum):
    """What an authentication provider answers about a request that proves nobody."""

    REFUSED = "refused"


class AuthenticationRequest(msgspec.Struct, frozen=True):
    """What a request shows to prove who sent it.

    Attributes:
        user: The access key that it names; empty for none.
        signature: As received; empty for none.
        token: The security token that it carries; empty for none.
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
        user: Whose request it is.
        method: What proved the user: `signature`, `plugin`, or `claim` where the operator trusts names.
        source: The IP address that it came from.
        operation: The kind of request, such as `SEND_MESSAGE_V2` (RocketMQ protocol) or `SendMessage` (gRPC).
        code: The request code, None for a protocol without numbers.
        type: `Topic`, `Group`, `Cluster` or `Namespace`; empty where the request needs no more than a user.
        name: The resource's name; empty as above.
        actions: What would be done, such as `Pub`; any one of them suffices. Empty as above.
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
    """Something that was found out before, and might be relied on again.

    Attributes:
        user: The user that it is about.
        channel: The connection that has proved to be that user; empty for a ruling.
        question: What an authorization provider was asked; None for a proof.
        age_ms: How long ago it was found out, in milliseconds.
    """

    user: str
    channel: str
    question: AuthorizationRequest | None
    age_ms: int


class Plugin(Protocol):
    """What the plugins of all ports have in common, beside the sinks.

    Attributes:
        quick: True: answers from memory at once, and is asked where it stands. False: may wait (network, disk), and is
            asked in threads of its own, several at a time; the request waits, the server does not.
    """

    @property
    def quick(self) -> bool:
        """See above; a class attribute will do. Without one a plugin counts as one that may wait."""
        ...  # pragma: no cover


class AuthenticationProvider(Plugin, Protocol):
    """Finds out who sent a request, in place of our signatures."""

    def authenticate(self, request: AuthenticationRequest) -> str | NotAuthenticated:
        """Return the name of the user that the credentials authenticate, or `NotAuthenticated.REFUSED`."""
        ...  # pragma: no cover


class AuthenticationHandler(Plugin, Protocol):
    """Is asked after a request has proved who sent it."""

    def check(self, request: AuthenticationRequest, user: str) -> HandlerResult:
        """Whether that is enough."""
        ...  # pragma: no cover


class AuthorizationProvider(Plugin, Protocol):
    """Decides whether a user may touch a resource, in place of our policies."""

    def decide(self, question: AuthorizationRequest) -> Ruling:
        """The answer."""
        ...  # pragma: no cover


class AuthorizationHandler(Plugin, Protocol):
    """Is asked after a request was allowed, once for each resource that it touches."""

    def check(self, question: AuthorizationRequest) -> HandlerResult:
        """Whether it may go on."""
        ...  # pragma: no cover


class CacheStrategy(Protocol):
    """Decides whether what was found out before is relied on. Always asked where it stands, so it must be quick.

    Our users' version, the ends of their secrets and the configured time bound what is remembered, whatever it says.
    """

    def relies(self, on: CachedResult) -> bool:
        """Whether to rely on it; if not, it is found out anew."""
        ...  # pragma: no cover


class RecordSink(Protocol):
    """Takes audit records, beside our files; called from a thread of its own, never by two at a time."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Take records, each a line of JSON as in `audit.jsonl`. Whoever raises is given the same lines again."""
        ...  # pragma: no cover

    def close(self) -> None:
        """The server ends."""
        ...  # pragma: no cover
