"""The binary form of a frame's header (Java's serialize type ROCKETMQ), both ways.

Layout: code i16, language u8, version i16, opaque i32, flag i32, remark length i32 and bytes, ext length i32 and bytes;
ext is repeated: key length i16, key, value length i32, value. Codes over 32767 have no binary form.
"""

import struct
from typing import Final

from mqguard.remoting.codes import LanguageCode
from mqguard.remoting.command import NO_EXT, Command
from mqguard.remoting.errors import FrameRefused, LocalProtocolError, RemoteProtocolError

_FIXED: Final = struct.Struct(">hBhii")
_INT: Final = struct.Struct(">i")
_SHORT: Final = struct.Struct(">h")
_NO_LIMIT: Final = 0xFFFFFF
_KNOWN: Final = frozenset(int(language) for language in LanguageCode)


def read(data: bytes, body: bytes, max_fields: int = _NO_LIMIT) -> Command:
    """Decode a header.

    Args:
        data: The header's bytes alone.
        body: The body that goes into the command.
        max_fields: Maximum number of ext fields.

    Raises:
        RemoteProtocolError: A length points past the end or is negative, or a text is not UTF-8.
        FrameRefused: There are too many ext fields; the rest is not read.
    """
    if len(data) < _FIXED.size:
        raise RemoteProtocolError(f"the binary header has {len(data)} bytes, fewer than the fixed {_FIXED.size}")
    code, language, version, opaque, flag = _FIXED.unpack_from(data)
    if language not in _KNOWN:
        language = int(LanguageCode.OTHER)

    try:
        remark, at = _slice(data, _FIXED.size, _INT, "remark")
        fields, at = _slice(data, at, _INT, "ext fields")
        if at != len(data):
            raise RemoteProtocolError(f"the binary header has {len(data) - at} bytes after its ext fields")
        command = Command(code, opaque, flag, version, language, remark.decode() if remark else None, NO_EXT, body)
        if fields:
            command.ext = _read_ext(fields, command, max_fields)
    except UnicodeDecodeError:
        raise RemoteProtocolError("the binary header has a text that is not UTF-8") from None
    return command


def read_start(data: bytes) -> Command | None:
    """Return code, opaque and flag from the first bytes of a header; None if these are incomplete."""
    if len(data) < _FIXED.size:
        return None
    code, _, _, opaque, flag = _FIXED.unpack_from(data)
    return Command(code, opaque, flag)


def write(command: Command) -> bytes:
    """Encode a header.

    Raises:
        LocalProtocolError: A number or a text does not fit its field.
    """
    try:
        remark = (command.remark or "").encode()
        ext = b"".join([_write_field(key.encode(), value.encode()) for key, value in command.ext.items()])
        fixed = _FIXED.pack(command.code, command.language, command.version, command.opaque, command.flag)
    except struct.error:
        raise LocalProtocolError(
            f"code {command.code}, version {command.version} or an ext field's name does not fit 16 bits"
        ) from None
    except UnicodeEncodeError:
        raise LocalProtocolError("a header text has half a surrogate pair, which has no bytes in UTF-8") from None
    return b"".join((fixed, _INT.pack(len(remark)), remark, _INT.pack(len(ext)), ext))


def _write_field(key: bytes, value: bytes) -> bytes:
    return _SHORT.pack(len(key)) + key + _INT.pack(len(value)) + value


def _read_ext(data: bytes, command: Command, max_fields: int) -> dict[str, str]:
    ext: dict[str, str] = {}
    at = count = 0
    while at < len(data):
        if count >= max_fields:
            raise FrameRefused(f"the header of request {command.code} has more than {max_fields} ext fields", command)
        count += 1
        key, at = _slice(data, at, _SHORT, "name of an ext field")
        value, at = _slice(data, at, _INT, "value of an ext field")
        ext[key.decode()] = value.decode()
    return ext


def _slice(data: bytes, at: int, width: struct.Struct, what: str) -> tuple[bytes, int]:
    """Return the bytes after a length, and the position after them."""
    start = at + width.size
    if start > len(data):
        raise RemoteProtocolError(f"the binary header ends before the length of its {what}")
    (length,) = width.unpack_from(data, at)
    end = start + length
    if length < 0 or end > len(data):
        raise RemoteProtocolError(
            f"the binary header's {what} has length {length}, but {len(data) - start} bytes are present"
        )
    return data[start:end], end
