"""Exact sets of request sources: addresses of both families, and the unknown address.

An IPv4-mapped IPv6 address reaches the decision as the IPv4 address, so `::ffff:0:0/96` is not a source of its own.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from mqguard.auth.source import Address, Source

Span = tuple[int, int]
"""First and last address of a range, as numbers."""
Spans = tuple[Span, ...]
"""Ranges in rising order that neither overlap nor touch."""

_V4_LAST = (1 << 32) - 1
_V6_LAST = (1 << 128) - 1
_MAPPED: Span = (0xFFFF << 32, (0xFFFF << 32) + _V4_LAST)
_ALL_V4: Spans = ((0, _V4_LAST),)
_ALL_V6: Spans = ((0, _MAPPED[0] - 1), (_MAPPED[1] + 1, _V6_LAST))

# Addresses reserved for examples are the clearest witnesses.
_PLAIN_V4 = int(ipaddress.IPv4Address("192.0.2.1"))
_PLAIN_V6 = int(ipaddress.IPv6Address("2001:db8::1"))


@dataclasses.dataclass(frozen=True, slots=True)
class SourceSet:
    """A set of sources.

    Attributes:
        v4: IPv4 addresses.
        v6: IPv6 addresses, without the IPv4-mapped ones.
        unknown: True if a request without a known address is in the set.
    """

    v4: Spans = ()
    v6: Spans = ()
    unknown: bool = False

    @classmethod
    def of(cls, sources: Iterable[Source]) -> "SourceSet":
        """Return the sources that an entry with these ranges matches; no ranges means anywhere."""
        spans: dict[int, list[Span]] = {4: [], 6: []}
        for source in sources:
            network = source.network
            spans[network.version].append((int(network.network_address), int(network.broadcast_address)))
        if not spans[4] and not spans[6]:
            return ANYWHERE
        return cls(_merge(spans[4]), _subtract(_merge(spans[6]), (_MAPPED,)))

    @classmethod
    def union(cls, parts: Iterable["SourceSet"]) -> "SourceSet":
        """Return the union of the sets, joined at once: thousands of single addresses are sorted once."""
        joined = list(parts)
        if len(joined) == 1:
            return joined[0]
        if any(part is ANYWHERE for part in joined):
            return ANYWHERE
        return cls(
            _merge(span for part in joined for span in part.v4),
            _merge(span for part in joined for span in part.v6),
            any(part.unknown for part in joined),
        )

    @classmethod
    def single(cls, address: Address | None) -> "SourceSet":
        """Return the single source of a request."""
        if address is None:
            return cls(unknown=True)
        if isinstance(address, ipaddress.IPv6Address):
            mapped = address.ipv4_mapped
            if mapped is None:
                return cls(v6=((int(address), int(address)),))
            address = mapped
        return cls(v4=((int(address), int(address)),))

    @property
    def is_empty(self) -> bool:
        """True if the set has no source."""
        return not (self.v4 or self.v6 or self.unknown)

    def __or__(self, other: "SourceSet") -> "SourceSet":
        if other.is_empty or self is other:
            return self
        if self.is_empty:
            return other
        return SourceSet(_merge(self.v4 + other.v4), _merge(self.v6 + other.v6), self.unknown or other.unknown)

    def __sub__(self, other: "SourceSet") -> "SourceSet":
        if other.is_empty or self.is_empty:
            return self
        if other is ANYWHERE or self is other:
            return NOWHERE
        return SourceSet(_subtract(self.v4, other.v4), _subtract(self.v6, other.v6), self.unknown and not other.unknown)

    def __and__(self, other: "SourceSet") -> "SourceSet":
        if other is ANYWHERE or self is other:
            return self
        return self if self.is_empty else self - (self - other)

    def __contains__(self, address: Address | None) -> bool:
        one = SourceSet.single(address)
        return (one - self).is_empty

    def sample(self) -> Address | None:
        """Return a source in the set, as simple as possible; None is the unknown address.

        Raises:
            ValueError: The set is empty.
        """
        if self.v4:
            return ipaddress.IPv4Address(_pick(self.v4, _PLAIN_V4))
        if self.v6:
            return ipaddress.IPv6Address(_pick(self.v6, _PLAIN_V6))
        if not self.unknown:
            raise ValueError("an empty set of sources has no sample")
        return None

    def ranges(self) -> tuple[str, ...]:
        """Return the set as CIDR ranges and single addresses, `unknown` last."""
        texts = [_text(network) for network in _networks(self.v4, ipaddress.IPv4Address)]
        texts += [_text(network) for network in _networks(_close_gap(self.v6), ipaddress.IPv6Address)]
        return (*texts, "unknown") if self.unknown else tuple(texts)

    @property
    def text(self) -> str:
        """The set for users: `anywhere`, the ranges, or the excluded ranges, whichever is shorter."""
        return self.brief(None)

    def brief(self, most: int | None) -> str:
        """Return the same as `text`, with at most `most` ranges and the number of the others."""
        if self == ANYWHERE:
            return "anywhere"
        if self.is_empty:
            return "nowhere"
        inside, outside = self.ranges(), (ANYWHERE - self).ranges()
        if self.unknown and len(outside) <= len(inside):
            return "anywhere but " + _listed(outside, most)
        return _listed(["an unknown address" if text == "unknown" else text for text in inside], most)


NOWHERE = SourceSet()
ANYWHERE = SourceSet(_ALL_V4, _ALL_V6, unknown=True)


def _merge(spans: Iterable[Span]) -> Spans:
    merged: list[Span] = []
    for first, last in sorted(spans):
        # Ranges on the two sides of the IPv4-mapped gap do not touch, so the merge adds no address there.
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def _subtract(spans: Spans, minus: Spans) -> Spans:
    if not spans or not minus:
        return spans
    left: list[Span] = []
    place = 0
    for first, last in spans:
        start = first
        while place < len(minus) and minus[place][1] < start:
            place += 1
        at = place
        while at < len(minus) and minus[at][0] <= last:
            if minus[at][0] > start:
                left.append((start, minus[at][0] - 1))
            start = max(start, minus[at][1] + 1)
            at += 1
        if start <= last:
            left.append((start, last))
    return tuple(left)


def _pick(spans: Spans, plain: int) -> int:
    for first, last in spans:
        if first <= plain <= last:
            return plain
    first, last = spans[0]
    # The first address of a range is the network's own; the next one can be a host.
    return min(first + 1, last)


def _close_gap(spans: Spans) -> Spans:
    """Join ranges that only the IPv4-mapped gap separates: the administrator's range includes the gap."""
    joined: list[Span] = []
    for span in spans:
        if joined and joined[-1][1] == _MAPPED[0] - 1 and span[0] == _MAPPED[1] + 1:
            joined[-1] = (joined[-1][0], span[1])
        else:
            joined.append(span)
    return tuple(joined)


def _networks(
    spans: Spans, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]
) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for first, last in spans:
        yield from ipaddress.summarize_address_range(kind(first), kind(last))


def _text(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _listed(texts: Sequence[str], most: int | None) -> str:
    if most is None or len(texts) <= most:
        return ", ".join(texts)
    return ", ".join([*texts[:most], f"{len(texts) - most} more"])
