"""The meaning of texts of policies and requests for Apache's module, and the texts that mqguard reads."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import NamedTuple

TYPES = ("Cluster", "Namespace", "Topic", "Group")
ACTIONS = ("All", "Pub", "Sub", "Create", "Update", "Delete", "Get", "List")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Key(NamedTuple):
    """The resource of an entry."""

    type: str
    name: str
    pattern: str


@functools.cache
def key_means(key: str) -> Key | None:
    """Return a resource key as Apache reads it, None if it does not."""
    if key == "*":
        return Key("Any", "", "ANY")
    kind, _, name = key.partition(":")
    known = {word.lower(): word for word in (*TYPES, "Any", "Unknown")}.get(kind.lower())
    if known is None:
        return None
    if name == "*":
        return Key(known, "", "ANY")
    return Key(known, name.partition("*")[0], "PREFIXED") if name.endswith("*") else Key(known, name, "LITERAL")


@functools.cache
def sane_key(key: str) -> bool:
    """True if mqguard reads a resource key: a type and a name with no `*` except at its end."""
    kind, _, name = key.partition(":")
    return key == "*" or (
        kind.lower() in map(str.lower, TYPES) and bool(name) and "*" not in name[:-1] and name not in {"", "**"}
    )


@functools.cache
def address(text: str, *, strictly: bool) -> Address | None:
    """Return the address of a text. If not strict, an IPv4 address may have fewer than four parts, as in Java.

    An IPv4-mapped address is the IPv4 address, a zone is ignored, and only IPv6 addresses have brackets.
    """
    bare = text[1:-1] if re.fullmatch(r"\[.*:.*]", text) else text
    try:
        found = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None if strictly else _short(bare)
    if isinstance(found, ipaddress.IPv6Address):
        return found.ipv4_mapped or found
    return found


def _short(text: str) -> Address | None:
    """Expand a short form such as `10.1`, which is 10.0.0.1: the last part fills the rest."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+){0,2}", text):
        return None
    *heads, last = map(int, text.split("."))
    bits = 32 - 8 * len(heads)
    if any(head > 255 for head in heads) or last >= 1 << bits:
        return None
    number = sum(head << 24 - 8 * place for place, head in enumerate(heads))
    return ipaddress.IPv4Address(number + last)


@functools.cache
def is_source(text: str, *, strictly: bool) -> bool:
    """True if a source address or range is taken: strictly by mqguard, otherwise by Apache."""
    if "/" not in text:
        return _plain(text) is not None
    base, prefix = _halves(text, strictly=strictly)
    found = address(base, strictly=strictly)
    if found is None or (strictly and re.search(r"[\[%]", base)):
        return False
    if not re.fullmatch(r"[0-9]+" if strictly else r"\+?[0-9]+", prefix):
        return False
    if _is_mapped(base):
        return int(prefix) <= (128 if not strictly or int(prefix) >= 96 else 32)
    return int(prefix) <= found.max_prefixlen


def _plain(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _halves(text: str, *, strictly: bool) -> tuple[str, str]:
    base, _, prefix = (text if strictly else text.rstrip("/")).partition("/")
    return base, prefix


def _is_mapped(base: str) -> bool:
    return base.lower().startswith("::ffff:")


def lies_in_number(ip: str, source: str, *, strictly: bool) -> bool:
    """Compare as Apache does: a single address as text, a range as numbers of any family.

    Raises:
        ValueError: The source is a range, and the request's address cannot be read.
    """
    if "/" not in source:
        return ip == source
    base, prefix = _halves(source, strictly=False)
    low = address(base, strictly=False)
    from_ = address(ip, strictly=strictly)
    if low is None or from_ is None:
        raise ValueError(f"`{ip}` or `{base}` cannot be read")
    free = _free_bits(base, low, int(prefix), strictly=strictly)
    return int(from_) >> free == int(low) >> free


def lies_in_family(ip: str | None, source: str, *, strictly: bool) -> bool:
    """Compare as mqguard does: as addresses of one family."""
    from_ = None if ip is None else address(ip, strictly=strictly)
    base, prefix = _halves(source, strictly=False)
    low = address(base, strictly=False)
    if from_ is None or low is None or from_.version != low.version:
        return False
    free = _free_bits(base, low, int(prefix), strictly=strictly) if prefix else 0
    return int(from_) >> free == int(low) >> free


def _free_bits(base: str, low: Address, prefix: int, *, strictly: bool) -> int:
    """Return the number of last bits that do not count.

    A mapped address has the bits of IPv4. A longer prefix leaves no free bits for Apache; for mqguard it is one of IPv6.
    """
    if strictly and _is_mapped(base) and prefix >= 96:
        prefix -= 96
    return max(low.max_prefixlen - prefix, 0)
