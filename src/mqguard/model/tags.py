"""Tags: the code under which a queue remembers them, and what a subscription asks for."""

import functools

ANY_TAG = "*"


_LONGEST_KNOWN = 255
"""Longest tag texts whose codes are remembered: a peer chooses them, so memory must be bounded."""


def code_of(tags: str) -> int:
    """Java's `String.hashCode` of the whole tag text: a signed 32-bit number, 0 for the empty text.

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
    """The tags that a subscription text such as `TagA || TagB` names; empty means all messages."""
    if not subscription or subscription.strip() in {"", ANY_TAG}:
        return frozenset()
    return frozenset(tag for part in subscription.split("||") if (tag := part.strip()))


def codes_of(subscription: str) -> frozenset[int] | None:
    """The tag codes that a subscription text lets through, None if it lets everything through."""
    tags = split(subscription)
    return frozenset(code_of(tag) for tag in tags) if tags else None
