"""The names of one resource type, divided so that entries cannot distinguish two names of one class.

Each literal of the entries is a class of its own. Each prefix makes a class of the names that begin with it and belong
to no narrower class. Classes form a tree: a class has exactly the names that the narrower ones leave.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from mqguard.auth.resource import Pattern, Resource, ResourceType

REQUEST_TYPES = tuple(kind for kind in ResourceType if kind is not ResourceType.ANY)
"""The types that a request can name."""

_WORDS = ("any", "other", "1", "x", "a", "b", "0", "_")


@dataclasses.dataclass(frozen=True, slots=True)
class NameClass:
    """One class of names.

    Attributes:
        type: The resource type.
        base: The literal name, or the prefix that all names of the class share (empty: no prefix).
        exact: True if the class is the literal alone.
        parent: The index of the next wider class in the tree, -1 for the widest.
        end: The index after the last class inside this one.
        holes: The names and prefixes directly inside, which do not belong to the class.
    """

    type: ResourceType
    base: str
    exact: bool
    parent: int
    end: int
    holes: tuple["Key", ...]

    @property
    def resource(self) -> Resource:
        """The narrowest resource that covers the class."""
        if self.exact:
            return Resource(self.type, self.base, Pattern.LITERAL)
        return Resource(self.type, self.base, Pattern.PREFIXED if self.base else Pattern.ANY)

    def sample(self) -> str | None:
        """Return a name of the class, or None if it has only blank names, which no request can use."""
        if self.exact:
            return None if _is_blank(self.base) else self.base
        for ending in _endings(self.base):
            name = self.base + ending
            if not _is_blank(name) and not any(self._in_hole(name, hole) for hole in self.holes):
                return name
        return None  # not reached: the endings outnumber any holes

    @staticmethod
    def _in_hole(name: str, hole: "Key") -> bool:
        base, exact = hole
        return name == base if exact else name.startswith(base)


Key = tuple[str, bool]
"""Name and True for a literal, prefix and False for a prefix."""
WIDEST: Key = ("", False)
"""All names."""


class NameTree:
    """All classes of one type; a class comes before those inside it."""

    __slots__ = ("_places", "classes", "type")

    def __init__(self, kind: ResourceType, resources: Iterable[Resource]) -> None:
        self.type = kind
        keys = sorted({WIDEST, *_keys(kind, resources)})
        self.classes = _tree(kind, keys)
        self._places = {(found.base, found.exact): place for place, found in enumerate(self.classes)}

    def within(self, resource: Resource) -> range:
        """Return the indexes of the classes that the resource covers; it must be one of those that made the tree."""
        if resource.type not in (ResourceType.ANY, self.type):
            return range(0)
        place = self.place_of(resource)
        return range(place, self.classes[place].end)

    def place_of(self, resource: Resource) -> int:
        """Return the index of the class of the resource; it must be one of those that made the tree."""
        return self._places[key_of(resource)]


def key_of(resource: Resource) -> Key:
    """Return the class of a resource: the widest if it covers every name, since its name is then empty."""
    return resource.name, resource.pattern is Pattern.LITERAL


def trees(resources: Iterable[Resource]) -> tuple[NameTree, ...]:
    """Return the classes of every type that a request can name, for entries about these resources."""
    resources = tuple(resources)
    return tuple(NameTree(kind, resources) for kind in REQUEST_TYPES)


def _keys(kind: ResourceType, resources: Iterable[Resource]) -> Iterator[Key]:
    return (key_of(resource) for resource in resources if resource.type is kind)


def _tree(kind: ResourceType, keys: list[Key]) -> tuple[NameClass, ...]:
    # In sorted order, every name with a prefix directly follows it, and a prefix comes before its own literal.
    parents: list[int] = []
    ends = [len(keys)] * len(keys)
    holes: list[list[Key]] = [[] for _ in keys]
    open_: list[int] = []
    for place, (base, exact) in enumerate(keys):
        while open_ and (keys[open_[-1]][1] or not base.startswith(keys[open_[-1]][0])):
            ends[open_.pop()] = place
        parents.append(open_[-1] if open_ else -1)
        if open_:
            holes[open_[-1]].append((base, exact))
        open_.append(place)
    return tuple(
        NameClass(kind, base, exact, parents[place], ends[place], tuple(holes[place]))
        for place, (base, exact) in enumerate(keys)
    )


def _is_blank(name: str) -> bool:
    return not name or name.isspace()


def _endings(base: str) -> Iterator[str]:
    # `order` and `order-1` for `order*`, but `order-any` for `order-*`.
    yield from ("", "-1", "-other", *_WORDS) if base[-1:].isalnum() else (*_WORDS, "")
    # More characters than any number of holes can use.
    yield from (chr(code) for code in range(0x30, 0xD800))
    yield from (chr(code) for code in range(0x10000, 0x110000))
