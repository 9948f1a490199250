"""The answer to an access request, with its reason."""

import enum
from typing import NoReturn

import msgspec

from mqguard.auth.policy import Decision, Entry, PolicyType


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
    """Denied: the request's type is `*`, which is only valid in entries."""
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
