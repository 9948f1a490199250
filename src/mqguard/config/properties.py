r"""Java properties files, the form of `broker.conf`.

The grammar is that of `java.util.Properties.load`. `#` and `!` open comments. `=`, `:` or blanks end a key. A line that
ends in an odd number of backslashes goes on in the next one. `\t \n \r \f \uXXXX` are escapes, and any other escaped
character means itself. As Apache's broker does, values are trimmed. Unlike Java, every property knows its line,
and a broken `\u` escape is an error with that line. A key may repeat; the caller decides (Java: the last one wins).
"""

import dataclasses

from mqguard.config.errors import ConfigInvalid

_BLANKS = " \t\f"
_TRIMMED = "".join(map(chr, range(0x21)))
"""The characters that Java's `String.trim` removes: everything up to the space."""

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\f": "\\f", "\\": "\\\\"}


@dataclasses.dataclass(frozen=True, slots=True)
class Property:
    """One key with its value.

    Attributes:
        key: The key, escapes resolved.
        value: The value, escapes resolved and trimmed; empty if there is none.
        line: The line on which it begins, counted from 1.
    """

    key: str
    value: str
    line: int


def decode(data: bytes) -> str:
    """Decode a properties file: UTF-8 (with or without a mark), else ISO 8859-1, which Java assumes."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


def parse(text: str, name: str = "properties") -> list[Property]:
    r"""Read all properties of a file, in its order.

    Args:
        text: The content of the file.
        name: The name of the file in errors.

    Raises:
        ConfigInvalid: A `\u` escape without four hexadecimal digits; says file and line.
    """
    found = []
    for number, line in _logical_lines(text):
        try:
            key, value = _split(line)
        except ValueError as exc:
            raise ConfigInvalid(f"{name}:{number}: {exc}") from None
        found.append(Property(key, value.strip(_TRIMMED), number))
    return found


def write(properties: list[tuple[str, str]]) -> str:
    """Format keys and values so that `parse` returns them again (values trimmed)."""
    return "".join(f"{_escape(key, ' =:#!')}={_escape(value, '')}\n" for key, value in properties)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines without comments and blank ones, continuations joined, each with the number of its first line."""
    lines: list[tuple[int, str]] = []
    pending: tuple[int, str] | None = None
    for number, raw in enumerate(_natural_lines(text), start=1):
        line = raw.lstrip(_BLANKS)
        if pending is None:
            if not line or line[0] in "#!":
                continue
            pending = (number, "")
        first, head = pending
        if _continues(line):
            pending = (first, head + line[:-1])
            continue
        pending = None
        lines.append((first, head + line))
    if pending is not None:
        lines.append(pending)
    return [(first, line) for first, line in lines if line]


def _natural_lines(text: str) -> list[str]:
    # str.splitlines would also break at \x0b, \x1c, \u2028 and others, which belong to values here.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _continues(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _split(line: str) -> tuple[str, str]:
    """Return key and raw value of one logical line, escapes resolved."""
    end = 0
    while end < len(line) and line[end] not in _BLANKS + "=:":
        end += 2 if line[end] == "\\" else 1
    rest = line[end:].lstrip(_BLANKS)
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(_BLANKS)
    return _resolve(line[:end]), _resolve(rest)


def _resolve(text: str) -> str:
    """Replace escapes with their characters."""
    if "\\" not in text:
        return text
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == "u":
            out.append(_code_point(text[at + 2 : at + 6]))
            at += 6
        else:
            escaped = text[at + 1 : at + 2]
            out.append(_ESCAPES.get(escaped, escaped))
            at += 2
    # Java writes characters beyond the basic plane as two escapes; joined they are one character again.
    return "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _code_point(digits: str) -> str:
    if len(digits) != 4 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
        raise ValueError(f"`\\u{digits}` is not a character: write `\\u` and four hexadecimal digits")
    return chr(int(digits, 16))


def _escape(text: str, special: str) -> str:
    return "".join(_ESCAPED.get(char) or (f"\\{char}" if char in special else char) for char in text)
