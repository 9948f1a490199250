"""What a subject's policies say about every request: for each class of names and each action, from where.

The request space is parted into cells (type, class of names, action, place) on which the verdict is the same. A class
is judged from narrow to wide, layer by layer: what a layer says about a place is final, the rest falls through to the
next wider layer. A layer holds the entries of one rank but for Deny before Allow. That is `precedence.rank` again,
for sets of requests instead of one.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from mqguard.auth.action import Action
from mqguard.auth.analysis.names import WIDEST, Key, NameTree, key_of
from mqguard.auth.analysis.origins import ANYWHERE, NOWHERE, Origins
from mqguard.auth.policy import Acl, Decision, Entry, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.user import User

REQUEST_ACTIONS = tuple(action for action in Action if action is not Action.ALL)
"""The actions that requests ask for; `All` is for entries."""


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """From where one action on the names of one class is allowed, and from where an entry denies it.

    From all other places no entry matches, which refuses as well.
    """

    allowed: Origins = NOWHERE
    denied: Origins = NOWHERE

    @property
    def spoken(self) -> Origins:
        """The places that an entry speaks about."""
        return self.allowed | self.denied

    def over(self, below: "Outcome") -> "Outcome":
        """This layer first, and the wider one where this one is silent."""
        if below is SILENT:
            return self
        spoken = self.spoken
        return Outcome(self.allowed | (below.allowed - spoken), self.denied | (below.denied - spoken))


Cell = tuple[ResourceType, int, Action]
"""A class of names of one type, by its place in the tree, and an action."""
SILENT = Outcome()
EVERYTHING = Outcome(allowed=ANYWHERE)


@functools.lru_cache(maxsize=4096)
def origins_of(entry: Entry) -> Origins:
    """The places that an entry speaks about."""
    return Origins.of(entry.sources)


def layer_of(entries: Iterable[Entry], action: Action) -> Outcome:
    """What entries about one and the same resource say of an action; Deny wins among them."""
    said: dict[Decision, list[Origins]] = {Decision.ALLOW: [], Decision.DENY: []}
    for entry in entries:
        if entry.speaks_of(action):
            said[entry.decision].append(origins_of(entry))
    allowed, denied = Origins.union(said[Decision.ALLOW]), Origins.union(said[Decision.DENY])
    if allowed.is_empty and denied.is_empty:
        return SILENT
    return Outcome(allowed - denied, denied)


class Layers:
    """The entries of one policy, by the resource that they are about."""

    __slots__ = ("_base", "_entries", "_outcomes")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries: dict[tuple[ResourceType, Key], list[Entry]] = {}
        self._outcomes: dict[tuple[ResourceType, Key, Action], Outcome] = {}
        # What is asked where nothing is said here: most of what is asked of policies less an entry.
        self._base: Layers | None = None
        for entry in entries:
            self._entries.setdefault(_place(entry.resource), []).append(entry)

    def without(self, entry: Entry) -> "Layers":
        """The same less one entry, which must be in it; of two equal ones only one goes."""
        place = _place(entry.resource)
        rest = list(self.about(*place))
        rest.remove(entry)
        less = Layers(())
        less._base = self if self._base is None else self._base
        less._entries = {place: rest} if self._base is None else {**self._entries, place: rest}
        return less

    def about(self, kind: ResourceType, key: Key) -> Sequence[Entry]:
        """The entries about exactly that resource."""
        entries = self._entries.get((kind, key))
        if entries is None:
            return () if self._base is None else self._base.about(kind, key)
        return entries

    def has(self, kind: ResourceType, key: Key) -> bool:
        """Whether an entry is about exactly that resource; the kind `ANY` has one key, the widest."""
        return bool(self.about(kind, key))

    def outcome(self, kind: ResourceType, key: Key, action: Action) -> Outcome:
        """What the entries about exactly that resource say."""
        entries = self._entries.get((kind, key))
        if entries is None:
            return SILENT if self._base is None else self._base.outcome(kind, key, action)
        question = (kind, key, action)
        known = self._outcomes.get(question)
        if known is None:
            known = self._outcomes[question] = layer_of(entries, action)
        return known


class Grid:
    """The verdicts of one subject for every cell.

    Args:
        user: The subject's user, None if there is none.
        acl: Its policies, None if there are none.
    """

    __slots__ = ("_answers", "_constant", "_covered", "_layers")

    def __init__(self, user: User | None, acl: Acl | None) -> None:
        self._constant = _constant(user)
        self._layers = {kind: Layers(acl.entries(kind) if acl else ()) for kind in PolicyType}
        self._answers: dict[PolicyType, dict[Cell, tuple[NameTree, Outcome]]] = {kind: {} for kind in PolicyType}
        self._covered: dict[tuple[ResourceType, int], tuple[NameTree, bool]] = {}

    def without(self, policy: PolicyType, entry: Entry) -> "Grid":
        """The same subject less one of its entries."""
        less = Grid(None, None)
        less._constant = self._constant
        less._layers = {**self._layers, policy: self._layers[policy].without(entry)}
        return less

    def layer(self, policy: PolicyType, kind: ResourceType, key: Key, action: Action) -> Outcome:
        """What the entries of one policy about exactly one resource say, whatever others say."""
        return self._layers[policy].outcome(kind, key, action)

    def outcome(self, tree: NameTree, place: int, action: Action) -> Outcome:
        """From where the action on names of that class is allowed and denied.

        Args:
            tree: Classes made from at least all resources of this subject's entries.
            place: The class.
            action: One that requests ask for.
        """
        if self._constant is not None:
            return self._constant
        policy = PolicyType.CUSTOM if self.is_covered(tree, place) else PolicyType.DEFAULT
        return self._policy_outcome(policy, tree, place, action)

    def is_covered(self, tree: NameTree, place: int) -> bool:
        """Whether a Custom entry covers the names of that class, so that Default entries do not speak of them."""
        custom = self._layers[PolicyType.CUSTOM]
        # Up to the first class that is known, then down again: prefixes may lie within each other a thousand deep.
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

    def _policy_outcome(self, policy: PolicyType, tree: NameTree, place: int, action: Action) -> Outcome:
        answers, layers = self._answers[policy], self._layers[policy]
        asked: list[int] = []
        answer: Outcome | None = None
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
            if own is not SILENT:
                answer = own.over(answer)
            answers[tree.type, one, action] = tree, answer
        return answer


def _constant(user: User | None) -> Outcome | None:
    """The answer for users whose policies are not evaluated."""
    if user is None or not user.is_enabled:
        return SILENT
    return EVERYTHING if user.is_super else None


def _place(resource: Resource) -> tuple[ResourceType, Key]:
    return resource.type, key_of(resource)
