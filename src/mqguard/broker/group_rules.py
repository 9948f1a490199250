"""Rules for consumer groups: reserved names, forbidden topics, filter languages and the rights of members."""

from collections.abc import Iterable

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.dispatch.request import RequestRefused
from mqguard.engine.deferred_delivery import DELAY_GROUP
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import RequestSuspended
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.remoting.codes import ResponseCode

RESERVED_GROUPS = frozenset({DELAY_GROUP})


def refuse_reserved(group: str) -> None:
    """Let nobody move the broker's own positions, whatever its rights.

    Raises:
        RequestRefused: The group is one of them.
    """
    if group in RESERVED_GROUPS:
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, f"the group `{group}` is the broker's own and takes no changes"
        )


FORBIDDEN = "mqguard.forbidden.topics"


def is_forbidden(group: SubscriptionGroupConfig, topic: str) -> bool:
    """Whether the group may not read the topic."""
    attributes = group.attributes
    return bool(attributes) and topic in attributes.get(FORBIDDEN, "").split(";")


def with_forbidden(group: SubscriptionGroupConfig, topic: str, *, forbidden: bool) -> SubscriptionGroupConfig:
    """The group with the switch of one topic set."""
    topics = {name for name in group.attributes.get(FORBIDDEN, "").split(";") if name}
    (topics.add if forbidden else topics.discard)(topic)
    attributes = {name: value for name, value in group.attributes.items() if name != FORBIDDEN}
    if topics:
        attributes[FORBIDDEN] = ";".join(sorted(topics))
    return msgspec.structs.replace(group, attributes=attributes)


MAX_EXPRESSION = 16 * 1024
"""Longest expression: it is hashed character by character, and remembered as long as its consumer lives."""


def require_tags(expression_type: str | None) -> None:
    """Let pass the tag language, which is also meant where none is named.

    Raises:
        RequestRefused: It is another language.
    """
    if not expression_type or expression_type == "TAG":
        return
    if expression_type == "SQL92":
        raise RequestRefused(
            ResponseCode.SYSTEM_ERROR, "The broker does not support consumer to filter message by SQL92"
        )
    raise RequestRefused(
        ResponseCode.SUBSCRIPTION_PARSE_FAILED,
        f"parse the consumer's subscription failed: unknown type {expression_type}",
    )


class ConsumerRights:
    """What the sender of a request may consume at later times.

    Args:
        access: The request, as the guard has admitted it.
    """

    __slots__ = ("_access", "_incarnation")

    def __init__(self, access: AdmittedRequest) -> None:
        # Without the needs: a heartbeat has many.
        self._access = AdmittedRequest(access.identity, access.peer, access.code, (), False, access.judge)  # noqa: FBT003
        self._incarnation = self._incarnation_now()

    def allows(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return whether the user may consume topics as a group, by the users and policies of this moment.

        Args:
            group: The group.
            topics: The topics.
            otherwise: The answer if a plugin would have to be asked first.
        """
        access = self._access
        access.judge.renew()
        try:
            return (
                self._incarnation_now() == self._incarnation
                and access.judge.admits(access)
                and access.allows(ResourceType.GROUP, group, Action.SUB)
                and all(access.allows(ResourceType.TOPIC, topic, Action.SUB) for topic in topics)
            )
        except RequestSuspended:
            return otherwise

    def _incarnation_now(self) -> str | None:
        rights = self._access.judge.sender(self._access)
        return None if rights is None else rights.user.incarnation
