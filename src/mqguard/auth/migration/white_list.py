"""White lists of ACL 1.0: the addresses that each notation matches, and the notations that 1.0 refuses.

The rules are those of RocketMQ 4.9.2 to 5.3.2. 4.6.1 only differs in refusing zones and prefixes of IPv6 addresses.

Rule 1: `*`, `*.*.*.*` and `*:*:*:*:*:*:*:*` match every address; a blank text matches none.
Rule 2: a comma or a closing brace makes a list of single addresses. Spaces, ranges and `*` in a list are refused.
Rule 3: in a range, the first part with a `*` or a `-` counts, except the very first part. Everything after it is free:
`10.0.*.5` matches all of `10.0.0.0/16`.
Rule 4: CIDR ranges and host names are refused.
Rule 5: some texts are accepted, but each comparison fails, so that every request of the account fails. They are invalid
here, too.
"""

import dataclasses
import ipaddress
import re
from collections.abc import Iterable, Sequence

from mqguard.auth.errors import PolicyInvalid
from mqguard.auth.source import Network, Source
from mqguard.model.text import is_blank

_EVERYBODY = frozenset({"*", "*.*.*.*", "*:*:*:*:*:*:*:*"})
_IPV4 = re.compile(r"(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}", re.ASCII)
_IPV4_PART = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
_IPV6_PART = re.compile(r"[0-9A-F]{4}")
_NEVER_SENT = re.compile(r"[%/].*", re.DOTALL)
_JAVA_SPACE = "".join(map(chr, range(ord(" ") + 1)))
_DECIMAL = re.compile(r"[+-]?\d+", re.ASCII)
_HEX = re.compile(r"[+-]?[0-9A-Fa-f]+")
_BYTE, _GROUP = 0xFF, 0xFFFF
_BRACES = "1.0 only takes braces for the whole last part, such as `10.0.0.{1,2}`"
_FAILS_ALWAYS = "1.0 accepts it at start, but then fails on every request that it compares with it"


class WhiteListInvalid(PolicyInvalid):
    """A white list that 1.0 refuses, or on which it fails at every request. The message is the reason."""


@dataclasses.dataclass(frozen=True, slots=True)
class WhiteList:
    """The addresses that a white list matches.

    Attributes:
        everybody: True if it matches every address.
        networks: The matched ranges otherwise; none if it matches nothing.
    """

    everybody: bool
    networks: tuple[Network, ...] = ()

    @property
    def is_empty(self) -> bool:
        """True if it matches no address."""
        return not self.everybody and not self.networks

    @property
    def sources(self) -> tuple[Source, ...]:
        """The same addresses as sources of an entry; none means anywhere, so check `is_empty` first."""
        single = (str(network.network_address) for network in self.networks if network.num_addresses == 1)
        ranges = (str(network) for network in self.networks if network.num_addresses > 1)
        return tuple(map(Source.parse, (*single, *ranges)))

    @property
    def text(self) -> str:
        """The addresses for users."""
        if self.everybody:
            return "every address"
        return ", ".join(source.text for source in self.sources) or "no address"


def parse_white_list(text: str) -> WhiteList:
    """Parse one white list of an account, or one item of the global list.

    Raises:
        WhiteListInvalid: 1.0 cannot use it.
    """
    if is_blank(text):
        return WhiteList(everybody=False)
    if text in _EVERYBODY:
        return WhiteList(everybody=True)
    if text.endswith("}"):
        return _singles(_in_braces(text))
    if "," in text:
        return _singles(_split(text, ","))
    if "*" in text or "-" in text:
        return _ipv6_range(text) if ":" in text else _ipv4_range(text)
    return _singles([text])


def _split(text: str, separator: str) -> list[str]:
    """Split like 1.0: adjacent separators count as one."""
    return [piece for piece in text.split(separator) if piece]


def _in_braces(text: str) -> list[str]:
    is_ipv6 = ":" in text
    parts = _split(text, ":" if is_ipv6 else ".")
    if (not is_ipv6 and len(parts) < 4) or not parts[-1].startswith("{"):
        raise WhiteListInvalid(_BRACES)
    start = text[: text.index("{")]
    return [start + last for last in _split(parts[-1][1:-1], ",")]


def _singles(texts: Iterable[str]) -> WhiteList:
    networks: list[Network] = []
    for text in texts:
        network = _single(text)
        if network is not None and network not in networks:
            networks.append(network)
    return WhiteList(everybody=False, networks=tuple(networks))


def _single(text: str) -> Network | None:
    """Return the network of one address; None for a zone or prefix of IPv6, which no request's address has."""
    address = _NEVER_SENT.sub("", text) if ":" in text else text
    try:
        if ":" in address and address.isascii():
            network = ipaddress.IPv6Network(address)
            return network if address == text else None
        if _IPV4.fullmatch(address):
            return ipaddress.IPv4Network(address)
    except ValueError:
        pass
    raise WhiteListInvalid(_why_refused(text))


