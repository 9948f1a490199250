"""Compiler of SQL92 expressions: each part becomes a function of a message.

A function returns True, False, or None for unknown. An error ends the whole evaluation, as in Java. The functions read
properties as UTF-8 and decode them only if a comparison needs the text.
"""

import operator
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from mqguard.engine.sql92.nodes import (
    AllOf,
    Among,
    AnyOf,
    Cast,
    Compare,
    Constant,
    Equal,
    Long,
    Negative,
    Node,
    Not,
    Order,
    PropertyValue,
    TextMatch,
    TextTest,
    Value,
)
from mqguard.engine.sql92.values import (
    SHORT_DIGITS,
    compare,
    compare_doubles,
    to_double,
    to_integer,
    to_long,
)

M = TypeVar("M")
Reading = Callable[[M], bytes | None]
"""Function that returns the value of one property of a message, None if the message does not have it."""
Evaluation = Callable[[M], Value]
_ORDERS: dict[Order, Callable[[int, int], bool]] = {
    Order.GREATER: operator.gt,
    Order.GREATER_EQUAL: operator.ge,
    Order.LESS: operator.lt,
    Order.LESS_EQUAL: operator.le,
}
_MIRRORED = {
    Order.GREATER: Order.LESS,
    Order.GREATER_EQUAL: Order.LESS_EQUAL,
    Order.LESS: Order.GREATER,
    Order.LESS_EQUAL: Order.GREATER_EQUAL,
}
_TESTS: dict[TextTest, Callable[[str, str], bool]] = {
    TextTest.CONTAINS: operator.contains,
    TextTest.STARTSWITH: str.startswith,
    TextTest.ENDSWITH: str.endswith,
}
_MIN_LONG, _MAX_LONG = -(2**63), 2**63 - 1
_REPLACEMENT = "\ufffd"
"""Character that stands for invalid bytes in a decoded text."""


def compile_condition(condition: Node, reading: Callable[[str], Reading[M]]) -> Evaluation[M]:
    """Compile a parsed expression.

    Args:
        condition: The expression.
        reading: Function that returns the `Reading` of a property.

    Returns:
        A function of a message, which is True for messages that match. It raises `EvaluationFailed` if values cannot
        be compared: the message does not match then.
    """
    return _Compiler(reading).compile(condition)


class _Range(NamedTuple):
    """Comparisons of one property with integers.

    Attributes:
        name: Name of the property.
        is_long: True if the property may have 64 bits.
        low: The smallest integer that matches.
        high: The largest integer that matches.
    """

    name: str
    is_long: bool
    low: int
    high: int

    def and_also(self, other: "_Range") -> "_Range":
        """Return what matches this range and another one of the same property and size."""
        return self._replace(low=max(self.low, other.low), high=min(self.high, other.high))


