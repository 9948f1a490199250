"""Policies: what a subject is allowed and denied. Building one validates it, so an invalid one cannot exist."""

import dataclasses
import enum

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.resource import Resource
from mqguard.auth.source import Address, Source
from mqguard.auth.subject import Subject


class Decision(enum.Enum):
    """What an entry says."""

    ALLOW = "Allow"
    DENY = "Deny"

    # Members are single objects: identity is a right hash, and C code instead of Enum's Python one.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> "Decision":
        """Read `Allow` or `Deny`, in any letter case.

        Raises:
            PolicyInvalid: It is neither.
        """
        for decision in cls:
            if text.isascii() and text.lower() == decision.value.lower():
                return decision
        raise PolicyInvalid(f"unknown decision `{text}`: use Allow or Deny")


class PolicyType(enum.Enum):
    """`CUSTOM` entries speak first; `DEFAULT` entries only for resources that no Custom entry matches."""

    CUSTOM = "Custom"
    DEFAULT = "Default"

    @classmethod
    def parse(cls, text: str) -> "PolicyType":
        """Read `Custom` or `Default`, in any letter case.

        Raises:
            PolicyInvalid: It is neither.
        """
        for kind in cls:
            if text.isascii() and text.lower() == kind.value.lower():
                return kind
        raise PolicyInvalid(f"unknown policy type `{text}`: use Custom or Default")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a policy.

    Attributes:
        resource: What it speaks about.
        actions: What it speaks of, in the order written; never empty.
        sources: Where a request must come from; empty means anywhere.
        decision: What it says.
    """

    resource: Resource
    actions: tuple[Action, ...]
    sources: tuple[Source, ...]
    decision: Decision

    def __post_init__(self) -> None:
        if not self.actions:
            raise PolicyInvalid(f"the entry for `{self.resource.key}` has no actions")

    def speaks_of(self, action: Action) -> bool:
        """Whether it speaks of the action: by its name or by `All`."""
        return action in self.actions or Action.ALL in self.actions

    def speaks_from(self, address: Address | None) -> bool:
        """Whether it speaks about requests from the address; no address is in no range."""
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
            raise PolicyInvalid(f"the policies of `{self.subject.key}` repeat a type")

    def entries(self, kind: PolicyType) -> tuple[Entry, ...]:
        """The entries of that type, empty if there are none."""
        for policy in self.policies:
            if policy.type is kind:
                return policy.entries
        return ()
