"""The decisions of a subject's policies for every request: the sources, for each class of names and each action.

The request space is divided into cells (type, class of names, action, source) with one verdict each. A class is
evaluated from narrow to wide, layer by layer. The decision of a layer for a source is final; the rest falls through to
the next wider layer. A layer holds the entries of one rank, except for Deny before Allow. This is `precedence.rank`
again, for sets of requests instead of one.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from mqguard.auth.analysis.names import WIDEST, Key, NameTree, key_of
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
    def spoken(self) -> SourceSet:
        """The sources that an entry matches."""
        return self.allowed | self.denied

    def over(self, below: "SourceDecision") -> "SourceDecision":
        """Return this layer's decisions, and the wider layer's if this one has none."""
        if below is NO_OPINION:
            return self
        spoken = self.spoken
        return SourceDecision(self.allowed | (below.allowed - spoken), self.denied | (below.denied - spoken))


Cell = tuple[ResourceType, int, Action]
"""A class of names of one type, by its index in the tree, and an action."""
NO_OPINION = SourceDecision()
EVERYTHING = SourceDecision(allowed=ANYWHERE)


@functools.lru_cache(maxsize=4096)
def origins_of(entry: Entry) -> SourceSet:
    """Return the sources that an entry matches."""
    return SourceSet.of(entry.sources)


def layer_of(entries: Iterable[Entry], action: Action) -> SourceDecision:
    """Return the decision of entries for exactly one resource about an action; Deny wins among them."""
    said: dict[Decision, list[SourceSet]] = {Decision.ALLOW: [], Decision.DENY: []}
    for entry in entries:
        if entry.matches_action(action):
            said[entry.decision].append(origins_of(entry))
    allowed, denied = SourceSet.union(said[Decision.ALLOW]), SourceSet.union(said[Decision.DENY])
    if allowed.is_empty and denied.is_empty:
        return NO_OPINION
    return SourceDecision(allowed - denied, denied)


class EntriesByResource:
    """The entries of one policy, by their resource."""

    __slots__ = ("_base", "_entries", "_outcomes")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[ResourceType, Key], list[Entry]] = {}
        self._outcomes: dict[tuple[ResourceType, Key, Action], SourceDecision] = {}
        # The fallback for resources without entries here: most lookups, if policies differ in a single entry.
        self._base: EntriesByResource | None = None
        for entry in entries:
            self._entries.setdefault(_place(entry.resource), []).append(entry)

    def without(self, entry: Entry) -> "EntriesByResource":
        """Return a copy without one entry, which must be in it; of two equal ones only one is removed."""
        place = _place(entry.resource)
        rest = list(self.about(*place))
        rest.remove(entry)
        less = EntriesByResource(())
        less._base = self if self._base is None else self._base
        less._entries = {place: rest} if self._base is None else {**self._entries, place: rest}
        return less

    def about(self, kind: ResourceType, key: Key) -> Sequence[Entry]:
        """Return the entries for exactly that resource."""
        entries = self._entries.get((kind, key))
        if entries is None:
            return () if self._base is None else self._base.about(kind, key)
        return entries

    def has(self, kind: ResourceType, key: Key) -> bool:
        """True if an entry is for exactly that resource; the kind `ANY` has one key, the widest."""
        return bool(self.about(kind, key))

    def outcome(self, kind: ResourceType, key: Key, action: Action) -> SourceDecision:
        """Return the decision of the entries for exactly that resource."""
        entries = self._entries.get((kind, key))
        if entries is None:
            return NO_OPINION if self._base is None else self._base.outcome(kind, key, action)
        question = (kind, key, action)
        known = self._outcomes.get(question)
        if known is None:
            known = self._outcomes[question] = layer_of(entries, action)
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
        self._covered: dict[tuple[ResourceType, int], tuple[NameTree, bool]] = {}

    def without(self, policy: PolicyType, entry: Entry) -> "PolicyEvaluation":
        """Return the same subject without one of its entries."""
        less = PolicyEvaluation(None, None)
        less._constant = self._constant
        less._layers = {**self._layers, policy: self._layers[policy].without(entry)}
        return less

    def layer(self, policy: PolicyType, kind: ResourceType, key: Key, action: Action) -> SourceDecision:
        """Return the decision of one policy's entries for exactly one resource, whatever others decide."""
        return self._layers[policy].outcome(kind, key, action)

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
            known = self._covered.get((tree.type, place))
            if known is not None and known[0] is tree:
                covered = known[1]
                break
            asked.append(place)
            found = tree.classes[place]
            covered = custom.has(found.type, (found.base, found.exact))
            if found.parent < 0:
                covered = covered or custom.has(ResourceType.ANY, WIDEST)
                break
            place = found.parent
        for one in asked:
            self._covered[tree.type, one] = tree, covered
        return covered

    def _policy_outcome(self, policy: PolicyType, tree: NameTree, place: int, action: Action) -> SourceDecision:
        answers, layers = self._answers[policy], self._layers[policy]
        asked: list[int] = []
        answer: SourceDecision | None = None
        while answer is None:
            known = answers.get((tree.type, place, action))
            if known is not None and known[0] is tree:
                answer = known[1]
                break
            asked.append(place)
            place = tree.classes[place].parent
            if place < 0:
                answer = layers.outcome(ResourceType.ANY, WIDEST, action)
        for one in reversed(asked):
            found = tree.classes[one]
            own = layers.outcome(found.type, (found.base, found.exact), action)
            if own is not NO_OPINION:
                answer = own.over(answer)
            answers[tree.type, one, action] = tree, answer
        return answer


def _constant(user: User | None) -> SourceDecision | None:
    """Return the result for users whose policies are not evaluated."""
    if user is None or not user.is_enabled:
        return NO_OPINION
    return EVERYTHING if user.is_super else None


def _place(resource: Resource) -> tuple[ResourceType, Key]:
    return resource.type, key_of(resource)
