"""The two addresses of each broker: its own, and the one at which the guard offers it to clients.

An address is `host:port`. Clients that use the VIP channel of RocketMQ connect to the port two below; so each entry of
the map also stands for that pair of addresses.
Source: Apache RocketMQ, `MixAll.brokerVIPChannel`.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from mqguard.proxy.cluster.connections import split_address

VIP_DISTANCE: Final = 2
"""Number that the VIP port of a broker is below its port."""
NOWHERE: Final = bytes(4)
"""Address in message ids of a broker of which the guard has no numeric address."""

_Key = tuple[str, int]


class Advertised(msgspec.Struct, frozen=True):
    """The address at which the guard offers a broker.

    Attributes:
        text: `host:port`, as clients get it.
        host: The host in it, IPv6 with brackets.
        port: The port in it.
        packed: The form in message ids and records: 4 or 16 bytes of the IP address, and 4 bytes of the port.
    """

    text: str
    host: str
    port: int
    packed: bytes


def advertised(address: str, numeric: str = "") -> Advertised:
    """Return the address of the guard in all its forms.

    Args:
        address: `host:port`.
        numeric: IP address of the host, if the host is a name. Without it, message ids lead nowhere.

    Raises:
        ValueError: The address or the IP address is not valid.
    """
    host, port = split_address(address)
    if port == 0:
        raise ValueError(f"`{address}` is not an address HOST:PORT with a port of 1 to 65535")
    ip = _ip(numeric or host)
    if numeric and ip is None:
        raise ValueError(f"`{numeric}` is not an IP address")
    text = _bracketed(host)
    return Advertised(f"{text}:{port}", text, port, (NOWHERE if ip is None else ip.packed) + port.to_bytes(4, "big"))


class AddressMap:
    """Addresses of brokers and of the guard, both ways.

    Methods that look up take an address in any form, such as `[::1]:10911` and `::1:10911`.
    """

    def __init__(self) -> None:
        self._guards: dict[_Key, Advertised] = {}
        self._upstreams: dict[_Key, str] = {}
        self._packed: dict[bytes, bytes] = {}
        self._pattern: re.Pattern[str] | None = None

    def __len__(self) -> int:
        return len(self._guards)

    def __iter__(self) -> Iterator[tuple[str, Advertised]]:
        """Iterate over the brokers: the address of each, and the one at the guard."""
        return iter([(_text(key), guard) for key, guard in self._guards.items()])

    def put(self, upstream: str, guard: Advertised) -> None:
        """Add a broker, or change its address at the guard.

        Args:
            upstream: `host:port` of the broker.
            guard: The address at the guard.

        Raises:
            ValueError: The address of the broker is not valid, or the guard already offers another broker at its own.
        """
        key = _key(upstream)
        if key is None:
            raise ValueError(f"`{upstream}` is not an address HOST:PORT")
        own = _keyed(guard)
        if self._upstreams.get(own, upstream) != upstream:
            raise ValueError(f"`{guard.text}` is the address of `{self._upstreams[own]}`")
        self.remove(upstream)
        self._guards[key] = guard
        self._upstreams[own] = upstream
        self._refresh()

    def remove(self, upstream: str) -> None:
        """Remove a broker; an unknown one has no effect."""
        key = _key(upstream)
        guard = None if key is None else self._guards.pop(key, None)
        if guard is not None:
            del self._upstreams[_keyed(guard)]
            self._refresh()

    def guard_of(self, upstream: str) -> str | None:
        """Return the address at the guard for that of a broker, its VIP address included; None if it is unknown."""
        key = _key(upstream)
        if key is None:
            return None
        found = self._guards.get(key)
        if found is not None:
            return found.text
        vip = self._guards.get((key[0], key[1] + VIP_DISTANCE))
        return None if vip is None else f"{vip.host}:{vip.port - VIP_DISTANCE}"

    def upstream_of(self, guard: str) -> str | None:
        """Return the address of the broker that the guard offers at an address; None if it offers none."""
        key = _key(guard)
        if key is None:
            return None
        found = self._upstreams.get(key)
        if found is not None:
            return found
        vip = self._upstreams.get((key[0], key[1] + VIP_DISTANCE))
        if vip is None:
            return None
        host, _, port = vip.rpartition(":")
        return f"{host}:{int(port) - VIP_DISTANCE}"

    def host_of(self, host: str) -> str | None:
        """Return the guard's host for the host of a broker, None if no broker has this host."""
        wanted = _host(host)
        return next((guard.host for key, guard in self._guards.items() if key[0] == wanted), None)

    @property
    def packed(self) -> dict[bytes, bytes]:
        """Return the packed addresses of the guard by those of brokers whose host is an IP address."""
        return self._packed

    def replace_in(self, text: str) -> str:
        """Return a text with each address and host of a broker replaced by the guard's.

        A port that the guard does not offer becomes 0.
        """
        if self._pattern is None:
            hosts = {form for host, _ in self._guards for form in _forms(host)}
            if not hosts:
                return text
            names = "|".join(re.escape(host) for host in sorted(hosts, key=len, reverse=True))
            self._pattern = re.compile(rf"(?<![\w.:-])({names})(?::(\d{{1,5}})(?!\d)|(?![\w-]|\.\w))", re.IGNORECASE)
        return self._pattern.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        host, port = found.groups()
        guard = self.host_of(host) or ""
        if port is None:
            return guard
        return self.guard_of(f"{host}:{port}") or f"{guard}:0"

    def _refresh(self) -> None:
        self._pattern = None
        self._packed = {
            ip.packed + port.to_bytes(4, "big"): guard.packed
            for (host, port), guard in self._guards.items()
            if (ip := _ip(host)) is not None
        }


def _key(address: str) -> _Key | None:
    host, port = split_address(address)
    return None if port == 0 else (_host(host), port)


def _keyed(guard: Advertised) -> _Key:
    return _host(guard.host), guard.port


def _host(host: str) -> str:
    ip = _ip(host)
    return host.strip("[]").lower() if ip is None else str(ip)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    # A broker that listens on IPv6 may name IPv4 addresses in this form.
    return getattr(ip, "ipv4_mapped", None) or ip


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _text(key: _Key) -> str:
    return f"{_bracketed(key[0])}:{key[1]}"


def _forms(host: str) -> tuple[str, ...]:
    return (f"[{host}]", host) if ":" in host else (host,)
