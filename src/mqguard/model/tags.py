"""Tags: the codes stored in a queue, and the tags in a subscription."""

import functools

ANY_TAG = "*"


_LONGEST_KNOWN = 255
"""Maximum length of tag texts with cached codes: a peer chooses the texts, so memory must be bounded."""


def code_of(tags: str) -> int:
    """Return Java's `String.hashCode` of the whole tag text: a signed 32-bit number, 0 for the empty text.

    Java hashes UTF-16 code units, so a character outside the basic plane counts as two.
    """
    return _known_code(tags) if len(tags) <= _LONGEST_KNOWN else _code(tags)


def _code(tags: str) -> int:
    code = 0
    data = tags.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(data), 2):
        code = (31 * code + (data[at] << 8 | data[at + 1])) & 0xFFFFFFFF
    return code - 0x100000000 if code & 0x80000000 else code


_known_code = functools.lru_cache(maxsize=4096)(_code)


def split(subscription: str) -> frozenset[str]:
    """Return the tags that a subscription text such as `TagA || TagB` names; empty means all messages."""
    if not subscription or subscription.strip() in {"", ANY_TAG}:
        return frozenset()
    return frozenset(tag for part in subscription.split("||") if (tag := part.strip()))


def codes_of(subscription: str) -> frozenset[int] | None:
    """Return the tag codes that match a subscription text, or None if it matches every message."""
    tags = split(subscription)
    return frozenset(code_of(tag) for tag in tags) if tags else None
