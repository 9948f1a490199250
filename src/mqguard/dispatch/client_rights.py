"""Rights of connected clients, which stay after the request that was admitted."""

from collections.abc import Iterable, Iterator

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import RequestSuspended


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
