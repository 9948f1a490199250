"""Codec of typed headers and ext fields, whose values are all texts."""

import re
import struct
from typing import Annotated, Final, TypeVar

import msgspec

from mqguard.remoting.command import HeaderInvalid

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


SAMPLE_OPAQUE: Final = 123456789
"""The number of the sample of which a template of frames is made."""
FRAME_HEAD: Final = struct.Struct(">II")
"""The first bytes of a frame with a JSON header: the length of the rest, and that of the header."""


class Header(msgspec.Struct, rename="camel", gc=False, kw_only=True):
    """The base of every typed header. Field names are camel case in frames; unknown fields are ignored."""


H = TypeVar("H", bound=Header)

_MISSING: Final = re.compile(r"missing required field `([^`]+)`")
_AT: Final = re.compile(r" - at `\$(?:\.([^`]+)|\[\.\.\.\])`")
_convert = msgspec.convert


def read(ext: dict[str, str], kind: type[H]) -> H:
    """Decode a typed header; numbers and booleans are parsed from their texts.

    Raises:
        HeaderInvalid: A required field is missing, or a value has another type.
    """
    try:
        return _convert(ext, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise _explain(str(exc), ext) from None


def write(header: Header) -> dict[str, str]:
    """Return the ext fields of a typed header, without None."""
    out: dict[str, str] = {}
    for name, wire in _fields(type(header)):
        value = getattr(header, name)
        if value is None:
            continue
        if value is True:
            out[wire] = "true"
        elif value is False:
            out[wire] = "false"
        else:
            out[wire] = str(value)
    return out


_KNOWN: dict[type[Header], tuple[tuple[str, str], ...]] = {}


def _fields(kind: type[Header]) -> tuple[tuple[str, str], ...]:
    """Return attribute and field name of every field; looked up once for each type."""
    found = _KNOWN.get(kind)
    if found is None:
        found = _KNOWN[kind] = tuple(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return found


def _explain(message: str, ext: dict[str, str]) -> HeaderInvalid:
    missing = _MISSING.search(message)
    if missing is not None:
        return HeaderInvalid(missing.group(1), "is missing")
    place = _AT.search(message)
    field = place.group(1) if place is not None and place.group(1) else ""
    value = ext.get(field, "")
    if "Expected `int`" in message and "`str`" in message:
        why = "is not a whole number"
    elif "Expected `int`" in message:
        why = "is out of range"
    elif "Expected `bool`" in message:
        why = "is neither `true` nor `false`"
    else:
        why = "has the wrong type"
    return HeaderInvalid(field, f"`{value[:64]}` {why}")
