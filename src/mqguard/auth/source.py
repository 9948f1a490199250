"""Where a request may come from: addresses and CIDR ranges, compared as addresses of one family."""

import dataclasses
import functools
import ipaddress

from mqguard.auth.errors import PolicyInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SHORT = 64
"""Letters of texts worth remembering: every usual way to write a range is shorter."""
_MAPPED_BITS = 96
"""Prefix length of `::ffff:0:0/96`, the IPv6 addresses that stand for the IPv4 ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One address or range of an entry.

    Attributes:
        text: As the administrator wrote it; lists and exports say it again unchanged.
        network: What it means; a single address is a network of one, host bits are masked off.
    """

    text: str
    network: Network

    def __hash__(self) -> int:
        # Equal texts mean equal networks, and networks are hashed in Python, slowly.
        return hash(self.text)

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `10.1.2.3`, `10.0.0.0/8`, `2001:db8::1` or `2001:db8::/32`.

        Raises:
            PolicyInvalid: It is none of these; ACL 1.0 ranges, host names and zones are not accepted.
        """
        network = _known_network(text) if len(text) <= _SHORT else _network(text)
        if network is None:
            raise PolicyInvalid(
                f"`{text}` is no source address: write one address or a CIDR range, such as `10.1.2.3`, "
                f"`192.168.0.0/24` or `2001:db8::/32`"
            )
        return cls(text, network)


# Policies name the same few ranges over and over, and `ipaddress` is slow: most of the time that a large policy takes.
@functools.lru_cache(maxsize=4096)
def _known_network(text: str) -> Network | None:
    return _network(text)


def _network(text: str) -> Network | None:
    base, slash, prefix = text.partition("/")
    # `ipaddress` also takes masks (`/255.0.0.0`) and zones; both would say something else to another reader.
    if not text.isascii() or "%" in text or (slash and not prefix.isdigit()):
        return None
    try:
        address = ipaddress.ip_address(base)
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return network if mapped is None else _mapped_network(mapped, int(prefix) if slash else 128)


def _mapped_network(base: ipaddress.IPv4Address, prefix: int) -> Network | None:
    """The IPv4 network of an IPv4-mapped one: requests from mapped addresses are IPv4 requests, and so are entries.

    A prefix that fits IPv4 is taken as one of IPv4, as Apache RocketMQ does; one that cuts into neither address is
    nothing that anybody can mean.
    """
    if prefix <= 32:
        return ipaddress.ip_network((int(base), prefix), strict=False)
    if prefix >= _MAPPED_BITS:
        return ipaddress.ip_network((int(base), prefix - _MAPPED_BITS), strict=False)
    return None


def parse_address(text: str) -> Address | None:
    """The address of a request, None if the text is none.

    An IPv4-mapped IPv6 address is the IPv4 address; a zone is left out; brackets, as Java writes them around IPv6
    addresses, are taken off.
    """
    if text[:1] == "[" and text[-1:] == "]" and ":" in text:
        text = text[1:-1]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            address = ipaddress.IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address
