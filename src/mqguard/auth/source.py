"""Sources of requests: addresses and CIDR ranges, compared as addresses of one family."""

import dataclasses
import functools
import ipaddress
from collections.abc import Iterable

from mqguard.auth.errors import PolicyInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SHORT = 64
"""Maximum length of a cached text; every usual notation of a range is shorter."""
_MAPPED_BITS = 96
"""Prefix length of `::ffff:0:0/96`, the IPv6 addresses that represent IPv4 addresses."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One address or range of an entry.

    Attributes:
        text: The administrator's notation; lists and exports repeat it unchanged.
        network: The meaning of the text; a single address is a network of one, host bits are masked off.
    """

    text: str
    network: Network

    def __hash__(self) -> int:
        # Equal texts mean equal networks, and `ipaddress` hashes networks slowly in Python.
        return hash(self.text)

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Parse `10.1.2.3`, `10.0.0.0/8`, `2001:db8::1` or `2001:db8::/32`.

        Raises:
            PolicyInvalid: The text has another form. ACL 1.0 ranges, host names and zones are not accepted.
        """
        network = _known_network(text) if len(text) <= _SHORT else _network(text)
        if network is None:
            raise PolicyInvalid(
                f"`{text}` is not a valid source address: write one address or a CIDR range, such as `10.1.2.3`, "
                f"`192.168.0.0/24` or `2001:db8::/32`"
            )
        return cls(text, network)


def range_problem(source: Source) -> str | None:
    """Return the problem of a range whose notation names a single address, None if the source has another form.

    Apache RocketMQ accepts such ranges, and so do stored policies.
    """
    base, slash, _ = source.text.partition("/")
    network = source.network
    if not slash or network.num_addresses == 1:
        return None
    given = ipaddress.ip_address(base)
    given = (given.ipv4_mapped or given) if isinstance(given, ipaddress.IPv6Address) else given
    if given == network.network_address:
        return None
    return (
        f"`{source.text}` names an address inside a range: write `{network}` for the range, or `{given}` for the one "
        "address"
    )


def address_problem(source: Source) -> str | None:
    """Return the problem of a single address that no client has, None if the source has another form."""
    text, first = source.text, source.network.network_address
    if source.network.num_addresses > 1:
        return None
    if first.is_unspecified:
        return (
            f"`{text}` is not the address of any client: leave the source out for requests from anywhere, or write "
            f"`{first}/0` for every IPv{first.version} address"
        )
    if first.is_multicast or str(first) == "255.255.255.255":
        return f"`{text}` is not the address of any client: write the address of one client, or a range"
    return None


def check_sources(sources: Iterable[Source], stored: Iterable[Source] = ()) -> None:
    """Refuse sources that cannot be the address of a client, and ranges whose notation names a single address.

    Args:
        sources: The sources of new or changed entries.
        stored: The sources that the same subject has already, which stay as they are.

    Raises:
        PolicyInvalid: A source has one of these forms; the message has the right one.
    """
    known = set(stored)
    for source in sorted(sources, key=lambda source: source.text):
        problem = None if source in known else range_problem(source) or address_problem(source)
        if problem is not None:
            raise PolicyInvalid(problem)


# Policies repeat the same few ranges, and `ipaddress` takes most of the time to read a large policy.
@functools.lru_cache(maxsize=4096)
def _known_network(text: str) -> Network | None:
    return _network(text)


def _network(text: str) -> Network | None:
    base, slash, prefix = text.partition("/")
    # `ipaddress` also accepts masks (`/255.0.0.0`) and zones; other software would read both differently.
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
    """Return the IPv4 network of an IPv4-mapped one: mapped addresses are IPv4 in requests, and so in entries.

    A prefix that fits IPv4 is taken as an IPv4 prefix, as in Apache RocketMQ. A prefix between both families has no
    meaning.
    """
    if prefix <= 32:
        return ipaddress.ip_network((int(base), prefix), strict=False)
    if prefix >= _MAPPED_BITS:
        return ipaddress.ip_network((int(base), prefix - _MAPPED_BITS), strict=False)
    return None


def parse_address(text: str) -> Address | None:
    """Parse the address of a request, or return None if the text is not an address.

    An IPv4-mapped IPv6 address becomes the IPv4 address. A zone is removed, and so are brackets, which Java writes
    around IPv6 addresses.
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