class _Compiler(Generic[M]):
    """Functions for the nodes of one expression."""

    def __init__(self, reading: Callable[[str], Reading[M]]) -> None:
        self._reading = reading
        self._makers: dict[type[Node], Callable[[Any], Evaluation[M]]] = {
            Constant: lambda node: _constant(node.value),
            PropertyValue: lambda node: _text_of(reading(node.name)),
            Cast: lambda node: _cast(reading(node.operand.name)),
            Not: lambda node: _not(self.compile(node.operand)),
            AllOf: self._all,
            AnyOf: lambda node: _any(tuple(map(self.compile, node.terms))),
            Among: lambda node: _among(reading(node.operand.name), node.values, negated=node.negated),
            TextMatch: self._text_match,
            Equal: self._equal,
            Compare: self._compare,
            Negative: self._negative,
        }

    def compile(self, node: Node) -> Evaluation[M]:
        """Return the function of a node."""
        return self._makers[type(node)](node)

    def _all(self, node: AllOf) -> Evaluation[M]:
        terms: list[Evaluation[M]] = []
        ahead: _Range | None = None
        for term in node.terms:
            found = _range_of(term)
            if ahead is not None:
                if found is not None and found[:2] == ahead[:2]:
                    ahead = ahead.and_also(found)
                    continue
                terms.append(self._within(ahead))
            ahead = found
            if found is None:
                terms.append(self.compile(term))
        if ahead is not None:
            terms.append(self._within(ahead))
        return terms[0] if len(terms) == 1 else _all(tuple(terms))

    def _within(self, limits: _Range) -> Evaluation[M]:
        return _within(self._reading(limits.name), limits)

    def _text_match(self, node: TextMatch) -> Evaluation[M]:
        return _text_match(_TESTS[node.test], self.compile(node.operand), node.search, negated=node.negated)

    def _negative(self, node: Negative) -> Evaluation[M]:
        number = _number_of(node)
        return _null_after(self.compile(node.operand)) if number is None else _constant(number)

    def _equal(self, node: Equal) -> Evaluation[M]:
        limits = _range_of(node)
        if limits is not None:
            return self._within(limits)
        left, right = node.left, node.right
        if isinstance(left, PropertyValue):
            if isinstance(right, Constant) and right.value is None:
                return _is_null(self._reading(left.name))
            constant = _value_of(right)
            if constant is not None:
                return _equals(self._reading(left.name), constant, absent=None)
        constant = _value_of(left)
        # A text is not compared with a Boolean before it: Java fails.
        if isinstance(right, PropertyValue) and constant is not None and not isinstance(constant, bool):
            return _equals(self._reading(right.name), constant, absent=False)
        return _any_equal(self.compile(left), self.compile(right))

    def _compare(self, node: Compare) -> Evaluation[M]:
        limits = _range_of(node)
        if limits is not None:
            return self._within(limits)
        found = _bound_of(node)
        if found is not None:
            operand, order, number = found
            return _compares_double(self._reading(operand.name), order, float(number))
        return _any_compare(_ORDERS[node.order], self.compile(node.left), self.compile(node.right))


def _bound_of(node: Node) -> tuple[PropertyValue, Order, int | float] | None:
    """Return the parts of a comparison of a property, None for another node."""
    if isinstance(node, Compare):
        number = _number_of(node.right)
        if isinstance(node.left, PropertyValue) and number is not None:
            return node.left, node.order, number
        number = _number_of(node.left)
        if isinstance(node.right, PropertyValue) and number is not None:
            return node.right, _MIRRORED[node.order], number
    return None


def _range_of(node: Node) -> _Range | None:
    """Return the range of a comparison of a property with an integer, None for another node."""
    if isinstance(node, Equal):
        number = _number_of(node.right)
        if isinstance(node.left, PropertyValue) and isinstance(number, int):
            return _Range(node.left.name, isinstance(number, Long), number, number)
        return None
    found = _bound_of(node)
    if found is None:
        return None
    operand, order, number = found
    if not isinstance(number, int):
        return None
    low, high = _MIN_LONG, _MAX_LONG
    if order in {Order.GREATER, Order.GREATER_EQUAL}:
        low = number + (order is Order.GREATER)
    else:
        high = number - (order is Order.LESS)
    return _Range(operand.name, isinstance(number, Long), low, high)


def _value_of(node: Node) -> Value:
    """Return the value of a constant, perhaps with a sign; None for null and all other nodes."""
    return node.value if isinstance(node, Constant) else _number_of(node)


