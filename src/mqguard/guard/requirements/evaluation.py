"""The table of requirements, and the permissions that a request needs by its row."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mqguard.auth.resource import ResourceType
from mqguard.guard.context import NeedsFound, RequiredPermission, RequiredPermissions
from mqguard.guard.errors import NeedUnclear
from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.row import Requirement, RequirementLevel, ResourceField, WhenAbsent
from mqguard.guard.requirements.topic_ownership import (
    check_length,
    foreign_retry_topic,
    group_need,
    missing,
    too_many,
    topic_need,
)
from mqguard.model.names import RETRY_PREFIX, retry_topic
from mqguard.model.text import is_blank
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command

TABLE: Mapping[int, Requirement] = MappingProxyType(
    {
        **messages.ROWS,
        **clients.ROWS,
        **topics.ROWS,
        **groups.ROWS,
        **pop.ROWS,
        **operations.ROWS,
    }
)
"""Every row, by request code."""


_Evaluate = Callable[[Command], NeedsFound]
_Pending = Callable[[Command], bool]

_NOTHING: RequiredPermissions = ()

MAX_LISTED = 256
"""Maximum names in one ext field, such as `topicList` of 208. Each costs a decision, and its handler more."""


class Requirements:
    """The table made ready for one server."""

    def __init__(self, cluster: str, table: Mapping[int, Requirement] = TABLE) -> None:
        """Make the rows ready.

        Args:
            cluster: The name of the cluster that is served.
            table: The rows, by request code.
        """
        self._evaluate = {code: _compile(row, cluster) for code, row in table.items()}
        self._pending = {code: _pending(row) for code, row in table.items() if row.touched or row.unnamed}

    def find(self, command: Command) -> NeedsFound:
        """Find what a request needs. Empty where an authenticated sender is enough.

        An iterator reads the body only when it is asked for the first need. It may raise `NeedUnclear` at any need.

        Raises:
            NeedUnclear: It does not say what it must say, or says too much; only a Super user may send it; its code has
                no row.
        """
        evaluate = self._evaluate.get(command.code)
        if evaluate is None:
            raise NeedUnclear("unmapped-code", f"only a Super user may send the request code {command.code}")
        return evaluate(command)

    def needs(self, command: Command) -> RequiredPermissions:
        """Return all that a request needs; see `find`.

        Raises:
            NeedUnclear: As `find`.
        """
        return tuple(self.find(command))

    def is_pending(self, command: Command) -> bool:
        """Whether the request reaches more than it names, so that its handler must ask about what it touches."""
        pending = self._pending.get(command.code)
        return pending is not None and pending(command)


def _compile(row: Requirement, cluster: str) -> _Evaluate:
    if row.rule is not None:
        return row.rule
    if row.level is not RequirementLevel.RESOURCES:
        return {RequirementLevel.IDENTITY: _nothing, RequirementLevel.BROKER: _only_brokers}.get(row.level, _only_super)
    if not row.named:
        fixed = (RequiredPermission(ResourceType.CLUSTER, cluster, row.own_cluster),)
        return lambda _command: fixed

    def evaluate(command: Command) -> RequiredPermissions:
        needs: dict[RequiredPermission, None] = {}
        if row.follows:
            _check_retry_topics(row, command.ext)
        for named in row.named:
            for name in _names(named, command.ext):
                needs[_need(named, name)] = None
        if row.own_cluster:
            needs[RequiredPermission(ResourceType.CLUSTER, cluster, row.own_cluster)] = None
        return tuple(needs)

    return evaluate


def _nothing(_command: Command) -> RequiredPermissions:
    return _NOTHING


def _only_super(command: Command) -> RequiredPermissions:
    raise NeedUnclear("super-only", f"only a Super user may send the request code {_code_text(command.code)}")


def _only_brokers(command: Command) -> RequiredPermissions:
    raise NeedUnclear(
        "broker-only",
        f"only a broker with the inner credentials, or a Super user, may send the request code "
        f"{_code_text(command.code)}",
    )


def _code_text(code: int) -> str:
    try:
        return f"{code} {RequestCode(code).name}"
    except ValueError:
        return f"{code} of an unknown name"


def _names(named: ResourceField, ext: dict[str, str]) -> list[str]:
    value = ext.get(named.field)
    if value is None or is_blank(value):
        if named.absent is WhenAbsent.REFUSE or (named.absent is WhenAbsent.NARROWS and value):
            raise missing(named.field, named.type.value.lower())
        return []
    names = _split(named, value)
    # An empty part is not skipped: handlers might read it otherwise.
    if any(is_blank(name) for name in names):
        raise missing(named.field, named.type.value.lower())
    return names


def _split(named: ResourceField, value: str) -> list[str]:
    if not named.split:
        return [value]
    names = value.split(named.split, MAX_LISTED)
    if len(names) > MAX_LISTED:
        raise too_many(MAX_LISTED, f"names in the field `{named.field}`")
    return names


def _need(named: ResourceField, name: str) -> RequiredPermission:
    if named.type is ResourceType.TOPIC:
        return topic_need(name, named.actions)
    if named.type is ResourceType.GROUP:
        return group_need(name, named.actions, named.field)
    return RequiredPermission(named.type, check_length(name), named.actions)


def _check_retry_topics(row: Requirement, ext: dict[str, str]) -> None:
    group = ext.get(row.follows)
    for named in row.named:
        value = ext.get(named.field)
        if named.type is not ResourceType.TOPIC or not value:
            continue
        for name in _split(named, value):
            if check_length(name).startswith(RETRY_PREFIX) and group is not None and name != retry_topic(group):
                raise foreign_retry_topic(name, group)


def _pending(row: Requirement) -> _Pending:
    if row.touched:
        return lambda _command: True
    optional = tuple(named.field for named in row.named if named.absent is WhenAbsent.TOUCHED)
    return lambda command: all(is_blank(command.ext.get(field)) for field in optional)
