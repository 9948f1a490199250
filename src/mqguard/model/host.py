"""Socket addresses as messages carry them: 4 or 16 address bytes and a port."""

import functools
import ipaddress

UNKNOWN_V4 = b"\0\0\0\0"


@functools.lru_cache(maxsize=4096)
def packed(ip: str) -> bytes:
    """The 4 or 16 bytes of an address; an IPv4 address in IPv6 dress (`::ffff:10.0.0.1`) becomes 4 bytes.

    An empty or illegal text gives 0.0.0.0: a message is not refused because nobody knows where it was born.
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return UNKNOWN_V4

    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.packed
    return address.packed


def text_of(address: bytes) -> str:
    """The text of 4 or 16 address bytes."""
    return str(ipaddress.ip_address(address))