def _number_of(node: Node) -> int | float | None:
    """Return the number of a constant, perhaps with a sign; None for all other nodes."""
    if isinstance(node, Negative):
        inner = _number_of(node.operand)
        return None if inner is None else _negated(inner)
    if isinstance(node, Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return node.value
    return None


def _negated(number: float) -> int | float:
    return Long(-number) if isinstance(number, Long) else -number


# Functions for the usual parts


def _constant(value: Value) -> Evaluation[M]:
    return lambda _: value


def _text_of(read: Reading[M]) -> Evaluation[M]:
    def evaluate(message: M) -> str | None:
        value = read(message)
        return None if value is None else _decode(value)

    return evaluate


def _decode(value: bytes) -> str:
    return value.decode(errors="replace")


def _encode(text: str) -> bytes | None:
    """Return the only bytes that a property with this text can have, None if there may be others."""
    if _REPLACEMENT in text:
        return None
    # A text that is not valid Unicode has bytes that no decoded text has.
    return text.encode(errors="surrogatepass")


def _cast(read: Reading[M]) -> Evaluation[M]:
    # The value is a text, never the Boolean that Java wants.
    return lambda message: None if read(message) is None else False


def _is_null(read: Reading[M]) -> Evaluation[M]:
    return lambda message: read(message) is None


def _among(read: Reading[M], values: frozenset[str], *, negated: bool) -> Evaluation[M]:
    encoded = frozenset([_encode(value) for value in values])

    def among_bytes(message: M) -> bool | None:
        value = read(message)
        return None if value is None else (value in encoded) is not negated

    def among_texts(message: M) -> bool | None:
        value = read(message)
        return None if value is None else (_decode(value) in values) is not negated

    return among_texts if None in encoded else among_bytes


def _equals(read: Reading[M], constant: Value, *, absent: bool | None) -> Evaluation[M]:
    """Compare a property with a constant; `absent` is the result for a message without the property."""
    encoded = _encode(constant) if isinstance(constant, str) else None

    def equals_bytes(message: M) -> bool | None:
        value = read(message)
        return absent if value is None else value == encoded

    def equals_any(message: M) -> bool | None:
        value = read(message)
        return absent if value is None else compare(_decode(value), constant) == 0

    return equals_any if encoded is None else equals_bytes


def _within(read: Reading[M], limits: _Range) -> Evaluation[M]:
    """Compare a property with integers."""
    reader = to_long if limits.is_long else to_integer
    low, high = limits.low, limits.high

    def evaluate(message: M) -> bool | None:
        value = read(message)
        if value is None:
            return None
        if len(value) <= SHORT_DIGITS and value.isdigit():
            return low <= int(value) <= high  # the usual case, in half of the time
        return low <= reader(_decode(value)) <= high

    return evaluate


def _compares_double(read: Reading[M], order: Order, number: float) -> Evaluation[M]:
    """Compare a property with a number that is not an integer."""
    test = _ORDERS[order]

    def evaluate(message: M) -> bool | None:
        value = read(message)
        return None if value is None else test(compare_doubles(to_double(_decode(value)), number), 0)

    return evaluate


def _not(operand: Evaluation[M]) -> Evaluation[M]:
    def evaluate(message: M) -> bool | None:
        value = operand(message)
        return None if value is None else not value

    return evaluate


def _all(terms: tuple[Evaluation[M], ...]) -> Evaluation[M]:
    def evaluate(message: M) -> bool | None:
        result: bool | None = True
        for term in terms:
            value = term(message)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return evaluate


def _any(terms: tuple[Evaluation[M], ...]) -> Evaluation[M]:
    def evaluate(message: M) -> bool | None:
        result: bool | None = False
        for term in terms:
            value = term(message)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return evaluate


def _text_match(
    test: Callable[[str, str], bool], operand: Evaluation[M], search: str, *, negated: bool
) -> Evaluation[M]:
    if not search:
        return lambda _: False

    def evaluate(message: M) -> bool:
        value = operand(message)
        return isinstance(value, str) and test(value, search) is not negated

    return evaluate


# Functions for all other combinations of operands


def _null_after(operand: Evaluation[M]) -> Evaluation[M]:
    def evaluate(message: M) -> None:
        operand(message)  # it may fail

    return evaluate


def _any_equal(left: Evaluation[M], right: Evaluation[M]) -> Evaluation[M]:
    def evaluate(message: M) -> bool | None:
        first, second = left(message), right(message)
        if first is None:
            return True if second is None else None
        return second is not None and compare(first, second) == 0

    return evaluate


def _any_compare(test: Callable[[int, int], bool], left: Evaluation[M], right: Evaluation[M]) -> Evaluation[M]:
    def evaluate(message: M) -> bool | None:
        first = left(message)
        if first is None:
            return None
        second = right(message)
        if second is None:
            return None
        if isinstance(first, str) and isinstance(second, str):
            return test(compare_doubles(to_double(first), to_double(second)), 0)
        return test(compare(first, second), 0)

    return evaluate
