"""JSON bodies that name resources.

The guard reads a body before it knows if the sender may send it. So there are three limits. `remoting.body_limits`
limits its bytes on the wire, and `MAX_BODY` limits them here. Every list in it has a maximum length of its own.

INVARIANT: the guard reads a body with the decoder and the type of its handler, so that both see the same resources.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.topic_ownership import too_many
from mqguard.remoting.bodies.codec import Body, decode
from mqguard.remoting.command import BodyInvalid, Command

T = TypeVar("T")

MAX_BODY = 256 * 1024
"""Maximum bytes of a body that names resources: reading takes 5 ms. 500 groups or 1,000 subscriptions are less."""


def read_body(command: Command, kind: type[T]) -> T:
    """Return the body of a request.

    Raises:
        PermissionsUnclear: There is no body, or it is not of its form.
    """
    if not command.body:
        raise PermissionsUnclear(DenialReason.MISSING_BODY, "the body is missing")
    if len(command.body) > MAX_BODY:
        raise PermissionsUnclear(
            DenialReason.LONG_BODY,
            f"the body has {len(command.body)} bytes, a request of this code at most {MAX_BODY}: split it",
        )
    try:
        return decode(command.body, kind)
    except BodyInvalid as exc:
        raise PermissionsUnclear(DenialReason.UNREADABLE_BODY, str(exc)) from None


def check_count(lists: Iterable[Sized], limit: int, what: str) -> None:
    """Check that lists together are not too long.

    Raises:
        PermissionsUnclear: They have more than `limit` items.
    """
    if sum(map(len, lists)) > limit:
        raise too_many(limit, what)


def each_once(parts: Iterable[RequiredPermissions]) -> Iterator[RequiredPermission]:
    """Yield every permission of the parts once, in order."""
    seen: set[RequiredPermission] = set()
    for part in parts:
        for permission in part:
            if permission not in seen:
                seen.add(permission)
                yield permission


class TopicMapping(Body):
    """513: the mapping of the queues of a static topic, as far as the guard needs it."""

    topic: str
