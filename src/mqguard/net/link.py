"""One connection to a client: first bytes, TLS, frames, backlog and output."""

# Rule 1: what the peer sends can close this connection, and nothing else.
# Rule 2: output leaves in one write at the end of the turn (`flush`), never from within a handler.
# Rule 3: while there is a backlog, or the peer does not read, nothing more is read from it.

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Protocol, cast

from mqguard.model.channel import Channel
from mqguard.model.peer import Peer
from mqguard.net import proxy_protocol, tls
from mqguard.net.address import plain_ip
from mqguard.net.settings import NetSettings, TlsMode
from mqguard.remoting.body_limits import FrameLimits
from mqguard.remoting.command import Command
from mqguard.remoting.errors import FrameRefused, RemoteProtocolError
from mqguard.remoting.frame import FrameReader, encode_reply

MOST_ANSWERS = 64 * 1024 * 1024
"""Bytes of answers that one turn makes: whatever more was asked waits for the next, when it is known who reads."""
_ALL = 1 << 30
_AT_ONCE = 16
"""Frames that are served before it is looked what they cost: a pull may answer megabytes, or search for long."""
_PATIENCE = 0.02
"""Seconds after which no more frames of one connection are begun before others have their turn."""


class Hub(Protocol):
    """What a link needs of the server it belongs to."""

    settings: NetSettings
    context: ssl.SSLContext | None
    anonymous_limits: FrameLimits
    authenticated_limits: FrameLimits
    queued: int
    """Bytes of answers, all connections together, that this turn has made so far."""

    def entered(self, link: "ServerLink") -> str | None:
        """A connection was accepted; why it must go at once, None if it may stay."""

    def settled(self, link: "ServerLink") -> str | None:
        """The client's address is known; why it must go at once, None if it may stay."""

    def believes(self, ip: str) -> bool:
        """Whether PROXY headers from this address are believed."""

    def connected(self, link: "ServerLink") -> None:
        """The link is ready for frames."""

    def deliver(self, link: "ServerLink", commands: list[Command]) -> None:
        """Serve commands; must not raise."""

    def wake(self, link: "ServerLink") -> None:
        """Have `flush` called at the end of this turn."""

    def hold(self, change: int) -> None:
        """Count bytes of unfinished frames; where all together are too many, links are cut, maybe the caller."""

    def blocked(self, link: "ServerLink") -> None:
        """A peer does not read; where too much waits for such peers, links are cut, maybe this one."""

    def unblocked(self, link: "ServerLink") -> None:
        """The peer reads again, or is gone."""

    def complain(self, link: "ServerLink", reason: str) -> None:
        """Log why a link is being dropped."""

    def refused(self, link: "ServerLink", reason: str) -> None:
        """Log why a frame is refused."""

    def departed(self, link: "ServerLink") -> None:
        """A link that was ready for frames is not any more."""

    def left(self, link: "ServerLink") -> None:
        """The connection is gone."""


