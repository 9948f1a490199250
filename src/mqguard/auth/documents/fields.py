"""The keys of each part of a policy document. The reader and the JSON Schema are both made from these tables."""

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
    """Return the schema of one item or a list of items."""
    return {"oneOf": [item, {"type": "array", "items": item, "minItems": 1, "uniqueItems": True}]}


def one_of(words: Iterable[str]) -> Schema:
    """Return the schema of one of these words: exactly as written, for editors, or in any letter case."""
    words = list(words)
    return {"anyOf": [{"enum": words}, {"type": "string", "pattern": whole("|".join(map(any_case, words)))}]}


def reference(name: str) -> Schema:
    """Return a reference to the schema of that name."""
    return {"$ref": f"#/$defs/{name}"}


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a mapping.

    Attributes:
        name: The key.
        schema: The schema of its value.
        about: Its meaning.
        required: True if the key must be present.
    """

    name: str
    schema: Schema
    about: str
    required: bool = False


Fields = tuple[Field, ...]

SECRET: Fields = (
    Field(
        "env", {"type": ["string", "boolean"], "pattern": VARIABLE}, "the environment variable that contains the secret"
    ),
    Field(
        "file",
        reference("text"),
        "the file that contains only the secret; a final line break is not part of it",
    ),
)
USER: Fields = (
    Field("type", one_of(kind.value for kind in UserType), "Super may do everything; Normal by default"),
    Field("status", one_of(status.value for status in UserStatus), "enable by default"),
    Field("secret", reference("secret"), "the place of the secret key; without it, an existing user keeps its own"),
    Field("incarnation", one_or_more(reference("text")), "the incarnation of the intended user, one for each broker"),
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
        "the matched actions; `All` is every action",
        required=True,
    ),
    Field("sources", one_or_more(reference("source")), "the matched sources; anywhere by default"),
    Field("decision", one_of(decision.value for decision in Decision), "the effect of the entry", required=True),
)
USE: Fields = (
    Field("use", one_or_more(reference("text")), "the entry groups whose entries are inserted here", required=True),
)
POLICIES: Fields = (
    Field("custom", reference("uses"), "entries that are evaluated first"),
    Field("default", reference("uses"), "entries for resources that no custom entry covers"),
)
TEST: Fields = (
    Field("user", one_or_more(reference("text")), "the users; each of them is tested", required=True),
    Field(
        "action",
        one_or_more(reference("action")),
        "the actions; each of them is tested, `All` is every action",
        required=True,
    ),
    Field(
        "resource",
        one_or_more(reference("resource")),
        "the resources; a prefix or a type means every possible name",
        required=True,
    ),
    Field("from", one_or_more(reference("source")), "the sources; every address of a range; anywhere by default"),
    Field("must", one_of(["allow", "deny"]), "the required decision for every such request", required=True),
    Field("reason", one_of(reason.value for reason in Reason), "the required reason"),
)
DOCUMENT: Fields = (
    Field("version", {"enum": [1, VERSION]}, "the version of this format: 1", required=True),
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
    Field("tests", {"type": "array", "items": reference("test")}, "requests that must be allowed or denied"),
)

POLICY_KEYS = {PolicyType.CUSTOM: "custom", PolicyType.DEFAULT: "default"}
