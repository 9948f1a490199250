"""Header fields of gRPC calls: which of them are well-formed, and where those are that the server reads."""

import re
from typing import Final, NamedTuple

MAX_TIMEOUT_S: Final = 24 * 3600.0
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_MAX_TIMEOUT_DIGITS: Final = 8
_MAX_LENGTH_DIGITS: Final = 18
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_OF_ONE_CONNECTION: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
_PSEUDO: Final = frozenset({":method", ":scheme", ":path", ":authority"})
_REQUIRED: Final = frozenset({":method", ":scheme", ":path"})
_READ: Final = (":path", ":method", "content-type", "grpc-timeout", "te", "content-length")


class FieldShape(NamedTuple):
    """Properties of a call's fields that depend on their names alone.

    Attributes:
        fault: Why the names are malformed; empty if they are not.
        places: Position of the last field of each name.
        path: Position of the path.
        method: Position of the method of HTTP.
        kind: Position of the field `content-type`, -1 without it.
        timeout: Position of the field `grpc-timeout`, -1 without it.
        te: Position of the field `te`, -1 without it.
        length: Position of the field `content-length`, -1 without it.
    """

    fault: str
    places: dict[str, int]
    path: int = -1
    method: int = -1
    kind: int = -1
    timeout: int = -1
    te: int = -1
    length: int = -1


def shape_of(names: tuple[str, ...]) -> FieldShape:
    """Return the properties of a list of names."""
    places = {name: place for place, name in enumerate(names)}
    return FieldShape(_fault(names), places, *[places.get(name, -1) for name in _READ])


def read_timeout(text: str) -> float | None:
    """Return the seconds of the field `grpc-timeout`, at most `MAX_TIMEOUT_S`; None if it is malformed.

    Args:
        text: The value of the field, ASCII.
    """
    digits, unit = text[:-1], _UNITS.get(text[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS:
        return None
    return min(int(digits) * unit, MAX_TIMEOUT_S)


def read_length(text: str) -> int | None:
    """Return the value of the field `content-length`, which is ASCII; None if it is malformed."""
    return int(text) if text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS else None


def percent_encoded(text: str) -> str:
    """Return a text in the form of the field grpc-message."""
    data = text.encode(errors="replace")
    return "".join([chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f"%{byte:02X}" for byte in data])


def _fault(names: tuple[str, ...]) -> str:
    """Return why the names of a call's fields are malformed (RFC 9113, section 8), empty if they are not."""
    pseudo = [name for name in names if name[:1] == ":"]
    if len(set(pseudo)) != len(pseudo) or not _REQUIRED <= set(pseudo) <= _PSEUDO:
        return "a request needs :method, :scheme and :path, each of them once"
    if list(names[: len(pseudo)]) != pseudo:
        return "a field that begins with a colon follows others"
    for name in names[len(pseudo) :]:
        if not _NAME.fullmatch(name):
            return "the name of a field is not in lower case or has illegal characters"
        if name in _OF_ONE_CONNECTION:
            return f"the field {name} is not allowed in HTTP/2"
    return ""
