"""Parser of SQL92 expressions, with the checks of types that Apache makes while it parses.

An expression has a maximum number of terms and of nested parts. So parsing and evaluation take little time, and no
recursion is deep.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from mqguard.engine.errors import FilterInvalid
from mqguard.engine.sql92.lexer import Token, TokenKind, shortened, tokens_of
from mqguard.engine.sql92.nodes import (
    AllOf,
    Among,
    AnyOf,
    Cast,
    Compare,
    Condition,
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
)
from mqguard.engine.sql92.values import compare

MAX_TERMS = 256
"""Maximum comparisons, tests and operators of an expression; the values of one IN count as one."""
MAX_VALUES = 1_024
"""Maximum values of all IN lists of an expression."""
MAX_DEPTH = 32
"""Maximum nested parts of an expression."""

_ORDERS = {order.value: order for order in Order}
_TESTS = {test.value: test for test in TextTest}
_AFTER_NOT = frozenset({"BETWEEN", "IN", *_TESTS})
_MAX_LONG = 2**63 - 1
_MAX_INTEGER = 2**31 - 1
_MAX_LONG_DIGITS = 19


class Parsed(NamedTuple):
    """A parsed expression.

    Attributes:
        condition: The whole expression.
        reads: Number of places that read a property.
        weight: Number of its terms, with one more for each value of an IN list and for 32 characters.
    """

    condition: Node
    reads: int
    weight: int


def parse(text: str) -> Parsed:
    """Parse an expression.

    Raises:
        FilterInvalid: It is malformed, too large, or compares what cannot be compared. The error names the position.
    """
    parser = _Parser(tokens_of(text))
    condition = parser.whole()
    return Parsed(condition, parser.reads, 1 + parser.terms + parser.values + (len(text) >> 5))


class _Parser:
    """Recursive descent over the tokens; each method parses one rule of the grammar."""

    def __init__(self, tokens: Iterator[Token]) -> None:
        self.reads = 0
        self.terms = 0
        self.values = 0
        # Tokens are read one by one, so that the rest of an expression that is too large takes no time.
        self._tokens = tokens
        self._token = next(tokens)
        self._open = 0

    def whole(self) -> Node:
        """Parse the whole expression."""
        node = self._condition(self._or())
        if self._kind is not TokenKind.END:
            raise self._expected("AND, OR or the end of the expression")
        return node

    def _or(self) -> Node:
        node = self._and()
        if self._kind != "OR":
            return node
        terms = [self._condition(node)]
        while self._accept("OR"):
            terms.append(self._condition(self._and()))
            self._count()
        return AnyOf(self._depth(*terms), tuple(terms))

    def _and(self) -> Node:
        node = self._equality()
        if self._kind != "AND":
            return node
        terms = [self._condition(node)]
        while self._accept("AND"):
            terms.append(self._condition(self._equality()))
            self._count()
        return AllOf(self._depth(*terms), tuple(terms))

    def _equality(self) -> Node:
        node = self._comparison()
        while True:
            at = self._at
            if self._accept("="):
                node = self._equal(at, node, self._comparison())
            elif self._accept("<>"):
                node = self._negated(self._equal(at, node, self._comparison()))
            elif self._accept("IS"):
                negated = self._accept("NOT")
                self._require("NULL", "NULL or NOT NULL")
                self._count()
                node = Equal(self._depth(node), node, Constant(1, None))
                node = self._negated(node) if negated else node
            else:
                return node

    def _comparison(self) -> Node:
        node = self._unary()
        while True:
            at = self._at
            if isinstance(self._kind, str) and self._kind in _ORDERS:
                order = _ORDERS[self._take().text]
                node = self._compare(at, order, node, self._unary())
                continue
            negated = self._kind == "NOT"
            if negated:
                self._take()
                if self._kind not in _AFTER_NOT:
                    raise self._expected("BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH")
            if self._accept("BETWEEN"):
                node = self._between(at, node, negated=negated)
            elif self._accept("IN"):
                node = self._among(at, node, negated=negated)
            elif isinstance(self._kind, str) and self._kind in _TESTS:
                test = _TESTS[self._take().text.upper()]
                self._count()
                node = TextMatch(self._depth(node), test, node, self._string(), negated)
            else:
                return node

    def _unary(self) -> Node:
        while self._accept("+"):
            pass
        if self._kind not in {"-", "NOT"}:
            return self._primary()
        self._enter()
        if self._accept("-"):
            operand = self._unary()
            self._count()
            node: Node = Negative(self._depth(operand), operand)
        else:
            self._take()
            node = self._negated(self._condition(self._unary()))
        self._open -= 1
        return node

    def _primary(self) -> Node:
        token = self._take()
        match token.kind:
            case TokenKind.NAME:
                self.reads += 1
                return PropertyValue(1, token.text)
            case TokenKind.STRING:
                return Constant(1, token.text)
            case TokenKind.INTEGER:
                return Constant(1, _integer(token))
            case TokenKind.DECIMAL:
                return Constant(1, _decimal(token))
            case "TRUE" | "FALSE":
                return Constant(1, token.kind == "TRUE")
            case "NULL":
                return Constant(1, None)
            case "(":
                self._enter()
                node = self._or()
                self._require(")", "`)`")
                self._open -= 1
                return node
        raise self._expected("a property, a constant or `(`", token)

    # Parts with checks of types

    def _condition(self, node: Node) -> Node:
        """Return a node as a condition."""
        if _is_condition(node):
            return node
        if isinstance(node, PropertyValue):
            return Cast(self._depth(node), node)
        raise FilterInvalid(
            f"before character {self._at}: {_named(node)} is not a condition: compare it with something"
        )

    def _negated(self, condition: Node) -> Node:
        self._count()
        return Not(self._depth(condition), condition)

    def _equal(self, at: int, left: Node, right: Node) -> Node:
        self._count()
        for side in (left, right):
            if isinstance(side, Constant) and side.value is None:
                raise FilterInvalid(f"character {at}: nothing equals NULL: use IS NULL or IS NOT NULL")
        if isinstance(left, Constant) and isinstance(right, Constant) and _is_condition(left) > _is_condition(right):
            raise FilterInvalid(f"character {at}: {_named(left)} cannot be compared with {_named(right)}")
        return Equal(self._depth(left, right), left, right)

    def _compare(self, at: int, order: Order, left: Node, right: Node) -> Node:
        self._count()
        for side in (left, right):
            is_number = isinstance(side, Constant) and isinstance(side.value, (int, float))
            if _is_condition(side) or (isinstance(side, Constant) and not is_number):
                raise FilterInvalid(f"character {at}: only numbers can be smaller or greater, not {_named(side)}")
        return Compare(self._depth(left, right), order, left, right)

    def _between(self, at: int, node: Node, *, negated: bool) -> Node:
        low = self._unary()
        self._require("AND", "AND and the upper limit of BETWEEN")
        high = self._unary()
        if negated:
            below = self._compare(at, Order.LESS, node, low)
            above = self._compare(at, Order.GREATER, node, high)
            return AnyOf(self._depth(below, above), (below, above))
        terms = self._compare(at, Order.GREATER_EQUAL, node, low), self._compare(at, Order.LESS_EQUAL, node, high)
        if isinstance(low, Constant) and isinstance(high, Constant) and compare(high.value, low.value) < 0:
            raise FilterInvalid(f"character {at}: the lower limit {_named(low)} is above the upper one {_named(high)}")
        return AllOf(self._depth(*terms), terms)

    def _among(self, at: int, node: Node, *, negated: bool) -> Node:
        self._require("(", "`(` and the values of IN")
        values = [self._string()]
        while self._accept(","):
            values.append(self._string())
            if self.values + len(values) > MAX_VALUES:
                raise FilterInvalid(f"before character {self._at}: IN has more than {MAX_VALUES} values: use fewer")
        self._require(")", "`,` or `)`")
        if not isinstance(node, PropertyValue):
            raise FilterInvalid(f"character {at}: IN needs a property before it, not {_named(node)}")
        self._count()
        self.values += len(values)
        return Among(self._depth(node), node, frozenset(values), negated)

    def _string(self) -> str:
        return self._require(TokenKind.STRING, "a string, such as `'text'`").text

    # Limits

    def _count(self) -> None:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise FilterInvalid(
                f"the expression has more than {MAX_TERMS} comparisons and operators: use IN, or several subscriptions"
            )

    def _enter(self) -> None:
        self._open += 1
        self._check_depth(self._open)

    def _depth(self, *parts: Node) -> int:
        depth = 1 + max(part.depth for part in parts)
        self._check_depth(depth)
        return depth

    def _check_depth(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise FilterInvalid(f"before character {self._at}: more than {MAX_DEPTH} parts are nested: use fewer")

    # Tokens

    @property
    def _kind(self) -> TokenKind | str:
        return self._token.kind

    @property
    def _at(self) -> int:
        return self._token.at

    def _take(self) -> Token:
        token = self._token
        self._token = next(self._tokens, token)
        return token

    def _accept(self, kind: str) -> bool:
        if self._token.kind != kind:
            return False
        self._take()
        return True

    def _require(self, kind: TokenKind | str, what: str) -> Token:
        if self._kind != kind:
            raise self._expected(what)
        return self._take()

    def _expected(self, what: str, instead: Token | None = None) -> FilterInvalid:
        token = instead or self._token
        shown = token.kind.value if token.kind is TokenKind.END else f"`{shortened(token.text)}`"
        return FilterInvalid(f"character {token.at}: expected {what}, got {shown}")


def _is_condition(node: Node) -> bool:
    return isinstance(node, Condition) or (isinstance(node, Constant) and isinstance(node.value, (bool, type(None))))


def _integer(token: Token) -> int:
    value = int(token.text) if len(token.text) <= _MAX_LONG_DIGITS else sys.maxsize + 1
    if value > _MAX_LONG:
        raise FilterInvalid(f"character {token.at}: integers up to {_MAX_LONG} are valid")
    return value if value <= _MAX_INTEGER else Long(value)


def _decimal(token: Token) -> float:
    value = float(token.text)
    if not 0 < value <= sys.float_info.max:
        raise FilterInvalid(
            f"character {token.at}: decimal numbers from 4.9E-324 to 1.7976931348623157E308 are valid, and `0` for zero"
        )
    return value


def _named(node: Node) -> str:
    """Return a node for a message."""
    if isinstance(node, PropertyValue):
        return f"the property `{shortened(node.name)}`"
    if not isinstance(node, Constant):
        return "a condition" if _is_condition(node) else "a negative value"
    if isinstance(node.value, str):
        return f"the string `{shortened(node.value)}`"
    if node.value is None or isinstance(node.value, bool):
        return "NULL" if node.value is None else str(node.value).upper()
    return f"the number `{node.value}`"
