"""The policies of one subject, compiled so that a decision costs the same however many entries there are.

Literal names lie in one dict per type; prefixes in a dict per length, and only the lengths that occur are tried,
longest first; entries for a whole type, and for everything, lie apart. Networks are sorted, merged ranges of integers.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.policy import Acl, Decision, Entry, PolicyType
from mqguard.auth.precedence import rank
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.auth.source import Address, Source

_BITS = {action: 1 << place for place, action in enumerate(Action)}
_CUSTOM, _DEFAULT = PolicyType.CUSTOM, PolicyType.DEFAULT
_EVERY_ACTION = (1 << len(Action)) - 1


@functools.lru_cache(maxsize=1 << 10)
def mask_of(actions: frozenset[Action]) -> int:
    """The actions of a request as bits. `ALL` is a bit of its own: only an entry for `ALL` answers it."""
    return _bits(actions)


def _bits(actions: Iterable[Action]) -> int:
    bits = 0
    for action in actions:
        bits |= _BITS[action]
    return bits


class Ranges(msgspec.Struct, frozen=True, gc=False):
    """Where requests may come from: disjoint ranges of addresses in rising order, both ends included.

    Attributes:
        starts4: First addresses of the IPv4 ranges.
        ends4: Last addresses of the IPv4 ranges.
        starts6: First addresses of the IPv6 ranges.
        ends6: Last addresses of the IPv6 ranges.
    """

    starts4: tuple[int, ...]
    ends4: tuple[int, ...]
    starts6: tuple[int, ...]
    ends6: tuple[int, ...]

    def hold(self, address: Address | None) -> bool:
        """Whether the address is in one of the ranges of its family; no address is in none."""
        if address is None:
            return False
        number = int(address)
        if address.version == 4:
            place = bisect_right(self.starts4, number)
            return place > 0 and number <= self.ends4[place - 1]
        place = bisect_right(self.starts6, number)
        return place > 0 and number <= self.ends6[place - 1]


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One entry, ready to be asked.

    Attributes:
        bits: The actions it speaks of.
        denies: Whether it says Deny.
        ranges: Where a request must come from; None is anywhere.
        entry: What it was made from.
        next: The next entry for the very same resource, in order of precedence.
    """

    bits: int
    denies: bool
    ranges: Ranges | None
    entry: Entry
    next: "Rule | None"


class Index:
    """All rules of one subject. Never changes; a change of policies makes another one.

    Attributes:
        has_sources: Whether an entry asks where a request comes from.
    """

    __slots__ = ("_custom", "_default", "has_sources")

    def __init__(self, acl: Acl) -> None:
        self._custom = _PolicyIndex(acl.entries(PolicyType.CUSTOM))
        default = acl.entries(PolicyType.DEFAULT)
        self._default = _PolicyIndex(default) if default else None
        self.has_sources = any(entry.sources for policy in acl.policies for entry in policy.entries)

    def rules(self, kind: ResourceType, name: str) -> tuple[PolicyType | None, list[Rule]]:
        """Every rule that speaks about the resource, best first, and the policy they belong to.

        Default rules speak only where no Custom rule covers the resource, whatever its actions and sources.
        """
        rules = self._custom.covering(kind, name)
        if rules:
            return _CUSTOM, rules
        if self._default is not None:
            rules = self._default.covering(kind, name)
            if rules:
                return _DEFAULT, rules
        return None, rules


class _PolicyIndex:
    __slots__ = ("_everything", "_types")

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._everything: Rule | None = None
        types: dict[ResourceType, _TypeIndex] = {}
        # From the last to the first, ties too: what is put before others of its resource takes precedence over them.
        ranked = sorted(entries, key=rank) if len(entries) > 1 else entries
        for entry in reversed(ranked):
            resource = entry.resource
            if resource.type is ResourceType.ANY:
                self._everything = _compile(entry, self._everything)
                continue
            index = types.get(resource.type)
            if index is None:
                index = types[resource.type] = _TypeIndex()
            index.add(entry)
        for index in types.values():
            index.finish()
        self._types = types

    def covering(self, kind: ResourceType, name: str) -> list[Rule]:
        rules: list[Rule] = []
        index = self._types.get(kind)
        if index is not None:
            rule = index.literals.get(name)
            if rule is not None:
                _append(rules, rule)
            for length, named in index.prefixes:
                # A name shorter than the prefix is cut to itself and cannot be found under a longer one.
                rule = named.get(name[:length])
                if rule is not None:
                    _append(rules, rule)
            if index.whole is not None:
                _append(rules, index.whole)
        if self._everything is not None:
            _append(rules, self._everything)
        return rules


class _TypeIndex:
    """The rules for resources of one type."""

    __slots__ = ("_lengths", "literals", "prefixes", "whole")

    def __init__(self) -> None:
        self.literals: dict[str, Rule] = {}
        self.prefixes: tuple[tuple[int, dict[str, Rule]], ...] = ()
        self.whole: Rule | None = None
        self._lengths: dict[int, dict[str, Rule]] = {}

    def add(self, entry: Entry) -> None:
        resource = entry.resource
        name = resource.name
        if resource.pattern is Pattern.ANY:
            self.whole = _compile(entry, self.whole)
        elif resource.pattern is Pattern.LITERAL:
            self.literals[name] = _compile(entry, self.literals.get(name))
        else:
            named = self._lengths.setdefault(len(name), {})
            named[name] = _compile(entry, named.get(name))

    def finish(self) -> None:
        self.prefixes = tuple(sorted(self._lengths.items(), reverse=True))
        self._lengths = {}


def _append(rules: list[Rule], rule: Rule | None) -> None:
    while rule is not None:
        rules.append(rule)
        rule = rule.next


def _compile(entry: Entry, following: Rule | None) -> Rule:
    bits = _EVERY_ACTION if Action.ALL in entry.actions else _bits(entry.actions)
    ranges = _ranges(entry.sources) if entry.sources else None
    return Rule(bits, entry.decision is Decision.DENY, ranges, entry, following)


@functools.lru_cache(maxsize=1 << 12)
def _ranges(sources: tuple[Source, ...]) -> Ranges:
    # The same few networks stand in very many entries: one object each.
    return Ranges(*_spans(sources, 4), *_spans(sources, 6))


def _spans(sources: tuple[Source, ...], version: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
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
    return tuple(starts), tuple(ends)
