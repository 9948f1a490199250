"""The published JSON Schema is the one that the code has, and it knows the keys that the reader knows."""

import json
from pathlib import Path

from mqguard.auth.documents.schema import schema

PUBLISHED = Path(__file__).resolve().parents[4] / "docs" / "policy.schema.json"


def test_the_published_schema_is_fresh():
    """`mqguard policy-schema` wrote the file as it is."""
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

    for name in ("secret", "entry", "policies", "test"):
        assert definitions[name]["additionalProperties"] is False
    assert schema()["additionalProperties"] is False
    assert schema()["required"] == ["version"]
