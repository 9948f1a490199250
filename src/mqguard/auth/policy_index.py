"""The compiled policies of one subject: a decision costs the same for any number of entries.

Entries divide all names of a type into places. Each literal is a place, each prefix is one (its names without a longer
prefix), and so is the rest. All names of a place have the same rules, so a verdict for one name holds for all of them.
Literals are in a dict, prefixes in a dict for each length, and the lengths are found by binary search. Networks are
sorted, merged ranges of integers.
"""

import functools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from mqguard.auth.policy import Acl, Action, Decision, Entry, PolicyType, rank
from mqguard.auth.records import AclRecord
from mqguard.auth.resource import NAMESPACE_END, REQUEST_TYPES, Pattern, Resource, ResourceType, has_namespace
from mqguard.auth.source import Address, Source
from mqguard.auth.user import Subject, User
from mqguard.auth.verdict import Verdict

_BITS = {action: 1 << place for place, action in enumerate(Action)}
_CUSTOM, _DEFAULT = PolicyType.CUSTOM, PolicyType.DEFAULT


# The number of keys is limited by the number of action sets.
@functools.cache
def mask_of(actions: frozenset[Action]) -> int:
    """Return the actions of a request as bits. `ALL` has a bit of its own, which only an entry for `ALL` matches."""
    return _bits(actions)


def _bits(actions: Iterable[Action]) -> int:
    bits = 0
    for action in actions:
        bits |= _BITS[action]
    return bits


_EVERY_ACTION = _bits(Action)


class AddressRanges(msgspec.Struct, frozen=True, gc=False):
    """Source ranges: disjoint ranges of addresses in rising order, both ends included.

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

    def contains(self, address: Address | None) -> bool:
        """True if the address is in one of the ranges of its family; None is in no range."""
        if address is None:
            return False
        number = int(address)
        if address.version == 4:
            place = bisect_right(self.starts4, number)
            return place > 0 and number <= self.ends4[place - 1]
        place = bisect_right(self.starts6, number)
        return place > 0 and number <= self.ends6[place - 1]


class CompiledEntry(msgspec.Struct, frozen=True, gc=False):
    """One compiled entry.

    Attributes:
        bits: The matched actions.
        denies: True if the entry is a Deny.
        ranges: The matched sources; None is anywhere.
        entry: The original entry.
        next: The next rule for the same names in order of precedence. Rules of wider resources are shared by all rules
            before them.
    """

    bits: int
    denies: bool
    ranges: AddressRanges | None
    entry: Entry
    next: "CompiledEntry | None"

    def matches_source(self, address: Address | None) -> bool:
        """True if the entry matches requests from the address; None is in no range."""
        return self.ranges is None or self.ranges.contains(address)


class NameBucket:
    """Names that no entry distinguishes: the same rules apply to all of them.

    Attributes:
        policy: The type of the policy the rules belong to.
        rule: The first rule in order of precedence, or None.
        by_address: True if a rule depends on the source address.
        answers: Cached verdicts by the requested actions, only if addresses do not matter, so the number is small. Only
            `decide` uses it.
    """

    __slots__ = ("answers", "by_address", "policy", "rule")

    def __init__(self, policy: PolicyType, rule: CompiledEntry | None = None, *, by_address: bool = False) -> None:
        """Create a place that has, so far, the rules of a wider one."""
        self.policy = policy
        self.rule = rule
        self.by_address = by_address
        self.answers: dict[frozenset[Action], Verdict] = {}

    def __iter__(self) -> Iterator[CompiledEntry]:
        """Yield every rule that applies to these names, in order of precedence."""
        rule = self.rule
        while rule is not None:
            yield rule
            rule = rule.next

    def put(self, entry: Entry) -> None:
        """Add an entry with precedence over all current ones."""
        ranges = _ranges(entry.sources) if entry.sources else None
        bits = _EVERY_ACTION if Action.ALL in entry.actions else _bits(entry.actions)
        self.rule = CompiledEntry(bits, entry.decision is Decision.DENY, ranges, entry, self.rule)
        self.by_address = self.by_address or ranges is not None

    def within(self) -> "NameBucket":
        """Return a new place inside this one, for which the caller adds an entry."""
        return NameBucket(self.policy, self.rule, by_address=self.by_address)


class NameIndex:
    """The places of the names of one resource type.

    Attributes:
        literals: The places of single names.
    """

    __slots__ = ("_default", "_prefixes", "_rest", "literals")

    def __init__(self, rest: NameBucket, entries: list[Entry], default: "NameIndex | None") -> None:
        """Divide the names into places.

        Args:
            rest: The rules for the names of every type.
            entries: The entries for this type, from the lowest precedence to the highest: the widest is first.
            default: The places of Default entries, for names that no entry here covers.
        """
        compared = [entry.resource.compared for entry in entries]
        lengths = {len(text) for pattern, text in compared if pattern is Pattern.PREFIXED}
        self.literals: dict[str, NameBucket] = {}
        self._prefixes: tuple[tuple[int, dict[str, NameBucket]], ...] = tuple(
            (length, {}) for length in sorted(lengths)
        )
        self._rest = rest.within()
        self._default = default
        for entry in entries:
            self._add(entry)

    def find(self, name: str) -> NameBucket:
        """Return the place of a name. A place without a rule means that no entry covers the name."""
        return self.literals.get(name) or self.longest_prefix(name)

    def longest_prefix(self, name: str) -> NameBucket:
        """Return the place of a name that is not a literal."""
        place = self._longest(name)
        # Custom entries disable the Default ones for every resource they cover, whatever their actions and sources.
        return place if place.rule is not None or self._default is None else self._default.find(name)

    def _longest(self, name: str) -> NameBucket:
        """Return the place of the longest prefix of the name."""
        prefixes, place = self._prefixes, self._rest
        low, high = 0, len(prefixes)
        while low < high:
            middle = (low + high) >> 1
            length, named = prefixes[middle]
            # A shorter name is cut to itself and cannot be found among longer ones.
            found = named.get(name[:length])
            if found is None:
                high = middle
            else:
                place = found
                low = middle + 1
        return place

    def _add(self, entry: Entry) -> None:
        pattern, text = entry.resource.compared
        if pattern is Pattern.ANY:
            place = self._rest
        elif pattern is Pattern.PREFIXED:
            place = self._add_prefix(text)
        else:
            place = self.literals.get(text) or self._longest(text).within()
            self.literals[text] = place
        place.put(entry)

    def _add_prefix(self, prefix: str) -> NameBucket:
        """Return the place of a prefix, created and reachable.

        A search needs an entry at each shorter length that it probes. Shorter prefixes are already present, so the
        search finds the place of the longest one that fits.
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


