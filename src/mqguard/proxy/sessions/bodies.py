"""Addresses in the JSON bodies of answers, replaced in the bytes: all else stays as the server wrote it.

Servers and clients of different versions read and write different dialects of JSON, such as numbers without quotes as
names. A body that is parsed and written again would lose its dialect, and fields that only newer clients know. So these
functions look for the members that have addresses.

A quotation mark inside a text always has a backslash before it, which none of the patterns accepts. So a text that a
user has chosen cannot look like a member.
"""

import json
import re
from collections.abc import Callable
from typing import Final

from mqguard.proxy.cluster.connections import split_address
from mqguard.proxy.sessions.addresses import AddressMap
from mqguard.remoting.command import BodyInvalid

OnUnknown = Callable[[str], None]
"""Receiver of a broker's address that the guard does not offer (yet)."""

_TABLES: Final = re.compile(rb'"brokerAddrs"\s*:\s*(null|\{[^{}]*\})')
_TABLE_NAME: Final = b'"brokerAddrs"'
_REPLICA: Final = re.compile(rb'\s*("?-?\d+"?)\s*:\s*"([^"\\]*)"\s*')
_FILTER_SERVERS: Final = re.compile(rb'"filterServerTable"\s*:\s*(null|\{[^{}]*\})')
_FILTER_NAME: Final = b'"filterServerTable"'
_BROKER: Final = re.compile(rb'"brokerAddr"\s*:\s*"([^"\\]*)"')
_HA: Final = re.compile(rb'"(addr|masterAddr)"\s*:\s*"([^"\\]*)"')
_CLIENT: Final = re.compile(rb'"(clientAddr|remoteIP)"\s*:\s*"([^"\\]*)"')


def replica_tables(
    body: bytes, address: Callable[[str], str | None], on_unknown: OnUnknown = lambda _address: None
) -> bytes:
    """Return a body with the addresses in each `brokerAddrs`: routes, cluster information, broker member groups.

    Args:
        body: The body.
        address: Returns the new form of an address, None if it has none. Such an address is left out.
        on_unknown: Receives each address that is left out.

    Raises:
        BodyInvalid: A table has a form that no server writes, so that its addresses are not found.
    """
    tables = 0

    def table(found: re.Match[bytes]) -> bytes:
        nonlocal tables
        tables += 1
        content = found.group(1)
        if content == b"null":
            return found.group()
        kept = [
            key + b":" + _quoted(new)
            for key, text in _replicas(content[1:-1])
            if (new := _mapped(text, address, on_unknown)) is not None
        ]
        return _TABLE_NAME + b":{" + b",".join(kept) + b"}"

    result = _TABLES.sub(table, body)
    if tables != body.count(_TABLE_NAME):
        raise BodyInvalid("brokerAddrs", "it must be an object of broker ids and addresses")
    return result


def route(body: bytes, address: Callable[[str], str | None], on_unknown: OnUnknown = lambda _address: None) -> bytes:
    """Return the route of a topic with new addresses; see `replica_tables`.

    Filter servers are left out: they are an obsolete kind of server, and clients would connect to them directly.
    """
    result, count = _FILTER_SERVERS.subn(_FILTER_NAME + b":{}", replica_tables(body, address, on_unknown))
    if count != body.count(_FILTER_NAME):
        raise BodyInvalid("filterServerTable", "it must be an object of addresses and lists")
    return result


def broker_address(body: bytes, addresses: AddressMap) -> bytes:
    """Return a body with the guard's address in each `brokerAddr`, and with an empty text for unknown brokers."""
    return _BROKER.sub(lambda found: b'"brokerAddr":' + _quoted(addresses.guard_of(_text(found[1])) or ""), body)


def ha_status(body: bytes, addresses: AddressMap) -> bytes:
    """Return the replication status of a broker with the guard's host in each address.

    Replication has ports of its own, which the guard does not offer to clients. So the port is 0.
    """

    def hidden(found: re.Match[bytes]) -> bytes:
        text = _text(found[2])
        host, port = split_address(text.lstrip("/"))
        new = "" if port == 0 else addresses.guard_of(text) or f"{addresses.host_of(host) or 'unknown'}:0"
        return b'"' + found[1] + b'":' + _quoted(new)

    return _HA.sub(hidden, body)


def client_addresses(body: bytes, client: Callable[[str], str | None]) -> bytes:
    """Return a list of connections with the addresses of the clients instead of the guard's own connections.

    Args:
        body: The body.
        client: Returns the address of the client for which the guard has a connection, None if it is not the guard's.
    """

    def known(found: re.Match[bytes]) -> bytes:
        new = client(_text(found[2]))
        return found.group() if new is None else b'"' + found[1] + b'":' + _quoted(new)

    return _CLIENT.sub(known, body)


def _replicas(content: bytes) -> list[tuple[bytes, str]]:
    if not content.strip():
        return []
    found: list[tuple[bytes, str]] = []
    at = 0
    while True:
        entry = _REPLICA.match(content, at)
        if entry is None:
            raise BodyInvalid("brokerAddrs", f"the entry at byte {at} is not a broker id with an address")
        found.append((entry[1], _text(entry[2])))
        at = entry.end()
        if at == len(content):
            return found
        if content[at : at + 1] != b",":
            raise BodyInvalid("brokerAddrs", f"there is no comma at byte {at}")
        at += 1


def _mapped(text: str, address: Callable[[str], str | None], on_unknown: OnUnknown) -> str | None:
    new = address(text)
    if new is None:
        on_unknown(text)
    return new


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()
