"""Client addresses as units of limits."""

import functools
import ipaddress


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
