"""Conversion of a tree to values: problems name the found and the expected kind, never the text itself."""

import pytest

from mqguard.auth.documents.node_reader import NodeReader, choice
from mqguard.auth.documents.nodes import DocumentInvalid, compose
from mqguard.auth.errors import PolicyInvalid

KINDS = {
    "[hush]": "a list",
    "{hush: hush}": "a mapping",
    "hush": "a text",
    "'~'": "a text",
    "~": "nothing",
    "": "nothing",
    "' '": "nothing",
    "'\u3000'": "nothing",
}


def node_of(text):
    """Return the value in a document of one key."""
    ((_, node),) = compose(f"key: {text}\n").pairs
    return node


@pytest.mark.parametrize("text", KINDS)
def test_each_kind_of_value_has_its_name(text):
    """The text may be a secret written here by mistake, so the message shows nothing of it."""
    walk = NodeReader()
    expected = {}
    if KINDS[text] != "a text":
        expected["it must be a text"] = walk.text(node_of(text), "it")
    if KINDS[text] != "a list":
        expected["it must be a list of `- item` lines"] = walk.items(node_of(text), "it") or None
    if KINDS[text] != "a mapping":
        expected["it must be a mapping of `key: value` lines"] = walk.pairs(node_of(text), "it") or None

    with pytest.raises(DocumentInvalid) as caught:
        walk.finish()
    assert [problem.message for problem in caught.value.problems] == [f"{what}, not {KINDS[text]}" for what in expected]
    assert set(expected.values()) == {None}
    assert "hush" not in str(caught.value)


def test_a_conversion_without_problems_raises_nothing():
    """Without a problem, `finish` raises nothing."""
    walk = NodeReader()
    assert walk.text(node_of("a"), "it") == "a"
    assert walk.one_or_more(None, "it", str) == ()
    assert walk.one_or_more(node_of("a"), "it", str) == ("a",)
    assert walk.one_or_more(node_of("[a, b]"), "it", str) == ("a", "b")
    walk.finish()


def test_a_choice_is_one_of_its_words():
    """Any letter case of ASCII is accepted, but no similar character."""
    parse = choice("colour", {"Ink": 1, "Red": 2})

    assert [parse(word) for word in ("Ink", "ink", "INK", "red")] == [1, 1, 1, 2]
    for word in ("In\u212a", "inks", " ink", ""):
        with pytest.raises(PolicyInvalid) as caught:
            parse(word)
        assert str(caught.value) == f"unknown colour `{word}`: write `Ink` or `Red`"
