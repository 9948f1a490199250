"""A lenient reader for the JSON that Java's fastjson writes and accepts, although it is not valid JSON.

Beyond the standard it accepts integer keys without quotes (`{0:"a"}`) and objects as keys (`{{"topic":"T"}:1}`). It
accepts single quotes, member names without quotes (fastjson 1), trailing commas, and raw control characters in texts.
It follows `{"$ref":"$.a.b"}` to an earlier object.

Of repeated keys the last one counts, as in fastjson. All this was verified with fastjson 1.2.69 and 1.2.83, and with
fastjson2 2.0.59.

The reader is slow and only runs after the strict decoder has failed.
"""

import re
from typing import Final

Json = None | bool | int | float | str | list["Json"] | dict["Key", "Json"]
"""A parsed value. Keys of objects are texts, or `ObjectKey` for an object as the key."""

MAX_DEPTH: Final = 64
"""Maximum nesting: real bodies stay under 10, and the reader is recursive."""

MAX_SIZE: Final = 512 * 1024
"""Maximum size in bytes unless the caller gives another one: 2 MB take a second."""

_MAX_REPEATED: Final = 100_000
"""Maximum number of values that all references may repeat: a short text could otherwise expand to terabytes."""


class LenientJsonError(ValueError):
    """A text that is not JSON, not even lenient JSON; the message names the position."""


class Number(str):
    """A number as written: ext fields keep the digits, typed bodies convert them."""

    __slots__ = ()


class ObjectKey(tuple[tuple[str, object], ...]):
    """An object used as a key, as its members in order."""

    __slots__ = ()


Key = str | ObjectKey

