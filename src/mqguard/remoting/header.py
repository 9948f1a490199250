"""The two forms of a frame's header, both ways: JSON, and the binary form (Java's serialize type ROCKETMQ).

Layout of the binary form: code i16, language u8, version i16, opaque i32, flag i32, remark length i32 and bytes, ext
length i32 and bytes. Each field in ext is: key length i16, key, value length i32, value. Codes over 32767 have no
binary form.
"""

import re
import struct
from typing import Annotated, Final

import msgspec

from mqguard.remoting import lenient_json
from mqguard.remoting.codes import FLAG_RESPONSE, SERVER_VERSION, LanguageCode
from mqguard.remoting.command import NO_EXT, Command, FrameRefused, LocalProtocolError, RemoteProtocolError

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class _Header(msgspec.Struct, gc=False):
    """The header as clients write it; the lenient reader reads every other one."""

    code: Int32
    language: str | None = "JAVA"
    version: Int32 = 0
    opaque: Int32 = 0
    flag: Int32 = 0
    remark: str | None = None
    extFields: dict[str, str] | None = None  # noqa: N815, the wire's word


_decode = msgspec.json.Decoder(_Header).decode
_encode = msgspec.json.encode

MAX_LENIENT: Final = 8 * 1024
"""Maximum header size in bytes that is read leniently. No known client sends a longer one."""
MAX_LENIENT_VALUES: Final = 1_000
"""Maximum number of values in such a header. An anonymous client may send one, and it takes 4 ms."""

_NUMBERS: Final = re.compile(rb'"(code|opaque|flag)"\s*:\s*(-?[0-9]{1,10})\s*,')
_LANGUAGES: Final = {language.name: int(language) for language in LanguageCode}
_UNKNOWN_LANGUAGE: Final = int(LanguageCode.OTHER)
_NAMES: Final = {int(language): language.name for language in LanguageCode}


def read_json_header(data: bytes, body: bytes) -> Command:
    """Decode a header.

    Args:
        data: The header's bytes alone.
        body: The body that goes into the command.

    Raises:
        RemoteProtocolError: The header is not a JSON object, or a member has another type.
    """
    try:
        header = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_leniently(data, body)

    return Command(
        header.code,
        header.opaque,
        header.flag,
        header.version,
        _LANGUAGES.get(header.language, _UNKNOWN_LANGUAGE),  # type: ignore[arg-type]  # None is simply not found
        header.remark,
        header.extFields or NO_EXT,
        body,
    )


def read_json_start(data: bytes) -> Command | None:
    """Return code, opaque and flag from the first bytes of a header; None if these are incomplete."""
    found = {name: int(value) for name, value in _NUMBERS.findall(data)}
    code, opaque = found.get(b"code"), found.get(b"opaque")
    if code is None or opaque is None or not -(2**31) <= opaque < 2**31:
        return None
    return Command(code, opaque, found.get(b"flag", 0))


def write_json_reply(opaque: int, code: int, ext: dict[str, str] | None, remark: str | None) -> bytes:
    """Encode the header of a server's response. Absent parts are left out, as Java leaves out nulls.

    Raises:
        LocalProtocolError: A text has half a surrogate pair.
    """
    head = b'{"code":%d,"flag":%d,"language":"PYTHON","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":%d' % (
        code,
        FLAG_RESPONSE,
        opaque,
        SERVER_VERSION,
    )
    if ext is None and remark is None:
        return head + b"}"
    return head + _tail(ext, remark)


def write_json_header(command: Command) -> bytes:
    """Encode the complete header of any command, request or response.

    Raises:
        LocalProtocolError: A text has half a surrogate pair.
    """
    head = b'{"code":%d,"flag":%d,"language":"%s","opaque":%d,"serializeTypeCurrentRPC":"JSON","version":%d' % (
        command.code,
        command.flag,
        _NAMES.get(command.language, "OTHER").encode(),
        command.opaque,
        command.version,
    )
    return head + _tail(command.ext or None, command.remark)


