"""The lenient reader under arbitrary texts, and against the standard one."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mqguard.remoting.lenient_json import LenientJsonError, Number, ObjectKey, parse

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))

scraps = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            '"',
            "'",
            "\\",
            "\\u12",
            "\\ud800",
            "0",
            "-1",
            "1.5e3",
            "true",
            "null",
            "a",
            '"$ref"',
            '"$"',
            '"$.a[0]"',
            " ",
            "\n",
            "é",
            "\x00",
            '{"a":1}',
            "{{",
            "}:",
        ]
    ),
    max_size=25,
).map("".join)


def without_numbers(value: object) -> object:
    """Return the value of the standard reader with the same numbers."""
    if isinstance(value, Number):
        return json.loads(value)
    if isinstance(value, list):
        return [without_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: without_numbers(item) for name, item in value.items()}
    return value


@given(values, st.booleans())
def test_legal_json_means_the_same(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if '"$ref"' not in text:
        assert without_numbers(parse(text.encode())) == json.loads(text)


@given(st.one_of(scraps.map(str.encode), st.binary(max_size=30)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = parse(data)
    except LenientJsonError:
        return
    check(value)


def check(value: object) -> None:
    """Check that the value has the promised types, and that every text has bytes."""
    if isinstance(value, dict):
        for name, item in value.items():
            assert isinstance(name, (str, ObjectKey))
            check(item)
    elif isinstance(value, list):
        for item in value:
            check(item)
    else:
        assert value is None or isinstance(value, (bool, str))
        if isinstance(value, str):
            value.encode()
