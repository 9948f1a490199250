"""The guard's own connections to name servers and brokers, signed with the guard's credentials.

The requests of clients of the remoting protocol use connections of their own. All methods are called in the thread of
the event loop, and none blocks.

Rule 1: one address has at most one connection, and the number of addresses is bounded.
Rule 2: every call is reported exactly once, and never before the method has returned (`net.upstream`).
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from mqguard.errors import MqguardError
from mqguard.model.text import visible
from mqguard.net.errors import LinkBusy, LinkRefused
from mqguard.net.upstream import OnOutcome, Outcome, Upstream, UpstreamSettings
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.remoting.command import Command, Reply

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

OnRequest = Callable[[str, Command], Reply | None]
"""Function that serves a request of a server, given its address; it returns None to send no answer."""

MAX_ADDRESSES: Final = 1_024
"""Maximum number of servers with a connection. A further one takes the place of the one that was unused longest."""
MAX_REMARK: Final = 256
"""Maximum characters of a server's reason in an error."""
LOG_INTERVAL_S: Final = 60.0
"""Minimum interval between two log lines about one name server that fails."""


class Connections:
    """Connections to servers, by their address.

    Args:
        settings: Credentials, TLS and limits of each connection.
        loop: The event loop.
        on_request: Serves requests of servers; without it they are refused.
        max_addresses: Maximum number of connections.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        on_request: OnRequest | None = None,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._on_request = on_request
        self._max_addresses = max_addresses
        # In the order of the last use.
        self._upstreams: dict[str, Upstream] = {}
        self._on_lost: list[Callable[[str], None]] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._upstreams)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._loop

    @property
    def open_calls(self) -> int:
        """Return the number of requests that wait for an answer."""
        return sum(upstream.open_calls for upstream in self._upstreams.values())

    def is_connected(self, address: str) -> bool:
        """Return True if a connection to the address is established."""
        upstream = self._upstreams.get(address)
        return upstream is not None and upstream.is_connected

    def add_loss_listener(self, on_lost: Callable[[str], None]) -> None:
        """Have a function called with the address of each established connection that ends by itself."""
        self._on_lost.append(on_lost)

    def call(self, address: str, command: Command, done: OnOutcome, timeout: float | None = None) -> None:
        """Sign and send a request.

        Args:
            address: `host:port` of the server.
            command: The request; its `opaque` is chosen here.
            done: Receives the answer, or a `LinkError`.
            timeout: Seconds to wait for the answer, instead of those of the settings.
        """
        upstream = self._upstream(address)
        if isinstance(upstream, Upstream):
            upstream.call(command, done, timeout)
        else:
            self._loop.call_soon(done, upstream)

    def send(self, address: str, command: Command) -> bool:
        """Sign and send a request without an answer; return False if it could not even be queued."""
        upstream = self._upstream(address)
        return isinstance(upstream, Upstream) and upstream.send(command)

    def drop(self, address: str) -> None:
        """Close the connection to a server, if there is one; its open calls fail."""
        upstream = self._upstreams.pop(address, None)
        if upstream is not None:
            upstream.close()

    def close(self) -> None:
        """Close all connections; all open calls fail, and further ones fail at once."""
        self._closed = True
        for address in list(self._upstreams):
            self.drop(address)

    def _upstream(self, address: str) -> Upstream | LinkRefused | LinkBusy:
        upstream = self._upstreams.pop(address, None)
        if upstream is None:
            host, port = split_address(address)
            if self._closed or port == 0:
                why = "the connections are closed" if self._closed else f"`{address}` is not an address HOST:PORT"
                return LinkRefused(why)
            if len(self._upstreams) >= self._max_addresses and not self._make_room():
                return LinkBusy(f"too many servers are in use, so `{address}` cannot be reached")
            handler = self._on_request
            upstream = Upstream(
                host,
                port,
                self._settings,
                self._loop,
                handler=None if handler is None else functools.partial(handler, address),
                on_lost=functools.partial(self._lost, address),
            )
        self._upstreams[address] = upstream
        return upstream

    def _make_room(self) -> bool:
        """Close the connection that was unused longest, except for those with open calls."""
        for address, upstream in self._upstreams.items():
            if not upstream.open_calls:
                self.drop(address)
                return True
        return False

    def _lost(self, address: str) -> None:
        for on_lost in self._on_lost:
            on_lost(address)


class NameServers:
    """Requests to the name servers of a cluster: if one fails, the next one is asked.

    The server that has answered last is asked first.

    Args:
        connections: Connections.
        addresses: `host:port` of each name server.
        answer_s: Seconds to wait for each of them.
    """

    def __init__(self, connections: Connections, addresses: Sequence[str], answer_s: float = 3.0) -> None:
        if not addresses:
            raise ValueError("a cluster needs at least one name server")
        self.addresses = tuple(addresses)
        self.connections = connections
        self._answer_s = answer_s
        self._first = 0
        self._logged_s: dict[str, float] = {}

    def call(
        self, command: Command, read: Callable[[Command], T], done: Callable[[str, T | ClusterUnavailable], None]
    ) -> None:
        """Send a request to one name server after the other until one gives a usable answer.

        Args:
            command: The request.
            read: Reads an answer. It raises an `MqguardError` if the next name server must be asked.
            done: Receives the address of the server and what `read` has returned, or the last server and the error.
        """
        self._ask(self._first, len(self.addresses), command, read, done)

    def _ask(
        self,
        index: int,
        left: int,
        command: Command,
        read: Callable[[Command], T],
        done: Callable[[str, T | ClusterUnavailable], None],
    ) -> None:
        address = self.addresses[index]

        def answered(outcome: Outcome) -> None:
            try:
                found = _read(read, outcome)
            except Exception as exc:  # noqa: BLE001 - the caller must get an outcome in every case
                self._failed(address, exc)
                following = (index + 1) % len(self.addresses)
                if self._first == index:
                    self._first = following
                if left > 1:
                    self._ask(following, left - 1, command, read, done)
                else:
                    done(address, ClusterUnavailable(f"no name server gives an answer: {exc}"))
                return
            self._logged_s.pop(address, None)
            done(address, found)

        self.connections.call(address, command, answered, self._answer_s)

    def _failed(self, address: str, exc: Exception) -> None:
        now = self.connections.loop.time()
        if now - self._logged_s.get(address, -LOG_INTERVAL_S) >= LOG_INTERVAL_S:
            self._logged_s[address] = now
            trace = None if isinstance(exc, MqguardError) else exc
            _LOG.warning("the name server %s gives no usable answer: %s", address, exc, exc_info=trace)


def _read(read: Callable[[Command], T], outcome: Outcome) -> T:
    if isinstance(outcome, MqguardError):
        raise outcome
    return read(outcome)


def refusal(answer: Command) -> ClusterUnavailable:
    """Return the error for an answer with an error code."""
    why = visible((answer.remark or "no reason given")[:MAX_REMARK])
    return ClusterUnavailable(f"it refuses with code {answer.code}: {why}")


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`; the port is 0 if the text is not an address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdecimal() or len(port) > 5 or int(port) > 65_535:
        return "", 0
    return host, int(port)
