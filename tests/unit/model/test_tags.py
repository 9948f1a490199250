"""Tags and their codes."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model.properties import tag_codes_of, tags_code_of, tags_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("TagA", 2598919),
        ("TagB", 2598920),
        ("a", 97),
        ("Aa", 2112),
        ("BB", 2112),
        ("polygenelubricants", -2147483648),
        ("hello world", 1794106052),
        ("ä", 228),
        ("\U0001f600", 1772899),
    ],
)
def test_codes_are_those_of_java(text, code):
    assert tags_code_of(text) == code


@given(st.text(max_size=30))
def test_codes_are_signed_32_bit_numbers_by_javas_rule(text):
    units = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = 31 * value + int.from_bytes(units[at : at + 2], "big")
    value &= 0xFFFFFFFF
    assert tags_code_of(text) == (value if value < 1 << 31 else value - (1 << 32))


@pytest.mark.parametrize(
    ("subscription", "found"),
    [
        ("", set()),
        ("*", set()),
        (" * ", set()),
        ("TagA", {"TagA"}),
        ("TagA || TagB", {"TagA", "TagB"}),
        ("TagA||TagB||", {"TagA", "TagB"}),
        ("|| ||", set()),
        ("a|b", {"a|b"}),
    ],
)
def test_subscriptions_name_tags(subscription, found):
    assert tags_of(subscription) == found
    assert tag_codes_of(subscription) == ({tags_code_of(tag) for tag in found} if found else None)


def test_long_tags_are_not_cached() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            tags_code_of(f"{number}" + "x" * 20_000)
        assert tracemalloc.get_traced_memory()[0] < 1 << 18
    finally:
        tracemalloc.stop()
