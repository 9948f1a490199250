"""SQL92 expressions. `tests/interop/test_java_filter_module.py` compares them with Apache's own module."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.engine.errors import FilterInvalid
from mqguard.engine.sql92.compiler import compile_condition
from mqguard.engine.sql92.parser import MAX_DEPTH, MAX_TERMS, MAX_VALUES, parse
from mqguard.engine.sql92.values import MAX_NUMBER_CHARS, EvaluationFailed
from tests.fixtures.sql92 import NAMES, VALUES, compiled, expressions, messages, quoted

ERROR = "error"


def result(expression, **properties):
    """Return True, False, None, or `ERROR`."""
    try:
        return compiled(expression)(properties)
    except EvaluationFailed:
        return ERROR


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("a = 'x'", "x", True),
        ("a = 'x'", "X", False),
        ("a = 'x'", None, None),
        ("'x' = a", "x", True),
        ("'x' = a", None, False),
        ("'x' <> a", None, True),
        ("a <> 'x'", None, None),
        ("a <> 'x'", "y", True),
        ("a = 'it''s'", "it's", True),
        ("a = ''", "x", False),
        ("a = 5", "5", True),
        ("a = 5", "+05", True),
        ("a = 5", "\u0665", True),
        ("a = 5", "\U0001d7d3", ERROR),
        ("a = 5", "5.0", ERROR),
        ("a = 5", " 5", ERROR),
        ("a = 5", "x", ERROR),
        ("a = 5", "-", ERROR),
        ("a = -5", "-5", True),
        ("a = - -5", "5", True),
        ("a = +5", "5", True),
        ("5 = a", "5", True),
        ("5 = a", None, False),
        ("-5 = a", None, False),
        ("a > 2147483647", "2147483648", ERROR),
        ("a < 2147483648", "2147483647", True),
        ("a >= 2147483648", "2147483648", True),
        ("a < 2147483648", "9223372036854775808", ERROR),
        ("a >= 9223372036854775807", "9223372036854775807", True),
        ("a >= -9223372036854775807", "-9223372036854775808", False),
        ("a = -2147483648", "-2147483648", True),
        ("a > 5", "6", True),
        ("a > 5", "5", False),
        ("a >= 5", "5", True),
        ("a < 5", "5", False),
        ("a <= 5", "5", True),
        ("5 < a", "6", True),
        ("5 <= a", "5", True),
        ("5 > a", "4", True),
        ("5 >= a", "6", False),
        ("5 < a", None, None),
        ("a > 5", "2147483647", True),
        ("5 = '5'", None, True),
        ("-5 = a", "-5", True),
        ("TRUE = b", None, ERROR),
        ("a > b", "x", ERROR),
        ("-a > 5", "5", None),
        ("a > 5.5", "5.6", True),
        ("a > 5.5", " 6f ", True),
        ("a > 5.5", "NaN", True),
        ("a < 5.5", "-Infinity", True),
        ("a > 1e300", "1e400", True),
        ("a = 8.0", "0x1p3", True),
        ("a > 8.0", "0x1p99999", True),
        ("a < 8.0", "-0x1p99999", True),
        ("a > 5.5", "inf", ERROR),
        ("a > 5.5", "1_0", ERROR),
        ("a > 5.5", ".", ERROR),
        ("a > 5.5", None, None),
        ("a > b", "6", True),
        ("a < b", "x", ERROR),
        ("a = b", "5", True),
        ("a = b", "5.0", False),
        ("a = b", None, None),
        ("a = c", None, True),
        ("a = c", "5", False),
        ("c = a", "5", None),
        ("a = TRUE", "tRuE", True),
        ("a = FALSE", "anything", True),
        ("a = TRUE", None, None),
        ("TRUE = a", "true", ERROR),
        ("(a = 'x') = b", "x", ERROR),
        ("(a = 'x') = TRUE", "x", True),
        ("TRUE = FALSE", None, False),
        ("1 = TRUE", None, False),
        ("(a = 'x') = 1", "x", False),
        ("1 = 1L", None, True),
        ("2147483648 = 2147483648.0", None, True),
        ("1 < 1.5", None, True),
        ("-1 > -1.5", None, True),
        ("a IS NULL", None, True),
        ("a IS NULL", "x", False),
        ("a IS NOT NULL", None, False),
        ("a IS NOT NULL", "x", True),
        ("(a = 'x') IS NULL", None, True),
        ("a = 'x' IS NULL", "x", False),
        ("a IN ('x', 'y')", "y", True),
        ("a IN ('x', 'y')", "z", False),
        ("a IN ('x', 'y')", None, None),
        ("a NOT IN ('x', 'y')", "z", True),
        ("a NOT IN ('x', 'y')", "x", False),
        ("a NOT IN ('x', 'y')", None, None),
        ("a BETWEEN 1 AND 5", "1", True),
        ("a BETWEEN 1 AND 5", "5", True),
        ("a BETWEEN 1 AND 5", "6", False),
        ("a BETWEEN 1 AND 5", None, None),
        ("a BETWEEN 5 AND 5", "5", True),
        ("a BETWEEN -5 AND -10", "-7", False),
        ("a NOT BETWEEN 1 AND 5", "1", False),
        ("a NOT BETWEEN 1 AND 5", "5", False),
        ("a NOT BETWEEN 1 AND 5", "6", True),
        ("a NOT BETWEEN 5 AND 1", "3", True),
        ("7 BETWEEN 1 AND a", "7", True),
        ("a CONTAINS 'bc'", "abcd", True),
        ("a CONTAINS 'bc'", "acbd", False),
        ("a CONTAINS 'bc'", None, False),
        ("a CONTAINS ''", "abcd", False),
        ("a NOT CONTAINS ''", "abcd", False),
        ("a NOT CONTAINS 'bc'", "acbd", True),
        ("a NOT CONTAINS 'bc'", None, False),
        ("a STARTSWITH 'ab'", "abcd", True),
        ("a STARTSWITH 'cd'", "abcd", False),
        ("a NOT STARTSWITH 'cd'", "abcd", True),
        ("a ENDSWITH 'cd'", "abcd", True),
        ("a ENDSWITH 'ab'", "abcd", False),
        ("a NOT ENDSWITH 'ab'", "abcd", True),
        ("5 CONTAINS '5'", None, False),
        ("'abc' CONTAINS 'b'", None, True),
        ("a CONTAINS 'x' CONTAINS 'y'", "x", False),
        ("-a IS NULL", "5", True),
        ("-(a = 5) IS NULL", "x", ERROR),
        ("-'x' IS NULL", None, True),
        ("a", "true", False),
        ("a", None, None),
        ("NOT a", "true", True),
        ("TRUE", None, True),
        ("NULL", None, None),
        ("NOT NULL", None, None),
        ("NOT FALSE", None, True),
    ],
)
def test_a_condition_has_apaches_result(expression, value, expected):
    properties = {} if value is None else {"a": value}
    assert repr(result(expression, b="5", **properties)) == repr(expected)


@pytest.mark.parametrize("left", [True, False, None])
@pytest.mark.parametrize("right", [True, False, None])
def test_and_and_or_have_three_values(left, right):
    words = {True: "TRUE", False: "FALSE", None: "NULL"}
    both = False if False in {left, right} else None if None in {left, right} else True
    either = True if True in {left, right} else None if None in {left, right} else False
    assert result(f"{words[left]} AND {words[right]}") is both
    assert result(f"{words[left]} OR {words[right]}") is either
    assert result(f"{words[left]} AND TRUE AND {words[right]}") is both
    assert result(f"{words[left]} OR FALSE OR {words[right]}") is either


def test_a_decided_condition_ends_the_evaluation():
    assert result("a = 'x' OR a > 5", a="x") is True
    assert result("a = 'y' AND a > 5", a="x") is False
    assert result("a > 5 OR a = 'x'", a="x") == ERROR
    assert result("b AND a > 5", a="x") == ERROR
    assert result("a < b OR TRUE", a="5") is True


def test_operators_bind_as_in_sql():
    assert result("TRUE OR TRUE AND FALSE") is True
    assert result("(TRUE OR TRUE) AND FALSE") is False
    assert result("NOT a = 5", a="5") is False
    assert result("NOT (a = 5)", a="5") is False
    assert result("NOT (a = 5)", a="6") is True
    assert result("a = 1 = TRUE", a="1") is True


@pytest.mark.parametrize(
    "expression",
    [
        "a\t=\n5\r\f",
        "a/**/= /* * ** */5",
        "/***/a = 5 -- the end\n",
        "a = -- comment\r\n5",
        "a = -- comment\r5",
        "a =--a = 6\n5",
        "A = 'x' or a = 5",
        "a iS nOt NuLl",
        "$a_1 = 5 OR a = 5",
        "isa = 'x' OR a = 5L",
        "a = 5l",
        "a = 5.",
        "a >= .5",
        "a >= 5E-1",
        "a >= 00.5e+01",
        "((((a))) = (5))",
        "+ + (+a) IN ('5')",
    ],
)
def test_expressions_are_read_as_apaches(expression):
    assert result(expression, a="5") in {True, ERROR}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "character 1: expected a property, a constant or `(`, got the end of the expression"),
        ("a >", "character 4: expected a property, a constant or `(`, got the end of the expression"),
        ("a = 5 b", "character 7: expected AND, OR or the end of the expression, got `b`"),
        ("a = 1 LIKE 'x'", "character 7: expected AND, OR or the end of the expression, got `LIKE`"),
        ("a + 1 > 5", "character 3: expected AND, OR or the end of the expression, got `+`"),
        ("a = 5)", "character 6: expected AND, OR or the end of the expression, got `)`"),
        ("(a = 5", "character 7: expected `)`, got the end of the expression"),
        ("a = 5;", "character 6: `;` has no meaning here"),
        ("a = \x00", "character 5: `\\x00` has no meaning here"),
        ("a = 'x", "character 5: the string has no end"),
        ("a = 'x''", "character 5: the string has no end"),
        ("a = 5 /* x", "character 7: the comment has no end"),
        ("a = 5 -- x", "character 7: expected AND, OR or the end of the expression, got `-`"),
        ("a = NULL", "character 3: nothing equals NULL: use IS NULL or IS NOT NULL"),
        ("NULL <> a", "character 6: nothing equals NULL"),
        ("TRUE = 1", "character 6: TRUE cannot be compared with the number `1`"),
        ("FALSE = 'x'", "character 7: FALSE cannot be compared with the string `x`"),
        ("a > '5'", "character 3: only numbers can be smaller or greater, not the string `5`"),
        ("TRUE < a", "character 6: only numbers can be smaller or greater, not TRUE"),
        ("NULL < a", "character 6: only numbers can be smaller or greater, not NULL"),
        ("NOT a > 5", "character 7: only numbers can be smaller or greater, not a condition"),
        ("1 < a < 5", "character 7: only numbers can be smaller or greater, not a condition"),
        ("a BETWEEN 5 AND 1", "character 3: the lower limit the number `5` is above the upper one the number `1`"),
        ("a BETWEEN 1.5 AND 1", "character 3: the lower limit"),
        ("a BETWEEN 'a' AND 'b'", "character 3: only numbers can be smaller or greater"),
        ("a BETWEEN NULL AND 5", "character 3: only numbers can be smaller or greater, not NULL"),
        ("a NOT BETWEEN TRUE AND 5", "character 3: only numbers can be smaller or greater, not TRUE"),
        ("a BETWEEN 1 OR 5", "character 13: expected AND and the upper limit of BETWEEN, got `OR`"),
        ("a IN (5)", "character 7: expected a string, such as `'text'`, got `5`"),
        ("a IN ()", "character 7: expected a string"),
        ("a IN 'x'", "character 6: expected `(` and the values of IN"),
        ("a IN ('x' 'y')", "character 11: expected `,` or `)`"),
        ("5 IN ('x')", "character 3: IN needs a property before it, not the number `5`"),
        ("-a IN ('x')", "character 4: IN needs a property before it, not a negative value"),
        ("a IN ('x') IN ('x')", "character 12: IN needs a property before it, not a condition"),
        ("a CONTAINS b", "character 12: expected a string"),
        ("a NOT 5", "character 7: expected BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH, got `5`"),
        ("a IS 5", "character 6: expected NULL or NOT NULL, got `5`"),
        ("a IS NOT 5", "character 10: expected NULL or NOT NULL, got `5`"),
        ("5", "before character 2: the number `5` is not a condition: compare it with something"),
        ("'x' OR a", "the string `x` is not a condition"),
        ("a AND -a", "a negative value is not a condition"),
        ("NOT 5", "the number `5` is not a condition"),
        ("a = 007", "character 5: `007` is not a valid number: `7`, `7L` and `7.0` are"),
        ("a = 0L", "character 5: `0L` is not a valid number"),
        ("a = 7.0L", "character 5: `7.0L` is not a valid number"),
        ("a = 9223372036854775808", "character 5: integers up to 9223372036854775807 are valid"),
        ("a = " + "9" * 5000, "character 5: integers up to 9223372036854775807 are valid"),
        ("a > 0.0", "character 5: decimal numbers from 4.9E-324"),
        ("a > 1e400", "character 5: decimal numbers from 4.9E-324"),
        ("a = " + "b" * 99 + " c", "got `c`"),
        ("a = 5 " + "b" * 99, "got `" + "b" * 32 + "…`"),
        ("a = 5 'x\n'", "got `x\\n`"),
    ],
)
def test_an_invalid_expression_is_refused_with_its_place(expression, message):
    with pytest.raises(FilterInvalid) as caught:
        parse(expression)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "form",
    [
        lambda depth: "(" * (depth - 2) + "a = 5" + ")" * (depth - 2),
        lambda depth: "NOT " * (depth - 2) + "a",
        lambda depth: "a = " + "-" * (depth - 2) + "5",
        lambda depth: "a" + " IS NULL" * (depth - 1),
        lambda depth: "a" + " CONTAINS 'x'" * (depth - 1),
        lambda depth: "a" + " = a" * (depth - 1),
    ],
)
def test_nested_parts_are_bounded(form):
    assert result(form(MAX_DEPTH), a="5") in {True, False, None, ERROR}
    for depth in (MAX_DEPTH + 3, 10_000):
        with pytest.raises(FilterInvalid, match=r"nested|comparisons"):
            parse(form(depth))


@pytest.mark.parametrize("part", ["(a = 5)", "((a) = (5))", "NOT a", "a = -5", "NOT (-a IS NULL)"])
def test_parts_that_follow_each_other_are_not_nested(part):
    assert result(" AND ".join([part] * (MAX_DEPTH + 8)), a="5") in {True, False}


@pytest.mark.parametrize("before", ["", "(a = 5) AND " * 8, "NOT a AND " * 8])
def test_the_last_allowed_parenthesis_is_allowed(before):
    def text(depth):
        return before + "(" * depth + "a = 5" + ")" * depth

    parse(text(MAX_DEPTH))
    with pytest.raises(FilterInvalid, match=f"more than {MAX_DEPTH} parts are nested"):
        parse(text(MAX_DEPTH + 1))


def test_the_last_allowed_term_is_allowed():
    text = " OR ".join(["a = 5"] * (MAX_TERMS // 2))
    parse(f"NOT ({text})")
    with pytest.raises(FilterInvalid):
        parse(f"NOT NOT ({text})")


def test_signs_without_effect_are_not_nested():
    assert result("a = " + "+" * 10_000 + "5", a="5") is True


@pytest.mark.parametrize("term", ["a = 5", "a IS NULL", "a IN ('x')", "a CONTAINS 'x'", "NOT a"])
@pytest.mark.parametrize("word", [" OR ", " AND "])
def test_terms_are_bounded(term, word):
    allowed = (MAX_TERMS + 1) // 2
    parse(word.join([term] * allowed))
    with pytest.raises(FilterInvalid, match=f"more than {MAX_TERMS} comparisons and operators"):
        parse(word.join([term] * (allowed + 1)))


def test_the_values_of_in_are_bounded():
    def text(count):
        return "a IN (" + ",".join(["'x'"] * count) + ")"

    assert result(text(MAX_VALUES), a="x") is True
    assert result(f"{text(MAX_VALUES - 1)} OR {text(1)}", a="x") is True
    for refused in (text(MAX_VALUES + 1), f"{text(MAX_VALUES)} OR {text(2)}", f"{text(2)} OR {text(MAX_VALUES)}"):
        with pytest.raises(FilterInvalid, match=f"more than {MAX_VALUES} values"):
            parse(refused)


def test_long_texts_are_not_numbers():
    zeros = "0" * (MAX_NUMBER_CHARS - 1)
    assert result("a = 5", a=zeros + "5") is True
    assert result("a = 5", a="-" + zeros + "05") == ERROR
    assert result("a = 5.0", a=zeros + "5") is True
    assert result("a = 5.0", a=" " + zeros + "5 ") is True
    assert result("a = 5.0", a=zeros + "05") == ERROR


def test_the_weight_grows_with_terms_values_and_length():
    def weight(text):
        return parse(text).weight

    assert weight("a = 5") == weight("a > 5") == weight("a IS NULL") == weight("NOT a") == 2
    assert weight("a = -5") == weight("a <> 5") == weight("a IS NOT NULL") == 3
    assert weight("a = 5 OR b = 6") == 4
    assert weight("a IN ('x', 'y', 'z')") == 5
    assert weight("a = '" + "x" * 320 + "'") == 12


def test_properties_are_read_only_if_needed():
    parsed = parse("a = 'x' OR b = 'y' OR b IS NULL OR c CONTAINS 'z'")
    assert parsed.reads == 4
    read = []

    def reading(name):
        return lambda message: read.append(name) or message

    assert compile_condition(parsed.condition, reading)(b"x") is True
    assert read == ["a"]


@pytest.mark.parametrize(
    ("expression", "reads"),
    [
        ("a > 5 AND a < 9", 1),
        ("a BETWEEN 5 AND 9 AND 7 <> a", 2),
        ("a >= 5 AND b > 1 AND a < 9", 3),
        ("a > 5 AND a < 9999999999", 2),
        ("a > 5 AND a < 9.0", 2),
        ("a = 6 AND a > 5 AND 9 > a AND a <> 7", 2),
        ("a > 5 OR a < 9", 1),
    ],
)
def test_adjacent_comparisons_with_integers_read_a_property_once(expression, reads):
    read = []

    def reading(name):
        return lambda _: read.append(name) or b"6"

    assert compile_condition(parse(expression).condition, reading)(None) is True
    assert len(read) == reads


RAW = st.one_of(
    st.sampled_from([text.encode() for text in VALUES]),
    st.binary(min_size=1, max_size=4),
    st.lists(st.sampled_from([b"\xc3", b"\xa9", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"x", b"5", b"\xef\xbf\xbd", b"\xff"]),
             min_size=1, max_size=4).map(b"".join),
)  # fmt: skip


@given(
    expressions()
    | st.tuples(
        st.sampled_from(["a = {}", "a <> {}", "a IN ({}, 'x')", "a NOT IN ({})", "a CONTAINS {}", "a ENDSWITH {}"]),
        st.text("\ufffdé€x5", min_size=1, max_size=2).map(quoted),
    ).map(lambda parts: parts[0].format(parts[1])),
    st.dictionaries(st.sampled_from(NAMES), RAW),
)
def test_an_answer_depends_on_the_decoded_texts_only(expression, properties):
    """Comparisons of bytes answer like comparisons of the texts in which invalid bytes are replaced."""
    try:
        condition = compile_condition(parse(expression).condition, lambda name: lambda message: message.get(name))
    except FilterInvalid:
        return

    def answer(message):
        try:
            return condition(message)
        except EvaluationFailed:
            return ERROR

    texts = {name: value.decode(errors="replace").encode() for name, value in properties.items()}
    assert answer(properties) == answer(texts)


def compiled_or_refused(text):
    """Return a compiled expression, or the message of its refusal."""
    try:
        return compiled(text)
    except FilterInvalid as error:
        return str(error)


@given(expressions(), st.integers(0, 99))
def test_any_expression_is_evaluated_or_refused(expression, seed):
    made = compiled_or_refused(expression)
    if isinstance(made, str):
        assert made.isprintable()
        return
    for properties in messages(seed, 3):
        assert result(expression, **properties) in {True, False, None, ERROR}


@given(st.text(max_size=30) | st.text("'\"-/*\n ()0aA.", max_size=30))
def test_any_text_is_compiled_or_refused(text):
    made = compiled_or_refused(text)
    assert not isinstance(made, str) or made.isprintable()


@pytest.mark.parametrize(
    "unit",
    ["(", "'", "''", "-", "--", "--\n", "/*", "/**/", "*/", "0", "0.", "1e", ".", "a", "a ", "NOT ", "a=1 OR ", "+", "a IN ('x','y') OR ",
     "('", "'x',", "5", "é", "\n", "IS NULL "],
)  # fmt: skip
def test_time_grows_with_the_length_only(unit):
    """A long text takes no more than 32 times of one with a sixteenth of its length, or a few milliseconds."""

    def seconds(length):
        text = "a IN (" + unit * (length // len(unit))
        best = 1.0
        for _ in range(3):
            started = time.process_time()
            with pytest.raises(FilterInvalid):
                parse(text)
            best = min(best, time.process_time() - started)
        return best

    assert seconds(16_384) < max(32 * seconds(1_024), 0.05)
