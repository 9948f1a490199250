"""YAML as a tree with positions: accepted and rejected syntax."""

import dataclasses

import pytest

from mqguard.auth.documents.nodes import MAX_DEPTH, DocumentInvalid, MappingNode, Mark, Scalar, SequenceNode, compose


def test_every_node_has_its_position():
    """Lines and columns count from 1, and texts stay as written."""
    root = compose("a: 00123\nb:\n  - 'no'\n  - {c: ~}\n")

    assert isinstance(root, MappingNode)
    (a, one), (b, two) = root.pairs
    assert (a.text, one) == ("a", Scalar(Mark(1, 4), "00123", quoted=False))
    assert b.mark == Mark(2, 1)
    assert isinstance(two, SequenceNode)
    assert two.items[0] == Scalar(Mark(3, 5), "no", quoted=True)
    assert isinstance(two.items[1], MappingNode)
    null = two.items[1].pairs[0][1]
    assert isinstance(null, Scalar)
    assert null.is_null


def test_an_empty_text_has_no_node():
    """An empty file, and one with only comments, has no node."""
    assert compose("") is None
    assert compose("# only words\n") is None


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: &x 1\nb: *x", "1:4", "anchors and aliases"),
        ("a: 1\nb: 2\na: 2", "3:1", "the key `a` is repeated: its first position is 1:1"),
        ("a: !!python/object:os.system 1", "1:4", "tags are not supported"),
        ("!!map {a: b}", "1:1", "tags are not supported"),
        (
            "secretKey: !hush22",
            "1:12",
            "tags are not supported: remove the part that begins with `!`, or quote the text",
        ),
        ("--- a\n--- b", "2:1", "second document"),
        ("[a, b]: c", "1:1", "a key must be a text"),
        ("a:\n\t- b", "2:1", "this is not valid YAML: a tab is not valid indentation: indent with spaces"),
        ("a:\n  \tb: {}\n", "2:3", "this is not valid YAML: a tab is not valid indentation"),
        ("-\ta", "1:2", "this is not valid YAML: a tab is not valid indentation"),
        ("[\n\t-", "2:2", "this is not valid YAML: a tab is not valid indentation"),
        ("'x'\t-", "1:5", "this is not valid YAML: block sequence entries are not allowed"),
        ("a: b: c\t", "1:5", "this is not valid YAML: mapping values are not allowed"),
        ("a: 1\n...\nb", "3:1", "this is not valid YAML"),
        ("a: b: c", "1:5", "this is not valid YAML"),
        ("a\nb: \x00", "2:4", "YAML does not allow this character"),
        ("- " * 40 + "x", "1:67", "nested deeper than 32 levels"),
        ("[" * 100_000, "1:", "this is not valid YAML"),
        ("a: \ud800", "1:1", "this is not valid YAML"),
    ],
)
def test_rejected_syntax_has_its_position(text, place, words):
    """Each rejection names line and column."""
    with pytest.raises(DocumentInvalid) as caught:
        compose(text)

    assert str(caught.value).startswith(place)
    assert words in str(caught.value)


NESTED = {
    "lists": ("[", "x", "]"),
    "values": ("{a: ", "x", "}"),
    "keys": ("{", "x", "}"),
    "lists of mappings": ("[a: ", "x", "]"),
    "lines": ("- ", "x", ""),
    "lines of keys": ("? ", "x", ""),
}


def depth_of(node):
    """Return the nesting depth of a tree; a text adds no depth."""
    match node:
        case SequenceNode(_, items):
            return 1 + max(map(depth_of, items), default=0)
        case MappingNode(_, pairs):
            return 1 + max((depth_of(value) for _, value in pairs), default=0)
    return 0


@pytest.mark.parametrize("kind", NESTED)
def test_depth_is_limited(kind):
    """Everything is read up to the limit, and any deeper document is rejected."""
    before, inside, after = NESTED[kind]
    levels = MAX_DEPTH // 2 if kind == "lists of mappings" else MAX_DEPTH
    whole = before * levels + inside + after * levels

    if "keys" not in kind:
        assert depth_of(compose(whole)) == MAX_DEPTH
    else:
        with pytest.raises(DocumentInvalid, match="a key must be a text"):
            compose(whole)
    for more in (1, 2, 400):
        with pytest.raises(DocumentInvalid, match=f"the document is nested deeper than {MAX_DEPTH} levels"):
            compose(before * more + whole + after * more)


@pytest.mark.parametrize("text", ["! x", "! 'x'", "! [x]", "! {x: y}"])
def test_a_single_exclamation_mark_is_not_a_tag(text):
    """`!` alone is not a tag, and the value begins at it."""
    ((_, marked),) = compose(f"a: {text}").pairs
    ((_, plain),) = compose(f"a: {text.replace('!', ' ')}").pairs

    assert marked == dataclasses.replace(plain, mark=Mark(1, 4))


@pytest.mark.parametrize(
    "text", ["secretKey: !hush22", "secretKey: !hush22 {}", "secretKey: !<hush22> x", "a: !!hush22 x"]
)
def test_a_rejected_tag_is_not_shown(text):
    """A secret may begin with `!`. Without quotes it is rejected, but never shown in a message."""
    with pytest.raises(DocumentInvalid) as caught:
        compose(text)

    assert "tags are not supported" in str(caught.value)
    assert "hush22" not in str(caught.value)
    assert compose('secretKey: "!hush22"') is not None
