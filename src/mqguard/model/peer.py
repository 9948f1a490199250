"""Clients: their connections, and their addresses as texts, as bytes, and as units of limits."""

import functools
import ipaddress
import itertools

import msgspec

_numbers = itertools.count(1)


class Channel:
    """A connection, created by the listener that accepted it. Two channels are equal only if they are one object.

    The channel stores the authenticated user and the number of failed attempts, which end with the connection. A number
    or a name is never a key for it, since several listeners share one guard.

    Attributes:
        name: Text that names the connection to people. Unique in this process, and never a key.
        user: User that the connection authenticated as last; empty before its first authentication.
        authentication: State of the guard that decides about this connection, None before its first request.
        has_denied_route: True once the route of a topic was denied on this connection.
    """

    __slots__ = ("authentication", "has_denied_route", "name", "user")

    def __init__(self, name: str = "") -> None:
        self.name = name or f"{next(_numbers):08x}"
        self.user = ""
        self.authentication: object | None = None
        self.has_denied_route = False

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"


@functools.lru_cache(maxsize=4096)
def address_block(ip: str) -> str:
    """Return the block of addresses that one client can be expected to have.

    An IPv4 address is a block by itself. An IPv6 address counts with its /64 network, because a single host may use
    every address of such a network.

    Args:
        ip: Address as text, without brackets. Text that is not an address is returned as it is.
    """
    if ":" not in ip:
        return ip
    try:
        address = ipaddress.IPv6Address(ip.partition("%")[0])
    except ValueError:
        return ip
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


UNKNOWN_V4 = b"\0\0\0\0"


@functools.lru_cache(maxsize=4096)
def packed_address(ip: str) -> bytes:
    """Return the 4 or 16 bytes of an address; an IPv4-mapped address (`::ffff:10.0.0.1`) becomes 4 bytes.

    An empty or invalid text gives 0.0.0.0: an unknown producer address is not a reason to reject a message.
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return UNKNOWN_V4

    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def address_text(address: bytes) -> str:
    """Return the text of 4 or 16 address bytes."""
    return str(ipaddress.ip_address(address))


class Peer(msgspec.Struct, frozen=True, gc=False):
    """The source of a connection, from the sockets or a trusted PROXY header.

    Attributes:
        ip: Source address as text, without brackets or zone (`10.1.2.3`, `2001:db8::1`); empty if there is none.
        port: Source port.
        channel: The connection itself; compared by identity.
        tls: True if the connection is encrypted.
        listener: Port of the listener that accepted the connection, 0 if it is not known.
    """

    ip: str
    port: int
    channel: Channel
    tls: bool = False
    listener: int = 0

    @property
    def address(self) -> str:
        """`ip:port`, the form of clients in lists for administrators."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"
