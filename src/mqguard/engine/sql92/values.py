"""Comparison of values as Java's filter module makes it: texts become values of the other operand's type."""

import re
from collections.abc import Callable
from typing import cast

from mqguard.engine.sql92.nodes import Long, Value
from mqguard.errors import MqguardError


class EvaluationFailed(MqguardError):
    """Two values cannot be compared, so the message does not match."""


_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
MAX_NUMBER_CHARS = 1_024
"""Maximum characters of a text that is a number, because reading a longer one takes long."""
SHORT_DIGITS = 9
"""Digits of a number that fits into 32 bits in any case."""
_MAX_BMP = "\uffff"

_DECIMAL = re.compile(r"([+-]?)(?:NaN|Infinity|(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+[fFdD]?)\Z")
_HEX = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]++\.?[0-9a-fA-F]*+|\.[0-9a-fA-F]++)[pP][+-]?[0-9]++[fFdD]?\Z")
_JAVA_SPACE = "".join(map(chr, range(0x21)))


def to_integer(text: str) -> int:
    """Return the 32-bit number that a text contains; raise `EvaluationFailed` for another text."""
    return _number(text, _INT_MIN, _INT_MAX)


def to_long(text: str) -> int:
    """Return the 64-bit number that a text contains; raise `EvaluationFailed` for another text."""
    return _number(text, _LONG_MIN, _LONG_MAX)


def _number(text: str, low: int, high: int) -> int:
    if len(text) <= SHORT_DIGITS and text.isascii() and text.isdigit():
        return int(text)  # the usual case, in half of the time
    digits = text[1:] if text[:1] in {"+", "-"} else text
    # Java reads the text by UTF-16 units, so that a digit outside the basic plane is not a digit.
    if not (digits.isdecimal() and len(digits) <= MAX_NUMBER_CHARS and (digits.isascii() or max(digits) <= _MAX_BMP)):
        raise EvaluationFailed
    value = int(digits)
    if text[0] == "-":
        value = -value
    if not low <= value <= high:
        raise EvaluationFailed
    return value


def to_double(text: str) -> float:
    """Return the decimal number that a text contains; raise `EvaluationFailed` for another text."""
    text = text.strip(_JAVA_SPACE)
    if len(text) > MAX_NUMBER_CHARS:
        raise EvaluationFailed
    if _DECIMAL.match(text):
        return float(text.rstrip("fFdD"))
    if _HEX.match(text):
        try:
            return float.fromhex(text.rstrip("fFdD"))
        except OverflowError:
            return float("-inf") if text[0] == "-" else float("inf")
    raise EvaluationFailed


def to_boolean(text: str) -> bool:
    """Return True for the text `true` in any case."""
    return text.lower() == "true"


def compare(left: Value, right: Value) -> int:
    """Return a negative number, 0 or a positive number if `left` is smaller, equal or greater.

    Values that have no order are -1. Neither may be None.

    Raises:
        EvaluationFailed: A text is not a value of the type of the other operand.
    """
    if type(left) is not type(right):
        converted = _converted(left, right)
        if converted is None:
            return -1
        left, right = converted
    if isinstance(left, float) and isinstance(right, float):
        return compare_doubles(left, right)
    return (left > right) - (left < right)  # type: ignore[operator] # both have one type that is ordered


def compare_doubles(left: float, right: float) -> int:
    """Compare as Java does: NaN is greater than all others, and -0.0 is smaller than 0.0."""
    if left < right:
        return -1
    if left > right:
        return 1
    return (_rank(left) > _rank(right)) - (_rank(left) < _rank(right))


def _rank(value: float) -> int:
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return 2
    return 0 if str(value)[0] == "-" else 1


def _converted(left: Value, right: Value) -> tuple[Value, Value] | None:
    """Return two values of different types as values of one type, None if they have none."""
    if isinstance(left, str):
        if isinstance(right, bool):
            return to_boolean(left), right
        return _READERS[type(right)](left), right
    if isinstance(left, bool):
        if isinstance(right, str):
            # Java's broker fails with a cast of the wrong operand.
            raise EvaluationFailed
        return None
    if isinstance(right, str):
        return left, _READERS[type(left)](right)
    if isinstance(right, bool):
        return None
    numbers = cast("int | float", left), cast("int | float", right)
    kind = float if float in map(type, numbers) else int
    return kind(numbers[0]), kind(numbers[1])


_READERS: dict[type, Callable[[str], Value]] = {int: to_integer, Long: to_long, float: to_double}
