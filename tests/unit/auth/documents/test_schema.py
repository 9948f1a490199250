"""The published JSON Schema is the one that the code has, and it knows the keys that the reader knows."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.documents.patterns import SOURCE
from mqguard.auth.documents.problems import DocumentInvalid
from mqguard.auth.documents.reading import read_document
from mqguard.auth.documents.schema import schema
from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.source import Source
from tests.property.analysis.universe import effort

PUBLISHED = Path(__file__).resolve().parents[4] / "docs" / "policy.schema.json"


def test_the_published_schema_is_fresh():
    """If not: run `.venv/bin/python tools/write_schema.py`."""
    assert json.loads(PUBLISHED.read_text()) == schema()


def test_every_reference_has_its_definition():
    """The schema is whole: each `$ref` leads to a definition, and each definition is used."""
    text = json.dumps(schema())
    defined = set(schema()["$defs"])
    used = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}

    assert used == defined


def test_objects_take_no_unknown_keys():
    """As the reader does, the schema refuses keys that it does not know."""
    definitions = schema()["$defs"]

    for name in ("secret", "entry", "test"):
        assert definitions[name]["additionalProperties"] is False
    assert schema()["additionalProperties"] is False
    assert schema()["required"] == ["version"]


KINDS = {
    "null": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
KEYWORDS = {
    *("$schema", "title", "description", "$defs", "$ref", "enum", "oneOf", "anyOf", "type", "pattern", "items"),
    *("minItems", "uniqueItems", "properties", "additionalProperties", "required", "propertyNames"),
    *("minProperties", "maxProperties"),
}


def matches(pattern, text):
    """As ECMAScript: `$` is the end of the text alone."""
    return re.search(pattern.removesuffix("$") + "\\Z" if pattern.endswith("$") else pattern, text) is not None


def fits(value, rule, root):
    """Whether a value fits a schema: the keywords that the published one uses, and no others."""
    assert set(rule) <= KEYWORDS
    if "$ref" in rule and not fits(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root):
        return False
    if "enum" in rule and not any(type(value) is type(one) and value == one for one in rule["enum"]):
        return False
    if "oneOf" in rule and sum(fits(value, one, root) for one in rule["oneOf"]) != 1:
        return False
    if "anyOf" in rule and not any(fits(value, one, root) for one in rule["anyOf"]):
        return False
    kinds = rule.get("type", list(KINDS))
    if not any(KINDS[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, str):
        return matches(rule.get("pattern", ""), value)
    if isinstance(value, list):
        if rule.get("uniqueItems") and any(one in value[:at] for at, one in enumerate(value)):
            return False
        return len(value) >= rule.get("minItems", 0) and all(fits(one, rule.get("items", {}), root) for one in value)
    if isinstance(value, dict):
        return fits_object(value, rule, root)
    return True


def fits_object(value, rule, root):
    properties, more = rule.get("properties", {}), rule.get("additionalProperties", True)
    if not set(rule.get("required", ())) <= set(value):
        return False
    if not rule.get("minProperties", 0) <= len(value) <= rule.get("maxProperties", len(value)):
        return False
    for key, one in value.items():
        if key in properties:
            if not fits(one, properties[key], root):
                return False
        elif more is False or (more is not True and not fits(one, more, root)):
            return False
        if "propertyNames" in rule and not fits(key, rule["propertyNames"], root):
            return False
    return True


BASE = {"version": 1}
ENTRY = {"resource": "Topic:a", "actions": "Pub", "decision": "Allow"}
TEST = {"user": "u", "action": "Pub", "resource": "*", "must": "allow"}


def with_entry(**changed):
    entry = {key: value for key, value in {**ENTRY, **changed}.items() if value is not ...}
    return {**BASE, "policies": {"User:u": {"custom": [entry]}}}


@pytest.mark.parametrize(
    "document",
    [
        BASE,
        {**BASE, "users": {"u": {}, "v": {"type": "Super", "status": "disable", "secret": {"env": "X"}}}},
        {**BASE, "users": {"u": {"secret": {"file": "a/b"}}}},
        with_entry(),
        with_entry(resource=["Topic:a*", "Group:*", "*"], actions=["Pub", "All"], sources=["10.0.0.0/8", "::1"]),
        {**BASE, "entry_groups": {"g": [ENTRY]}, "policies": {"User:u": {"custom": [{"use": "g"}, ENTRY]}}},
        {**BASE, "policies": {"User:u": {"default": []}, "user:v": None}, "users": {"u": None}},
        {**BASE, "tests": [TEST, {**TEST, "from": "10.0.0.0/8", "reason": "super", "user": ["u", "v"]}]},
        {"version": "1", "users": {"u": {"type": "SUPER", "status": "Disable", "secret": {"file": 5}}}},
        with_entry(resource="topic:a", actions=["PUB", "sub"], decision="ALLOW"),
        with_entry(sources=["0.0.0.0/032", "1:2::3/0", "::ffff:10.0.0.1", "1::", "::", "::1.2.3.4"]),
        {**BASE, "tests": [{**TEST, "user": [True, 1.5, "null"], "must": "DENY", "reason": "NO-MATCH"}]},
    ],
)
def test_what_the_reader_takes_fits_the_schema(document):
    """Both say yes."""
    assert fits(document, schema(), schema())
    read_document(json.dumps(document))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 2},
        {**BASE, "extra": {}},
        {**BASE, "users": []},
        {**BASE, "users": {"u": {"type": "King"}}},
        {**BASE, "users": {"u": {"secret": "hush"}}},
        {**BASE, "users": {"u": {"secret": {"env": "X", "file": "Y"}}}},
        {**BASE, "users": {"u": {"secret": {}}}},
        {**BASE, "policies": {"u": {"custom": []}}},
        {**BASE, "policies": {"User:": {"custom": []}}},
        {**BASE, "policies": {"User": {"custom": []}}},
        {**BASE, "policies": {"User:\u3000": {"custom": []}}},
        {**BASE, "policies": {"User:u": {"custum": []}}},
        {**BASE, "users": {" ": {}}},
        {**BASE, "users": {"u": {"secret": {"env": " "}}}},
        {**BASE, "users": {"u": {"secret": {"env": None}}}},
        {**BASE, "users": {"u": {"secret": {"env": 5}}}},
        {**BASE, "users": {"u": {"secret": {"env": "A-B"}}}},
        {**BASE, "users": {"u": {"secret": {"env": "AB\n"}}}},
        {**BASE, "policies": {"User:u": {"custom": ENTRY}}},
        with_entry(resource=...),
        with_entry(actions=...),
        with_entry(decision=...),
        with_entry(resource="Topic:a*b"),
        with_entry(resource="Topic"),
        with_entry(resource="Topics:a"),
        with_entry(resource="Topic:"),
        with_entry(resource="**"),
        with_entry(resource=[]),
        with_entry(resource=["*", "*"]),
        with_entry(sources="10.0.0.1-10"),
        with_entry(sources="10.0.0.0/33"),
        with_entry(sources="010.0.0.1"),
        with_entry(sources="1:2:3:4:5:6:7::8:9"),
        with_entry(sources="::/129"),
        with_entry(sources="fe80::1%eth0"),
        with_entry(actions="Publish"),
        with_entry(actions=[]),
        with_entry(sources=[]),
        with_entry(decision="Maybe"),
        with_entry(use="g"),
        {**BASE, "tests": [{**TEST, "must": "pass"}]},
        {**BASE, "tests": [{**TEST, "reason": "because"}]},
        {**BASE, "tests": [{**TEST, "reason": "un\u212anown-user"}]},
        {**BASE, "tests": [{"user": "u"}]},
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(document):
    """Both say no."""
    assert not fits(document, schema(), schema())
    with pytest.raises(DocumentInvalid):
        read_document(json.dumps(document))


# What a schema cannot say: things that depend on other places, and ranges that mean nothing.
BEYOND_SCHEMA = re.compile(
    "unknown entry group|is repeated: put|names `.*` twice|`::ffff:.* is no source address", re.IGNORECASE
)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=3)
scalars = st.one_of(
    texts, st.sampled_from(["", " ", "\u3000", "null", "~"]), st.integers(0, 99), st.booleans(), st.none()
)
words = st.sampled_from(["Pub", "sub", "ALL", "Any", "allow", "Allow", "deny", "Super", "normal", "enable", "Disable"])
keys = st.sampled_from(
    ["*", "Topic:a", "topic:a*", "GROUP:*", "Topic:", "Topic", "Any:a", "*a", "Cluster:a:b", "Topic:a\n"]
)
addresses = st.sampled_from(["10.0.0.0/8", "::1", "10.0.0.1", "10.0.0.1-9", "*", "::ffff:10.0.0.0/40", "::/0", "1.2.3"])


def few(item):
    return st.one_of(item, item, st.lists(item, max_size=2))


def mapping(required, optional):
    """A mapping that is mostly right: sometimes a key is missing, unknown, or holds something else."""
    known = {key: st.one_of(value, value, value, value, scalars) for key, value in (required | optional).items()}
    right = st.fixed_dictionaries({key: known[key] for key in required}, optional={key: known[key] for key in optional})
    any_of_them = st.fixed_dictionaries({}, optional=known | {"other": scalars})
    return st.one_of(right, right, right, any_of_them)


entries = mapping({"resource": few(keys), "actions": few(words), "decision": words}, {"sources": few(addresses)})
uses = mapping({"use": few(st.sampled_from(["g", "h"]))}, {})
users = st.one_of(
    st.none(),
    mapping(
        {},
        {
            "type": words,
            "status": words,
            "secret": mapping({}, {"env": st.one_of(st.just("ENV_1"), scalars), "file": scalars}),
        },
    ),
)
policies = mapping(
    {}, {"custom": st.lists(st.one_of(entries, uses), max_size=2), "default": st.lists(entries, max_size=2)}
)
tests = mapping(
    {"user": few(scalars), "action": few(words), "resource": few(keys), "must": words},
    {"from": few(addresses), "reason": st.sampled_from(["super", "NO-MATCH", "denied", "because"])},
)
subjects = st.sampled_from(["User:a", "user:b", "User:a:b", "User:", "User", "a", "Group:a", "User: "])
documents = mapping(
    {"version": st.sampled_from([1, 1, 1, "1", 2])},
    {
        "users": st.dictionaries(texts, users, max_size=2),
        "entry_groups": st.dictionaries(st.sampled_from(["g", "h"]), st.lists(entries, max_size=2), max_size=2),
        "policies": st.dictionaries(subjects, st.one_of(st.none(), policies), max_size=2),
        "tests": st.lists(tests, max_size=2),
    },
)


def problems_of(text):
    try:
        read_document(text)
    except DocumentInvalid as error:
        return error.problems
    return ()


@given(documents)
@effort(300)
def test_reader_and_schema_take_the_same(document):
    """Whatever is written: one says yes where the other does, but for what a schema cannot say."""
    told = schema()
    text = json.dumps(document, ensure_ascii=False)
    if not fits(document, told, told):
        with pytest.raises(DocumentInvalid):
            read_document(text)
        return
    assert all(BEYOND_SCHEMA.search(problem.message) for problem in problems_of(text))


@given(
    st.one_of(
        st.text("0123456789abcdefABCDEF:./", max_size=24),
        st.ip_addresses().map(str),
        st.builds("{}/{}{}".format, st.ip_addresses(), st.sampled_from(["", "0", "00"]), st.integers(0, 140)),
        st.builds("{}:{}".format, st.ip_addresses(v=6), st.ip_addresses(v=4)),
        st.builds("{}::{}".format, st.text("1:", max_size=12), st.text("1:", max_size=12)),
    )
)
@effort(300)
def test_the_pattern_of_sources_is_what_is_read(text):
    """Addresses and ranges of both families, with all their short forms."""
    try:
        Source.parse(text)
    except PolicyInvalid:
        assert not matches(SOURCE, text) or re.match("[0:]*:ffff:", text, re.IGNORECASE)
    else:
        assert matches(SOURCE, text)
