"""What keys each part of a policy document has. The reader and the JSON Schema are both made from these tables."""

import dataclasses
from collections.abc import Iterable

from mqguard.auth.documents.patterns import NOT_BLANK, SUBJECT, VARIABLE, any_case, whole
from mqguard.auth.policy import Decision, PolicyType
from mqguard.auth.user import UserStatus, UserType
from mqguard.auth.verdict import Reason

Schema = dict[str, object]
"""A JSON Schema, or a part of one."""

VERSION = "1"
"""The version of the format, the only one so far."""


def one_or_more(item: Schema) -> Schema:
    """The schema of one item or a list of items."""
    return {"oneOf": [item, {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}]}


def one_of(words: Iterable[str]) -> Schema:
    """The schema of one of these words: as they are written, for editors to offer, or in any letter case."""
    words = list(words)
    return {"anyOf": [{"enum": words}, {"type": "string", "pattern": whole("|".join(map(any_case, words)))}]}


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

SECRET: Fields = (
    Field(
        "env", {"type": ["string", "boolean"], "pattern": VARIABLE}, "the environment variable that holds the secret"
    ),
    Field(
        "file",
        reference("text"),
        "the file that holds the secret and nothing else; a last line break is not part of it",
    ),
)
USER: Fields = (
    Field("type", one_of(kind.value for kind in UserType), "Super may do everything; Normal when left out"),
    Field("status", one_of(status.value for status in UserStatus), "enable when left out"),
    Field("secret", reference("secret"), "where the secret key is; left out: a user that exists keeps its own"),
    Field("incarnation", one_or_more(reference("text")), "which user of that name is meant, one for each broker"),
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
        one_or_more(reference("action")),
        "what the entry speaks of; `All` is every action",
        required=True,
    ),
    Field("sources", one_or_more(reference("source")), "from where; anywhere when left out"),
    Field("decision", one_of(decision.value for decision in Decision), "what the entry says", required=True),
)
USE: Fields = (
    Field("use", one_or_more(reference("text")), "the entry groups whose entries stand here", required=True),
)
POLICIES: Fields = (
    Field("custom", reference("uses"), "entries that speak first"),
    Field("default", reference("uses"), "entries for resources that no custom entry is about"),
)
TEST: Fields = (
    Field("user", one_or_more(reference("text")), "who; each of them is tested", required=True),
    Field(
        "action",
        one_or_more(reference("action")),
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
    Field("must", one_of(["allow", "deny"]), "what the decision must be for every such request", required=True),
    Field("reason", one_of(reason.value for reason in Reason), "why it must be so"),
)
DOCUMENT: Fields = (
    Field("version", {"enum": [1, VERSION]}, "the version of this format, which is 1", required=True),
    Field(
        "users",
        {"type": "object", "propertyNames": {"pattern": NOT_BLANK}, "additionalProperties": reference("user")},
        "users by name",
    ),
    Field(
        "entry_groups",
        {"type": "object", "additionalProperties": {"type": "array", "items": reference("entry")}},
        "lists of entries by a name that `use` refers to",
    ),
    Field(
        "policies",
        {
            "type": "object",
            "propertyNames": {"pattern": SUBJECT},
            "additionalProperties": reference("policies"),
        },
        "policies by subject, which is written `User:name`",
    ),
    Field("tests", {"type": "array", "items": reference("test")}, "what must be allowed and what must be denied"),
)

POLICY_KEYS = {PolicyType.CUSTOM: "custom", PolicyType.DEFAULT: "default"}
