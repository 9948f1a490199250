"""One subject's entries with all data that lint rules need."""

import dataclasses
from collections.abc import Iterator

from mqguard.auth.analysis.access_state import EntryLocation, resources_of
from mqguard.auth.analysis.evaluation import (
    NO_OPINION,
    REQUEST_ACTIONS,
    Place,
    PolicyEvaluation,
    SourceDecision,
    places_around,
    places_of,
    sources_of,
)
from mqguard.auth.analysis.names import WIDEST, NameTree, key_of, trees
from mqguard.auth.analysis.regions import Witness
from mqguard.auth.analysis.source_sets import NOWHERE, SourceSet
from mqguard.auth.decide import decide
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.policy_index import Rights
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import User
from mqguard.auth.verdict import Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class NumberedEntry:
    """An entry and its location."""

    place: EntryLocation
    entry: Entry

    @property
    def actions(self) -> tuple[Action, ...]:
        """The actions of requests that the entry matches."""
        return tuple(action for action in REQUEST_ACTIONS if self.entry.matches_action(action))


@dataclasses.dataclass(frozen=True, slots=True)
class EntryRegion:
    """Requests for one action on names of one class, from any source."""

    tree: NameTree
    place: int
    action: Action

    def witness(self, sources: SourceSet) -> Witness:
        """Return one of the requests, from one of these sources."""
        name = self.tree.classes[self.place].sample()
        return Witness(self.tree.type, name or "", self.action, sources.sample())


class AclAnalysis:
    """The policies of one subject, evaluated as for an enabled Normal user.

    Attributes:
        entries: Every entry, Custom before Default.
        evaluation: The decisions.
    """

    __slots__ = ("_by_place", "_forest", "_places", "_subject", "_user", "entries", "evaluation")

    def __init__(self, acl: Acl) -> None:
        name = acl.subject.name
        self._subject = acl.subject
        self._user = User(name, ())
        self.entries = tuple(
            NumberedEntry(EntryLocation(name, policy, number), entry)
            for policy in PolicyType
            for number, entry in enumerate(acl.entries(policy), 1)
        )
        self.evaluation = PolicyEvaluation(self._user, acl)
        self._forest = trees(resources_of(acl))
        self._by_place: dict[Place, list[NumberedEntry]] = {}
        self._places: dict[tuple[PolicyType | None, int], EntryLocation] = {}
        for line in self.entries:
            for place in places_of(line.entry.resource):
                self._by_place.setdefault(place, []).append(line)
            self._places.setdefault((line.place.policy, id(line.entry)), line.place)

    def covering(self, cell: EntryRegion) -> list[NumberedEntry]:
        """Return the lines for the names of the cell, in the order of `lines`: no others affect its requests."""
        found = list(self._by_place.get((ResourceType.ANY, WIDEST), ()))
        place = cell.place
        while place >= 0:
            around = cell.tree.classes[place]
            for key in places_around(around.type, (around.base, around.exact), namespaced=cell.tree.namespaced):
                found += self._by_place.get(key, ())
            place = around.parent
        order = list(PolicyType)
        return sorted(found, key=lambda line: (order.index(line.place.policy), line.place.number))

    def verdict(self, cell: EntryRegion, witness: Witness, without: NumberedEntry | None = None) -> Verdict:
        """Decide a request of the cell, by all lines or by all except one."""
        lines = [line for line in self.covering(cell) if without is None or line.place != without.place]
        policies = tuple(
            Policy(kind, tuple(line.entry for line in lines if line.place.policy is kind)) for kind in PolicyType
        )
        return decide(witness.request, Rights(self._user, Acl(self._subject, policies)))

    def location_of(self, verdict: Verdict) -> tuple[EntryLocation, ...]:
        """Return the location of the deciding entry: the first one, if the entry is repeated. Empty if none decided."""
        if verdict.decided_by is None:
            return ()
        return (self._places[verdict.policy, id(verdict.decided_by)],)

    def name_classes(self, entry: Entry) -> Iterator[tuple[NameTree, int]]:
        """Yield the classes of names that an entry covers and that a request can name."""
        for tree in self._forest:
            for place in tree.within(entry.resource):
                if tree.classes[place].sample() is not None:
                    yield tree, place

    def cells(self, line: NumberedEntry) -> Iterator[EntryRegion]:
        """Yield the cells that an entry covers."""
        for tree, place in self.name_classes(line.entry):
            for action in line.actions:
                yield EntryRegion(tree, place, action)

    def deciding_sources(self, line: NumberedEntry, cell: EntryRegion) -> SourceSet:
        """Return the sources of the cell's requests that the entry, or an equal one, decides."""
        policy, entry = line.place.policy, line.entry
        if policy is PolicyType.DEFAULT and self.evaluation.is_covered(cell.tree, cell.place):
            return NOWHERE
        left = self._beyond_narrower(policy, entry, cell)
        if entry.decision is Decision.ALLOW and not left.is_empty:
            left -= self._own_layer(policy, entry.resource, cell).denied
        return left

    def overridden_sources(self, line: NumberedEntry, cell: EntryRegion) -> SourceSet:
        """Return the sources from which requests that the entry matches get the opposite decision."""
        allowed = self.evaluation.outcome(cell.tree, cell.place, cell.action).allowed
        matched = sources_of(line.entry)
        return matched - allowed if line.entry.decision is Decision.ALLOW else matched & allowed

    def differs(self, line: NumberedEntry, one: PolicyEvaluation, other: PolicyEvaluation) -> bool:
        """True if two grids that differ in this entry alone differ in a decision."""
        for tree, place in self.name_classes(line.entry):
            # If only this entry disabled the Default entries, those now apply to every action.
            same_policy = one.is_covered(tree, place) == other.is_covered(tree, place)
            for action in line.actions if same_policy else REQUEST_ACTIONS:
                if one.outcome(tree, place, action).allowed != other.outcome(tree, place, action).allowed:
                    return True
        return False

    def _beyond_narrower(self, policy: PolicyType, entry: Entry, cell: EntryRegion) -> SourceSet:
        """Return the sources of requests that this entry matches and no entry for a narrower resource decides."""
        left = sources_of(entry)
        classes, layer, action = cell.tree.classes, self.evaluation.layer, cell.action
        place = cell.place
        # The class of the entry's own resource is the first around the cell that is not narrower; `*` has no class.
        own = -1 if entry.resource.type is ResourceType.ANY else cell.tree.place_of(entry.resource)
        while place != own and not left.is_empty:
            found = classes[place]
            said = layer(policy, cell.tree, (found.base, found.exact), action)
            if said is not NO_OPINION:
                left = left - said.allowed - said.denied
            place = found.parent
        return left

    def _own_layer(self, policy: PolicyType, resource: Resource, cell: EntryRegion) -> SourceDecision:
        """Return the decision of the entries with the same precedence as one for the resource."""
        if resource.type is ResourceType.ANY:
            return self.evaluation.widest_layer(policy, cell.action)
        return self.evaluation.layer(policy, cell.tree, key_of(resource), cell.action)
