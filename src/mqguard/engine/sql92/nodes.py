"""Syntax tree of SQL92 expressions."""

import enum

import msgspec


class Long(int):
    """An integer outside 32 bits. A text that is compared with it may have 64 bits, for other integers 32 bits."""

    __slots__ = ()


Value = str | bool | int | float | None
"""Value of an operand: an `int` is Java's `Integer`, a `Long` its `Long`, a `float` its `Double`."""


class Order(enum.Enum):
    """Comparisons of numbers."""

    GREATER = ">"
    GREATER_EQUAL = ">="
    LESS = "<"
    LESS_EQUAL = "<="


class TextTest(enum.Enum):
    """Tests of texts."""

    CONTAINS = "CONTAINS"
    STARTSWITH = "STARTSWITH"
    ENDSWITH = "ENDSWITH"


class Node(msgspec.Struct, frozen=True):
    """A part of an expression.

    Attributes:
        depth: Number of nested parts, itself included.
    """

    depth: int


class PropertyValue(Node, frozen=True):
    """Value of a property of the message."""

    name: str


class Constant(Node, frozen=True):
    """A constant."""

    value: Value


class Negative(Node, frozen=True):
    """A number with the opposite sign; null for anything else."""

    operand: Node


class Condition(Node, frozen=True):
    """A part that is true, false or unknown."""


class Cast(Condition, frozen=True):
    """A property as a condition: false if the message has it."""

    operand: PropertyValue


class Not(Condition, frozen=True):
    """The opposite of a condition."""

    operand: Node


class AllOf(Condition, frozen=True):
    """Conditions joined by AND."""

    terms: tuple[Node, ...]


class AnyOf(Condition, frozen=True):
    """Conditions joined by OR."""

    terms: tuple[Node, ...]


class Equal(Condition, frozen=True):
    """Equality; IS NULL is equality with null."""

    left: Node
    right: Node


class Compare(Condition, frozen=True):
    """A comparison of numbers."""

    order: Order
    left: Node
    right: Node


class Among(Condition, frozen=True):
    """IN, or NOT IN if it is negated."""

    operand: PropertyValue
    values: frozenset[str]
    negated: bool


class TextMatch(Condition, frozen=True):
    """A test of a text, perhaps negated."""

    test: TextTest
    operand: Node
    search: str
    negated: bool
