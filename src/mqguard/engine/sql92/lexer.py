"""Tokens of SQL92 expressions.

Each character is read a bounded number of times, so the time grows with the length of the expression only.
"""

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

from mqguard.engine.errors import FilterInvalid


class TokenKind(enum.Enum):
    """Kinds of tokens that have a value. Keywords and symbols are kinds of their own, as texts."""

    NAME = "a property"
    STRING = "a string"
    INTEGER = "an integer"
    DECIMAL = "a decimal number"
    END = "the end of the expression"


class Token(NamedTuple):
    """A token.

    Attributes:
        kind: Its kind: a `TokenKind`, or the text of a keyword in upper case or of a symbol.
        text: Its text; of a string the content, of an integer the digits.
        at: Position of its first character, from 1 on.
    """

    kind: TokenKind | str
    text: str
    at: int


KEYWORDS = frozenset({
    "NOT", "AND", "OR", "BETWEEN", "IN", "TRUE", "FALSE", "NULL", "IS", "CONTAINS", "STARTSWITH", "ENDSWITH",
})  # fmt: skip

# All repetitions are possessive: a failed attempt is not tried again in another way.
_SPACE = r"[ \t\n\r\f]++|/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/"
_LINE_COMMENT = r"--[^\n\r]*+(?:\r\n|\n|\r)"
_WORD = (
    r"(?P<name>[A-Za-z_$][A-Za-z0-9_$]*+)"
    r"|(?P<string>'(?:[^']++|'')*+')"
    r"|(?P<number>(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+[lL]?)"
    r"|(?P<symbol><>|<=|>=|[=<>(),+-])"
)
_BEFORE_LAST_LINE = re.compile(f"(?P<skip>{_SPACE}|{_LINE_COMMENT})|{_WORD}")
_LAST_LINE = re.compile(f"(?P<skip>{_SPACE})|{_WORD}")
_INTEGER = re.compile(r"(?:0|[1-9][0-9]*+[lL]?)\Z")


def tokens_of(text: str) -> Iterator[Token]:
    """Yield the tokens of an expression, with `END` as the last one.

    Raises:
        FilterInvalid: A character begins no token.
    """
    # A comment ends with its line. Without a further line, two minus signs are two tokens.
    last_line = max(text.rfind("\n"), text.rfind("\r"))
    at = 0
    while at < len(text):
        match = (_BEFORE_LAST_LINE if at < last_line else _LAST_LINE).match(text, at)
        if match is None:
            raise FilterInvalid(f"character {at + 1}: {_fault(text, at)}")
        kind = match.lastgroup
        if kind != "skip":
            yield _token(str(kind), match.group(), at + 1)
        at = match.end()
    yield Token(TokenKind.END, "", len(text) + 1)


def _token(group: str, text: str, at: int) -> Token:
    if group == "name":
        keyword = text.upper()
        return Token(keyword if keyword in KEYWORDS else TokenKind.NAME, text, at)
    if group == "string":
        return Token(TokenKind.STRING, text[1:-1].replace("''", "'"), at)
    if group == "symbol":
        return Token(text, text, at)
    if _INTEGER.match(text):
        return Token(TokenKind.INTEGER, text.rstrip("lL"), at)
    if text.isdigit() or text[-1] in "lL":
        raise FilterInvalid(f"character {at}: `{shortened(text)}` is not a valid number: `7`, `7L` and `7.0` are")
    return Token(TokenKind.DECIMAL, text, at)


def _fault(text: str, at: int) -> str:
    if text[at] == "'":
        return "the string has no end: close it with `'`, and write a `'` within it twice"
    if text.startswith("/*", at):
        return "the comment has no end: close it with `*/`"
    shown = text[at] if text[at].isprintable() else ascii(text[at]).strip("'")
    return f"`{shown}` has no meaning here"


def shortened(text: str) -> str:
    """Return a text from an expression for a message: printable, and not longer than 32 characters."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _MAX_SHOWN_CHARS else f"{shown[:_MAX_SHOWN_CHARS]}…"


_MAX_SHOWN_CHARS = 32
