"""Property texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.model import properties

words = st.text(st.characters(exclude_characters="\x01\x02", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.dictionaries(words, words, max_size=6))
def test_what_is_written_is_read_again(pairs):
    text = properties.text_of(pairs)
    assert properties.parse(text) == pairs
    assert properties.parse(text.removesuffix("\x02")) == pairs


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", {}),
        ("\x02\x02", {}),
        ("a", {}),
        ("a\x02b\x01c", {"b": "c"}),
        ("\x01c\x02", {}),
        ("a\x01\x02", {"a": ""}),
        ("a\x01b\x01c\x02", {"a": "b\x01c"}),
        ("a\x01b\x02a\x01c\x02", {"a": "c"}),
    ],
)
def test_odd_texts_are_read_as_java_reads_them(text, pairs):
    assert properties.parse(text) == pairs


def test_empty_names_and_values_are_not_written():
    assert properties.text_of({"a": "", "": "b", "c": "d"}) == "c\x01d\x02"
    assert properties.text_of([("a", "1"), ("b", "2")]) == "a\x011\x02b\x012\x02"


@given(st.text(max_size=40))
def test_any_text_can_be_read(text):
    assert all(properties.parse(text))


@given(
    st.lists(st.tuples(st.text("ab\x01", max_size=3), st.text("ab\x01", max_size=3)), max_size=6),
    st.sampled_from(["a", "b", "ab", "KEYS"]),
)
def test_one_value_is_found_as_parsing_finds_it(pairs, name):
    text = "\x02".join(f"{key}\x01{value}" for key, value in pairs)
    assert properties.value_of(text, name) == properties.parse(text).get(name)
