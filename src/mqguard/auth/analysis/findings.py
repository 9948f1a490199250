"""What an analysis can find wrong with policies."""

import dataclasses
import enum

from mqguard.auth.analysis.cells import Witness
from mqguard.auth.policy import PolicyType


class Rule(enum.StrEnum):
    """What is wrong, as a machine word."""

    SHADOWED = "shadowed"
    """The entry never decides, and some request it is about is decided the other way."""
    REDUNDANT = "redundant"
    """Without the entry every request gets the same decision."""
    CONTRADICTORY = "contradictory"
    """An Allow and a Deny of one rank are about the same requests, and the Deny is no plain exception to the Allow."""
    UNREACHABLE = "unreachable"
    """No request can match the entry."""
    DEFAULT_SILENT = "default-silent"
    """A Default entry whose names are all covered by Custom entries."""
    WIDE = "wide"
    """A right that reaches further than it is likely to be meant."""
    NO_USER = "no-user"
    """A subject with policies that is no user."""
    NO_RIGHTS = "no-rights"
    """An enabled Normal user that may do nothing."""
    SUPER_POLICIES = "super-policies"
    """Policies of a Super user, which are never asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands.

    Attributes:
        subject: The subject's name.
        policy: Which policy.
        number: The entry's place in it, from 1.
    """

    subject: str
    policy: PolicyType
    number: int

    @property
    def text(self) -> str:
        """The place for a person."""
        return f"User:{self.subject} {self.policy.value} entry {self.number}"


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        rule: What kind.
        subject: Whose policies.
        message: What is wrong and why, in a line.
        place: The entry, None when it is about the subject as a whole.
        others: The entries that have to do with it.
        witness: A concrete request that shows it, None where no request can.
    """

    rule: Rule
    subject: str
    message: str
    place: Place | None = None
    others: tuple[Place, ...] = ()
    witness: Witness | None = None
