"""The form of a row: the requirement of one request code, as data or as a hand-written rule."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Generic, TypeVar

from mqguard.auth.resource import ResourceType
from mqguard.guard.permissions import GET, GET_LIST, UPDATE, Actions, PermissionsFound
from mqguard.remoting.command import Command


class RequirementLevel(enum.Enum):
    """The kind of requirement."""

    RESOURCES = "rights on the resources it touches"
    IDENTITY = "an authenticated sender"
    BROKER = "the inner credentials, or a Super user"
    SUPER = "a Super user"
    UNSERVED = "a Super user, whose request is answered as not supported"


class WhenAbsent(enum.Enum):
    """The meaning of an absent field."""

    REFUSE = "refused"
    NARROWS = "nothing is touched by it"
    TOUCHED = "the handler checks what is touched"


@dataclasses.dataclass(frozen=True, slots=True)
class ResourceField:
    """One ext field that names one resource, or several.

    Attributes:
        field: Name of the ext field.
        type: The type of the named resource. A retry or dead-letter topic means the group that it belongs to.
        actions: The actions; any one of them is enough.
        split: The separator of several names, empty for one name.
        absent: The meaning of an absent or empty field.
    """

    field: str
    type: ResourceType
    actions: Actions
    split: str = ""
    absent: WhenAbsent = WhenAbsent.REFUSE


Rule = Callable[[Command], PermissionsFound]
"""A hand-written rule. Raises `PermissionsUnclear` for a request that does not say what it must say.

A rule that reads a body is a generator. It reads the body when the first permission is asked for, and yields each
permission once. So the guard denies at the first one that is not granted.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The whole requirement of one request code.

    Attributes:
        level: The kind of requirement.
        named: Fields that name resources, in the order in which Apache checks them.
        own_cluster: Actions on the cluster that is served, empty for none.
        retry_group_field: The group field that a retry topic in `topic` must agree with, empty if there is none.
        rule: A hand-written rule, for what fields alone cannot say; it replaces all of the above.
        description: The rule in words.
        touched: The objects that the handler must always ask the guard about: the request reaches more than it names.
        unnamed: The objects that the handler must ask the guard about if the optional fields are absent.
        internal: Sender and receiver of a request that no client sends.
        apache_difference: The reason for a difference from Apache RocketMQ.
    """

    level: RequirementLevel = RequirementLevel.RESOURCES
    named: tuple[ResourceField, ...] = ()
    own_cluster: Actions = frozenset()
    retry_group_field: str = ""
    rule: Rule | None = None
    description: str = ""
    touched: str = ""
    unnamed: str = ""
    internal: str = ""
    apache_difference: str = ""

    def __post_init__(self) -> None:
        # INVARIANT: a row that demands rights names at least one way to know which.
        if self.level is RequirementLevel.RESOURCES and not (self.named or self.own_cluster or self.rule):
            raise ValueError("a row of resources names none")


def topic(
    actions: Actions, field: str = "topic", *, split: str = "", absent: WhenAbsent = WhenAbsent.REFUSE
) -> ResourceField:
    """Return a field that names topics."""
    return ResourceField(field, ResourceType.TOPIC, actions, split, absent)


def group(
    actions: Actions, field: str = "group", *, split: str = "", absent: WhenAbsent = WhenAbsent.REFUSE
) -> ResourceField:
    """Return a field that names groups."""
    return ResourceField(field, ResourceType.GROUP, actions, split, absent)


def cluster(actions: Actions, field: str = "clusterName") -> ResourceField:
    """Return a field that names a cluster; a request without it is refused."""
    return ResourceField(field, ResourceType.CLUSTER, actions)


def internal(parties: str, apache_difference: str = "") -> Requirement:
    """Return the requirement of a request that lets its sender act as a broker, a name server or a controller.

    No policy grants it. `innerClientAuthenticationCredentials` names the user that brokers sign with.
    """
    return Requirement(level=RequirementLevel.BROKER, internal=parties, apache_difference=apache_difference)


SUPER = Requirement(level=RequirementLevel.SUPER)
UNSERVED_CODE = Requirement(level=RequirementLevel.UNSERVED)
CLUSTER_GET = Requirement(own_cluster=GET)
CLUSTER_UPDATE = Requirement(own_cluster=UPDATE)
INVENTORY = Requirement(own_cluster=GET_LIST, apache_difference="Apache checks nothing here")


K = TypeVar("K")
V = TypeVar("V")

MAX_CACHED = 8192
"""Maximum number of entries of one cache. A full cache is cleared: that costs less than tracking the use of entries."""

MAX_CACHED_NAME = 255
"""Maximum length of a name that is cached: no legal topic or group is longer."""


class BoundedCache(Generic[K, V]):
    """A dict that never grows beyond `MAX_CACHED`.

    Attributes:
        get: Returns the value of a key, None if it is not cached. (The dict's own method: this is the hot path.)
    """

    __slots__ = ("_values", "get")

    def __init__(self) -> None:
        self._values: dict[K, V] = {}
        self.get = self._values.get

    def put(self, key: K, value: V) -> None:
        """Cache a value."""
        if len(self._values) >= MAX_CACHED:
            self._values.clear()
        self._values[key] = value
