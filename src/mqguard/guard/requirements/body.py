"""Reading the JSON bodies that name resources.

INVARIANT: bodies are read with the decoder that the handlers use, so that what is checked is what is done.
"""

from typing import TypeVar

import msgspec

from mqguard.guard.errors import NeedUnclear
from mqguard.remoting.command import Command
from mqguard.remoting.lenient_json import LenientJsonError, parse

T = TypeVar("T")


class _Body(msgspec.Struct, gc=False):
    """What the guard reads of a body; members it does not know are ignored."""


def read_body(command: Command, kind: type[T]) -> T:
    """The body of a request.

    Raises:
        NeedUnclear: There is none, or it is not of its form.
    """
    if not command.body:
        raise NeedUnclear("missing-body", "the body is missing")
    try:
        return msgspec.json.decode(command.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _leniently(command.body, kind)


def _leniently(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.convert(parse(body), kind, strict=False)
    except (LenientJsonError, msgspec.ValidationError) as exc:
        raise NeedUnclear("unreadable-body", f"the body is unreadable: {exc}") from None


# Names are the wire's.
# ruff: noqa: N815


class Producer(_Body):
    """A producer in a heartbeat."""

    groupName: str | None = None


class Subscription(_Body):
    """A topic that a consumer wants."""

    topic: str | None = None


class Consumer(_Body):
    """A consumer in a heartbeat."""

    groupName: str | None = None
    subscriptionDataSet: list[Subscription] | None = None


class Heartbeat(_Body):
    """Who lives behind a connection (code 34)."""

    clientID: str | None = None
    producerDataSet: list[Producer] | None = None
    consumerDataSet: list[Consumer] | None = None


class Queue(_Body):
    """One queue of a topic."""

    topic: str | None = None


class Queues(_Body):
    """Queues to lock or unlock (41, 42)."""

    consumerGroup: str | None = None
    mqSet: list[Queue] | None = None


class Assignment(_Body):
    """A question for the queues of one client (400)."""

    topic: str | None = None
    consumerGroup: str | None = None


class RequestMode(_Body):
    """How a group shall get a topic's messages (401)."""

    topic: str | None = None
    consumerGroup: str | None = None


class ClientCheck(_Body):
    """A filter to try (46)."""

    group: str | None = None
    subscriptionData: Subscription | None = None


class TopicConfig(_Body):
    """A topic to create."""

    topicName: str | None = None


class Topics(_Body):
    """Topics to create (18)."""

    topicConfigList: list[TopicConfig] | None = None


class TopicMapping(_Body):
    """The mapping of a static topic (513)."""

    topic: str | None = None


class GroupConfig(_Body):
    """A group to create or change (200)."""

    groupName: str | None = None


class Groups(_Body):
    """Groups to create or change (225)."""

    groupConfigList: list[GroupConfig] | None = None


class Ack(_Body):
    """Acknowledgements of one queue, under their short names."""

    consumer_group: str | None = msgspec.field(default=None, name="c")
    topic: str | None = msgspec.field(default=None, name="t")


class BatchAck(_Body):
    """Acknowledgements of many messages (200151)."""

    acks: list[Ack] | None = None


class LiteSubscription(_Body):
    """One change of a client's lite topics."""

    topic: str | None = None
    group: str | None = None


class LiteSubscriptions(_Body):
    """Changes of clients' lite topics (200071)."""

    subscriptionSet: list[LiteSubscription] | None = None
