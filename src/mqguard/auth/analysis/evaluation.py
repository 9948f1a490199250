"""The decisions of a subject's policies for every request: the sources, for each class of names and each action.

The request space is divided into cells (type, class of names, action, source) with one verdict each. A class is
evaluated from narrow to wide, layer by layer. The decision of a layer for a source is final; the rest falls through to
the next wider layer. A layer holds the entries of one rank, except for Deny before Allow. This is `precedence.rank`
again, for sets of requests instead of one.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from mqguard.auth.analysis.names import WIDEST, Key, NameClass, NameTree, key_of
from mqguard.auth.analysis.source_sets import ANYWHERE, NOWHERE, SourceSet
from mqguard.auth.policy import Acl, Action, Decision, Entry, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import User

REQUEST_ACTIONS = tuple(action for action in Action if action is not Action.ALL)
"""The actions of requests; only entries use `All`."""


@dataclasses.dataclass(frozen=True, slots=True)
class SourceDecision:
    """The sources from which one action on the names of one class is allowed, and those for which an entry denies it.

    No entry matches from all other sources, so the request is denied as well.
    """

    allowed: SourceSet = NOWHERE
    denied: SourceSet = NOWHERE

    @property
    def decided(self) -> SourceSet:
        """The sources that an entry matches."""
        return self.allowed | self.denied

    def over(self, below: "SourceDecision") -> "SourceDecision":
        """Return this layer's decisions, and the wider layer's if this one has none."""
        if below is NO_OPINION:
            return self
        decided = self.decided
        return SourceDecision(self.allowed | (below.allowed - decided), self.denied | (below.denied - decided))


Cell = tuple[ResourceType, bool | None, int, Action]
"""A class of names, by the type and half of its tree and its index there, and an action."""
Place = tuple[ResourceType, Key]
"""The key of the entries for one resource. The type is that of requests, `ANY`, or `NAMESPACE` for several namespaces.
"""
NO_OPINION = SourceDecision()
EVERYTHING = SourceDecision(allowed=ANYWHERE)
_EVERYTHING: tuple[Place, ...] = ((ResourceType.ANY, WIDEST),)
"""The key of entries for `*`."""


@functools.lru_cache(maxsize=4096)
def sources_of(entry: Entry) -> SourceSet:
    """Return the sources that an entry matches."""
    return SourceSet.of(entry.sources)


def layer_of(entries: Iterable[Entry], action: Action) -> SourceDecision:
    """Return the decision of entries for exactly one resource about an action; Deny wins among them."""
    said: dict[Decision, list[SourceSet]] = {Decision.ALLOW: [], Decision.DENY: []}
    for entry in entries:
        if entry.matches_action(action):
            said[entry.decision].append(sources_of(entry))
    allowed, denied = SourceSet.union(said[Decision.ALLOW]), SourceSet.union(said[Decision.DENY])
    if allowed.is_empty and denied.is_empty:
        return NO_OPINION
    return SourceDecision(allowed - denied, denied)


def places_of(resource: Resource) -> tuple[Place, ...]:
    """Return the keys under which the entries for a resource are found.

    `Namespace:n` has the keys of `Topic:n%*` and `Group:n%*`. A resource for several namespaces has one key, which a
    class of names with a namespace asks for in addition to its own.
    """
    kinds = (resource.type,) if resource.spans_namespaces or resource.type is ResourceType.ANY else resource.types
    return tuple((kind, key_of(resource)) for kind in kinds)


def places_around(kind: ResourceType, key: Key, *, namespaced: bool | None) -> tuple[Place, ...]:
    """Return the keys of all entries that name exactly the names of a class."""
    return ((kind, key), (ResourceType.NAMESPACE, key)) if namespaced else ((kind, key),)


class EntriesByResource:
    """The entries of one policy, by their resource."""

    __slots__ = ("_base", "_entries", "_outcomes")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[Place, list[Entry]] = {}
        self._outcomes: dict[tuple[tuple[Place, ...], Action], SourceDecision] = {}
        # The fallback for resources without entries here: most lookups, if policies differ in a single entry.
        self._base: EntriesByResource | None = None
        for entry in entries:
            for place in places_of(entry.resource):
                self._entries.setdefault(place, []).append(entry)

    def without(self, entry: Entry) -> "EntriesByResource":
        """Return a copy without one entry, which must be in it; of two equal ones only one is removed."""
        less = EntriesByResource(())
        less._base = self if self._base is None else self._base
        less._entries = {} if self._base is None else dict(self._entries)
        for place in places_of(entry.resource):
            rest = list(self.about((place,)))
            rest.remove(entry)
            less._entries[place] = rest
        return less

    def about(self, places: tuple[Place, ...]) -> Sequence[Entry]:
        """Return the entries with one of these keys."""
        if len(places) > 1:
            return [entry for place in places for entry in self.about((place,))]
        entries = self._entries.get(places[0])
        if entries is None:
            return () if self._base is None else self._base.about(places)
        return entries

    def outcome(self, places: tuple[Place, ...], action: Action) -> SourceDecision:
        """Return the decision of the entries with one of these keys."""
        if not any(place in self._entries for place in places):
            return NO_OPINION if self._base is None else self._base.outcome(places, action)
        known = self._outcomes.get((places, action))
        if known is None:
            known = self._outcomes[places, action] = layer_of(self.about(places), action)
        return known


class PolicyEvaluation:
    """The decisions of one subject for every cell.

    Args:
        user: The subject's user, or None.
        acl: Its policies, or None.
    """

    __slots__ = ("_answers", "_constant", "_covered", "_layers")

    def __init__(self, user: User | None, acl: Acl | None) -> None:
        self._constant = _constant(user)
        self._layers = {kind: EntriesByResource(acl.entries(kind) if acl else ()) for kind in PolicyType}
        self._answers: dict[PolicyType, dict[Cell, tuple[NameTree, SourceDecision]]] = {kind: {} for kind in PolicyType}
        self._covered: dict[tuple[ResourceType, bool | None, int], tuple[NameTree, bool]] = {}

    def without(self, policy: PolicyType, entry: Entry) -> "PolicyEvaluation":
        """Return the same subject without one of its entries."""
        less = PolicyEvaluation(None, None)
        less._constant = self._constant
        less._layers = {**self._layers, policy: self._layers[policy].without(entry)}
        return less

    def layer(self, policy: PolicyType, tree: NameTree, key: Key, action: Action) -> SourceDecision:
        """Return the decision of one policy's entries for exactly the names of one class, whatever others decide."""
        return self._layers[policy].outcome(places_around(tree.type, key, namespaced=tree.namespaced), action)

    def widest_layer(self, policy: PolicyType, action: Action) -> SourceDecision:
        """Return the decision of one policy's entries for `*`."""
        return self._layers[policy].outcome(_EVERYTHING, action)

    def outcome(self, tree: NameTree, place: int, action: Action) -> SourceDecision:
        """Return the sources from which the action on names of that class is allowed and denied.

        Args:
            tree: The classes of at least all resources of this subject's entries.
            place: The class.
            action: An action of requests.
        """
        if self._constant is not None:
            return self._constant
        policy = PolicyType.CUSTOM if self.is_covered(tree, place) else PolicyType.DEFAULT
        return self._policy_outcome(policy, tree, place, action)

    def is_covered(self, tree: NameTree, place: int) -> bool:
        """True if a Custom entry covers the names of that class, so that Default entries do not apply to them."""
        custom = self._layers[PolicyType.CUSTOM]
        # Up to the first known class, then down again: prefixes may be nested a thousand levels deep.
        asked: list[int] = []
        covered = False
        while not covered:
            known = self._covered.get((tree.type, tree.namespaced, place))
            if known is not None and known[0] is tree:
                covered = known[1]
                break
            asked.append(place)
            found = tree.classes[place]
            covered = bool(custom.about(_places_of_class(tree, found)))
            if found.parent < 0:
                covered = covered or bool(custom.about(_EVERYTHING))
                break
            place = found.parent
        for one in asked:
            self._covered[tree.type, tree.namespaced, one] = tree, covered
        return covered

    def _policy_outcome(self, policy: PolicyType, tree: NameTree, place: int, action: Action) -> SourceDecision:
        answers, layers = self._answers[policy], self._layers[policy]
        asked: list[int] = []
        answer: SourceDecision | None = None
        while answer is None:
            known = answers.get((tree.type, tree.namespaced, place, action))
            if known is not None and known[0] is tree:
                answer = known[1]
                break
            asked.append(place)
            place = tree.classes[place].parent
            if place < 0:
                answer = layers.outcome(_EVERYTHING, action)
        for one in reversed(asked):
            own = layers.outcome(_places_of_class(tree, tree.classes[one]), action)
            if own is not NO_OPINION:
                answer = own.over(answer)
            answers[tree.type, tree.namespaced, one, action] = tree, answer
        return answer


def _constant(user: User | None) -> SourceDecision | None:
    """Return the result for users whose policies are not evaluated."""
    if user is None or not user.is_enabled:
        return NO_OPINION
    return EVERYTHING if user.is_super else None


def _places_of_class(tree: NameTree, found: NameClass) -> tuple[Place, ...]:
    return places_around(found.type, (found.base, found.exact), namespaced=tree.namespaced)
