"""Cells joined for users: rights as lines, and a concrete request for each."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from mqguard.auth.analysis.evaluation import REQUEST_ACTIONS
from mqguard.auth.analysis.names import Key, NameTree, half_of, key_of
from mqguard.auth.analysis.source_sets import SourceSet
from mqguard.auth.policy import Action
from mqguard.auth.resource import REQUEST_TYPES, Pattern, Resource, ResourceType, has_namespace
from mqguard.auth.source import Address
from mqguard.auth.verdict import AccessRequest

ActionsFromSources = tuple[tuple[Action, ...], SourceSet]
"""Some actions, with their sources."""


@dataclasses.dataclass(frozen=True, slots=True)
class Witness:
    """One concrete request.

    Attributes:
        type: The kind of resource.
        name: Its name.
        action: The action.
        address: The source; None is an unknown address.
    """

    type: ResourceType
    name: str
    action: Action
    address: Address | None

    @property
    def request(self) -> AccessRequest:
        """The request as input of `decide`."""
        return AccessRequest(self.type, self.name, frozenset({self.action}), self.address)

    @property
    def text(self) -> str:
        """The request for users."""
        source = "an unknown address" if self.address is None else str(self.address)
        return f"{self.action.value} {self.type.value}:{self.name} from {source}"


@dataclasses.dataclass(frozen=True, slots=True)
class Region:
    """A set of requests.

    Attributes:
        resource: The resource that covers the names; `*` is every type.
        holes: Narrower resources whose names are not in the set.
        namespaced: True if only names with a namespace are in the set, False if only those without, None if both.
        actions: In the order of `Action`.
        sources: The sources; never empty.
        sample: A name of the set.
    """

    resource: Resource
    holes: tuple[Resource, ...]
    actions: tuple[Action, ...]
    sources: SourceSet
    sample: str
    namespaced: bool | None = None

    @property
    def names(self) -> str:
        """The names for users."""
        return self.brief_names(None)

    def brief_names(self, most: int | None) -> str:
        """Return the same as `names`, with at most `most` holes and the number of the others."""
        half = {True: " with a namespace", False: " without a namespace", None: ""}[self.namespaced]
        shown = [hole.key for hole in self.holes[:most]]
        if len(self.holes) > len(shown):
            shown.append(f"{len(self.holes) - len(shown)} more")
        return f"{self.resource.key}{half}" + (f" but {', '.join(shown)}" if shown else "")

    def holds(self, request: AccessRequest) -> bool:
        """True if the set contains a request for exactly one action."""
        covered = self.resource.covers(request.type, request.name)
        return (
            covered
            and self.namespaced in (None, has_namespace(request.name))
            and not any(hole.covers(request.type, request.name) for hole in self.holes)
            and request.actions <= set(self.actions)
            and request.address in self.sources
        )

    @property
    def action_names(self) -> tuple[str, ...]:
        """The actions in the notation of policies."""
        if len(self.actions) == len(REQUEST_ACTIONS):
            return (Action.ALL.value,)
        return tuple(action.value for action in self.actions)

    @property
    def witness(self) -> Witness:
        """One request of the set."""
        kind = ResourceType.TOPIC if self.resource.type is ResourceType.ANY else self.resource.type
        return Witness(kind, self.sample, self.actions[0], self.sources.sample())


def parts(
    sources_of: Callable[[Action], SourceSet], actions: Iterable[Action] = REQUEST_ACTIONS
) -> tuple[ActionsFromSources, ...]:
    """Join actions with the same sources; leave out actions without a source."""
    found: dict[SourceSet, tuple[Action, ...]] = {}
    for action in actions:
        sources = sources_of(action)
        if not sources.is_empty:
            found[sources] = (*found.get(sources, ()), action)
    return tuple((actions, sources) for sources, actions in found.items())


def regions(
    trees: Iterable[NameTree], parts_of: Callable[[NameTree, int], tuple[ActionsFromSources, ...]]
) -> tuple[Region, ...]:
    """Return the parts of all cells as few lines, narrow and wide.

    A class with the same parts as its parent class is merged into it. All types are merged if their parts are the same.

    Args:
        trees: The classes of names, a tree for each type.
        parts_of: Returns the parts of a class; an empty tuple means nothing.
    """
    found = [region for tree in trees for region in _fold(tree, parts_of)]
    return tuple(_join_types(_join_halves(found)))


def _fold(tree: NameTree, parts_of: Callable[[NameTree, int], tuple[ActionsFromSources, ...]]) -> Iterator[Region]:
    values = [parts_of(tree, place) if _can_be_named(tree, place) else None for place in range(len(tree.classes))]
    # The class that each class is merged into: itself, or its parent if both have the same parts.
    heads: list[int] = []
    holes: dict[int, list[Key]] = {}
    for place, found in enumerate(tree.classes):
        around = heads[found.parent] if found.parent >= 0 else -1
        if around >= 0 and (values[place] is None or values[place] == values[around]):
            heads.append(around)
            continue
        heads.append(place)
        if around >= 0:
            holes.setdefault(around, []).append((found.base, found.exact))
    for place, value in enumerate(values):
        if heads[place] == place and value:
            yield from _lines(tree, place, value, holes.get(place, ()))


def _lines(tree: NameTree, place: int, value: tuple[ActionsFromSources, ...], holes: Iterable[Key]) -> Iterator[Region]:
    left_out = tuple(_resource(tree.type, hole) for hole in holes)
    found = tree.classes[place]
    sample = found.sample() or ""
    # A name or a prefix with a `%` is in one half anyway.
    half = tree.namespaced if half_of((found.base, found.exact)) is None else None
    for actions, sources in value:
        yield Region(found.resource, left_out, actions, sources, sample, half)


def _can_be_named(tree: NameTree, place: int) -> bool:
    return not tree.classes[place].exact or tree.classes[place].sample() is not None


def _resource(kind: ResourceType, key: Key) -> Resource:
    name, exact = key
    return Resource(kind, name, Pattern.LITERAL if exact else Pattern.PREFIXED)


def _join_halves(found: list[Region]) -> list[Region]:
    """Join the names of a resource with a namespace and those without, if both have the same rights."""
    without: dict[tuple[object, ...], int] = {}
    joined: list[Region] = []
    for region in found:
        alike = (region.resource, region.actions, region.sources, _holes_of_both(region))
        if region.namespaced is False:
            without[alike] = len(joined)
        if region.namespaced is True and alike in without:
            other = joined[without[alike]]
            holes = tuple(dict.fromkeys((*other.holes, *region.holes)))
            joined[without[alike]] = dataclasses.replace(other, holes=holes, namespaced=None)
        else:
            joined.append(region)
    return joined


def _holes_of_both(region: Region) -> frozenset[Resource]:
    """Return the holes that can contain names of the other half."""
    return frozenset(hole for hole in region.holes if half_of(key_of(hole)) is not region.namespaced)


def _join_types(found: list[Region]) -> Iterator[Region]:
    wide: dict[tuple[tuple[Action, ...], SourceSet], list[Region]] = {}
    for region in found:
        if region.resource.pattern is Pattern.ANY and not region.holes and region.namespaced is None:
            wide.setdefault((region.actions, region.sources), []).append(region)
    joined = {id(region) for group in wide.values() if len(group) == len(REQUEST_TYPES) for region in group}
    for (actions, sources), group in wide.items():
        if len(group) == len(REQUEST_TYPES):
            sample = next(region.sample for region in group if region.resource.type is ResourceType.TOPIC)
            yield Region(Resource(ResourceType.ANY, "", Pattern.ANY), (), actions, sources, sample)
    yield from (region for region in found if id(region) not in joined)
