"""Properties files are read as Java reads them, and every property knows its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.config import properties
from mqguard.config.errors import ConfigInvalid
from mqguard.config.properties import Property

TRIMMED = "".join(map(chr, range(0x21)))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=40).map(lambda text: text.strip(TRIMMED)))))
def test_what_is_written_is_read_again(items):
    items = [(key, value) for key, value in items if key or value]
    text = properties.write(items)
    assert [(item.key, item.value) for item in properties.parse(text)] == items
    assert [item.line for item in properties.parse(text)] == list(range(1, len(items) + 1))


@given(st.text(alphabet=st.sampled_from("ab=: \t\f\\\r\nu0123#!é\U0001f600"), max_size=60))
def test_any_text_is_read_or_refused_with_a_line(text):
    try:
        found = properties.parse(text, "broker.conf")
    except ConfigInvalid as exc:
        refusal = str(exc)
        found = []
    else:
        refusal = "broker.conf:"
    assert refusal.startswith("broker.conf:")
    assert all(item.value == item.value.strip(TRIMMED) for item in found)
    assert [item.line for item in found] == sorted(item.line for item in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", [("a", "b", 1)]),
        ("a = b ", [("a", "b", 1)]),
        ("a:b", [("a", "b", 1)]),
        ("a b c", [("a", "b c", 1)]),
        ("a\t=\tb", [("a", "b", 1)]),
        ("a", [("a", "", 1)]),
        ("a=", [("a", "", 1)]),
        ("a==b", [("a", "=b", 1)]),
        ("a\\=b=c", [("a=b", "c", 1)]),
        ("# no\n! no\n\n  # no\na=b", [("a", "b", 5)]),
        ("a=b # kept", [("a", "b # kept", 1)]),
        ("a=1,\\\n  2,\\\n  3\nb=4", [("a", "1,2,3", 1), ("b", "4", 4)]),
        ("a=1\\\n#b=2", [("a", "1#b=2", 1)]),
        ("a=1\\\\\nb=2", [("a", "1\\", 1), ("b", "2", 2)]),
        ("a=1\\", [("a", "1", 1)]),
        ("a=C:\\\\x\\q", [("a", "C:\\xq", 1)]),
        ("a=\\u0041\\u00e9", [("a", "Aé", 1)]),
        ("a=\\ud83d\\ude00", [("a", "\U0001f600", 1)]),
        ("a=x\\ty", [("a", "x\ty", 1)]),
        ("a=1\r\nb=2\rc=3", [("a", "1", 1), ("b", "2", 2), ("c", "3", 3)]),
        ('u={"username":"x","password":"y:z=1"}', [("u", '{"username":"x","password":"y:z=1"}', 1)]),
        ("a=1\na=2", [("a", "1", 1), ("a", "2", 2)]),
        ("\\\n\na=1", [("a", "1", 3)]),
    ],
)
def test_java_grammar(text, expected):
    assert properties.parse(text) == [Property(*item) for item in expected]


@pytest.mark.parametrize("escape", ["\\u12", "\\u12g4", "\\u", "\\u+123"])
def test_a_broken_escape_says_file_and_line(escape):
    with pytest.raises(ConfigInvalid, match=r"^broker\.conf:2: `\\u"):
        properties.parse(f"a=1\nb={escape}\n", "broker.conf")


def test_invalid_utf8_is_read_as_java_does():
    assert properties.decode(b"\xef\xbb\xbfa=1") == "a=1"
    assert properties.decode("a=é".encode()) == "a=é"
    assert properties.decode("a=é".encode("iso-8859-1")) == "a=é"
