"""Compiler of SQL92 expressions: each part becomes a function of the properties of a message.

A function returns True, False, or None for unknown. An error ends the whole evaluation, as in Java.
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
from mqguard.engine.sql92.parser import parse
from mqguard.engine.sql92.values import EvaluationFailed, compare, compare_doubles, to_double, to_integer, to_long

K = TypeVar("K")
Lookup = Callable[[K], str | None]
"""Function that returns the value of a property by its key, None if the message does not have it."""
Evaluation = Callable[[Lookup[K]], Value]
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


class Selector(NamedTuple, Generic[K]):
    """A compiled expression.

    Attributes:
        evaluate: Function of a `Lookup`; its value is True for messages that match.
        reads: Number of properties that it reads, repeated ones included.
        weight: Number of its terms, with one more for each value of an IN list and for 32 characters.
    """

    evaluate: Evaluation[K]
    reads: int
    weight: int

    def matches(self, lookup: Lookup[K]) -> bool:
        """Return True if the message with these properties matches."""
        try:
            return self.evaluate(lookup) is True
        except EvaluationFailed:
            return False


def compile_selector(text: str, key: Callable[[str], K]) -> Selector[K]:
    """Compile an expression.

    Args:
        text: The expression.
        key: Function that returns the key of a property for the `Lookup`.

    Raises:
        FilterInvalid: See `parser.parse`.
    """
    parsed = parse(text)
    compiler = _Compiler(key)
    evaluate = compiler.compile(parsed.condition)
    return Selector(evaluate, compiler.reads, 1 + parsed.terms + parsed.values + (len(text) >> 5))


class _Compiler(Generic[K]):
    """Functions for the nodes of one expression."""

    def __init__(self, key: Callable[[str], K]) -> None:
        self.reads = 0
        self._key = key
        self._makers: dict[type[Node], Callable[[Any], Evaluation[K]]] = {
            Constant: lambda node: _constant(node.value),
            PropertyValue: lambda node: _reading(self._name(node)),
            Cast: lambda node: _cast(self._name(node.operand)),
            Not: lambda node: _not(self.compile(node.operand)),
            AllOf: lambda node: _all(tuple(map(self.compile, node.terms))),
            AnyOf: lambda node: _any(tuple(map(self.compile, node.terms))),
            Among: lambda node: _among(self._name(node.operand), node.values, negated=node.negated),
            TextMatch: self._text_match,
            Equal: self._equal,
            Compare: self._compare,
            Negative: self._negative,
        }

    def compile(self, node: Node) -> Evaluation[K]:
        """Return the function of a node."""
        return self._makers[type(node)](node)

    def _name(self, node: PropertyValue) -> K:
        self.reads += 1
        return self._key(node.name)

    def _text_match(self, node: TextMatch) -> Evaluation[K]:
        return _text_match(_TESTS[node.test], self.compile(node.operand), node.search, negated=node.negated)

    def _negative(self, node: Negative) -> Evaluation[K]:
        number = _number_of(node)
        return _null_after(self.compile(node.operand)) if number is None else _constant(number)

    def _equal(self, node: Equal) -> Evaluation[K]:
        left, right = node.left, node.right
        if isinstance(left, PropertyValue):
            if isinstance(right, Constant) and right.value is None:
                return _is_null(self._name(left))
            constant = _value_of(right)
            if constant is not None:
                return _equals(self._name(left), constant, absent=None)
        constant = _value_of(left)
        # A text is not compared with a Boolean before it: Java fails.
        if isinstance(right, PropertyValue) and constant is not None and not isinstance(constant, bool):
            return _equals(self._name(right), constant, absent=False)
        return _any_equal(self.compile(left), self.compile(right))

    def _compare(self, node: Compare) -> Evaluation[K]:
        left, right = node.left, node.right
        number = _number_of(right)
        if isinstance(left, PropertyValue) and number is not None:
            return _compares(self._name(left), node.order, number)
        number = _number_of(left)
        if isinstance(right, PropertyValue) and number is not None:
            return _compares(self._name(right), _MIRRORED[node.order], number)
        return _any_compare(_ORDERS[node.order], self.compile(left), self.compile(right))


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


def _constant(value: Value) -> Evaluation[K]:
    return lambda _: value


def _reading(key: K) -> Evaluation[K]:
    return lambda get: get(key)


def _cast(key: K) -> Evaluation[K]:
    # The value is a text, never the Boolean that Java wants.
    return lambda get: None if get(key) is None else False


def _is_null(key: K) -> Evaluation[K]:
    return lambda get: get(key) is None


def _among(key: K, values: frozenset[str], *, negated: bool) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        value = get(key)
        return None if value is None else (value in values) is not negated

    return evaluate


def _equals(key: K, constant: Value, *, absent: bool | None) -> Evaluation[K]:
    """Compare a property with a constant; `absent` is the result for a message without the property."""

    def equals_text(get: Lookup[K]) -> bool | None:
        value = get(key)
        return absent if value is None else value == constant

    def equals_other(get: Lookup[K]) -> bool | None:
        value = get(key)
        return absent if value is None else compare(value, constant) == 0

    return equals_text if isinstance(constant, str) else equals_other


def _compares(key: K, order: Order, number: float) -> Evaluation[K]:
    """Compare a property with a number."""
    test = _ORDERS[order]
    if isinstance(number, int):
        reader = to_long if isinstance(number, Long) else to_integer

        def compare_integer(get: Lookup[K]) -> bool | None:
            value = get(key)
            return None if value is None else test(reader(value), number)

        return compare_integer

    def compare_decimal(get: Lookup[K]) -> bool | None:
        value = get(key)
        return None if value is None else test(compare_doubles(to_double(value), number), 0)

    return compare_decimal


def _not(operand: Evaluation[K]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        value = operand(get)
        return None if value is None else not value

    return evaluate


def _all(terms: tuple[Evaluation[K], ...]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        result: bool | None = True
        for term in terms:
            value = term(get)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return evaluate


def _any(terms: tuple[Evaluation[K], ...]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        result: bool | None = False
        for term in terms:
            value = term(get)
            if value is True:
                return True
            if value is None:
                result = None
        return result

    return evaluate


def _text_match(
    test: Callable[[str, str], bool], operand: Evaluation[K], search: str, *, negated: bool
) -> Evaluation[K]:
    if not search:
        return lambda _: False

    def evaluate(get: Lookup[K]) -> bool:
        value = operand(get)
        return isinstance(value, str) and test(value, search) is not negated

    return evaluate


# Functions for all other combinations of operands


def _null_after(operand: Evaluation[K]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> None:
        operand(get)  # it may fail

    return evaluate


def _any_equal(left: Evaluation[K], right: Evaluation[K]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        first, second = left(get), right(get)
        if first is None:
            return True if second is None else None
        return second is not None and compare(first, second) == 0

    return evaluate


def _any_compare(test: Callable[[int, int], bool], left: Evaluation[K], right: Evaluation[K]) -> Evaluation[K]:
    def evaluate(get: Lookup[K]) -> bool | None:
        first = left(get)
        if first is None:
            return None
        second = right(get)
        if second is None:
            return None
        if isinstance(first, str) and isinstance(second, str):
            return test(compare_doubles(to_double(first), to_double(second)), 0)
        return test(compare(first, second), 0)

    return evaluate