class _NamespacedNameIndex(NameIndex):
    """The places of the names of one type, if an entry matches the names of several namespaces.

    Such an entry divides every prefix in two: the names with a namespace and those without. Each half has an index of
    its own. All other policies pay nothing for that.
    """

    __slots__ = ("_with_namespace",)

    def __init__(self, rest: NameBucket, entries: list[Entry], default: NameIndex | None) -> None:
        super().__init__(rest, [entry for entry in entries if not entry.resource.spans_namespaces], default)
        possible = [entry for entry in entries if not _names_no_namespace(entry.resource)]
        self._with_namespace = NameIndex(rest, possible, default)
        self.literals |= {name: place for name, place in self._with_namespace.literals.items() if has_namespace(name)}

    def longest_prefix(self, name: str) -> NameBucket:
        return self._with_namespace.longest_prefix(name) if has_namespace(name) else super().longest_prefix(name)


def _names_no_namespace(resource: Resource) -> bool:
    """True for a prefix of namespaces that no namespace begins with, because it has a `%`."""
    return resource.spans_namespaces and NAMESPACE_END in resource.name


class PolicyIndex:
    """All rules of one subject; immutable, so a change of policies creates another index.

    Attributes:
        names: The places of all names, by resource type.
    """

    __slots__ = ("names",)

    def __init__(self, acl: Acl) -> None:
        default = acl.entries(_DEFAULT)
        silent = _compile(_DEFAULT, default, {}) if default else {}
        self.names = _compile(_CUSTOM, acl.entries(_CUSTOM), silent)

    def rules(self, kind: ResourceType, name: str) -> list[CompiledEntry]:
        """Return every rule that applies to the resource, in order of precedence; none if no request can name it."""
        names = self.names.get(kind)
        return [] if names is None else list(names.find(name))


def _compile(
    policy: PolicyType, entries: tuple[Entry, ...], default: Mapping[ResourceType, NameIndex]
) -> dict[ResourceType, NameIndex]:
    everything = NameBucket(policy)
    by_type: dict[ResourceType, list[Entry]] = {kind: [] for kind in REQUEST_TYPES}
    # From the last to the first, ties too: an added entry takes precedence over those before it.
    ranked = sorted(entries, key=rank)
    for entry in reversed(ranked):
        if entry.resource.type is ResourceType.ANY:
            everything.put(entry)
        else:
            for kind in entry.resource.types:
                by_type[kind].append(entry)
    return {kind: _index_names(everything, found, default.get(kind)) for kind, found in by_type.items()}


def _index_names(rest: NameBucket, entries: list[Entry], default: NameIndex | None) -> NameIndex:
    if any(entry.resource.spans_namespaces for entry in entries):
        return _NamespacedNameIndex(rest, entries, default)
    return NameIndex(rest, entries, default)


@functools.lru_cache(maxsize=1 << 12)
def _ranges(sources: tuple[Source, ...]) -> AddressRanges:
    # The same few networks occur in many entries; all of these share one object.
    return AddressRanges(*_spans(sources, 4), *_spans(sources, 6))


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


_NOTHING = Acl(Subject("nobody"), ())
_NOT_COMPILED: Mapping[ResourceType, NameIndex] = MappingProxyType({})


class Rights:
    """A user and its policies in one version; immutable, so a change creates new rights.

    The policies are compiled at first use, so that a start with many users is fast. Cached verdicts belong to the index
    and disappear with it, so a cached verdict is never out of date.

    Attributes:
        user: The owner of the rights.
        names: The places of all names, by resource type; empty until the policies are compiled.
    """

    __slots__ = ("_acl", "names", "user")

    def __init__(self, user: User, acl: Acl | AclRecord | None) -> None:
        self.user = user
        self.names = _NOT_COMPILED
        self._acl = acl

    @property
    def acl(self) -> Acl | None:
        """The policies, or None if there are none.

        Raises:
            RecordCorrupt: The policies were loaded from a store and cannot be read.
        """
        acl = self._acl
        return acl.decode() if isinstance(acl, AclRecord) else acl

    @property
    def stored_acl(self) -> Acl | AclRecord | None:
        """The policies in their original form."""
        return self._acl

    def compile(self) -> None:
        """Compile the policies into places, once.

        Raises:
            RecordCorrupt: As for `acl`.
        """
        if not self.names:
            self.names = PolicyIndex(self.acl or _NOTHING).names
