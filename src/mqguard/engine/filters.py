"""Filters of subscriptions, compiled from their expressions in one place.

Pulls, pops and requests that wait for messages use the same filters. A filter is applied in two steps. The tag codes of
queue entries exclude most messages without reading them. Then `matches` decides from the message itself, because two
tags may have the same code, and other languages need the properties.
"""

import collections
import functools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from mqguard.engine.errors import FilterInvalid, FilterUnsupported
from mqguard.engine.sql92.compiler import Reading, compile_condition
from mqguard.engine.sql92.parser import parse
from mqguard.engine.sql92.values import EvaluationFailed
from mqguard.model import record
from mqguard.model.properties import RETRY_TOPIC, TAGS, tags_code_of, tags_of, value_of

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
        codes: Tag codes of the tags.
        weight: Number of tags, with one more for each 32 characters.
    """

    __slots__ = ("_texts", "codes", "weight")

    def __init__(self, tags: Iterable[str]) -> None:
        distinct = frozenset(tags)
        # A tag that is not valid Unicode has bytes that no record has.
        self._texts = frozenset([tag.encode(errors="surrogatepass") for tag in distinct])
        self.codes: frozenset[int] | None = frozenset(map(tags_code_of, distinct))
        self.weight = sum([1 + (len(tag) >> 5) for tag in distinct])

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
        return data[at : end if end >= 0 else None] in self._texts


_FIRST_TAGS = f"{TAGS}\x01".encode()
_NEXT_TAGS = b"\x02" + _FIRST_TAGS


def tag_filter(expression: str) -> TagFilter | None:
    """Return the filter of an expression such as `TagA || TagB`, None if it matches every message."""
    tags = tags_of(expression)
    return TagFilter(tags) if tags else None


class SqlFilter:
    """Filter by properties, with an SQL92 expression.

    Args:
        expression: The expression.

    Attributes:
        weight: See `Parsed`.

    Raises:
        FilterInvalid: See `parse`.
    """

    __slots__ = ("_evaluate", "_is_indexed", "weight")

    codes: frozenset[int] | None = None

    def __init__(self, expression: str) -> None:
        parsed = parse(expression)
        self.weight = parsed.weight
        self._is_indexed = parsed.reads > _MAX_SEARCHED
        reading: Callable[[str], Reading[Any]] = _indexed if self._is_indexed else _searching
        self._evaluate = compile_condition(parsed.condition, reading)

    def matches(self, data: bytes) -> bool:
        """Return True if the properties of the message satisfy the expression."""
        text = b"\x02" + data[record.properties_at(data) :]
        try:
            return self._evaluate(_index(text) if self._is_indexed else text) is True
        except EvaluationFailed:
            return False


_MAX_SEARCHED = 8
"""Maximum reads of properties that are searched one by one. For more, all properties are split once."""


def _searching(name: str) -> Reading[bytes]:
    """Return a search in a text of properties, as Java's broker reads it: the last value, None if it is empty."""
    key = f"\x02{name}\x01".encode()
    size = len(key)

    def read(text: bytes) -> bytes | None:
        at = text.rfind(key)
        if at < 0:
            return None
        at += size
        end = text.find(b"\x02", at)
        return (text[at:end] if end >= 0 else text[at:]) or None

    return read


def _indexed(name: str) -> Reading[dict[bytes, bytes]]:
    """Return a look-up in an index of properties; see `_searching`."""
    key = name.encode()
    return lambda found: found.get(key) or None


def _index(text: bytes) -> dict[bytes, bytes]:
    """Return all values by their names."""
    found: dict[bytes, bytes] = {}
    for pair in text.split(b"\x02"):
        name, end, value = pair.partition(b"\x01")
        if end:
            found[name] = value
    return found


class RetryFilter:
    """Filter of a retry topic: each message must match the filter of the topic from which it comes.

    Source: Apache RocketMQ 5.5.0, `ExpressionForRetryMessageFilter`.

    Args:
        by_topic: Filters by topic. Messages of other topics match.

    Attributes:
        weight: The largest weight of the filters, and one more.
    """

    __slots__ = ("_by_topic", "weight")

    codes: frozenset[int] | None = None

    def __init__(self, by_topic: dict[str, MessageFilter]) -> None:
        self._by_topic = by_topic
        self.weight = 1 + max([found.weight for found in by_topic.values()], default=0)

    def matches(self, data: bytes) -> bool:
        """Return True if the message matches the filter of its original topic."""
        topic = value_of(data[record.properties_at(data) :].decode(errors="replace"), RETRY_TOPIC)
        found = None if topic is None else self._by_topic.get(topic)
        return found is None or found.matches(data)