def _tail(ext: dict[str, str] | None, remark: str | None) -> bytes:
    try:
        fields = b"" if ext is None else b',"extFields":' + _encode(ext)
        return fields + (b"}" if remark is None else b',"remark":' + _encode(remark) + b"}")
    except UnicodeEncodeError:
        raise LocalProtocolError("a header text has half a surrogate pair, which has no bytes in UTF-8") from None


def _read_leniently(data: bytes, body: bytes) -> Command:
    try:
        header = lenient_json.parse(data, MAX_LENIENT, MAX_LENIENT_VALUES)
    except lenient_json.LenientJsonError as exc:
        raise RemoteProtocolError(f"the frame's header is not JSON: {exc}") from None

    if not isinstance(header, dict):
        raise RemoteProtocolError("the frame's header is not a JSON object")
    if header.get("code") is None:
        raise RemoteProtocolError("the frame's header has no `code`")

    remark = header.get("remark")
    if isinstance(remark, (list, dict)):
        raise RemoteProtocolError("the header's `remark` is not a text")
    return Command(
        _int(header, "code"),
        _int(header, "opaque"),
        _int(header, "flag"),
        _int(header, "version"),
        _language(header),
        None if remark is None else _text(remark),
        _ext(header.get("extFields")) or NO_EXT,
        body,
    )


def _int(header: dict[lenient_json.Key, lenient_json.Json], name: str) -> int:
    """Return a 32-bit whole number, also if written as a text or with a zero fraction; null and absent are 0."""
    value = header.get(name)
    if value is None:
        return 0
    text = value.removesuffix(".0") if isinstance(value, str) else ""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10 and -(2**31) <= int(text) < 2**31):
        raise RemoteProtocolError(f"the header's `{name}` is not a 32-bit whole number")
    return int(text)


def _language(header: dict[lenient_json.Key, lenient_json.Json]) -> int:
    """Return a language: like Java peers, a number is the ordinal and an unknown name null; both are harmless."""
    if "language" not in header:
        return int(LanguageCode.JAVA)
    value = header["language"]
    if isinstance(value, lenient_json.Number):
        return int(value) if value in {str(number) for number in _NAMES} else _UNKNOWN_LANGUAGE
    return _LANGUAGES.get(value, _UNKNOWN_LANGUAGE) if isinstance(value, str) else _UNKNOWN_LANGUAGE


def _ext(fields: lenient_json.Json) -> dict[str, str]:
    """Return ext fields as texts: numbers and booleans as written, without nulls."""
    if fields is None:
        return {}
    if not isinstance(fields, dict):
        raise RemoteProtocolError("the header's `extFields` is not a JSON object")

    ext: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(name, lenient_json.ObjectKey):
            raise RemoteProtocolError("an ext field has an object for its name")
        if isinstance(value, (list, dict)):
            raise RemoteProtocolError(f"the ext field `{name[:64]}` is not a text")
        if value is not None:
            ext[str(name)] = _text(value)
        else:
            ext.pop(name, None)
    return ext


def _text(value: bool | float | str) -> str:  # noqa: FBT001, a JSON scalar
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


_FIXED: Final = struct.Struct(">hBhii")
_INT: Final = struct.Struct(">i")
_SHORT: Final = struct.Struct(">h")
_NO_LIMIT: Final = 0xFFFFFF
_KNOWN: Final = frozenset(int(language) for language in LanguageCode)


def read_binary_header(data: bytes, body: bytes, max_fields: int = _NO_LIMIT) -> Command:
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
            command.ext = _read_binary_ext(fields, command, max_fields)
    except UnicodeDecodeError:
        raise RemoteProtocolError("the binary header has a text that is not UTF-8") from None
    return command


def read_binary_start(data: bytes) -> Command | None:
    """Return code, opaque and flag from the first bytes of a header; None if these are incomplete."""
    if len(data) < _FIXED.size:
        return None
    code, _, _, opaque, flag = _FIXED.unpack_from(data)
    return Command(code, opaque, flag)


def write_binary_header(command: Command) -> bytes:
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


def _read_binary_ext(data: bytes, command: Command, max_fields: int) -> dict[str, str]:
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
