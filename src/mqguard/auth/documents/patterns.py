"""Regular expressions of the JSON Schema, equivalent to the parsers: resources, sources, names, words.

They use only the syntax that ECMAScript and Python have in common, without flags.
"""

from mqguard.auth.resource import ResourceType
from mqguard.auth.user import SubjectType
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
