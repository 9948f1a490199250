"""Client addresses: as the system gives them, and as PROXY protocol headers give them.

Versions 1 and 2 of the PROXY protocol are read (HAProxy's specification of 2020). The caller decides which peers may
send such a header.

"""

import ipaddress
import struct
from typing import Final, NamedTuple

from mqguard.net.errors import NetSettingsInvalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_ip(text: str) -> str:
    """Return an address without its zone, an IPv4-mapped IPv6 address as IPv4, and any other text unchanged."""
    if ":" not in text:
        return text
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return text
    return str(address.ipv4_mapped or address)


def parse_networks(texts: tuple[str, ...], what: str) -> tuple[Network, ...]:
    """Read addresses and CIDR ranges.

    Args:
        texts: Such as `10.0.0.7` or `2001:db8::/32`.
        what: Name of the setting, for the error.

    Raises:
        NetSettingsInvalid: One of them is not valid.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise NetSettingsInvalid(
                f"`{text}` in `{what}` is not an address or CIDR range: write for example `10.0.0.7` or `10.0.0.0/8`"
            ) from None
    return tuple(networks)


def is_within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Return True if an address is in one of the networks; an empty or invalid one is not."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in networks)


_SIGNATURE_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_START_V1: Final = b"PROXY "
_MAX_V1: Final = 107
"""Longest line of version 1 with its end, by the specification."""
MAX_FRAME_BYTES: Final = (_SIGNATURE_V2[0] << 24) - 1
"""Largest frame whose first byte differs from those of a PROXY header and of TLS."""
_FIRST_BYTES: Final = (_START_V1[0], _SIGNATURE_V2[0])

HTTP: Final = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP/2")
"""First bytes of HTTP and of HTTP/2, which gRPC uses. A frame that began so would have over 1 GB."""

_COMMANDS: Final = {0x20: "local", 0x21: "proxy"}


class ProxyHeader(NamedTuple):
    """A PROXY protocol header.

    Attributes:
        ip: The client's address; None if the sender is the client itself or does not know the address.
        port: The client's port, 0 without an address.
        size: Number of bytes of the header.
    """

    ip: str | None
    port: int
    size: int


class ProxyHeaderInvalid(ValueError):
    """Bytes that begin like a PROXY header and are not valid."""


def may_begin(data: bytes) -> bool:
    """Return True if a connection with these first bytes can only begin with a PROXY header.

    No frame begins so: as the top byte of a length these are over 200 MB. Some requests of HTTP do.
    """
    return _START_V1.startswith(data[: len(_START_V1)]) or _SIGNATURE_V2.startswith(data[: len(_SIGNATURE_V2)])


def read(data: bytes) -> ProxyHeader | None:
    """Read the header at the beginning of a connection; return None if it is not complete.

    Raises:
        ProxyHeaderInvalid: The header is not valid.
    """
    if data[:1] == _START_V1[:1]:
        return _read_v1(data)
    return _read_v2(data)


def _read_v1(data: bytes) -> ProxyHeader | None:
    if not data.startswith(_START_V1[: len(data)]):
        raise ProxyHeaderInvalid("it does not begin with `PROXY `")
    end = data.find(b"\r\n", 0, _MAX_V1)
    if end < 0:
        if len(data) >= _MAX_V1:
            raise ProxyHeaderInvalid(f"its line does not end within {_MAX_V1} bytes")
        return None

    words = data[:end].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ProxyHeader(None, 0, end + 2)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderInvalid("its line is not `PROXY TCP4|TCP6 source destination port port`")
    version = 4 if words[1] == "TCP4" else 6
    source, port = _address(words[2], version), _port(words[4])
    _address(words[3], version)
    _port(words[5])
    return ProxyHeader(plain_ip(str(source)), port, end + 2)


def _address(text: str, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ProxyHeaderInvalid("an address in it is not valid") from None
    if address.version != version or "%" in text:
        raise ProxyHeaderInvalid("an address in it does not have the family that the header names")
    return address


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ProxyHeaderInvalid("a port in it is not valid")
    return int(text)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if not data.startswith(_SIGNATURE_V2[: len(data)]):
        raise ProxyHeaderInvalid("it does not begin with the signature of version 2")
    if len(data) < 16:
        return None
    command, family, length = data[12], data[13], struct.unpack_from(">H", data, 14)[0]
    if command not in _COMMANDS:
        raise ProxyHeaderInvalid(f"its version and command are {command:#04x}, not 0x20 or 0x21")
    size = 16 + length
    if len(data) < size:
        return None

    if _COMMANDS[command] == "local":
        return ProxyHeader(None, 0, size)
    if family >> 4 == 1:
        return _addresses(data, 4, size)
    if family >> 4 == 2:
        return _addresses(data, 16, size)
    return ProxyHeader(None, 0, size)


def _addresses(data: bytes, width: int, size: int) -> ProxyHeader:
    if size < 16 + 2 * width + 4:
        raise ProxyHeaderInvalid("it is too short for its addresses")
    ip = ipaddress.ip_address(data[16 : 16 + width])
    (port,) = struct.unpack_from(">H", data, 16 + 2 * width)
    return ProxyHeader(plain_ip(str(ip)), port, size)
