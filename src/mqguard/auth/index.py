"""The policies of one subject, compiled so that a decision costs the same however many entries there are.

Literal names lie in one dict; prefixes in a dict per length, and only the lengths that occur are tried, longest first;
entries for a whole type, and for everything, lie apart. Networks are sorted, merged ranges of integers.
"""

from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.policy import Acl, Decision, Entry, PolicyType
from mqguard.auth.precedence import rank
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.auth.source import Address, Source

_BITS = {action: 1 << place for place, action in enumerate(Action)}
_EVERY_ACTION = (1 << len(Action)) - 1


def mask_of(actions: Iterable[Action]) -> int:
    """The actions of a request as bits. `ALL` is a bit of its own: only an entry for `ALL` answers it."""
    bits = 0
    for action in actions:
        bits |= _BITS[action]
    return bits


class Ranges(msgspec.Struct, frozen=True, gc=False):
    """Addresses of one family: disjoint ranges in rising order, both ends included."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def hold(self, number: int) -> bool:
        """Whether the address with that number is in one of the ranges."""
        place = bisect_right(self.starts, number)
        return place > 0 and number <= self.ends[place - 1]


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One entry, ready to be asked.

    Attributes:
        bits: The actions it speaks of.
        denies: Whether it says Deny.
        v4: Ranges of IPv4 sources; None together with `v6` means anywhere.
        v6: Ranges of IPv6 sources.
        entry: What it was made from.
    """

    bits: int
    denies: bool
    v4: Ranges | None
    v6: Ranges | None
    entry: Entry

    def admits(self, address: Address | None) -> bool:
        """Whether a request from there is one that the entry speaks about."""
        if self.v4 is None or self.v6 is None:
            return True
        if address is None:
            return False
        return (self.v4 if address.version == 4 else self.v6).hold(int(address))


Rules = tuple[Rule, ...]


class Index:
    """All rules of one subject. Never changes; a change of policies makes another one."""

    __slots__ = ("_custom", "_default")

    def __init__(self, acl: Acl) -> None:
        self._custom = _PolicyIndex(acl.entries(PolicyType.CUSTOM))
        self._default = _PolicyIndex(acl.entries(PolicyType.DEFAULT))

    def rules(self, kind: ResourceType, name: str) -> tuple[PolicyType | None, Rules]:
        """Every rule that speaks about the resource, best first, and the policy they belong to.

        Default rules speak only where no Custom rule covers the resource, whatever its actions and sources.
        """
        rules = self._custom.covering(kind, name)
        if rules:
            return PolicyType.CUSTOM, rules
        rules = self._default.covering(kind, name)
        return (PolicyType.DEFAULT if rules else None), rules


class _PolicyIndex:
    __slots__ = ("_everything", "_literals", "_prefixes", "_whole_types")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        literals: dict[tuple[ResourceType, str], Rules] = {}
        prefixes: dict[ResourceType, dict[int, dict[str, Rules]]] = {}
        whole_types: dict[ResourceType, Rules] = {}
        everything: Rules = ()
        # Sorted by rank, rules of one resource arrive with Deny first, and that order is kept in their bucket.
        for entry in sorted(entries, key=rank):
            resource = entry.resource
            rule = _compile(entry)
            if resource.type is ResourceType.ANY:
                everything += (rule,)
            elif resource.pattern is Pattern.ANY:
                whole_types[resource.type] = (*whole_types.get(resource.type, ()), rule)
            elif resource.pattern is Pattern.LITERAL:
                literal = (resource.type, resource.name)
                literals[literal] = (*literals.get(literal, ()), rule)
            else:
                named = prefixes.setdefault(resource.type, {}).setdefault(len(resource.name), {})
                named[resource.name] = (*named.get(resource.name, ()), rule)
        self._literals = literals
        self._prefixes = {kind: tuple(sorted(lengths.items(), reverse=True)) for kind, lengths in prefixes.items()}
        self._whole_types = whole_types
        self._everything = everything

    def covering(self, kind: ResourceType, name: str) -> Rules:
        rules = self._literals.get((kind, name), ())
        for length, named in self._prefixes.get(kind, ()):
            # A name shorter than the prefix is cut to itself and cannot be found under a longer one.
            found = named.get(name[:length])
            if found is not None:
                rules += found
        found = self._whole_types.get(kind)
        if found is not None:
            rules += found
        return rules + self._everything if self._everything else rules


def _compile(entry: Entry) -> Rule:
    bits = _EVERY_ACTION if Action.ALL in entry.actions else mask_of(entry.actions)
    v4, v6 = (_ranges(entry.sources, 4), _ranges(entry.sources, 6)) if entry.sources else (None, None)
    return Rule(bits, entry.decision is Decision.DENY, v4, v6, entry)


def _ranges(sources: tuple[Source, ...], version: int) -> Ranges:
    spans = sorted(
        (int(source.network.network_address), int(source.network.broadcast_address))
        for source in sources
        if source.network.version == version
    )
    starts: list[int] = []
    ends: list[int] = []
    for start, end in spans:
        if ends and start <= ends[-1] + 1:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return Ranges(tuple(starts), tuple(ends))