class ServerLink(asyncio.Protocol):
    """A connection that a client made to us; a `Link` for those above.

    Attributes:
        peer: Who is at the other end.
        closed: Whether it is gone or going; sending is a no-op then.
        certificate_subject: Subject of the client's verified TLS certificate, None without one.
        announced: Whether the application knows it.
        counted: Whether it is among the open connections.
        counted_address: The address under which it is counted, None before the client's address is known.
        held: Bytes of a frame that has not ended.
        quiet: Sweeps since the last byte either way.
        slow: Sweeps since a frame, a handshake or the end began that has not ended.
    """

    __slots__ = (
        "_backlog", "_blocked", "_drain_is_due", "_ending", "_first", "_grace", "_hub", "_loop", "_out", "_peer_ended",
        "_reader", "_reading", "_session", "_take", "_transport", "_woken",
        "announced", "certificate_subject", "closed", "counted", "counted_address", "held", "peer", "quiet", "slow",
    )  # fmt: skip

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(hub.settings.max_frame, hub.anonymous_limits)
        self._session: tls.TlsSession | None = None
        self._take: Callable[[bytes], None] = self._take_first
        self._first = b""
        self.held = 0
        self._backlog: list[Command] = []
        self._drain_is_due = False
        self._out: list[bytes] = []
        self._woken = False
        self._reading = True
        self._blocked = False
        self._ending = False
        self._peer_ended = False
        self._grace: asyncio.TimerHandle | None = None
        self.peer = Peer("", 0, Channel())
        self.certificate_subject: str | None = None
        self.closed = False
        self.announced = False
        self.counted = False
        self.counted_address: str | None = None
        self.quiet = 0
        self.slow = 0

    # What the application may do

    def send(self, frame: bytes) -> None:
        """Queue one encoded frame; all frames of a turn leave in one write at its end."""
        if self.closed:
            return
        self._out.append(frame)
        self._hub.queued += len(frame)
        if not self._woken:
            self._woken = True
            self._hub.wake(self)

    def close(self, reason: str) -> None:
        """Drop the connection after what was queued has been written; `reason` goes to our log only."""
        if self.closed:
            return
        self._hub.complain(self, reason)
        self._end()

    # What the server does

    def flush(self) -> None:
        """Write what was queued in this turn."""
        self._woken = False
        if self.closed or self._transport is None:
            return
        out = self._out
        if out:
            self._out = []
            self._write(out[0] if len(out) == 1 else b"".join(out))
        if self._ending and not self._backlog and not self.closed:
            self._end()

    def finish(self) -> None:
        """Take no more from the peer, answer what it has asked, then close."""
        self._ending = True
        self._steer()
        self._wake()

    def cut(self, reason: str) -> None:
        """Drop the connection and whatever was not sent yet."""
        if not self.closed:
            self._hub.complain(self, reason)
        self.abort()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.closed = self._ending = True
        self._release()
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection was accepted."""
        # uvloop's transports have the methods of asyncio's and not the type.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=self._hub.settings.output_high_water)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple) and len(name) >= 2:
            self.peer = Peer(plain_ip(str(name[0])), int(name[1]), self.peer.channel)
        reason = self._hub.entered(self)
        if reason is None and not self._hub.believes(self.peer.ip):
            reason = self._hub.settled(self)
        if reason is not None:
            self.cut(reason)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self.quiet = 0
        if not self._ending:
            self._take(data)

    def eof_received(self) -> bool:
        """The peer will send no more; what it has asked is still answered."""
        self._peer_ended = True
        if self.closed:
            return False
        self.finish()
        return True

    def pause_writing(self) -> None:
        """The peer does not read what we send."""
        self._blocked = True
        self._steer()
        self._hub.blocked(self)
        if self.closed:
            return
        seconds = self._hub.settings.slow_reader_seconds
        self._grace = self._loop.call_later(seconds, self.cut, f"it read nothing of its answers for {seconds:g} s")

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._blocked = False
        self._hub.unblocked(self)
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._steer()
        if self._backlog:
            self._drain_soon()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, the reason does not matter any more
        """The connection is gone."""
        self.closed = True
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        self._release()
        self._out.clear()
        self._backlog.clear()
        self._take = _ignore
        self._depart()
        self._hub.left(self)

    # First bytes: PROXY header, TLS or frames

    def _take_first(self, data: bytes) -> None:
        data = self._first + data
        if proxy_protocol.may_begin(data[0]):
            if self.counted_address is not None:
                self.cut("it sent a PROXY protocol header and is not among the peers that may")
                return
            try:
                header = proxy_protocol.read(data)
            except proxy_protocol.ProxyHeaderInvalid as exc:
                self.cut(f"its PROXY protocol header is none: {exc}")
                return
            if header is None:
                self._first = data
                return
            data = data[header.size :]
            if header.ip is not None:
                self.peer = Peer(header.ip, header.port, self.peer.channel)
        self._first = b""
        reason = None if self.counted_address is not None else self._hub.settled(self)
        if reason is not None:
            self.cut(reason)
            return
        self._take = self._take_second
        if data:
            self._take_second(data)

    def _take_second(self, data: bytes) -> None:
        mode = self._hub.settings.tls.mode
        if data[0] == tls.HANDSHAKE_BYTE:
            if self._hub.context is None:
                self.cut("it speaks TLS, which is disabled here")
                return
            self._session = tls.TlsSession(self._hub.context)
            self._take = self._take_encrypted
        else:
            if mode is TlsMode.ENFORCING:
                self.cut("it does not speak TLS, which is enforced here")
                return
            self._take = self._take_frames
            self._announce()
        self._take(data)

    def _take_encrypted(self, data: bytes) -> None:
        session = self._session
        assert session is not None  # noqa: S101, set together with this step
        try:
            plain = session.receive(data)
        except ssl.SSLError as exc:
            self._hub.complain(self, f"TLS failed: {exc.reason or 'unreadable'}")
            self._write_raw(session.outgoing())
            self._end()
            return
        self._write_raw(session.outgoing())
        if session.established and not self.peer.tls:
            self.peer = Peer(self.peer.ip, self.peer.port, self.peer.channel, tls=True)
            self.certificate_subject = session.certificate_subject()
            self._announce()
        if plain and not self.closed:
            self._take_frames(plain)
        if session.ended:
            self.finish()

    def _take_frames(self, data: bytes) -> None:
        self._reader.push(data)
        commands, refused, failure = self._decode()
        while refused is not None:
            self._serve(commands)
            self._refuse(refused)
            if self.closed:
                return
            commands, refused, failure = self._decode()
        pending = self._reader.pending
        if pending != self.held:
            change, self.held = pending - self.held, pending
            self._hub.hold(change)
            if self.closed:
                return
        if commands:
            self.slow = 0
            self._serve(commands)
        if failure is not None and not self.closed:
            self._hub.complain(self, failure)
            self.finish()

    def _decode(self) -> tuple[list[Command], FrameRefused | None, str | None]:
        try:
            return self._reader.take(_ALL), None, None
        except FrameRefused as exc:
            return exc.commands, exc, None
        except RemoteProtocolError as exc:
            return exc.commands, None, str(exc)

    def _refuse(self, refused: FrameRefused) -> None:
        """Answer a request that is over a limit."""
        self._hub.refused(self, str(refused))
        if not refused.request.is_response and not refused.request.is_oneway:
            self.send(encode_reply(refused.request.opaque, refused.code, remark=str(refused)))

    # Commands, and those that must wait for the next turn

    def _serve(self, commands: list[Command]) -> None:
        if self._backlog:
            self._backlog += commands
        elif len(commands) <= _AT_ONCE and self._hub.queued < MOST_ANSWERS:
            self._hub.deliver(self, commands)
            self._update_limits()
        else:
            self._backlog = commands
            self._drain()

    def _update_limits(self) -> None:
        """Take the wider limits once the connection has authenticated."""
        if self.peer.channel.user and self._reader.limits is self._hub.anonymous_limits:
            self._reader.limits = self._hub.authenticated_limits

    def _drain(self) -> None:
        """Serve a turn's worth of the backlog, unless the peer does not read."""
        if self.closed or self._blocked or not self._backlog:
            return
        backlog = self._backlog
        left = self._hub.settings.frames_per_turn
        end = time.monotonic() + _PATIENCE
        while left > 0 and backlog and self._hub.queued < MOST_ANSWERS and time.monotonic() < end:
            commands = backlog[: min(_AT_ONCE, left)]
            del backlog[: len(commands)]
            left -= len(commands)
            self._hub.deliver(self, commands)
        self._update_limits()
        self._steer()
        if backlog:
            self._drain_soon()
        elif self._ending:
            self._wake()

    def _drain_soon(self) -> None:
        """Go on in the next turn; once, however often the peer stops and begins to read, or it had several shares."""
        if not self._drain_is_due:
            self._drain_is_due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._drain_is_due = False
        self._drain()

    # Output and the end

    def _announce(self) -> None:
        self.slow = 0
        self.announced = True
        self._hub.connected(self)

    def _write(self, data: bytes) -> None:
        if self._session is not None:
            try:
                data = self._session.encrypt(data)
            except ssl.SSLError as exc:
                self.cut(f"TLS failed: {exc.reason or 'unwritable'}")
                return
        self._write_raw(data)

    def _write_raw(self, data: bytes) -> None:
        transport = self._transport
        if not data or transport is None or transport.is_closing():
            return
        self.quiet = 0
        transport.write(data)
        limit = self._hub.settings.output_limit
        if self._blocked and transport.get_write_buffer_size() > limit:
            self.cut(f"it reads too slowly: over {limit} bytes wait for it")

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer to read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def is_unfinished(self) -> bool:
        """Whether a header, a handshake or a frame has begun and not ended."""
        return bool(self._first or self.held or self.is_shaking_hands)

    @property
    def is_shaking_hands(self) -> bool:
        """Whether a TLS handshake has begun and not ended."""
        return self._session is not None and not self._session.established

    def _wake(self) -> None:
        if not self._woken and not self.closed:
            self._woken = True
            self._hub.wake(self)

    def _steer(self) -> None:
        """Read from the peer only while what it has sent can be served."""
        transport = self._transport
        wanted = self.closed or not (self._backlog or self._blocked or self._ending)
        if transport is None or wanted == self._reading or transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _end(self) -> None:
        """Write what is queued and say goodbye.

        What the peer still sends is read and dropped until it says goodbye too: to close over unread bytes would make
        the system reset the connection, and answers on their way would be lost. The sweep bounds the wait.
        """
        if self.closed:
            return
        transport = self._transport
        if self._out and not self.is_shaking_hands:
            out, self._out = self._out, []
            self._write(b"".join(out))
        self.closed = self._ending = True
        self.slow = 0
        self._take = _ignore
        self._backlog.clear()
        self._loop.call_soon(self._depart)
        if transport is None or transport.is_closing():
            return
        if self._session is not None:
            self._write_raw(self._session.goodbye())
        if self._peer_ended:
            transport.close()
        else:
            transport.write_eof()
            self._steer()

    def _release(self) -> None:
        """Hold nothing any more that counts."""
        held, self.held = self.held, 0
        self._hub.hold(-held)
        self._hub.unblocked(self)

    def _depart(self) -> None:
        """Tell the application, once."""
        if self.announced:
            self.announced = False
            self._hub.departed(self)


def _ignore(data: bytes) -> None:
    """Take nothing more: what arrives after the end is dropped."""
