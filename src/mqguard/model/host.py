"""Socket addresses in messages: 4 or 16 address bytes and a port."""

import functools
import ipaddress

UNKNOWN_V4 = b"\0\0\0\0"


@functools.lru_cache(maxsize=4096)
def packed(ip: str) -> bytes:
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


def text_of(address: bytes) -> str:
    """Return the text of 4 or 16 address bytes."""
    return str(ipaddress.ip_address(address))
