"""Guarded resources: clusters, topics and groups, by name, by prefix, by namespace, or any.

`Namespace:n` means exactly `Topic:n%*` and `Group:n%*`, in precedence too. `Namespace:n*` means the topics and groups
of every namespace whose name begins with `n`, and `Namespace:*` those of every namespace. The namespace of a name is
the text before its first `%`; a name without that has no namespace.
"""

import enum

import msgspec

from mqguard.auth.errors import PolicyInvalid
from mqguard.model.text import find_member

NAMESPACE_END = "%"
"""The character between a namespace and the rest of a name."""


class ResourceType(enum.Enum):
    """A kind of resource. Only entries use `ANY`, which matches every kind, and `NAMESPACE`."""

    ANY = "*"
    CLUSTER = "Cluster"
    NAMESPACE = "Namespace"
    TOPIC = "Topic"
    GROUP = "Group"

    # Members are single objects, so identity is a correct hash, and runs in C instead of Enum's Python on the hot path.
    __hash__ = object.__hash__


_NAMESPACED = (ResourceType.TOPIC, ResourceType.GROUP)
REQUEST_TYPES = (ResourceType.CLUSTER, *_NAMESPACED)
"""The types that a request can name."""


def has_namespace(name: str) -> bool:
    """True if the name of a topic or group begins with a namespace."""
    return name.find(NAMESPACE_END) > 0


class Pattern(enum.Enum):
    """The way an entry's name is compared with a request's."""

    LITERAL = "LITERAL"
    PREFIXED = "PREFIXED"
    ANY = "ANY"

    # As in `ResourceType`.
    __hash__ = object.__hash__


class Resource(msgspec.Struct, frozen=True, gc=False):
    """The resource of an entry.

    Attributes:
        type: The kind; `ANY` only together with the pattern `ANY`.
        name: The name or the prefix; empty for the pattern `ANY`.
        pattern: The way `name` is compared.
    """

    type: ResourceType
    name: str
    pattern: Pattern

    def __post_init__(self) -> None:
        if self.pattern is Pattern.ANY:
            if self.name:
                raise PolicyInvalid(f"the name `{self.name}` is not valid with the pattern ANY: leave it out")
        elif not self.name:
            raise PolicyInvalid(f"a resource has no name: write `{self.type.value}:name` or `{self.type.value}:*`")
        elif "*" in self.name:
            raise PolicyInvalid(f"the name `{self.name}` contains a `*`: write `*` only at the end, for a prefix")
        elif self.type is ResourceType.ANY:
            raise PolicyInvalid(f"the name `{self.name}` has no type: write `Topic:{self.name}`, or `*` for everything")

    @classmethod
    def parse(cls, key: str) -> "Resource":
        """Parse a resource key: `Topic:orders`, `Topic:order*`, `Topic:*` or `*`.

        Raises:
            PolicyInvalid: The type is unknown, the name is missing, or a `*` is not the last character.
        """
        if key == "*":
            return cls(ResourceType.ANY, "", Pattern.ANY)
        kind, colon, name = key.partition(":")
        found = find_member(ResourceType, kind)
        if found is None or found is ResourceType.ANY:
            raise PolicyInvalid(
                f"unknown resource type in `{key}`: write `Topic:name`, `Group:name`, `Cluster:name`, "
                f"`Namespace:name`, a prefix as `Topic:name*`, all of a type as `Topic:*`, or `*`"
            )
        if not colon or not name:
            raise PolicyInvalid(f"the resource `{key}` has no name: write `{found.value}:name` or `{found.value}:*`")
        if name == "*":
            return cls(found, "", Pattern.ANY)
        if "*" in name[:-1]:
            raise PolicyInvalid(
                f"the resource `{key}` has a `*` before its end: write `*` only at the end, for a prefix"
            )
        if name.endswith("*"):
            return cls(found, name[:-1], Pattern.PREFIXED)
        return cls(found, name, Pattern.LITERAL)

    @property
    def key(self) -> str:
        """The resource in the notation of policies."""
        if self.type is ResourceType.ANY:
            return "*"
        star = "" if self.pattern is Pattern.LITERAL else "*"
        return f"{self.type.value}:{self.name}{star}"

    @property
    def types(self) -> tuple[ResourceType, ...]:
        """The types of the resources that this matches."""
        if self.type is ResourceType.ANY:
            return REQUEST_TYPES
        return _NAMESPACED if self.type is ResourceType.NAMESPACE else (self.type,)

    @property
    def spans_namespaces(self) -> bool:
        """True if this matches only names with a namespace, but more than one namespace."""
        return self.type is ResourceType.NAMESPACE and self.pattern is not Pattern.LITERAL

    @property
    def compared(self) -> tuple[Pattern, str]:
        """The pattern and the text that are compared with names."""
        if self.type is ResourceType.NAMESPACE and self.pattern is Pattern.LITERAL:
            return Pattern.PREFIXED, self.name + NAMESPACE_END
        return self.pattern, self.name

    def covers(self, kind: ResourceType, name: str) -> bool:
        """True if this matches the one resource of that kind and name."""
        if kind not in self.types or (self.spans_namespaces and not self._has_such_namespace(name)):
            return False
        pattern, text = self.compared
        if pattern is Pattern.ANY:
            return True
        return name == text if pattern is Pattern.LITERAL else name.startswith(text)

    def _has_such_namespace(self, name: str) -> bool:
        # A prefix with a `%` would continue behind the namespace, so it is the beginning of no namespace.
        return has_namespace(name) and NAMESPACE_END not in self.name
