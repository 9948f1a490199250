"""The JSON form of a frame's header, both ways."""

import re
from typing import Annotated, Final

import msgspec

from mqguard.remoting import lenient_json
from mqguard.remoting.codes import FLAG_RESPONSE, SERVER_VERSION, LanguageCode
from mqguard.remoting.command import NO_EXT, Command
from mqguard.remoting.errors import LocalProtocolError, RemoteProtocolError

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


def read(data: bytes, body: bytes) -> Command:
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


def read_start(data: bytes) -> Command | None:
    """Return code, opaque and flag from the first bytes of a header; None if these are incomplete."""
    found = {name: int(value) for name, value in _NUMBERS.findall(data)}
    code, opaque = found.get(b"code"), found.get(b"opaque")
    if code is None or opaque is None or not -(2**31) <= opaque < 2**31:
        return None
    return Command(code, opaque, found.get(b"flag", 0))


def write_reply(opaque: int, code: int, ext: dict[str, str] | None, remark: str | None) -> bytes:
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


def write(command: Command) -> bytes:
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
