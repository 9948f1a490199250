"""Access requests, their verdicts, and the messages for denied peers."""

import enum
from typing import NoReturn, assert_never

import msgspec

from mqguard.auth.policy import Action, Decision, Entry, PolicyType
from mqguard.auth.resource import ResourceType
from mqguard.auth.source import Address


class AccessRequest(msgspec.Struct, frozen=True, gc=False):
    """The input of `decide`.

    Attributes:
        type: The kind of the resource; `ANY` and `NAMESPACE` are not resources and are denied.
        name: The name of the one resource, compared exactly; an empty or blank name is denied.
        actions: The requested actions; the request is allowed if any one of them is allowed.
        address: The source, as parsed by `source.parse_address`; None matches no source range.
    """

    type: ResourceType
    name: str
    actions: frozenset[Action]
    address: Address | None = None


class Reason(enum.StrEnum):
    """The reason for a verdict: keywords for audit, metrics and explanations."""

    SUPER = "super"
    """Allowed: the user is Super; policies are not evaluated."""
    ALLOWED = "allowed"
    """Allowed: the matching entry of highest precedence for one of the actions is an Allow."""
    DENIED = "denied"
    """Denied: an entry is a Deny."""
    NO_MATCH = "no-match"
    """Denied: no entry matches the resource, an action and the address."""
    UNKNOWN_USER = "unknown-user"
    """Denied: no such user exists."""
    DISABLED = "disabled"
    """Denied: the user is disabled, Super or not."""
    MISSING_NAME = "missing-name"
    """Denied: the request names no resource."""
    NO_RESOURCE = "no-resource"
    """Denied: the request's type is `*` or `Namespace`, which are only valid in entries."""
    NO_ACTION = "no-action"
    """Denied: the request has no action."""
    UNREADABLE = "unreadable"
    """Denied: the stored policies of the subject cannot be read."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The result of `decide`. Use `decision`; a verdict itself is neither true nor false.

    Attributes:
        decision: Allow or Deny.
        reason: The reason.
        decided_by: The entry that decided, or None.
        policy: The type of the policy that covers the resource, or None.
        considered: The entries that match resource, a requested action and the address, in precedence order, up to
            `decided_by`.
    """

    decision: Decision
    reason: Reason
    decided_by: Entry | None = None
    policy: PolicyType | None = None
    considered: tuple[Entry, ...] = ()

    @property
    def allowed(self) -> bool:
        """True if the decision is Allow."""
        return self.decision is Decision.ALLOW

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false: use its `decision`")


AUTHORIZATION_FAILED = "Authorization failed. Please verify your access rights and try again."
"""Message for a request that could not be evaluated at all."""


def denial_message(user: str, kind: ResourceType, name: str, source: str, verdict: Verdict) -> str:
    """Return the message for a peer whose request was denied; it reveals nothing of the policy.

    Args:
        user: Name of the authenticated user.
        kind: Type of the resource.
        name: Name of the resource.
        source: The address of the peer, as text.
        verdict: The denial.

    Raises:
        ValueError: The verdict is not a denial.
    """
    reason = verdict.reason
    match reason:
        case Reason.UNKNOWN_USER:
            return f"User:{user} not found."
        case Reason.DISABLED:
            return f"User:{user} is disabled."
        case Reason.DENIED | Reason.NO_MATCH | Reason.MISSING_NAME | Reason.NO_RESOURCE | Reason.NO_ACTION:
            why = "the decision is deny" if reason is Reason.DENIED else "no matched policies"
            return f"User:{user} has no permission to access {kind.value}:{name} from {source}, {why}."
        case Reason.UNREADABLE:
            return AUTHORIZATION_FAILED
        case Reason.SUPER | Reason.ALLOWED:
            raise ValueError(f"a verdict with the reason `{reason.value}` is not a denial")
        case _:
            assert_never(reason)
