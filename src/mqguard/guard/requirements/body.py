"""Reading the JSON bodies that name resources.

A body is read before anybody knows whether its sender may send it. So it is bounded three times: `remoting.body_limits`
bounds its bytes on the wire, `MAX_BODY` bounds them here, and every list in it has a maximum length of its own.

INVARIANT: a body is read with the decoder and the type with which its handler reads it, so that what is checked is what
is done.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

import msgspec

from mqguard.guard.errors import DenialReason, PermissionsUnclear
from mqguard.guard.permissions import RequiredPermission, RequiredPermissions
from mqguard.guard.topic_ownership import too_many
from mqguard.remoting.bodies.codec import Body, decode
from mqguard.remoting.command import BodyInvalid, Command

T = TypeVar("T")

MAX_BODY = 256 * 1024
"""Maximum bytes of a body that names resources: 5 ms of reading. 500 groups or 1,000 subscriptions take less."""


def read_body(command: Command, kind: type[T]) -> T:
    """The body of a request.

    Raises:
        PermissionsUnclear: There is none, or it is not of its form.
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


def bounded(items: Iterable[Sized], most: int, what: str) -> None:
    """Refuse lists that are too long, all together.

    Raises:
        PermissionsUnclear: They have more than `most` items.
    """
    if sum(map(len, items)) > most:
        raise too_many(most, what)


def each_once(parts: Iterable[RequiredPermissions]) -> Iterator[RequiredPermission]:
    """Yield every need of the parts once, in order."""
    seen: set[RequiredPermission] = set()
    for part in parts:
        for need in part:
            if need not in seen:
                seen.add(need)
                yield need


class TopicMapping(Body):
    """513: where the queues of a static topic lie, as far as we need to know."""

    topic: str


class LiteSubscription(Body):
    """One change of a client's lite topics; `topic` is their parent."""

    topic: str
    group: str


class LiteSubscriptions(Body):
    """200071: changes of clients' lite topics."""

    subscription_set: list[LiteSubscription] = msgspec.field(default_factory=list)
