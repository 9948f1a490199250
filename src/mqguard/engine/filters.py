"""Filters of subscriptions, compiled from their expressions in one place.

Pulls, pops and requests that wait for messages use the same filters. A filter is applied in two steps. The tag codes of
queue entries exclude most messages without reading them. Then `matches` decides from the message itself, because two
tags may have the same code, and other languages need the properties.
"""

import functools
from collections.abc import Iterable
from typing import Protocol

from mqguard.engine.errors import FilterInvalid, FilterUnsupported
from mqguard.model import record
from mqguard.model.properties import TAGS, tags_code_of, tags_of

TAG = "TAG"
SQL92 = "SQL92"
MAX_EXPRESSION_CHARS = 16 * 1024
"""Maximum characters of a filter. Each is hashed, and the filter is kept while its consumer is connected."""


class MessageFilter(Protocol):
    """Check of messages.

    Attributes:
        codes: Tag codes of messages that may match; None if the tag code decides nothing.
        weight: Size of the filter, its number of tags or terms: a measure of its memory and of its time per message.
    """

    codes: frozenset[int] | None
    weight: int

    def matches(self, data: bytes) -> bool:
        """Return True if the message with this record matches."""
        ...  # pragma: no cover


class TagFilter:
    """Filter by tags.

    Args:
        tags: Tags that match, at least one.

    Attributes:
        tags: Tags that match.
        codes: Their tag codes.
        weight: Number of tags, with one more for each 32 characters.
    """

    __slots__ = ("codes", "tags", "weight")

    def __init__(self, tags: Iterable[str]) -> None:
        self.tags = frozenset(tags)
        self.codes: frozenset[int] | None = frozenset(map(tags_code_of, self.tags))
        self.weight = sum([1 + (len(tag) >> 5) for tag in self.tags])

    def matches(self, data: bytes) -> bool:
        """Return True if the message has one of the tags."""
        begin = record.properties_at(data)
        at = data.rfind(_NEXT_TAGS, begin)
        if at >= 0:
            at += len(_NEXT_TAGS)
        elif data.startswith(_FIRST_TAGS, begin):
            at = begin + len(_FIRST_TAGS)
        else:
            return False
        end = data.find(b"\x02", at)
        return data[at : end if end >= 0 else None].decode(errors="replace") in self.tags


_FIRST_TAGS = f"{TAGS}\x01".encode()
_NEXT_TAGS = b"\x02" + _FIRST_TAGS


def tag_filter(expression: str) -> TagFilter | None:
    """Return the filter of an expression such as `TagA || TagB`, None if it matches every message."""
    tags = tags_of(expression)
    return TagFilter(tags) if tags else None


class Filters:
    """Compiler of filters, with a cache of small ones."""

    def __init__(self) -> None:
        self._tag_filters = functools.lru_cache(maxsize=_MAX_CACHED)(tag_filter)

    def find(self, kind: str | None, expression: str | None) -> MessageFilter | None:
        """Return the filter of an expression, None if it matches every message.

        Args:
            kind: Language of the expression: `TAG`, which is the default, or `SQL92`.
            expression: Text of the filter.

        Raises:
            FilterUnsupported: The broker does not accept the language.
            FilterInvalid: The language is unknown, or the expression is too long or malformed.
        """
        if kind and kind != TAG:
            shown = kind if len(kind) <= _MAX_SHOWN_CHARS else f"{kind[:_MAX_SHOWN_CHARS]}…"
            if kind == SQL92:
                raise FilterUnsupported(f"The broker does not support consumer to filter message by {shown}")
            raise FilterInvalid(f"parse the consumer's subscription failed: unknown type {shown}")
        if not expression or expression == "*":
            return None
        if len(expression) > MAX_EXPRESSION_CHARS:
            raise FilterInvalid(
                f"parse the consumer's subscription failed: it is longer than {MAX_EXPRESSION_CHARS} characters"
            )
        return self._tag_filters(expression) if len(expression) <= _MAX_CACHED_CHARS else tag_filter(expression)


class SubscriptionFilter:
    """Filter of a subscription, compiled when a consumer first needs it, and only once.

    Args:
        kind: Language of the expression.
        expression: Text of the filter.
    """

    __slots__ = ("_compiled", "_filter", "expression", "kind")

    def __init__(self, kind: str = TAG, expression: str = "*") -> None:
        self.kind = kind
        self.expression = expression
        self._filter: MessageFilter | None = None
        self._compiled = False

    def compiled(self, filters: Filters) -> MessageFilter | None:
        """Return the filter, None if it matches every message; raise like `Filters.find`."""
        if not self._compiled:
            self._filter = filters.find(self.kind, self.expression)
            self._compiled = True
        return self._filter

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SubscriptionFilter) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self.kind, self.expression


NO_FILTER = SubscriptionFilter()
"""Marks a subscription without a filter, until it is created."""
_MAX_SHOWN_CHARS = 32
_MAX_CACHED = 1_024
_MAX_CACHED_CHARS = 512
"""Maximum characters of a filter in the cache: peers choose the texts, so memory must be bounded."""
