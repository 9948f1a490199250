"""The requirements of every gRPC v2 RPC. Only Super users may call an RPC that is not in the table.

Messages are read as protobuf's Python classes show them: absent texts are empty, absent messages are empty messages.
Only the names of topics and groups count; `resource_namespace` names nothing, as in Apache's proxy.
"""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import (
    PUB,
    PUB_SUB,
    SUB,
    SUB_GET,
    SUB_UPDATE,
    Actions,
    RequiredPermission,
    RequiredPermissions,
)
from mqguard.guard.topic_ownership import consumed, group_permission, popped, topic_permission
from mqguard.model.text import is_blank

RpcRule = Callable[[Any], RequiredPermissions]

PRODUCER = 1
"""`ClientType.PRODUCER`: the one kind of client that has no group."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RpcRequirement:
    """The whole requirement of one RPC.

    Attributes:
        request: Name of the request message within `apache.rocketmq.v2`.
        rule: Returns the permissions that a message needs.
        description: The rule in words.
        touched: The objects that the handler must ask the guard about: the RPC reaches more than it names.
        apache_difference: The reason for a difference from Apache RocketMQ.
    """

    request: str
    rule: RpcRule
    description: str
    touched: str = ""
    apache_difference: str = ""


def rpc_permissions(rpc: str, message: Any) -> RequiredPermissions:
    """Return the permissions that a call needs. Empty if an authenticated sender is enough.

    Args:
        rpc: Name of the RPC, such as `SendMessage`.
        message: Its request message.

    Raises:
        PermissionsUnclear: The message does not say what it must say, or the RPC has no row.
    """
    row = RPC_TABLE.get(rpc)
    if row is None:
        raise PermissionsUnclear(DenialReason.UNMAPPED_CODE, f"only a Super user may call `{rpc}`")
    return row.rule(message)


def send(message: Any) -> RequiredPermissions:
    """Require Pub on the topic of every message."""
    if not message.messages:
        raise PermissionsUnclear(DenialReason.MISSING_FIELD, "message is null.")
    return tuple(dict.fromkeys(topic_permission(_topic(one.topic), PUB) for one in message.messages))


def publish(message: Any) -> RequiredPermissions:
    """Require Pub on the topic."""
    return (topic_permission(_topic(message.topic), PUB),)


def route(message: Any) -> RequiredPermissions:
    """Require Pub or Sub on the topic."""
    return (topic_permission(_topic(message.topic), PUB_SUB),)


def consume(message: Any) -> RequiredPermissions:
    """Require Sub on group and topic."""
    group = _group(message.group)
    return consumed(_topic(message.topic), group, SUB, SUB, "group")[::-1]


def settle(message: Any) -> RequiredPermissions:
    """Require Sub on group and topic of received messages."""
    group = _group(message.group)
    return popped(_topic(message.topic), group, SUB, SUB, "group")[::-1]


def receive(message: Any) -> RequiredPermissions:
    """Require Sub on group and topic of the queue."""
    return _on_queue(message, SUB)


def get_offset(message: Any) -> RequiredPermissions:
    """Require Sub or Get on group and topic of the queue."""
    return _on_queue(message, SUB_GET)


def update_offset(message: Any) -> RequiredPermissions:
    """Require Sub or Update on group and topic of the queue."""
    return _on_queue(message, SUB_UPDATE)


def query_offset(message: Any) -> RequiredPermissions:
    """Require Sub or Get on the topic of the queue."""
    return (topic_permission(_queue_topic(message), SUB_GET),)


def heartbeat(message: Any) -> RequiredPermissions:
    """Require Sub on the group for every kind of client; only a producer may name none."""
    if is_blank(message.group.name) and message.client_type == PRODUCER:
        return ()
    return (group_permission(_group(message.group), SUB),)


def terminate(message: Any) -> RequiredPermissions:
    """Require Sub on the group, if there is one."""
    if is_blank(message.group.name):
        return ()
    return (group_permission(_group(message.group), SUB),)


def telemetry(message: Any) -> RequiredPermissions:
    """Require Pub on the published topics of settings, and Sub on the group and the subscribed topics."""
    if not message.HasField("settings"):
        return ()
    settings = message.settings
    if settings.HasField("publishing"):
        return tuple(dict.fromkeys(topic_permission(_topic(topic), PUB) for topic in settings.publishing.topics))
    if settings.HasField("subscription"):
        group = _group(settings.subscription.group)
        permissions: dict[RequiredPermission, None] = {group_permission(group, SUB): None}
        for entry in settings.subscription.subscriptions:
            permissions.update(dict.fromkeys(consumed(_topic(entry.topic), group, SUB, SUB)))
        return tuple(permissions)
    raise PermissionsUnclear(DenialReason.MISSING_FIELD, "settings command doesn't have publishing or subscription.")


def _on_queue(message: Any, actions: Actions) -> RequiredPermissions:
    group = _group(message.group)
    return consumed(_queue_topic(message), group, actions, actions, "group")[::-1]


def _queue_topic(message: Any) -> str:
    if not message.HasField("message_queue"):
        raise PermissionsUnclear(DenialReason.MISSING_FIELD, "messageQueue is null.")
    return _topic(message.message_queue.topic)


def _topic(resource: Any) -> str:
    name: str = resource.name
    if is_blank(name):
        raise PermissionsUnclear(DenialReason.MISSING_FIELD, "topic is null.")
    return name


def _group(resource: Any) -> str:
    name: str = resource.name
    if is_blank(name):
        raise PermissionsUnclear(DenialReason.MISSING_FIELD, "group is null.")
    return name


_OWN_CLIENT = "the client id must be the sender's own"
_CONSUMES = "Group: Sub; Topic: Sub"
_OWN_RETRY = "a retry topic only of the group named"

RPC_TABLE: Mapping[str, RpcRequirement] = MappingProxyType(
    {
        "QueryRoute": RpcRequirement(request="QueryRouteRequest", rule=route, description="Topic: Pub or Sub"),
        "Heartbeat": RpcRequirement(
            request="HeartbeatRequest",
            rule=heartbeat,
            description="Group: Sub; a producer names none and needs an authenticated sender",
            touched=_OWN_CLIENT,
            apache_difference="Apache trusts the kind of client in the request, and checks only three kinds",
        ),
        "SendMessage": RpcRequirement(
            request="SendMessageRequest",
            rule=send,
            description="Topic of every message: Pub",
            apache_difference="Apache checks the first message's topic",
        ),
        "QueryAssignment": RpcRequirement(
            request="QueryAssignmentRequest", rule=consume, description=_CONSUMES, apache_difference=_OWN_RETRY
        ),
        "ReceiveMessage": RpcRequirement(
            request="ReceiveMessageRequest", rule=receive, description=_CONSUMES, apache_difference=_OWN_RETRY
        ),
        "AckMessage": RpcRequirement(
            request="AckMessageRequest", rule=settle, description=_CONSUMES, apache_difference=_OWN_RETRY
        ),
        "ForwardMessageToDeadLetterQueue": RpcRequirement(
            request="ForwardMessageToDeadLetterQueueRequest",
            rule=settle,
            description=_CONSUMES,
            apache_difference=_OWN_RETRY,
        ),
        "ChangeInvisibleDuration": RpcRequirement(
            request="ChangeInvisibleDurationRequest",
            rule=settle,
            description=_CONSUMES,
            apache_difference="Apache does not check the topic",
        ),
        "PullMessage": RpcRequirement(
            request="PullMessageRequest",
            rule=receive,
            description=_CONSUMES,
            apache_difference="Apache does not serve it",
        ),
        "UpdateOffset": RpcRequirement(
            request="UpdateOffsetRequest",
            rule=update_offset,
            description="Group: Sub or Update; Topic: Sub or Update",
            apache_difference="Apache does not serve it",
        ),
        "GetOffset": RpcRequirement(
            request="GetOffsetRequest",
            rule=get_offset,
            description="Group: Sub or Get; Topic: Sub or Get",
            apache_difference="Apache does not serve it",
        ),
        "QueryOffset": RpcRequirement(
            request="QueryOffsetRequest",
            rule=query_offset,
            description="Topic: Sub or Get",
            apache_difference="Apache does not serve it",
        ),
        "EndTransaction": RpcRequirement(
            request="EndTransactionRequest",
            rule=publish,
            description="Topic: Pub",
            touched="Topic of the half message found: Pub",
            apache_difference="Apache never compares the topic named with the half message",
        ),
        "RecallMessage": RpcRequirement(request="RecallMessageRequest", rule=publish, description="Topic: Pub"),
        "Telemetry": RpcRequirement(
            request="TelemetryCommand",
            rule=telemetry,
            description=(
                "settings: every Topic published to: Pub; Group subscribed with: Sub, every Topic subscribed to: Sub; "
                "other commands: an authenticated sender"
            ),
            touched=_OWN_CLIENT,
            apache_difference="Apache lets any stream act for any client id",
        ),
        "NotifyClientTermination": RpcRequirement(
            request="NotifyClientTerminationRequest",
            rule=terminate,
            description="Group: Sub, where one is named; else an authenticated sender",
            touched=_OWN_CLIENT,
            apache_difference="Apache lets anybody end any client",
        ),
        "SyncLiteSubscription": RpcRequirement(
            request="SyncLiteSubscriptionRequest",
            rule=consume,
            description="Group: Sub; Topic (the parent): Sub; whatever the action and the set",
            touched=_OWN_CLIENT,
            apache_difference="Apache checks nothing where the set of lite topics is empty",
        ),
    }
)
"""Every row, by the name of the RPC."""
