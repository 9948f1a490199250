"""JSON as fastjson writes and accepts it."""

import pytest

from mqguard.remoting.lenient_json import LenientJsonError, ObjectKey, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{0:"a",12:"b"}', {"0": "a", "12": "b"}),
        ('{"t":{{"brokerName":"b","queueId":3}:7}}', {"t": {ObjectKey([("brokerName", "b"), ("queueId", "3")]): "7"}}),
        ("{'a':'it''s'}", None),
        ("{'a':'x\"y'}", {"a": 'x"y'}),
        ("{name:true}", {"name": True}),
        ("[1,2,]", ["1", "2"]),
        ("{,}", {}),
        ('["\\u00e9\\x41\\/\\t"]', ["éA/\t"]),
        ('["\\ud83d\\ude00"]', ["\U0001f600"]),
        ('["\\ud83d"]', ["\ufffd"]),
        ('["a\tb\nc"]', ["a\tb\nc"]),
        (' \t\r\n{"a" : [ ] } ', {"a": []}),
        ('{"a":{"x":1},"b":{"$ref":"$.a"}}', {"a": {"x": "1"}, "b": {"x": "1"}}),
        ('{"l":[{"x":1},{"$ref":"$.l[0]"}]}', {"l": [{"x": "1"}, {"x": "1"}]}),
        ('{"a b":{"x":1},"c":{"$ref":"$[\'a b\'].x"}}', {"a b": {"x": "1"}, "c": "1"}),
        ('{"a":{"$ref":"$.gone"}}', {"a": None}),
        ('{"a":{"$ref":".."}}', {"a": None}),
        ('{"a":{"$ref":"$.a"}}', {"a": None}),
        ('{"a":{"$ref":"$"}}', {"a": {"a": None}}),
        ('{"a":{"$ref":"$.b[7]"},"b":[]}', {"a": None, "b": []}),
        ('{"a":{"$ref":"$!"}}', {"a": None}),
        ('{"a":{"$ref":"$.b.c"},"b":[1]}', {"a": None, "b": ["1"]}),
        ('{"a":{"$ref":"$.b","c":1}}', {"a": {"$ref": "$.b", "c": "1"}}),
    ],
)
def test_it_is_read(text: str, value: object) -> None:
    if value is None:
        with pytest.raises(LenientJsonError):
            parse(text.encode())
    else:
        assert parse(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text ends too early at character 0"),
        ("{", "no member name at character 1"),
        ('{"a"', "no `:` after a member's name at character 4"),
        ('{"a":1 "b":2}', "no `,` or `}` after a member at character 7"),
        ("[1 2]", "no `,` or `]` after an item at character 3"),
        ('["a', "a text without its closing quote at character 3"),
        ('["\\q"]', "an unknown escape at character 4"),
        ('["\\u12"]', "an escape without 4 hex digits at character 4"),
        ('["\\u 12f"]', "an escape without 4 hex digits at character 4"),
        ("nul", "no value at character 0"),
        ("1 2", "text after the end at character 2"),
        ("[" * 80, "more than 64 levels at character 65"),
        ("{" * 80, "more than 64 levels at character 66"),
        ('{"a":' * 80, "more than 64 levels at character 325"),
        ("{{1:[]}:2}", "an object as a key may only have texts, numbers and booleans"),
    ],
)
def test_it_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(LenientJsonError) as caught:
        parse(text.encode())
    assert str(caught.value) == message


def test_references_are_followed_one_step() -> None:
    value = parse(b'{"a":[1],"b":[{"$ref":"$.a"},{"$ref":"$.a"}],"c":[{"$ref":"$.b"}]}')
    assert value == {"a": ["1"], "b": [["1"], ["1"]], "c": [[None, None]]}


def test_references_cannot_blow_up() -> None:
    """The text of 300 KB represents ten million values."""
    numbers, references = ",".join("1" * 10_000), ",".join(['{"$ref":"$.a"}'] * 10_000)
    with pytest.raises(LenientJsonError, match="its references repeat more than 100000 values"):
        parse(f'{{"a":[{numbers}],"b":[{references}]}}'.encode())


def test_long_texts_are_refused_unless_wanted() -> None:
    text = b"[" + b"1," * 300_000 + b"]"
    with pytest.raises(LenientJsonError, match="lenient JSON may have at most 524288 bytes"):
        parse(text)
    assert len(parse(text, len(text)) or ()) == 300_000  # type: ignore[arg-type]
