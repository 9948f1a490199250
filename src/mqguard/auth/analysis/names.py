"""The names of one resource type, divided so that entries cannot distinguish two names of one class.

Each literal of the entries is a class of its own. Each prefix makes a class of the names that begin with it and belong
to no narrower class. Classes form a tree: a class has exactly the names that the narrower ones leave.

An entry for several namespaces, such as `Namespace:*`, distinguishes the names of a prefix with a namespace from those
without. If there is one, topics and groups have two trees, one for each half.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from mqguard.auth.resource import NAMESPACE_END, REQUEST_TYPES, Pattern, Resource, ResourceType, has_namespace

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
        namespaced: True if the class has only names with a namespace, False if only those without, None if both.
    """

    type: ResourceType
    base: str
    exact: bool
    parent: int
    end: int
    holes: tuple["Key", ...]
    namespaced: bool | None = None

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
        end = f"{NAMESPACE_END}any" if self.namespaced and not has_namespace(self.base) else ""
        for ending in _endings(self.base):
            name = self.base + ending + end
            if self._has(name) and not any(self._in_hole(name, hole) for hole in self.holes):
                return name
        return None  # not reached: the endings outnumber any holes

    def _has(self, name: str) -> bool:
        """True if a name with this base is not blank and in the right half."""
        return not _is_blank(name) and self.namespaced in (None, has_namespace(name))

    @staticmethod
    def _in_hole(name: str, hole: "Key") -> bool:
        base, exact = hole
        return name == base if exact else name.startswith(base)


Key = tuple[str, bool]
"""Name and True for a literal, prefix and False for a prefix."""
WIDEST: Key = ("", False)
"""All names."""


class NameTree:
    """Classes of one type; a class comes before those inside it.

    Attributes:
        type: The type.
        namespaced: True if the tree has only names with a namespace, False if only those without, None if both.
        classes: The classes.
    """

    __slots__ = ("_places", "classes", "namespaced", "type")

    def __init__(self, kind: ResourceType, resources: Iterable[Resource], *, namespaced: bool | None = None) -> None:
        self.type = kind
        self.namespaced = namespaced
        keys = sorted({WIDEST, *(key_of(resource) for resource in resources if self._is_narrower(resource))})
        self.classes = _tree(kind, keys, namespaced)
        self._places = {(found.base, found.exact): place for place, found in enumerate(self.classes)}

    def within(self, resource: Resource) -> range:
        """Return the indexes of the classes that the resource covers; it must be one of those that made the tree."""
        is_any = resource.type is ResourceType.ANY
        if not is_any and not self._is_narrower(resource):
            return range(0)
        place = self.place_of(resource)
        return range(place, self.classes[place].end)

    def place_of(self, resource: Resource) -> int:
        """Return the index of the class of the resource; it must be one of those that made the tree."""
        return self._places[key_of(resource)]

    def _is_narrower(self, resource: Resource) -> bool:
        """True if the resource names the type, and some of its names can be in this tree."""
        if resource.type is ResourceType.ANY or self.type not in resource.types:
            return False
        if resource.spans_namespaces and (not self.namespaced or NAMESPACE_END in resource.name):
            return False
        return half_of(key_of(resource)) in (None, self.namespaced) or self.namespaced is None


def half_of(key: Key) -> bool | None:
    """Return True if all names of a class have a namespace, False if none has, None if the class has both."""
    base, exact = key
    return has_namespace(base) if exact or NAMESPACE_END in base else None


def key_of(resource: Resource) -> Key:
    """Return the class of a resource: the widest if it covers every name, since its name is then empty."""
    pattern, text = resource.compared
    return text, pattern is Pattern.LITERAL


def trees(resources: Iterable[Resource]) -> tuple[NameTree, ...]:
    """Return the classes of every type that a request can name, for entries about these resources."""
    resources = tuple(resources)
    halved = {kind for resource in resources if resource.spans_namespaces for kind in resource.types}
    found: list[NameTree] = []
    for kind in REQUEST_TYPES:
        halves = (False, True) if kind in halved else (None,)
        found += [NameTree(kind, resources, namespaced=half) for half in halves]
    return tuple(found)


def _tree(kind: ResourceType, keys: list[Key], namespaced: bool | None) -> tuple[NameClass, ...]:  # noqa: FBT001
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
        NameClass(kind, base, exact, parents[place], ends[place], tuple(holes[place]), namespaced)
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