def _why_refused(text: str) -> str:
    if "{" in text or "}" in text:
        return _BRACES
    if "/" in text:
        return f"1.0 does not know CIDR ranges such as `{text}`"
    if text.strip() != text:
        return f"1.0 refuses the space in `{text}`"
    if "*" in text or "-" in text:
        return f"1.0 takes no ranges in lists, such as `{text}`"
    return f"1.0 refuses `{text}`, which is not an IP address"


def _bounds(value: str, maximum: int, digits: re.Pattern[str], base: int) -> tuple[int, int]:
    """Return the bounds of a part of a range; (0, 0), which 1.0 skips, for a part without `*` or `-`."""
    if value == "*":
        return 0, maximum
    if "-" not in value:
        return 0, 0
    pieces = _split(value, "-")
    if value.startswith("-") or len(pieces) < 2 or not all(map(digits.fullmatch, pieces[:2])):
        raise WhiteListInvalid(f"`{value}` is not a range of numbers, such as `1-20`")
    first, last = (int(piece, base) for piece in pieces[:2])
    if not 0 <= first <= last <= maximum:
        highest = f"{maximum:x}" if base == 16 else str(maximum)
        raise WhiteListInvalid(f"`{value}` is not a range from a smaller to a larger number up to {highest}")
    return first, last


def _ipv4_range(text: str) -> WhiteList:
    parts = [part.strip(_JAVA_SPACE) for part in _split(text, ".")]
    first, last, index = 0, 0, 0
    for index in (1, 2, 3):
        if index >= len(parts):
            raise WhiteListInvalid("1.0 requires four parts, such as `10.0.*.*`")
        first, last = _bounds(parts[index], _BYTE, _DECIMAL, 10)
        if last > 0:
            break
    else:
        raise WhiteListInvalid(_FAILS_ALWAYS)
    head = parts[:index]
    # 1.0 checks all parts but the last one before the range.
    checked = all(_DECIMAL.fullmatch(part) and 0 <= int(part) <= _BYTE for part in head[: index - 1])
    if len(parts) != 4 or not checked:
        raise WhiteListInvalid("1.0 requires four parts, each a number up to 255, a range or a `*`")
    if not all(_IPV4_PART.fullmatch(part) and int(part) <= _BYTE for part in head):
        return WhiteList(everybody=False)
    free = 3 - index
    lowest = bytes([*map(int, head), first, *[0] * free])
    highest = bytes([*map(int, head), last, *[_BYTE] * free])
    found = ipaddress.summarize_address_range(ipaddress.IPv4Address(lowest), ipaddress.IPv4Address(highest))
    return WhiteList(everybody=False, networks=tuple(found))


def _ipv6_range(text: str) -> WhiteList:
    _check_ipv6_form(text)
    parts = [part.strip(_JAVA_SPACE) for part in _split(text, ":")]
    for index, part in enumerate(parts):
        # 1.0 never reads the first part.
        first, last = _bounds(part, _GROUP, _HEX, 16) if index else (0, 0)
        if last > 0:
            _check_ipv6_parts(text, index - 1)
            return _ipv6_networks(_head(text), first, last)
    raise WhiteListInvalid(_FAILS_ALWAYS)


def _check_ipv6_form(text: str) -> None:
    star, dash = text.find("*"), text.find("-")
    if star not in (-1, len(text) - 1):
        raise WhiteListInvalid("1.0 only takes a `*` at the end of an IPv6 address")
    before_last = text.rfind(":")
    if star != -1:
        before_last = text.rfind(":", 0, max(before_last, 0))
    if dash != -1 and dash <= before_last:
        raise WhiteListInvalid("1.0 only takes an IPv6 range in the last part, or before a `*` in the last part")


def _check_ipv6_parts(text: str, count: int) -> None:
    groups = [group for group in _groups(text, 8) if group]
    valid = all(_HEX.fullmatch(group) and 0 <= int(group, 16) <= _GROUP for group in groups[:count])
    if count > len(groups) or not valid:
        raise WhiteListInvalid("1.0 requires parts of up to four hexadecimal digits")


def _groups(text: str, count: int) -> list[str]:
    """Expand `::` to so many groups in all, and each group to four digits."""
    missing = count - text.count(":")
    if missing > 0:
        text = text.replace("::", ":" * (missing + 1))
    return [group.rjust(4, "0") for group in text.upper().split(":")]


def _head(text: str) -> list[str]:
    """Return the fixed groups before the range."""
    # A range before a `*` leaves six groups, one of both seven.
    ranges = sum(sign in text for sign in "*-")
    return _groups(text.rsplit(":", ranges)[0], 8 - ranges)


def _ipv6_networks(head: Sequence[str], first: int, last: int) -> WhiteList:
    if len(head) > 7 or not all(map(_IPV6_PART.fullmatch, head)):
        return WhiteList(everybody=False)
    free = 7 - len(head)
    values = [int(group, 16) for group in head]
    lowest = _ipv6([*values, first, *[0] * free])
    highest = _ipv6([*values, last, *[_GROUP] * free])
    return WhiteList(everybody=False, networks=tuple(ipaddress.summarize_address_range(lowest, highest)))


def _ipv6(groups: Sequence[int]) -> ipaddress.IPv6Address:
    return ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
