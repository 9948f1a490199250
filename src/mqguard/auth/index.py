"""The policies of one subject, compiled so that a decision costs the same however many entries there are.

Entries cut all names of a type into places: one for each literal, one for each prefix (the names that no longer prefix
covers), and the rest. All names of a place have the same rules, so what was answered for one holds for all of them.
Literals lie in a dict; prefixes in a dict per length, and the lengths are searched by halving. Networks are sorted,
merged ranges of integers.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from mqguard.auth.action import Action
from mqguard.auth.policy import Acl, Decision, Entry, PolicyType
from mqguard.auth.precedence import rank
from mqguard.auth.resource import Pattern, ResourceType
from mqguard.auth.source import Address, Source
from mqguard.auth.verdict import Verdict

_BITS = {action: 1 << place for place, action in enumerate(Action)}
_CUSTOM, _DEFAULT = PolicyType.CUSTOM, PolicyType.DEFAULT
_TYPES = tuple(kind for kind in ResourceType if kind is not ResourceType.ANY)


# There are no more keys than sets of actions.
@functools.cache
def mask_of(actions: frozenset[Action]) -> int:
    """The actions of a request as bits. `ALL` is a bit of its own: only an entry for `ALL` answers it."""
    return _bits(actions)


def _bits(actions: Iterable[Action]) -> int:
    bits = 0
    for action in actions:
        bits |= _BITS[action]
    return bits


_EVERY_ACTION = _bits(Action)


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
        next: The next rule for the same names in order of precedence. Rules of wider resources are shared by all that
            come before them.
    """

    bits: int
    denies: bool
    ranges: Ranges | None
    entry: Entry
    next: "Rule | None"


class Place:
    """Names that no entry tells apart: the same rules speak for all of them.

    Attributes:
        policy: The type of the policy the rules belong to.
        rule: The first rule in order of precedence, None if none speaks.
        by_address: Whether a rule asks where a request comes from.
        answers: Verdicts that were given before, by the asked actions; only where addresses do not matter, so there are
            few. Only `decide` touches it.
    """

    __slots__ = ("answers", "by_address", "policy", "rule")

    def __init__(self, policy: PolicyType, rule: Rule | None = None, *, by_address: bool = False) -> None:
        """Make a place that has, so far, the rules of a wider one."""
        self.policy = policy
        self.rule = rule
        self.by_address = by_address
        self.answers: dict[frozenset[Action], Verdict] = {}

    def __iter__(self) -> Iterator[Rule]:
        """Every rule that speaks for these names, best first."""
        rule = self.rule
        while rule is not None:
            yield rule
            rule = rule.next

    def put(self, entry: Entry) -> None:
        """Let an entry speak before all those that speak already."""
        ranges = _ranges(entry.sources) if entry.sources else None
        bits = _EVERY_ACTION if Action.ALL in entry.actions else _bits(entry.actions)
        self.rule = Rule(bits, entry.decision is Decision.DENY, ranges, entry, self.rule)
        self.by_address = self.by_address or ranges is not None

    def within(self) -> "Place":
        """A place inside this one, for which an entry of its own is about to be put."""
        return Place(self.policy, self.rule, by_address=self.by_address)


class Names:
    """The places of the names of one resource type.

    Attributes:
        literals: The places of single names.
    """

    __slots__ = ("_default", "_prefixes", "_rest", "literals")

    def __init__(self, rest: Place, entries: list[Entry], default: "Names | None") -> None:
        """Cut the names into places.

        Args:
            rest: What is said about the names of every type.
            entries: Those for this type, from the last by precedence to the first: what is widest is first.
            default: Who speaks for a name of which nothing is said here.
        """
        lengths = {len(entry.resource.name) for entry in entries if entry.resource.pattern is Pattern.PREFIXED}
        self.literals: dict[str, Place] = {}
        self._prefixes: tuple[tuple[int, dict[str, Place]], ...] = tuple((length, {}) for length in sorted(lengths))
        self._rest = rest.within()
        self._default = default
        for entry in entries:
            self._add(entry)

    def find(self, name: str) -> Place:
        """The place of a name. Where it has no rule, no entry covers the name."""
        return self.literals.get(name) or self.around(name)

    def around(self, name: str) -> Place:
        """The place of a name that is no literal."""
        place = self._longest(name)
        # Custom entries silence the Default ones wherever they cover the resource, whatever their actions and sources.
        return place if place.rule is not None or self._default is None else self._default.find(name)

    def _longest(self, name: str) -> Place:
        """The place of the longest prefix of the name."""
        prefixes, place = self._prefixes, self._rest
        low, high = 0, len(prefixes)
        while low < high:
            middle = (low + high) >> 1
            length, named = prefixes[middle]
            # A name shorter than that is cut to itself and cannot be found among longer ones.
            found = named.get(name[:length])
            if found is None:
                high = middle
            else:
                place = found
                low = middle + 1
        return place

    def _add(self, entry: Entry) -> None:
        resource = entry.resource
        name = resource.name
        if resource.pattern is Pattern.ANY:
            place = self._rest
        elif resource.pattern is Pattern.PREFIXED:
            place = self._add_prefix(name)
        else:
            place = self.literals.get(name) or self._longest(name).within()
            self.literals[name] = place
        place.put(entry)

    def _add_prefix(self, prefix: str) -> Place:
        """The place of a prefix, made reachable: a search must find something at each shorter length where it looks.

        Shorter prefixes are there already, so what it finds there is the place of the longest one that fits.
        """
        low, high = 0, len(self._prefixes)
        while True:
            middle = (low + high) >> 1
            length, named = self._prefixes[middle]
            if length > len(prefix):
                high = middle
                continue
            start = prefix[:length]
            if start not in named:
                place = self._longest(start)
                named[start] = place if length < len(prefix) else place.within()
            if length == len(prefix):
                return named[start]
            low = middle + 1


class Index:
    """All rules of one subject. Never changes; a change of policies makes another one.

    Attributes:
        names: The places of all names, by the type of the resource.
    """

    __slots__ = ("names",)

    def __init__(self, acl: Acl) -> None:
        default = acl.entries(_DEFAULT)
        silent = _cut(_DEFAULT, default, {}) if default else {}
        self.names = _cut(_CUSTOM, acl.entries(_CUSTOM), silent)

    def rules(self, kind: ResourceType, name: str) -> list[Rule]:
        """Every rule that speaks about the resource, best first."""
        return list(self.names[kind].find(name))


def _cut(
    policy: PolicyType, entries: tuple[Entry, ...], default: Mapping[ResourceType, Names]
) -> dict[ResourceType, Names]:
    everything = Place(policy)
    by_type: dict[ResourceType, list[Entry]] = {kind: [] for kind in _TYPES}
    # From the last to the first, ties too: what is put before others takes precedence over them.
    ranked = sorted(entries, key=rank)
    for entry in reversed(ranked):
        kind = entry.resource.type
        if kind is ResourceType.ANY:
            everything.put(entry)
        else:
            by_type[kind].append(entry)
    return {kind: Names(everything, found, default.get(kind)) for kind, found in by_type.items()}


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
