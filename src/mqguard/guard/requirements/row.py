"""The form of a row: what one request code or RPC needs, as data where data says it."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Generic, TypeVar

from mqguard.auth.resource import ResourceType
from mqguard.guard.permissions import GET, GET_LIST, UPDATE, Actions, PermissionsFound
from mqguard.remoting.command import Command


class RequirementLevel(enum.Enum):
    """What kind of a request it is."""

    RESOURCES = "rights on the resources it touches"
    IDENTITY = "an authenticated sender"
    BROKER = "the inner credentials, or a Super user"
    SUPER = "a Super user"
    NOT_SERVED = "a Super user, who then hears that nobody serves it"


class WhenAbsent(enum.Enum):
    """What the absence of a field means."""

    REFUSE = "refused"
    NARROWS = "nothing is touched by it"
    TOUCHED = "the handler checks what is touched"


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceField:
    """One ext field that names one resource, or several.

    Attributes:
        field: Name of the ext field.
        type: What it names. A retry or dead-letter topic stands for the group that it belongs to.
        actions: Any one of these suffices.
        split: What separates several names, empty for one name.
        absent: What it means that the field is absent or empty.
    """

    field: str
    type: ResourceType
    actions: Actions
    split: str = ""
    absent: WhenAbsent = WhenAbsent.REFUSE


Rule = Callable[[Command], PermissionsFound]
"""A hand-written rule. Raises `PermissionsUnclear` for a request that does not say what it must say.

A rule that reads a body is a generator. It reads the body when the first need is asked for, and yields each need once,
so that the guard refuses at the first one that is not met.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What one code needs; all of it.

    Attributes:
        level: The kind of requirement.
        named: Fields that name resources, in the order in which Apache checks them.
        own_cluster: Actions on the cluster that is served, empty for none.
        follows: The group field that a retry topic in `topic` must agree with, empty if there is none.
        rule: A hand-written rule, for what fields alone cannot say; it replaces all of the above.
        says: The rule in words.
        touched: What the handler must always ask `Access` about because the request reaches more than it names.
        unnamed: What the handler must ask `Access` about where the fields that may be absent are absent.
        between: Who sends it to whom, where that is no client.
        because: Why it differs from Apache RocketMQ, where it does.
    """

    level: RequirementLevel = RequirementLevel.RESOURCES
    named: tuple[ResourceField, ...] = ()
    own_cluster: Actions = frozenset()
    follows: str = ""
    rule: Rule | None = None
    says: str = ""
    touched: str = ""
    unnamed: str = ""
    between: str = ""
    because: str = ""

    def __post_init__(self) -> None:
        # INVARIANT: a row that demands rights names at least one way to know which.
        if self.level is RequirementLevel.RESOURCES and not (self.named or self.own_cluster or self.rule):
            raise ValueError("a row of resources names none")


def topic(
    actions: Actions, field: str = "topic", *, split: str = "", absent: WhenAbsent = WhenAbsent.REFUSE
) -> ResourceField:
    """A field that names topics."""
    return ResourceField(field, ResourceType.TOPIC, actions, split, absent)


def group(
    actions: Actions, field: str = "group", *, split: str = "", absent: WhenAbsent = WhenAbsent.REFUSE
) -> ResourceField:
    """A field that names groups."""
    return ResourceField(field, ResourceType.GROUP, actions, split, absent)


def cluster(actions: Actions, field: str = "clusterName") -> ResourceField:
    """A field that names a cluster. Absent it is refused: the sender chooses which cluster, but not whether."""
    return ResourceField(field, ResourceType.CLUSTER, actions)


def internal(between: str, because: str = "") -> Requirement:
    """A request that lets its sender act as a broker, a name server or a controller.

    No policy grants it. `innerClientAuthenticationCredentials` names the user that brokers sign with.
    """
    return Requirement(level=RequirementLevel.BROKER, between=between, because=because)


SUPER = Requirement(level=RequirementLevel.SUPER)
NOT_SERVED = Requirement(level=RequirementLevel.NOT_SERVED)
CLUSTER_GET = Requirement(own_cluster=GET)
CLUSTER_UPDATE = Requirement(own_cluster=UPDATE)
INVENTORY = Requirement(own_cluster=GET_LIST, because="Apache checks nothing here")


K = TypeVar("K")
V = TypeVar("V")

LIMIT = 8192
"""Most entries of one memory; a full one starts anew, which costs less than keeping count of what is used."""

LONGEST = 255
"""Longest names that are worth remembering: no legal topic or group is longer."""


class BoundedCache(Generic[K, V]):
    """A dict that never grows beyond `LIMIT`.

    Attributes:
        get: Look up; None if it is not remembered. (The dict's own method: this is the hot path.)
    """

    __slots__ = ("_known", "get")

    def __init__(self) -> None:
        self._known: dict[K, V] = {}
        self.get = self._known.get

    def put(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self._known) >= LIMIT:
            self._known.clear()
        self._known[key] = value
