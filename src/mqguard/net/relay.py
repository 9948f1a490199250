"""A connection to a server on behalf of one client: bytes in both directions, with back-pressure.

Rule 1: the end is reported exactly once, and never before `connect` has returned.
Rule 2: nothing is written before the connection is open; what was given before that is written first.
Rule 3: a server that takes no bytes for `stall_s` seconds, or owes an answer for `silence_s`, is dropped.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, cast

from mqguard.net.client import reason_text

_DRAIN_S: Final = 5.0
"""Seconds for a server to take the last bytes of a client that has left."""


class RelaySettings(NamedTuple):
    """Limits of connections to servers.

    Attributes:
        tls: The context of encrypted connections (`tls.client_context`); None does not encrypt.
        connect_s: Maximum seconds for a connection to one address, including its TLS handshake.
        stall_s: Maximum seconds in which a server takes no bytes.
        silence_s: Maximum seconds without a byte while an answer is missing.
        high_water: Unsent bytes above which no further requests are taken.
    """

    tls: ssl.SSLContext | None = None
    connect_s: float = 3.0
    stall_s: float = 30.0
    silence_s: float = 120.0
    high_water: int = 1024 * 1024


class RelayOwner(Protocol):
    """The user of a connection."""

    def opened(self, local: str) -> None:
        """Note that the connection is open, and our own address of it."""

    def received(self, data: bytes) -> None:
        """Take bytes of the server."""

    def blocked(self, *, is_blocked: bool) -> None:
        """Stop, or continue, to give bytes to the server."""

    def ended(self, reason: str) -> None:
        """Note the end of the connection, or that it could not be opened."""


class Relay(asyncio.Protocol):
    """A connection to the first of some addresses that can be reached.

    Args:
        loop: The event loop.
        settings: Limits.
        owner: Gets the bytes and the end.

    Attributes:
        address: The address of the server; empty before the connection is open.
    """

    __slots__ = (
        "_connecting", "_early", "_early_size", "_is_blocked", "_is_paused", "_is_waiting", "_loop", "_owner",
        "_received", "_settings", "_silence", "_stall", "_transport", "address", "closed",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: RelaySettings, owner: RelayOwner) -> None:
        self._loop = loop
        self._settings = settings
        self._owner = owner
        self._connecting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._early_size = 0
        self._is_blocked = self._is_paused = self._is_waiting = self._received = self.closed = False
        self._stall: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self.address = ""

    def connect(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Open the connection to the first address that can be reached; the second call has no effect."""
        if self._connecting is None and self._transport is None and not self.closed:
            self._connecting = self._loop.create_task(self._open(tuple(addresses)))

    def write(self, data: bytes, *, expects_answer: bool) -> None:
        """Give bytes to the server.

        Args:
            data: The bytes.
            expects_answer: True if the server must send something.
        """
        if self.closed:
            return
        if expects_answer and self._silence is None:
            self._received = False
            self._silence = self._loop.call_later(self._settings.silence_s, self._check_silence)
        self._is_waiting = self._is_waiting or expects_answer
        if self._transport is not None:
            self._transport.write(data)
            return
        self._early.append(data)
        self._early_size += len(data)
        if self._early_size > self._settings.high_water and not self._is_blocked:
            self._is_blocked = True
            self._owner.blocked(is_blocked=True)

    def pause_reading(self) -> None:
        """Take no further bytes of the server until `resume_reading`."""
        self._is_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes of the server again."""
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection after the given bytes were written; nothing more is reported."""
        if self.closed:
            return
        self._finish()
        if self._connecting is not None:
            self._connecting.cancel()
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size():
            self._stall = self._loop.call_later(_DRAIN_S, transport.abort)
        transport.close()

    async def _open(self, addresses: tuple[tuple[str, int], ...]) -> None:
        tls, reasons = self._settings.tls, []
        try:
            for host, port in addresses:
                try:
                    async with asyncio.timeout(self._settings.connect_s):
                        name = host if tls is not None else None
                        await self._loop.create_connection(lambda: self, host, port, ssl=tls, server_hostname=name)
                except TimeoutError:
                    reasons.append(f"`{host}:{port}` does not answer")
                except OSError as exc:
                    reasons.append(f"`{host}:{port}` cannot be reached ({reason_text(exc)})")
                else:
                    self.address = f"{host}:{port}"
                    return
        finally:
            self._connecting = None
        self._end("; ".join(reasons) or "no address of the server is known")

    def _end(self, reason: str) -> None:
        if not self.closed:
            self._finish()
            self._owner.ended(reason)

    def _finish(self) -> None:
        self.closed = True
        self._early.clear()
        for timer in (self._stall, self._silence):
            if timer is not None:
                timer.cancel()

    def _check_silence(self) -> None:
        """Drop a server that owes an answer and has sent nothing."""
        self._silence = None
        if self._is_waiting and not self._received and not self._is_paused:
            self._abort(f"the server has sent nothing for {self._settings.silence_s:g} s")
        elif self._is_waiting:
            self._received = False
            self._silence = self._loop.call_later(self._settings.silence_s, self._check_silence)

    def _abort(self, reason: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write what has waited."""
        # uvloop's transports have the methods of asyncio's and not the type.
        self._transport = opened = cast("asyncio.Transport", transport)
        if self.closed:
            opened.abort()
            return
        opened.set_write_buffer_limits(high=self._settings.high_water)
        connection = opened.get_extra_info("socket")
        if connection is not None:
            # The only sign of a server whose machine is gone, while the client sends nothing.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._is_paused:
            opened.pause_reading()
        name = opened.get_extra_info("sockname")
        self._owner.opened(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}")
        early, self._early, self._early_size = self._early, [], 0
        was_blocked, self._is_blocked = self._is_blocked, False
        if early:
            opened.write(b"".join(early))
        if was_blocked and not self._is_blocked and not self.closed:
            self._owner.blocked(is_blocked=False)

    def data_received(self, data: bytes) -> None:
        """Pass bytes of the server on."""
        if not self.closed:
            self._received = True
            self._is_waiting = False
            self._owner.received(data)

    def pause_writing(self) -> None:
        """Report that the server takes no more bytes."""
        self._is_blocked = True
        if not self.closed:
            seconds = self._settings.stall_s
            self._stall = self._loop.call_later(seconds, self._abort, f"the server has taken nothing for {seconds:g} s")
            self._owner.blocked(is_blocked=True)

    def resume_writing(self) -> None:
        """Report that the server takes bytes again."""
        self._is_blocked = False
        if not self.closed:
            if self._stall is not None:
                self._stall.cancel()
                self._stall = None
            self._owner.blocked(is_blocked=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end."""
        if self._stall is not None:
            self._stall.cancel()
        why = f" ({reason_text(exc)})" if isinstance(exc, OSError) else ""
        self._end(f"the server has closed the connection{why}")
