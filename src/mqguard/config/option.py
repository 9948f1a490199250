"""Options: their definition, and the conversion of their text to values."""

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from mqguard.auth.user import Secret
from mqguard.config.errors import ValueInvalid
from mqguard.config.secret import Credentials, resolve_secret

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9%|_.-]{1,127}\Z")
_REQUEST = re.compile(r"\d{1,9}\Z|[A-Za-z][A-Za-z0-9_./]{0,127}\Z")
_SIZE = re.compile(r"(\d+)\s*([kmg]?)(?:i?b)?\Z", re.IGNORECASE)
_PLUGIN = re.compile(
    r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z|[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*\Z"
)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_DELAY = re.compile(r"0*[1-9][0-9]{0,8}[smhd]\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """The parser of one kind of value.

    Attributes:
        label: Its name in documentation (`true` or `false`, a port, …).
        read: Converts text to a value; raises `ValueInvalid` with the valid form.
    """

    label: str
    read: Callable[[str], T]


def _boolean(text: str) -> bool:
    match text.lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            raise ValueInvalid("write `true` or `false`")


def integer(least: int, most: int) -> Kind[int]:
    """Return the kind of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if digits.isascii() and digits.isdigit() and len(digits) <= 20 and least <= int(text) <= most:
            return int(text)
        raise ValueInvalid(f"write a whole number from {least} to {most}")

    return Kind(f"whole number, {least} to {most}", read)


def _broker_id(text: str) -> int:
    if text == "-1":
        raise ValueInvalid(
            "-1 asks a controller for a number, and there is no controller here: write 0, the number of a master"
        )
    return integer(0, 2**31 - 1).read(text)


BROKER_ID = Kind(integer(0, 2**31 - 1).label, _broker_id)


def choice(*words: str) -> Kind[str]:
    """Return the kind of some words, in any letter case."""

    def read(text: str) -> str:
        for word in words:
            if word.lower() == text.lower():
                return word
        raise ValueInvalid(f"write {_either(words)}")

    return Kind(_either(words), read)


def class_name(ours: Mapping[str, str], more: tuple[str, ...] = ()) -> Kind[str]:
    """Return the kind of built-ins, named by the Apache class that they replace or by mqguard's short word.

    Args:
        ours: Apache class name to mqguard's word.
        more: Words of built-ins that replace no Apache class.
    """
    words = (*dict.fromkeys(ours.values()), *more)

    def read(text: str) -> str:
        if text in ours:
            return ours[text]
        if text.lower() in words:
            return text.lower()
        if "." in text:
            raise ValueInvalid(f"this class is unknown: write {_either(words)}, or {_either(tuple(ours))}")
        raise ValueInvalid(f"write {_either(words)}, or the name of the Apache class that it replaces")

    return Kind(f"{_either(words)}, or the Apache class name", read)


def plugin(ours: Mapping[str, str], more: tuple[str, ...] = ()) -> Kind[str]:
    """Return the kind of a built-in as in `class_name`, or of a plugin: its registered name, or its class.

    Args:
        ours: Apache class name to mqguard's word.
        more: Words of built-ins that replace no Apache class.
    """
    words = (*dict.fromkeys(ours.values()), *more)
    built_in = class_name(ours, more)

    def read(text: str) -> str:
        if text in ours or text.lower() in words:
            return built_in.read(text)
        try:
            return read_plugin(text)
        except ValueInvalid as exc:
            what = "this class is unknown" if "." in text else "this plugin is unknown"
            raise ValueInvalid(f"{what}: write {_either(words)}, or {_either(tuple(ours))}; {exc}") from None

    return Kind(f"{_either(words)}, the Apache class name, or a plugin", read)


def read_plugin(text: str) -> str:
    """Check the name of a plugin.

    Raises:
        ValueInvalid: The text is neither `package.module:Name` nor a plain word.
    """
    if _PLUGIN.match(text):
        return text
    raise ValueInvalid("for a plugin its registered name, or `package.module:Name`")


def _plugins(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    try:
        found = tuple(map(read_plugin, words))
    except ValueInvalid:
        raise ValueInvalid("write plugins separated by commas: registered names, or `package.module:Name`") from None
    if len(set(found)) < len(found):
        raise ValueInvalid("write each plugin once")
    return found


def _text(text: str) -> str:
    if "\0" in text:
        raise ValueInvalid("the value must not contain a null character")
    return text


def _name(text: str) -> str:
    if _NAME.match(text):
        return text
    raise ValueInvalid("write letters, digits, `%`, `|`, `_`, `.` and `-`, 1 to 127 of them")


def _host(text: str) -> str:
    if re.match(r"[A-Za-z0-9._-]{1,253}\Z", text) or (":" in text and _is_address(text.strip("[]"))):
        return text.strip("[]")
    raise ValueInvalid("write an IP address or a host name")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _requests(text: str) -> frozenset[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(_REQUEST.match(word) for word in words):
        raise ValueInvalid(
            "write request codes or names separated by commas, such as `105` or `GET_ROUTEINFO_BY_TOPIC`"
        )
    return frozenset(words)


def _networks(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    for word in words:
        try:
            ipaddress.ip_network(word, strict=False)
        except ValueError:
            raise ValueInvalid("write addresses or CIDR ranges separated by commas, such as `10.0.0.0/8,::1`") from None
    return words


def _size(text: str) -> int:
    found = _SIZE.match(text)
    if found and len(found[1]) <= 15:
        return int(found[1]) * _UNITS[found[2].lower()]
    raise ValueInvalid("write a number of bytes, or one with a unit, such as `4M` or `64K`")


def _delay_levels(text: str) -> str:
    words = text.split()
    if words and all(_DELAY.match(word) for word in words):
        return " ".join(words)
    raise ValueInvalid("write delays separated by blanks, such as `1s 5s 10s 1m 2h 1d`")


def _credentials(name_key: str, secret_key: str) -> Kind[Credentials | None]:
    def read(text: str) -> Credentials | None:
        return Credentials.parse(text, name_key, secret_key)

    return Kind(f'JSON, `{{"{name_key}":"…","{secret_key}":"…"}}`, or `file:PATH` or `env:NAME` that holds it', read)


def _either(words: tuple[str, ...]) -> str:
    quoted = [f"`{word}`" for word in words]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _path(text: str) -> Path:
    try:
        return Path(_text(text)).expanduser()
    except RuntimeError:
        raise ValueInvalid("the user of this path does not exist: write a path without `~`") from None


def _optional_path(text: str) -> Path | None:
    return _path(text)


@dataclasses.dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of servers.

    Attributes:
        pairs: Host and port of each.
    """

    pairs: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return ";".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.pairs)


def _addresses(text: str) -> Addresses:
    found: list[tuple[str, int]] = []
    for word in (word.strip() for word in text.split(";")):
        host, colon, port = word.rpartition(":")
        if not word:
            continue
        if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueInvalid("write addresses as HOST:PORT, separated by `;`, such as `10.1.2.3:9876;10.1.2.4:9876`")
        address = (_host(host), int(port))
        if address in found:
            raise ValueInvalid("write each address once")
        found.append(address)
    return Addresses(tuple(found))


BOOLEAN = Kind("`true` or `false`", _boolean)
TEXT = Kind("text", _text)
NAME = Kind("name", _name)
HOST = Kind("IP address or host name", _host)
PORT = integer(0, 65535)
REQUESTS = Kind("request codes or names, comma-separated", _requests)
ADDRESSES = Kind("addresses `HOST:PORT`, separated by `;`", _addresses)
NETWORKS = Kind("addresses or CIDR ranges, comma-separated", _networks)
PATH = Kind("directory", _path)
OPTIONAL_PATH = Kind("path", _optional_path)
SIZE = Kind("bytes, or with a unit: `64K`, `4M`, `1G`", _size)
DELAY_LEVELS = Kind("delays, blank-separated: `1s 5m 2h 1d`", _delay_levels)
PLUGINS = Kind("plugins, comma-separated", _plugins)
SECRET: Kind[Secret | None] = Kind("secret, or `file:PATH` or `env:NAME` that holds it", resolve_secret)
USER_CREDENTIALS = _credentials("username", "password")
INNER_CREDENTIALS = _credentials("accessKey", "secretKey")


ENVIRONMENT_PREFIX = "MQGUARD_"

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclasses.dataclass(frozen=True, slots=True)
class Option(Generic[T]):
    """One configurable value.

    Attributes:
        name: Its key in `broker.conf`: Apache's, if Apache has one.
        kind: The parser of its text.
        default: Its default value.
        help: Its effect, one sentence for the documentation.
        section: The part of mqguard that it belongs to.
        says_default: The default in documentation, if the value itself is not clear.
        apache_default: Apache's default where it differs, for the documentation.
        secret: True if its value must never be shown.
        ours: True if the key is mqguard's own, unknown to Apache.
    """

    name: str
    kind: Kind[T]
    default: T
    help: str
    section: str
    says_default: str = ""
    apache_default: str = ""
    secret: bool = False
    ours: bool = False

    @property
    def environment(self) -> str:
        """The environment variable that sets it: `listenPort` is `MQGUARD_LISTEN_PORT`."""
        words = _WORD_START.sub("_", self.name).replace(".", "_")
        return ENVIRONMENT_PREFIX + words.upper()
