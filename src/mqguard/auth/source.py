"""Where a request may come from: addresses and CIDR ranges, compared as addresses of one family."""

import dataclasses
import ipaddress

from mqguard.auth.errors import PolicyInvalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One address or range of an entry.

    Attributes:
        text: As the administrator wrote it; lists and exports say it again unchanged.
        network: What it means; a single address is a network of one, host bits are masked off.
    """

    text: str
    network: Network

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `10.1.2.3`, `10.0.0.0/8`, `2001:db8::1` or `2001:db8::/32`.

        Raises:
            PolicyInvalid: It is none of these; ACL 1.0 ranges, host names and zones are not accepted.
        """
        base, slash, prefix = text.partition("/")
        digits = prefix.isascii() and prefix.isdigit()
        try:
            if not text.isascii() or "%" in text or (slash and not digits):
                raise ValueError
            return cls(text, ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise PolicyInvalid(
                f"`{text}` is no source address: write one address or a CIDR range, such as `10.1.2.3`, "
                f"`192.168.0.0/24` or `2001:db8::/32`"
            ) from None


def parse_address(text: str) -> Address | None:
    """The address of a request, None if the text is none; an IPv4-mapped IPv6 address is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            address = ipaddress.IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address
