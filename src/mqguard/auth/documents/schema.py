"""The keys of each part of a policy document. The reader and the JSON Schema are both made from these tables."""

import dataclasses
from collections.abc import Iterable

from mqguard.auth.policy import Action, Decision, PolicyType
from mqguard.auth.resource import ResourceType
from mqguard.auth.user import SubjectType, UserStatus, UserType
from mqguard.auth.verdict import Reason
from mqguard.model.text import is_blank

_LAST_BLANK = 0x3000
_BLANKS = "".join(f"\\u{code:04x}" for code in range(_LAST_BLANK + 1) if is_blank(chr(code)))

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_V4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_V4_PREFIX = "/0*(?:[12]?[0-9]|3[0-2])"
_GROUP = "[0-9A-Fa-f]{1,4}"
_V6_GROUPS = 8
_V6_PREFIX = "/0*(?:[1-9]?[0-9]|1[01][0-9]|12[0-8])"


def any_case(word: str) -> str:
    """Return a pattern for a word in any letter case."""
    return "".join(f"[{letter.upper()}{letter.lower()}]" if letter.isalpha() else letter for letter in word)


def whole(pattern: str) -> str:
    """Return a pattern that must match the whole text."""
    return f"^(?:{pattern})$"


def _v6() -> str:
    tails = [f"(?:{_GROUP}:){{{_V6_GROUPS - 1}}}{_GROUP}", f"(?:{_GROUP}:){{{_V6_GROUPS - 2}}}{_V4}"]
    # `::` represents at least one group; an IPv4 address at the end represents two.
    for before in range(_V6_GROUPS):
        head = f"(?:{_GROUP}:){{{before}}}:" if before else "::"
        most = _V6_GROUPS - 1 - before
        tails.append(head + (f"(?:{_GROUP}(?::{_GROUP}){{0,{most - 1}}})?" if most else ""))
        if most > 1:
            tails.append(f"{head}(?:{_GROUP}:){{0,{most - 2}}}{_V4}")
    return f"(?:{'|'.join(tails)})"


NOT_BLANK = f"[^{_BLANKS}]"
"""A character that is not blank."""

SUBJECT = rf"^{any_case(SubjectType.USER.value)}:[\s\S]*{NOT_BLANK}"
"""`User:name`."""

_TYPES = "|".join(any_case(kind.value) for kind in ResourceType if kind is not ResourceType.ANY)

RESOURCE = whole(rf"\*|(?:{_TYPES}):(?:\*|[^*]+\*?)")
"""`*`, or a type with a name, a prefix, or all of its names."""

VARIABLE = whole("[A-Za-z_][A-Za-z0-9_]*")
"""The name of an environment variable."""

SOURCE = whole(f"{_V4}(?:{_V4_PREFIX})?|{_v6()}(?:{_V6_PREFIX})?")
"""An address or a CIDR range. It also matches IPv4-mapped ranges without a meaning (`::ffff:10.0.0.0/40`)."""


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


def schema() -> Schema:
    """Return the schema as plain values for JSON."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mqguard policy document",
        **_object(DOCUMENT),
        "$defs": {
            "user": _optional_object(USER),
            "secret": {**_object(SECRET), "minProperties": 1, "maxProperties": 1},
            "entry": _object(ENTRY),
            "uses": {"type": "array", "items": {"oneOf": [reference("entry"), _object(USE)]}},
            "policies": _optional_object(POLICIES),
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


def _optional_object(fields: Fields) -> Schema:
    return {"oneOf": [{"type": "null"}, _object(fields)]}


def _object(fields: Fields) -> Schema:
    properties = {field.name: {**field.schema, "description": field.about} for field in fields}
    shape: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    required = [field.name for field in fields if field.required]
    if required:
        shape["required"] = required
    return shape
