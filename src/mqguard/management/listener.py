"""The HTTP listener: bounded in connections, bytes and time, so that it cannot slow down the server.

It runs in the event loop of the server. Each connection has one request. The size of a request head, the number of
connections, their time, and their rate for each address are limited. If there is no room, the oldest connection that
has not sent a whole request makes room: a peer that sends nothing keeps no other away.
"""

import asyncio
import logging
import socket
from collections import OrderedDict
from typing import Final

import h11
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from mqguard.model.peer import address_block
from mqguard.net.acceptor import Acceptor
from mqguard.net.limits import RateLimitedLog

_LOG = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
MAX_HEAD_BYTES: Final = 8 * 1024
LIFETIME_S: Final = 10.0
"""Maximum seconds of a connection."""
RATE: Final = 20.0
"""Connections of one address per second."""
BURST: Final = 60.0
"""Connections of one address at once."""
MAX_ADDRESSES: Final = 1_024
"""Maximum number of addresses whose rate is counted; the least recently used ones are forgotten."""
_BACKLOG: Final = 64


class ManagementListener:
    """The HTTP listener.

    Args:
        app: The application.
        loop: The event loop.
    """

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._config = Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=H11Protocol,
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._config.load()
        # The library logs each malformed request: a peer could fill the log.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._state = ServerState()
        self._state.default_headers = [(b"connection", b"close"), (b"cache-control", b"no-store")]
        self._connections: OrderedDict[_Connection, asyncio.TimerHandle] = OrderedDict()
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._acceptor: Acceptor | None = None
        self._log = RateLimitedLog(_LOG, loop.time)

    def start(self, address: str, port: int) -> int:
        """Start to listen, and return the port.

        Args:
            address: The address to listen on.
            port: The port; 0 takes any free one.

        Raises:
            OSError: The address cannot be used.
        """
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(_BACKLOG)
            listener.setblocking(False)  # noqa: FBT003 - the interface of sockets
        except OSError:
            listener.close()
            raise
        self._acceptor = Acceptor(self._loop, listener, self._accept, self._log.warn)
        self._acceptor.start()
        found: int = listener.getsockname()[1]
        return found

    def close(self) -> None:
        """Stop, and close all connections."""
        if self._acceptor is not None:
            self._acceptor.close()
        for connection in list(self._connections):
            connection.transport.abort()

    def enter(self, connection: "_Connection") -> bool:
        """Count a connection; return False if there is no room for it."""
        address = address_block(connection.client[0]) if connection.client is not None else ""
        if not self._take(address):
            return False
        if len(self._connections) >= MAX_CONNECTIONS:
            oldest = next((one for one in self._connections if one.is_waiting), None)
            if oldest is None:
                return False
            self.leave(oldest)
            oldest.transport.abort()
        self._connections[connection] = self._loop.call_later(LIFETIME_S, connection.transport.abort)
        return True

    def leave(self, connection: "_Connection") -> None:
        """Forget a connection that has ended."""
        timer = self._connections.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _take(self, address: str) -> bool:
        """Count a connection of an address; return False if it has opened too many."""
        now = self._loop.time()
        level, then = self._levels.pop(address, (0.0, now))
        level = max(0.0, level - (now - then) * RATE)
        is_allowed = level + 1 <= BURST
        # A refused connection is not counted: who tries too often is still served at the rate.
        self._levels[address] = (level + is_allowed, now)
        if len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)
        return is_allowed

    def _accept(self) -> "_Connection":
        return _Connection(self, self._config, self._state, self._loop)


class _Connection(H11Protocol):
    """One connection."""

    def __init__(
        self, owner: ManagementListener, config: Config, state: ServerState, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(config, state, {}, loop)
        self._owner = owner

    @property
    def is_waiting(self) -> bool:
        """True if the peer has not sent a whole request head."""
        return self.conn.their_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if not self._owner.enter(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._owner.leave(self)
        super().connection_lost(exc)
