"""Comparison of values, as Java makes it."""

import math

import pytest

from mqguard.engine.sql92.nodes import Long
from mqguard.engine.sql92.values import EvaluationFailed, compare, to_double, to_integer, to_long


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 2, -1),
        (2, 1, 1),
        (2, 2, 0),
        (Long(2**40), Long(2**41), -1),
        (Long(2**40), 5, 1),
        (5, Long(2**40), -1),
        (5, Long(5), 0),
        (0, Long(0), 0),
        (1, Long(0), 1),
        (Long(0), 1, -1),
        (1, 1.0, 0),
        (1, 1.5, -1),
        (0, 0.5, -1),
        (0.5, 0, 1),
        (1.5, 1, 1),
        (Long(2**53 + 1), float(2**53), 0),
        (float(2**53), Long(2**53 + 1), 0),
        (0.0, -0.0, 1),
        (-0.0, 0.0, -1),
        (0, -0.0, 1),
        (0.0, 0.0, 0),
        (math.nan, math.nan, 0),
        (math.nan, math.inf, 1),
        (math.inf, math.nan, -1),
        (math.nan, 0.0, 1),
        (-0.0, math.nan, -1),
        ("x", "x", 0),
        (True, True, 0),
        (True, False, 1),
        (False, True, -1),
        ("5", 5, 0),
        (5, "5", 0),
        (5, "6", -1),
        (6, "5", 1),
        ("6", Long(5), 1),
        (Long(5), "6", -1),
        ("5.5", 5.5, 0),
        (5.5, "5.5", 0),
        (5.5, "6", -1),
        ("TRUE", True, 0),
        ("yes", True, -1),
        ("true", False, 1),
        (True, 1, -1),
        (1, True, -1),
        (False, 1.5, -1),
        (1.5, False, -1),
    ],
)
def test_values_have_javas_order(left, right, expected):
    assert compare(left, right) == expected


@pytest.mark.parametrize(("left", "right"), [(True, "true"), (False, "x"), ("x", 5), (5, "x"), ("5.0", 5), (5.5, "x")])
def test_values_that_java_cannot_compare_fail(left, right):
    with pytest.raises(EvaluationFailed):
        compare(left, right)


@pytest.mark.parametrize(("reader", "low", "high"), [(to_integer, -(2**31), 2**31 - 1), (to_long, -(2**63), 2**63 - 1)])
def test_integers_have_javas_limits(reader, low, high):
    assert (reader(str(low)), reader(str(high)), reader(f"+{high}")) == (low, high, high)
    for text in (str(low - 1), str(high + 1), "", "+", "-", "+-5", "5-", "0x5", "5L", "\uffff"):
        with pytest.raises(EvaluationFailed):
            reader(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5.0),
        ("5d", 5.0),
        ("5F", 5.0),
        ("\t\x00 5.25 \r\n", 5.25),
        ("-.5e-1", -0.05),
        ("+5.", 5.0),
        ("-Infinity", -math.inf),
        ("0x1.8p1", 3.0),
        ("-0X.8P+1d", -1.0),
        ("-0x1p99999", -math.inf),
        ("0x1p-99999", 0.0),
    ],
)
def test_decimal_numbers_are_read_as_java_does(text, expected):
    assert to_double(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", ".", "e5", "5e", "5e+", "5dd", "5L", "0x5", "0x.p1", "0xp1", "0x1p", "inf", "nan", "infinity", "1_0", "5 5", "!5", "5!", "\u06635"],
)  # fmt: skip
def test_other_texts_are_not_decimal_numbers(text):
    with pytest.raises(EvaluationFailed):
        to_double(text)
