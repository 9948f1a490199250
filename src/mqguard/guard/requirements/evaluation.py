"""The table of requirements, and the operations that it makes of request codes, each with its requirement."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from mqguard.auth.resource import ResourceType
from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import PermissionsFound, RequiredPermission, RequiredPermissions
from mqguard.guard.request_context import Operation, Purpose
from mqguard.guard.requirements import clients, groups, messages, operations, pop, topics
from mqguard.guard.requirements.row import Requirement, RequirementLevel, ResourceField, WhenAbsent
from mqguard.guard.topic_ownership import (
    check_length,
    foreign_retry_topic,
    group_permission,
    missing,
    too_many,
    topic_permission,
)
from mqguard.model.names import RETRY_PREFIX, retry_topic
from mqguard.model.text import is_blank
from mqguard.remoting.codes import CODE_NAMES, RequestCode
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


_Evaluate = Callable[[Command], PermissionsFound]
_Pending = Callable[[Command], bool]

_NOTHING: RequiredPermissions = ()

MAX_LISTED = 256
"""Maximum names in one ext field, such as `topicList` of 208. Each costs a decision, and its handler more."""


_PURPOSES: Mapping[int, Purpose] = MappingProxyType(
    {
        RequestCode.GET_ROUTEINFO_BY_TOPIC: Purpose.ROUTE,
        RequestCode.SEND_MESSAGE: Purpose.SEND,
        RequestCode.SEND_MESSAGE_V2: Purpose.SEND,
        RequestCode.SEND_BATCH_MESSAGE: Purpose.SEND,
        RequestCode.SEND_REPLY_MESSAGE: Purpose.REPLY,
        RequestCode.SEND_REPLY_MESSAGE_V2: Purpose.REPLY,
    }
)

_SHARING = frozenset(
    {
        RequestCode.SEND_MESSAGE,
        RequestCode.SEND_MESSAGE_V2,
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.PULL_MESSAGE,
        RequestCode.LITE_PULL_MESSAGE,
    }
)
"""The most frequent requests. Their rules cache the permissions for each name, so equal ones are one object."""

_ACCESS_CHANGES = frozenset(
    {
        RequestCode.AUTH_CREATE_USER,
        RequestCode.AUTH_UPDATE_USER,
        RequestCode.AUTH_DELETE_USER,
        RequestCode.AUTH_CREATE_ACL,
        RequestCode.AUTH_UPDATE_ACL,
        RequestCode.AUTH_DELETE_ACL,
    }
)
_ADMINISTRATIVE = _ACCESS_CHANGES | {
    RequestCode.UPDATE_AND_CREATE_TOPIC,
    RequestCode.UPDATE_AND_CREATE_TOPIC_LIST,
    RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC,
    RequestCode.DELETE_TOPIC_IN_BROKER,
    RequestCode.DELETE_TOPIC_IN_NAMESRV,
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP,
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST,
    RequestCode.DELETE_SUBSCRIPTIONGROUP,
    RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN,
    RequestCode.INVOKE_BROKER_TO_RESET_OFFSET,
    RequestCode.UPDATE_BROKER_CONFIG,
    RequestCode.UPDATE_NAMESRV_CONFIG,
    RequestCode.PUT_KV_CONFIG,
    RequestCode.DELETE_KV_CONFIG,
    RequestCode.WIPE_WRITE_PERM_OF_BROKER,
    RequestCode.ADD_WRITE_PERM_OF_BROKER,
}

_ALWAYS_ENFORCED = frozenset(
    {*operations.ACCESS, *operations.OWN, *(code for code, row in TABLE.items() if row.internal)}
)
"""Requests about users, policies and decisions, and those between brokers and controllers. A user that may send these
may get every permission, and it has no clients that a new policy could interrupt."""


_PARTIAL = frozenset({RequestCode.HEART_BEAT})
"""A heartbeat is about all consumers of a process. One that is denied must not stop the others."""


class RemotingOperation(Operation, frozen=True, eq=False, kw_only=True):
    """The operation of a request code, with its row made ready for one server.

    Attributes:
        find: Finds the permissions of a request; see `RequestContext.required_permissions`. An iterator reads the body
            only when it is asked for the first permission.
        pending: Returns True if a request reaches more than it names; None if no request of the code does.
    """

    find: _Evaluate
    pending: _Pending | None = None


class Requirements:
    """The table made ready for one server.

    Attributes:
        known: Returns the operation of a request code, None for a code without a row. (The dict's own method: this is
            the hot path.)
    """

    def __init__(self, cluster: str, table: Mapping[int, Requirement] = TABLE) -> None:
        """Make the rows ready.

        Args:
            cluster: The name of the cluster that is served.
            table: The rows, by request code.
        """
        operations = {int(code): _operation(code, row, cluster) for code, row in table.items()}
        self.known = operations.get

    def operation(self, code: int) -> RemotingOperation:
        """Return the operation of a request code. One without a row is for Super users only."""
        return self.known(code) or _named(code, _unmapped)

    def permissions(self, command: Command) -> RequiredPermissions:
        """Return all permissions that a request needs.

        Raises:
            PermissionsUnclear: See `RequestContext.required_permissions`.
        """
        return tuple(self.operation(command.code).find(command))


def _operation(code: int, row: Requirement, cluster: str) -> RemotingOperation:
    return _named(code, _compile(row, cluster), _pending(row) if row.touched or row.unnamed else None)


def _named(code: int, find: _Evaluate, pending: _Pending | None = None) -> RemotingOperation:
    name = CODE_NAMES.get(code)
    return RemotingOperation(
        name=name or "unknown",
        code=int(code),
        listed_as=frozenset({str(int(code)), name or str(int(code))}),
        purpose=_PURPOSES.get(code, Purpose.OTHER),
        is_access_change=code in _ACCESS_CHANGES,
        is_administrative=code in _ADMINISTRATIVE,
        is_always_enforced=code in _ALWAYS_ENFORCED,
        is_partial=code in _PARTIAL,
        shares_permissions=code in _SHARING,
        find=find,
        pending=pending,
    )


def _unmapped(command: Command) -> RequiredPermissions:
    raise PermissionsUnclear(DenialReason.UNMAPPED_CODE, f"only a Super user may send the request code {command.code}")


def _compile(row: Requirement, cluster: str) -> _Evaluate:
    if row.rule is not None:
        return row.rule
    if row.level is not RequirementLevel.RESOURCES:
        return {RequirementLevel.IDENTITY: _nothing, RequirementLevel.BROKER: _only_brokers}.get(row.level, _only_super)
    if not row.named:
        fixed = (RequiredPermission(ResourceType.CLUSTER, cluster, row.own_cluster),)
        return lambda _command: fixed

    def evaluate(command: Command) -> RequiredPermissions:
        permissions: dict[RequiredPermission, None] = {}
        if row.retry_group_field:
            _check_retry_topics(row, command.ext)
        for named in row.named:
            for name in _names(named, command.ext):
                permissions[_permission_on(named, name)] = None
        if row.own_cluster:
            permissions[RequiredPermission(ResourceType.CLUSTER, cluster, row.own_cluster)] = None
        return tuple(permissions)

    return evaluate


def _nothing(_command: Command) -> RequiredPermissions:
    return _NOTHING


def _only_super(command: Command) -> RequiredPermissions:
    raise PermissionsUnclear(
        DenialReason.SUPER_ONLY, f"only a Super user may send the request code {_code_text(command.code)}"
    )


def _only_brokers(command: Command) -> RequiredPermissions:
    raise PermissionsUnclear(
        DenialReason.BROKER_ONLY,
        f"only a broker with the inner credentials, or a Super user, may send the request code "
        f"{_code_text(command.code)}",
    )


def _code_text(code: int) -> str:
    return f"{code} {CODE_NAMES.get(code, 'of an unknown name')}"


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


def _permission_on(named: ResourceField, name: str) -> RequiredPermission:
    if named.type is ResourceType.TOPIC:
        return topic_permission(name, named.actions)
    if named.type is ResourceType.GROUP:
        return group_permission(name, named.actions, named.field)
    return RequiredPermission(named.type, check_length(name), named.actions)


def _check_retry_topics(row: Requirement, ext: dict[str, str]) -> None:
    group = ext.get(row.retry_group_field)
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
