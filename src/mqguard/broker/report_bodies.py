"""Bodies that only this broker writes, for tools, and the pages of long tables."""

from typing import TypeVar

from mqguard.engine.group_members import ConnectedClient, Subscription
from mqguard.remoting.bodies.clients import Connection, SubscriptionData
from mqguard.remoting.bodies.codec import Body
from mqguard.remoting.codes import LanguageCode

_LANGUAGES = {int(language): language.name for language in LanguageCode}


class SubscriptionView(Body):
    """Answer of 345: what a group wants of a topic."""

    group: str
    topic: str
    subscription_data: SubscriptionData | None = None


class EntryView(Body):
    """One place of a queue, within the answer of 321.

    Attributes:
        eval: Whether the group's subscription lets it through.
        msg: Why it cannot be shown.
    """

    physic_offset: int
    physic_size: int
    tags_code: int
    eval: bool = True
    msg: str | None = None


class ConsumeQueueView(Body):
    """Answer of 321: what the index of a queue holds."""

    queue_data: list[EntryView]
    min_queue_index: int
    max_queue_index: int
    subscription_data: SubscriptionData | None = None
    filter_data: str | None = None


def subscription_data(subscription: Subscription) -> SubscriptionData:
    """A subscription in the form of the wire."""
    return SubscriptionData(
        topic=subscription.topic,
        sub_string=subscription.expression,
        tags_set=sorted(subscription.tags),
        code_set=sorted(subscription.codes),
        sub_version=subscription.version,
        expression_type=subscription.expression_type,
        class_filter_mode=subscription.class_filter,
    )


def connection(client: ConnectedClient) -> Connection:
    """A client in the form of the wire."""
    return Connection(
        client_id=client.client_id,
        client_addr=client.peer.address,
        language=language_name(client.language),
        version=client.version,
    )


def language_name(number: int) -> str:
    """The name of a language number."""
    return _LANGUAGES.get(number, LanguageCode.OTHER.name)


T = TypeVar("T")


def page_of(items: list[T], first: int | None, most: int | None) -> tuple[list[T], int | None]:
    """The page asked for, and how many there are in all; None where the whole was asked for.

    Args:
        items: All, in an order that stays.
        first: Position of the first one wanted, None for the whole.
        most: How many at most, None or not positive for the whole.
    """
    if first is None or most is None or most <= 0:
        return items, None
    start = max(0, first)
    return items[start : start + most], len(items)