class Filters:
    """Compiler of filters, with caches for those that a client sends with each request.

    Args:
        has_sql: True if SQL92 is accepted.
    """

    def __init__(self, *, has_sql: bool = False) -> None:
        self._has_sql = has_sql
        self._tag_filters = functools.lru_cache(maxsize=_MAX_CACHED)(tag_filter)
        self._sql_filters = _SqlCache()

    def find(self, kind: str | None, expression: str | None, *, is_pop: bool = False) -> MessageFilter | None:
        """Return the filter of an expression, None if it matches every message.

        Args:
            kind: Language of the expression: `TAG`, which is the default, or `SQL92`.
            expression: Text of the filter.
            is_pop: True for a pop. `enablePropertyFilter` is about pulls only (Apache: `PopMessageProcessor`).

        Raises:
            FilterUnsupported: The broker accepts only tags.
            FilterInvalid: The language is unknown, or the expression is too long or malformed.
        """
        expression = expression or ""
        if kind and kind != TAG:
            self._require_language(kind, has_sql=is_pop or self._has_sql)
        if len(expression) > MAX_EXPRESSION_CHARS:
            raise FilterInvalid(f"{_FAILED}: it is longer than {MAX_EXPRESSION_CHARS} characters")
        if kind == SQL92:
            return self._sql_filters.get(expression)
        if not expression or expression == "*":
            return None
        return self._tag_filters(expression) if len(expression) <= _MAX_CACHED_CHARS else tag_filter(expression)

    @staticmethod
    def _require_language(kind: str, *, has_sql: bool) -> None:
        shown = kind if len(kind) <= _MAX_SHOWN_CHARS else f"{kind[:_MAX_SHOWN_CHARS]}…"
        if not has_sql:
            raise FilterUnsupported(f"The broker does not support consumer to filter message by {shown}")
        if kind != SQL92:
            raise FilterInvalid(f"{_FAILED}: unknown type {shown}")


class _SqlCache:
    """Compiled expressions and errors of invalid ones, the latest up to a total weight."""

    def __init__(self) -> None:
        self._found: collections.OrderedDict[str, SqlFilter | FilterInvalid] = collections.OrderedDict()
        self._weight = 0

    def get(self, expression: str) -> SqlFilter:
        """Return the filter of an expression; raise `FilterInvalid` for an invalid one."""
        found = self._found.get(expression)
        if found is None:
            found = self._compiled(expression)
            self._found[expression] = found
            self._weight += _weight_of(expression, found)
            while self._weight > MAX_CACHED_WEIGHT:
                self._weight -= _weight_of(*self._found.popitem(last=False))
        else:
            self._found.move_to_end(expression)
        if isinstance(found, FilterInvalid):
            raise FilterInvalid(str(found))
        return found

    @staticmethod
    def _compiled(expression: str) -> SqlFilter | FilterInvalid:
        try:
            return SqlFilter(expression)
        except FilterInvalid as error:
            return FilterInvalid(f"{_FAILED}: {error}")


def _weight_of(expression: str, found: SqlFilter | FilterInvalid) -> int:
    return found.weight if isinstance(found, SqlFilter) else 1 + (len(expression) >> 5)


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

    @property
    def units(self) -> int:
        """Return the maximum memory of the compiled filter, in units of 150 bytes."""
        if self.kind == SQL92:
            return len(self.expression) // CHARS_PER_UNIT
        return self.expression.count("||")

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
CHARS_PER_UNIT = 6
"""Characters of an expression of which the compiled form takes some 150 bytes."""
_FAILED = "parse the consumer's subscription failed"
MAX_CACHED_WEIGHT = 65_536
"""Maximum weight of the cached SQL92 filters: peers choose the texts, so memory must be bounded."""
_MAX_CACHED = 1_024
_MAX_CACHED_CHARS = 512
"""Maximum characters of a cached filter of tags."""
