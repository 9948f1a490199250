"""Reading the JSON bodies that name resources.

INVARIANT: a body is read with the decoder and the type with which its handler reads it, so that what is checked is what
is done.
"""

from typing import TypeVar

import msgspec

from mqguard.guard.errors import NeedUnclear
from mqguard.remoting.bodies.codec import Body, decode
from mqguard.remoting.command import Command
from mqguard.remoting.errors import BodyInvalid

T = TypeVar("T")


def read_body(command: Command, kind: type[T]) -> T:
    """The body of a request.

    Raises:
        NeedUnclear: There is none, or it is not of its form.
    """
    if not command.body:
        raise NeedUnclear("missing-body", "the body is missing")
    try:
        return decode(command.body, kind)
    except BodyInvalid as exc:
        raise NeedUnclear("unreadable-body", str(exc)) from None


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
