"""The published JSON Schema is the one that the code has, and it knows the keys that the reader knows."""

import json
import re
from pathlib import Path

import pytest

from mqguard.auth.documents.problems import DocumentInvalid
from mqguard.auth.documents.reading import read_document
from mqguard.auth.documents.schema import schema

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


def fits(value, rule, root):
    """Whether a value fits a schema: the keywords that the published one uses, and no others."""
    if "$ref" in rule:
        return fits(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root)
    if "enum" in rule:
        return value in rule["enum"]
    if "oneOf" in rule:
        return sum(fits(value, one, root) for one in rule["oneOf"]) == 1
    known = {"null": type(None), "string": str, "array": list, "object": dict}
    if "type" in rule and not isinstance(value, known[rule["type"]]):
        return False
    if isinstance(value, str):
        return len(value) >= rule.get("minLength", 0) and re.search(rule.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return len(value) >= rule.get("minItems", 0) and all(fits(one, rule["items"], root) for one in value)
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
        if "propertyNames" in rule and not re.search(rule["propertyNames"]["pattern"], key):
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
        {**BASE, "policies": {"User:u": {"custum": []}}},
        {**BASE, "policies": {"User:u": {"custom": ENTRY}}},
        with_entry(resource=...),
        with_entry(actions=...),
        with_entry(decision=...),
        with_entry(resource="Topic:a*b"),
        with_entry(resource="Topic"),
        with_entry(resource=[]),
        with_entry(actions="Publish"),
        with_entry(actions=[]),
        with_entry(sources=[]),
        with_entry(decision="Maybe"),
        with_entry(use="g"),
        {**BASE, "tests": [{**TEST, "must": "pass"}]},
        {**BASE, "tests": [{**TEST, "reason": "because"}]},
        {**BASE, "tests": [{"user": "u"}]},
    ],
)
def test_what_the_schema_refuses_the_reader_refuses(document):
    """Both say no."""
    assert not fits(document, schema(), schema())
    with pytest.raises(DocumentInvalid):
        read_document(json.dumps(document))
