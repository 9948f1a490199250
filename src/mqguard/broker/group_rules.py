"""Rules for consumer groups: reserved names, forbidden topics and the rights of members."""

from collections.abc import Iterable, Iterator

import msgspec

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.dispatch.request import RequestRefused
from mqguard.engine.deferred_delivery import DELAY_GROUP
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import RequestSuspended
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.remoting.codes import ResponseCode

RESERVED_GROUPS = frozenset({DELAY_GROUP})


def refuse_reserved(group: str) -> None:
    """Refuse changes of the broker's own groups, whatever the sender's rights.

    Raises:
        RequestRefused: The group is reserved.
    """
    if group in RESERVED_GROUPS:
        raise RequestRefused(
            ResponseCode.NO_PERMISSION, f"the group `{group}` is reserved for the broker: use another name"
        )


FORBIDDEN = "mqguard.forbidden.topics"


def is_forbidden(group: SubscriptionGroupConfig, topic: str) -> bool:
    """True if the group may not read the topic."""
    attributes = group.attributes
    return bool(attributes) and topic in attributes.get(FORBIDDEN, "").split(";")


def with_forbidden(group: SubscriptionGroupConfig, topic: str, *, forbidden: bool) -> SubscriptionGroupConfig:
    """Return the group with one topic forbidden or permitted."""
    topics = {name for name in group.attributes.get(FORBIDDEN, "").split(";") if name}
    (topics.add if forbidden else topics.discard)(topic)
    attributes = {name: value for name, value in group.attributes.items() if name != FORBIDDEN}
    if topics:
        attributes[FORBIDDEN] = ";".join(sorted(topics))
    return msgspec.structs.replace(group, attributes=attributes)


class ClientRights:
    """Rights of a client, checked again each time.

    A client stays connected after its request was admitted, and keeps memberships and locks. So its rights are checked
    again before it gets anything, and when users or policies have changed.

    Args:
        access: The admitted request.
    """

    __slots__ = ("_access", "_incarnation")

    def __init__(self, access: AdmittedRequest) -> None:
        # Without the required permissions, because a heartbeat has many.
        self._access = AdmittedRequest(access.identity, access.peer, access.operation, (), False, access.authorizer)  # noqa: FBT003 - a field
        self._incarnation = self._incarnation_now()

    def allows(self, group: str, topics: Iterable[str], *, otherwise: bool) -> bool:
        """Return whether the current users and policies let the user consume topics as a group.

        Args:
            group: The group.
            topics: The topics.
            otherwise: Result if the decision needs a plugin.
        """
        return self._decide([(ResourceType.GROUP, group, Action.SUB), *_consumed(topics)], otherwise=otherwise)

    def allows_publishing(self, topic: str, *, otherwise: bool) -> bool:
        """Return whether the current users and policies let the user publish to a topic.

        Args:
            topic: The topic.
            otherwise: Result if the decision needs a plugin.
        """
        return self._decide([(ResourceType.TOPIC, topic, Action.PUB)], otherwise=otherwise)

    def _decide(self, permissions: Iterable[tuple[ResourceType, str, Action]], *, otherwise: bool) -> bool:
        access = self._access
        access.authorizer.renew()
        try:
            return (
                self._incarnation_now() == self._incarnation
                and access.authorizer.admits(access)
                and all(access.allows(*permission) for permission in permissions)
            )
        except RequestSuspended:
            return otherwise

    def _incarnation_now(self) -> str | None:
        rights = self._access.authorizer.sender(self._access)
        return None if rights is None else rights.user.incarnation


def _consumed(topics: Iterable[str]) -> Iterator[tuple[ResourceType, str, Action]]:
    return ((ResourceType.TOPIC, topic, Action.SUB) for topic in topics)
