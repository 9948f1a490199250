"""Addresses as the system gives them, made fit to compare."""

import ipaddress

from mqguard.net.errors import NetSettingsInvalid

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plain_ip(text: str) -> str:
    """An address without zone; an IPv4-mapped IPv6 address is the IPv4 address; what is no address stays as it is."""
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
        NetSettingsInvalid: One of them is none.
    """
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            raise NetSettingsInvalid(
                f"`{text}` in `{what}` is no address or CIDR range: write such as `10.0.0.7` or `10.0.0.0/8`"
            ) from None
    return tuple(networks)


def is_within(ip: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address is in one of the networks; an empty or unreadable one is in none."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return any(address in network for network in networks)
