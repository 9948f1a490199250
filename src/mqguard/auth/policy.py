"""Policies: the permissions and denials of a subject. Construction validates, so an invalid policy cannot exist."""

import dataclasses
import enum

import msgspec

from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.resource import Pattern, Resource, ResourceType
from mqguard.auth.source import Source
from mqguard.auth.user import Subject
from mqguard.model.text import find_member


class Action(enum.Enum):
    """One action of ACL 2.0. `ALL` in an entry matches every other action."""

    ALL = "All"
    PUB = "Pub"
    SUB = "Sub"
    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    GET = "Get"
    LIST = "List"

    # Members are single objects, so identity is a correct hash, and runs in C instead of Enum's Python on the hot path.
    __hash__ = object.__hash__

    @classmethod
    def parse(cls, text: str) -> "Action":
        """Parse an action by its name, in any letter case.

        Raises:
            PolicyInvalid: The name is unknown; `Any` and `Unknown` cannot be granted.
        """
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown action `{text}`: write one of {', '.join(a.value for a in cls)}")
        return found


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
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown decision `{text}`: write `Allow` or `Deny`")
        return found


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
        found = find_member(cls, text)
        if found is None:
            raise PolicyInvalid(f"unknown policy type `{text}`: write `Custom` or `Default`")
        return found


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

    @property
    def text(self) -> str:
        """The entry for users, on one line: `Allow Pub,Sub on Topic:orders from 10.0.0.0/8`."""
        sources = ",".join(source.text for source in self.sources) or "anywhere"
        actions = ",".join(action.value for action in self.actions)
        return f"{self.decision.value} {actions} on {self.resource.key} from {sources}"

    def matches_action(self, action: Action) -> bool:
        """True if the entry matches the action, by its name or by `All`."""
        return action in self.actions or Action.ALL in self.actions


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

    @property
    def sources(self) -> frozenset[Source]:
        """The sources of all entries."""
        return frozenset(source for policy in self.policies for entry in policy.entries for source in entry.sources)


_PATTERNS = (Pattern.LITERAL, Pattern.PREFIXED, Pattern.ANY)
_PLACES = {pattern: place for place, pattern in enumerate(_PATTERNS)}

Rank = tuple[bool, int, int, bool]
"""Type is `*`, pattern, negative length, is Allow. The smallest rank decides."""


def rank(entry: Entry) -> Rank:
    """Return the precedence of an entry among those that match the same request; the smallest decides."""
    pattern, text = entry.resource.compared
    return (
        entry.resource.type is ResourceType.ANY,
        _PLACES[pattern],
        # Literals that match the same request have the same length.
        -len(text),
        entry.decision is Decision.ALLOW,
    )


def merge_acls(stored: Acl | None, given: Acl) -> Acl:
    """Return the stored policies merged with the given ones.

    A resource that `given` names has exactly the entries of `given` afterwards, at the position of its first stored
    entry. New resources come last. Nothing else changes.
    """
    if stored is None:
        return given
    kinds = [policy.type for policy in stored.policies]
    kinds += [policy.type for policy in given.policies if policy.type not in kinds]
    return Acl(
        given.subject, tuple(Policy(kind, _merge_entries(stored.entries(kind), given.entries(kind))) for kind in kinds)
    )


def without_resource(acl: Acl, kind: PolicyType, resource: Resource) -> Acl | None:
    """Return the policies without the entries of one type for exactly that resource, or None if nothing remains."""
    policies = []
    for policy in acl.policies:
        entries = policy.entries
        if policy.type is kind:
            entries = tuple(entry for entry in entries if entry.resource != resource)
        if entries:
            policies.append(Policy(policy.type, entries))
    return Acl(acl.subject, tuple(policies)) if policies else None


def matching_text(acl: Acl, text: str) -> Acl | None:
    """Return the entries whose printed resource contains the text, or None if no entry does."""
    policies = []
    for policy in acl.policies:
        entries = tuple(entry for entry in policy.entries if text in entry.resource.key)
        if entries:
            policies.append(Policy(policy.type, entries))
    return Acl(acl.subject, tuple(policies)) if policies else None


def _merge_entries(stored: tuple[Entry, ...], given: tuple[Entry, ...]) -> tuple[Entry, ...]:
    said: dict[Resource, list[Entry]] = {}
    for entry in given:
        said.setdefault(entry.resource, []).append(entry)
    # A resource keeps its position: its entries are taken from `said` at its first stored entry. New ones follow.
    merged: list[Entry] = []
    replaced = set(said)
    for entry in stored:
        if entry.resource in replaced:
            merged += said.pop(entry.resource, ())
        else:
            merged.append(entry)
    for entries in said.values():
        merged += entries
    return tuple(merged)
