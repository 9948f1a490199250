"""What keys each part of a policy document has. The reader and the JSON Schema are both made from these tables."""

import dataclasses

from mqguard.auth.action import Action
from mqguard.auth.policy import Decision, PolicyType
from mqguard.auth.user import UserStatus, UserType
from mqguard.auth.verdict import Reason

Schema = dict[str, object]
"""A JSON Schema, or a part of one."""

VERSION = "1"
"""The version of the format, the only one so far."""


def one_or_more(item: Schema) -> Schema:
    """The schema of one item or a list of items."""
    return {"oneOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def reference(name: str) -> Schema:
    """The schema that is defined under that name."""
    return {"$ref": f"#/$defs/{name}"}


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a mapping.

    Attributes:
        name: The key.
        schema: What its value may be.
        about: What it means.
        required: Whether it must be there.
    """

    name: str
    schema: Schema
    about: str
    required: bool = False


Fields = tuple[Field, ...]

_TEXT: Schema = {"type": "string", "minLength": 1}

SECRET: Fields = (
    Field("env", _TEXT, "the environment variable that holds the secret"),
    Field("file", _TEXT, "the file that holds the secret and nothing else; a last line break is not part of it"),
)
USER: Fields = (
    Field("type", {"enum": [kind.value for kind in UserType]}, "Super may do everything; Normal when left out"),
    Field("status", {"enum": [status.value for status in UserStatus]}, "enable when left out"),
    Field("secret", reference("secret"), "where the secret key is; left out: a user that exists keeps its own"),
)
ENTRY: Fields = (
    Field(
        "resource",
        one_or_more(reference("resource")),
        "`Topic:orders`, `Topic:order*`, `Topic:*`, the same with Group, Cluster and Namespace, or `*`",
        required=True,
    ),
    Field(
        "actions",
        one_or_more({"enum": [action.value for action in Action]}),
        "what the entry speaks of; `All` is every action",
        required=True,
    ),
    Field("sources", one_or_more(reference("source")), "from where; anywhere when left out"),
    Field("decision", {"enum": [decision.value for decision in Decision]}, "what the entry says", required=True),
)
USE: Fields = (Field("use", one_or_more(_TEXT), "the entry groups whose entries stand here", required=True),)
POLICIES: Fields = (
    Field("custom", reference("uses"), "entries that speak first"),
    Field("default", reference("uses"), "entries for resources that no custom entry is about"),
)
TEST: Fields = (
    Field("user", one_or_more(_TEXT), "who; each of them is tested", required=True),
    Field(
        "action",
        one_or_more({"enum": [action.value for action in Action]}),
        "what; each of them is tested, `All` is every action",
        required=True,
    ),
    Field(
        "resource",
        one_or_more(reference("resource")),
        "to what; a prefix or a type means every name there can be",
        required=True,
    ),
    Field("from", one_or_more(reference("source")), "from where; every address of a range; anywhere when left out"),
    Field("must", {"enum": ["allow", "deny"]}, "what the decision must be for every such request", required=True),
    Field("reason", {"enum": [reason.value for reason in Reason]}, "why it must be so"),
)
DOCUMENT: Fields = (
    Field("version", {"enum": [1]}, "the version of this format", required=True),
    Field("users", {"type": "object", "additionalProperties": reference("user")}, "users by name"),
    Field(
        "entry_groups",
        {"type": "object", "additionalProperties": {"type": "array", "items": reference("entry")}},
        "lists of entries by a name that `use` refers to",
    ),
    Field(
        "policies",
        {
            "type": "object",
            "propertyNames": {"pattern": "^[Uu][Ss][Ee][Rr]:."},
            "additionalProperties": reference("policies"),
        },
        "policies by subject, which is written `User:name`",
    ),
    Field("tests", {"type": "array", "items": reference("test")}, "what must be allowed and what must be denied"),
)

POLICY_KEYS = {PolicyType.CUSTOM: "custom", PolicyType.DEFAULT: "default"}
