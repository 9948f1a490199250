"""Bodies that only this broker writes, for tools, and the pages of long tables."""

from typing import TypeVar

from mqguard.engine.filters import TAG
from mqguard.engine.group_members import ConnectedClient, Subscription
from mqguard.model.properties import tags_code_of, tags_of
from mqguard.remoting.bodies.clients import ConnectionInfo, SubscriptionData
from mqguard.remoting.bodies.codec import Body
from mqguard.remoting.codes import LanguageCode

_LANGUAGES = {int(language): language.name for language in LanguageCode}


class SubscriptionView(Body):
    """Answer of 345: the subscription of a group to a topic."""

    group: str
    topic: str
    subscription_data: SubscriptionData | None = None


class EntryView(Body):
    """One entry of a queue, in the answer of 321.

    Attributes:
        eval: True if the group's subscription matches it.
        msg: Reason why it cannot be shown.
    """

    physic_offset: int
    physic_size: int
    tags_code: int
    eval: bool = True
    msg: str | None = None


class ConsumeQueueView(Body):
    """Answer of 321: entries of a queue's index."""

    queue_data: list[EntryView]
    min_queue_index: int
    max_queue_index: int
    subscription_data: SubscriptionData | None = None
    filter_data: str | None = None


def subscription_data(subscription: Subscription) -> SubscriptionData:
    """Return the body for a subscription."""
    tags = tags_of(subscription.expression) if subscription.expression_type == TAG else ()
    return SubscriptionData(
        topic=subscription.topic,
        sub_string=subscription.expression,
        tags_set=sorted(tags),
        code_set=sorted(map(tags_code_of, tags)),
        sub_version=subscription.version,
        expression_type=subscription.expression_type,
        class_filter_mode=subscription.class_filter,
    )


def connection(client: ConnectedClient) -> ConnectionInfo:
    """Return the body for a client."""
    return ConnectionInfo(
        client_id=client.client_id,
        client_addr=client.peer.address,
        language=language_name(client.language),
        version=client.version,
    )


def language_name(number: int) -> str:
    """Return the name of a language number."""
    return _LANGUAGES.get(number, LanguageCode.OTHER.name)


T = TypeVar("T")


def page_of(items: list[T], first: int | None, limit: int | None) -> tuple[list[T], int | None]:
    """Return the requested page and the total number of items, or all items and None without a page.

    Clients of 5.4 and later request pages, because a table may be too large for one frame.

    Args:
        items: All items, in a stable order.
        first: Position of the first item of the page, None for all items.
        limit: Maximum number of items of the page. Without a positive number, all items are returned.
    """
    if first is None or limit is None or limit <= 0:
        return items, None
    start = max(0, first)
    return items[start : start + limit], len(items)
