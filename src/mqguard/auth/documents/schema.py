"""The JSON Schema of policy documents, for editors and other tools."""

from mqguard.auth.documents.fields import (
    DOCUMENT,
    ENTRY,
    POLICIES,
    SECRET,
    TEST,
    USE,
    USER,
    Fields,
    Schema,
    one_of,
    reference,
)
from mqguard.auth.documents.patterns import NOT_BLANK, RESOURCE, SOURCE
from mqguard.auth.policy import Action


def schema() -> Schema:
    """Return the schema as plain values for JSON."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mqguard policy document",
        **_object(DOCUMENT),
        "$defs": {
            "user": _optional(USER),
            "secret": {**_object(SECRET), "minProperties": 1, "maxProperties": 1},
            "entry": _object(ENTRY),
            "uses": {"type": "array", "items": {"oneOf": [reference("entry"), _object(USE)]}},
            "policies": _optional(POLICIES),
            "test": _object(TEST),
            "action": one_of(action.value for action in Action),
            "text": {
                "type": ["string", "number", "boolean"],
                "pattern": NOT_BLANK,
                "description": "a text; a YAML number or boolean is read as the written text",
            },
            "resource": {
                "type": "string",
                "pattern": RESOURCE,
                "description": "a literal name, a prefix with a final `*`, all of a type, or `*`",
            },
            "source": {"type": "string", "pattern": SOURCE, "description": "an address or a CIDR range, IPv4 or IPv6"},
        },
    }


def _optional(fields: Fields) -> Schema:
    return {"oneOf": [{"type": "null"}, _object(fields)]}


def _object(fields: Fields) -> Schema:
    properties = {field.name: {**field.schema, "description": field.about} for field in fields}
    shape: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [field.name for field in fields if field.required]
    if required:
        shape["required"] = required
    return shape
