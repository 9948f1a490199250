"""Policies: the permissions and denials of a subject. Construction validates, so an invalid policy cannot exist."""

import dataclasses
import enum

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.resource import Resource
from mqguard.auth.source import Address, Source
from mqguard.auth.subject import Subject


class Decision(enum.Enum):
    """The effect of an entry."""

    ALLOW = "Allow"
    DENY = "Deny"

    # Members are single objects, so identity is a correct hash, and runs in C instead of Enum's Python.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> "Decision":
        """Parse `Allow` or `Deny`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        for decision in cls:
            if text.isascii() and text.lower() == decision.value.lower():
                return decision
        raise PolicyInvalid(f"unknown decision `{text}`: write `Allow` or `Deny`")


class PolicyType(enum.Enum):
    """The type of a policy: a `CUSTOM` entry has precedence over all `DEFAULT` entries for the same resource."""

    CUSTOM = "Custom"
    DEFAULT = "Default"

    @classmethod
    def parse(cls, text: str) -> "PolicyType":
        """Parse `Custom` or `Default`, in any letter case.

        Raises:
            PolicyInvalid: The text is another word.
        """
        for kind in cls:
            if text.isascii() and text.lower() == kind.value.lower():
                return kind
        raise PolicyInvalid(f"unknown policy type `{text}`: write `Custom` or `Default`")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a policy.

    Attributes:
        resource: The matched resource.
        actions: The matched actions, in the order written; never empty.
        sources: The matched sources; empty means anywhere.
        decision: The effect.
    """

    resource: Resource
    actions: tuple[Action, ...]
    sources: tuple[Source, ...]
    decision: Decision

    def __post_init__(self) -> None:
        if not self.actions:
            raise PolicyInvalid(f"the entry for `{self.resource.key}` has no actions: name at least one")

    def matches_action(self, action: Action) -> bool:
        """True if the entry matches the action, by its name or by `All`."""
        return action in self.actions or Action.ALL in self.actions

    def matches_source(self, address: Address | None) -> bool:
        """True if the entry matches requests from the address; None matches no range."""
        if not self.sources:
            return True
        if address is None:
            return False
        return any(address.version == s.network.version and address in s.network for s in self.sources)


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """The entries of one type."""

    type: PolicyType
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Acl:
    """All policies of one subject; at most one of each type."""

    subject: Subject
    policies: tuple[Policy, ...]

    def __post_init__(self) -> None:
        if len({policy.type for policy in self.policies}) != len(self.policies):
            raise PolicyInvalid(f"the policies of `{self.subject.key}` repeat a type: name each type once")

    def entries(self, kind: PolicyType) -> tuple[Entry, ...]:
        """Return the entries of that type, empty if there are none."""
        for policy in self.policies:
            if policy.type is kind:
                return policy.entries
        return ()