_SPACE = re.compile(r"[ \t\r\n\f\b]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_BARE = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PLAIN = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES = {
    **{char: char for char in "\"'\\/"},
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_STEP = re.compile(r"\.([A-Za-z0-9_$-]+)|\[(\d+)\]|\[[\"']([^\"']*)[\"']\]")


def parse(data: bytes, max_size: int = MAX_SIZE, max_values: int | None = None) -> Json:
    """Parse one value; numbers are returned as `Number`.

    Args:
        data: The text in UTF-8.
        max_size: Maximum size in bytes.
        max_values: Maximum number of values, for text from peers: `0,` costs more than most bytes. None sets no
            maximum.

    Raises:
        LenientJsonError: The text cannot be parsed, or is too long.
    """
    if len(data) > max_size:
        raise LenientJsonError(f"it is not strict JSON, and lenient JSON may have at most {max_size} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise LenientJsonError(f"byte {exc.start} is not UTF-8") from None

    reader = _JsonReader(text, max_values)
    value = reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.fault("text after the end")

    if '"$ref"' not in text and "'$ref'" not in text:
        return value
    return _References(value, max_values or _MAX_REPEATED).resolve(value)


class _JsonReader:
    """A cursor over the text."""

    def __init__(self, text: str, max_values: int | None) -> None:
        self.text = text
        self.at = 0
        self.left = len(text) + 1 if max_values is None else max_values
        self.max_values = max_values

    def fault(self, what: str) -> LenientJsonError:
        return LenientJsonError(f"{what} at character {self.at}")

    def skip(self) -> str:
        """Skip white space; return the next character, empty at the end."""
        found = _SPACE.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return self.text[self.at : self.at + 1]

    def value(self, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise self.fault(f"more than {MAX_DEPTH} levels")
        self.left -= 1
        if self.left < 0:
            raise self.fault(f"more than {self.max_values} values of lenient JSON")
        char = self.skip()
        if char == "{":
            return self.object(depth)
        if char == "[":
            return self.array(depth)
        if char in ('"', "'"):
            return self.string(char)
        return self.scalar()

    def scalar(self) -> Json:
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            return Number(number.group())
        word = _BARE.match(self.text, self.at)
        if word is not None and word.group() in _WORDS:
            self.at = word.end()
            return _WORDS[word.group()]
        raise self.fault("no value" if self.at < len(self.text) else "the text ends too early")

    def object(self, depth: int) -> dict[Key, Json]:
        members: dict[Key, Json] = {}
        self.at += 1
        while True:
            char = self.skip()
            if char == ",":
                self.at += 1
                continue
            if char == "}":
                self.at += 1
                return members
            key = self.key(char, depth)
            if self.skip() != ":":
                raise self.fault("no `:` after a member's name")
            self.at += 1
            members[key] = self.value(depth + 1)
            if self.skip() not in (",", "}"):
                raise self.fault("no `,` or `}` after a member")

    def key(self, char: str, depth: int) -> Key:
        if char in ('"', "'"):
            return self.string(char)
        if char == "{":
            if depth > MAX_DEPTH:
                raise self.fault(f"more than {MAX_DEPTH} levels")
            return object_key(self.object(depth + 1))
        bare = _NUMBER.match(self.text, self.at) or _BARE.match(self.text, self.at)
        if bare is None:
            raise self.fault("no member name")
        self.at = bare.end()
        return bare.group()

    def array(self, depth: int) -> list[Json]:
        items: list[Json] = []
        self.at += 1
        while True:
            char = self.skip()
            if char == ",":
                self.at += 1
                continue
            if char == "]":
                self.at += 1
                return items
            items.append(self.value(depth + 1))
            if self.skip() not in (",", "]"):
                raise self.fault("no `,` or `]` after an item")

    def string(self, quote: str) -> str:
        parts: list[str] = []
        plain = _PLAIN[quote]
        self.at += 1
        while True:
            run = plain.match(self.text, self.at)
            if run is not None:
                parts.append(run.group())
                self.at = run.end()
            char = self.text[self.at : self.at + 1]
            if not char:
                raise self.fault("a text without its closing quote")
            self.at += 1
            if char == quote:
                return _without_surrogates("".join(parts))
            parts.append(self.escape())

    def escape(self) -> str:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char in ("u", "x"):
            width = 4 if char == "u" else 2
            digits = self.text[self.at : self.at + width]
            if len(digits) != width or not re.fullmatch(r"[0-9A-Fa-f]+", digits):
                raise self.fault(f"an escape without {width} hex digits")
            self.at += width
            return chr(int(digits, 16))
        if char not in _ESCAPES:
            raise self.fault("an unknown escape")
        return _ESCAPES[char]


def object_key(members: dict[Key, Json]) -> ObjectKey:
    """Return an object as a key; its members stay unchanged.

    Raises:
        LenientJsonError: A member is not a scalar, so it cannot be part of a key.
    """
    items: list[tuple[str, object]] = []
    for name, value in members.items():
        if isinstance(name, ObjectKey) or isinstance(value, (list, dict)):
            raise LenientJsonError("an object as a key may only have texts, numbers and booleans")
        items.append((name, value))
    return ObjectKey(items)


def _without_surrogates(text: str) -> str:
    # Escapes are UTF-16 units: pairs become one character, a single one is replaced, because it has no bytes.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _References:
    """Replaces references with the values that they point to.

    A reference inside a referenced value becomes null, so that a loop ends.
    """

    def __init__(self, root: Json, most: int) -> None:
        self._root = root
        self._most = most
        self._repeated = 0

    def resolve(self, value: Json, *, repeating: bool = False) -> Json:
        if repeating:
            self._repeated += 1
            if self._repeated > self._most:
                raise LenientJsonError(f"its references repeat more than {self._most} values")
        if isinstance(value, list):
            return [self.resolve(item, repeating=repeating) for item in value]
        if not isinstance(value, dict):
            return value
        target = value.get("$ref")
        if len(value) == 1 and isinstance(target, str):
            return None if repeating else self.resolve(_follow(self._root, target), repeating=True)
        return {name: self.resolve(item, repeating=repeating) for name, item in value.items()}


def _follow(root: Json, path: str) -> Json:
    """Return the value at a `$.a.b[0]` path, or None."""
    if not path.startswith("$"):
        return None
    value = root
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return None
        at = step.end()
        name, index, quoted = step.groups()
        if index is not None:
            if not isinstance(value, list) or len(index) > 9 or int(index) >= len(value):
                return None
            value = value[int(index)]
        else:
            if not isinstance(value, dict):
                return None
            value = value.get(name if name is not None else quoted)
    return value
