"""The answer to a request for access, with its reason."""

import enum
from typing import NoReturn

import msgspec

from mqguard.auth.policy import Decision, Entry, PolicyType


class Reason(enum.StrEnum):
    """Why a verdict is what it is: machine words for audit, metrics and explanations."""

    SUPER = "super"
    """Allowed: the user is Super; policies are not evaluated."""
    ALLOWED = "allowed"
    """Allowed: the best matching entry of one of the actions says Allow."""
    DENIED = "denied"
    """Refused: an entry says Deny."""
    NO_MATCH = "no-match"
    """Refused: no entry matches the resource, an action and the address."""
    UNKNOWN_USER = "unknown-user"
    """Refused: there is no such user."""
    DISABLED = "disabled"
    """Refused: the user is disabled, Super or not."""
    MISSING_NAME = "missing-name"
    """Refused: the request names no resource."""
    NO_RESOURCE = "no-resource"
    """Refused: the request's type is `*`, which is for entries."""
    NO_ACTION = "no-action"
    """Refused: the request asks for nothing."""
    UNREADABLE = "unreadable"
    """Refused: the stored policies of the subject cannot be read."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What `decide` answers. Ask `decision`; a verdict itself is neither true nor false.

    Attributes:
        decision: Allow or Deny.
        reason: Why.
        decided_by: The entry that decided, None if none did.
        policy: The type of the policy that spoke for the resource, None if none did.
        considered: The entries that match resource, an asked action and the address, best first, up to `decided_by`.
    """

    decision: Decision
    reason: Reason
    decided_by: Entry | None = None
    policy: PolicyType | None = None
    considered: tuple[Entry, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the decision is Allow."""
        return self.decision is Decision.ALLOW

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is neither true nor false: ask its `decision`")
