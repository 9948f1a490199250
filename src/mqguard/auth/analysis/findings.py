"""Findings of the policy analysis."""

import dataclasses
import enum

from mqguard.auth.analysis.regions import Witness
from mqguard.auth.policy import PolicyType


class LintRule(enum.StrEnum):
    """The kind of finding, as a keyword."""

    SHADOWED = "shadowed"
    """The entry never decides, and some request that it matches gets the opposite decision."""
    REDUNDANT = "redundant"
    """Without the entry every request gets the same decision."""
    CONTRADICTORY = "contradictory"
    """An Allow and a Deny of one rank match the same requests, and the Deny is not a plain exception to the Allow."""
    UNREACHABLE = "unreachable"
    """No request can match the entry."""
    DEFAULT_SILENT = "default-silent"
    """A Default entry whose names are all covered by Custom entries."""
    WIDE = "wide"
    """A right that is probably broader than intended."""
    NO_USER = "no-user"
    """A subject with policies, but without a user."""
    NO_RIGHTS = "no-rights"
    """An enabled Normal user without rights."""
    SUPER_POLICIES = "super-policies"
    """Policies of a Super user, which are never evaluated."""


@dataclasses.dataclass(frozen=True, slots=True)
class EntryLocation:
    """The location of an entry.

    Attributes:
        subject: The subject's name.
        policy: The type of the policy.
        number: The entry's position in it, from 1.
    """

    subject: str
    policy: PolicyType
    number: int

    @property
    def text(self) -> str:
        """The location for users."""
        return f"User:{self.subject} {self.policy.value} entry {self.number}"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One problem in policies.

    Attributes:
        rule: The kind.
        subject: The owner of the policies.
        message: The problem and its reason, in one line.
        place: The entry, or None if the finding is about the whole subject.
        others: The related entries.
        witness: A concrete request that shows the problem, or None if no request can.
    """

    rule: LintRule
    subject: str
    message: str
    place: EntryLocation | None = None
    others: tuple[EntryLocation, ...] = ()
    witness: Witness | None = None
