"""What the user of a client may consume now.

A client that was let in stays connected, and its memberships and locks live on. So what it may do is asked anew before
it is handed anything, and when users or policies have changed.
"""

from collections.abc import Iterable

from mqguard.auth.action import Action
from mqguard.auth.resource import ResourceType
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import RequestSuspended


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
