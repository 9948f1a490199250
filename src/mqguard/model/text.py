"""Texts that peers have chosen: their display, blank texts, and words in any letter case."""

import enum
import functools
from collections.abc import Mapping
from typing import TypeVar

_Member = TypeVar("_Member", bound=enum.Enum)


def visible(text: str) -> str:
    r"""Return the text with every invisible character escaped, including line ends: `a\nb`.

    Peers choose the names of topics and users. Printed unescaped, these could forge lines, reverse the text direction,
    or send commands to a terminal.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


# Character.isWhitespace of Java 8 to 21: without the no-break spaces and U+0085, unlike str.isspace().
_BLANKS = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2008\u2009\u200a"
    "\u2028\u2029\u205f\u3000"
)


def is_blank(text: str | None) -> bool:
    """True if the text is absent, empty or only white space."""
    return not text or not text.strip(_BLANKS)


def lower_ascii(text: str) -> str:
    """Return an ASCII text in lower case, and any other text unchanged.

    Letters outside ASCII are not folded: the long s and the Kelvin sign are not `s` and `k` to other software.
    """
    return text.lower() if text.isascii() else text


def find_member(kind: type[_Member], text: str) -> _Member | None:
    """Return the member of an enum whose value is the text in any letter case, or None."""
    return _members(kind).get(lower_ascii(text))


@functools.cache
def _members(kind: type[_Member]) -> Mapping[str, _Member]:
    return {str(member.value).lower(): member for member in kind}
