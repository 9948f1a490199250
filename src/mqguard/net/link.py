"""One connection to a client: first bytes, TLS, frames, what waits to be served, and output."""

# Rule 1: what the peer sends can close this connection, and nothing else.
# Rule 2: output leaves in one write at the end of the turn (`flush`), never from within a handler.
# Rule 3: bytes that arrive are looked at in the turn of the scheduler, and decoded as far as they are served.
# Rule 4: while bytes wait, or the peer does not read, nothing more is read from it.

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final, cast

from mqguard.model.peer import Channel, Peer
from mqguard.net import proxy_protocol, tls
from mqguard.net.link_owner import LinkOwner
from mqguard.net.liveness import Liveness
from mqguard.net.proxy_protocol import plain_ip
from mqguard.net.scheduler import (
    ANONYMOUS_BATCH,
    BATCH,
    FIRST_FRAMES,
    MAX_ANSWERS,
    SLOW_FRAME_S,
    SMALL_ANSWER,
    RequestWork,
    smaller_batch,
)
from mqguard.net.settings import TlsMode
from mqguard.remoting.errors import FrameRefused, RemoteProtocolError
from mqguard.remoting.frame import FrameReader, encode_reply

_LARGE: Final = 64 * 1024
_SECONDS_PER_BYTE: Final = 1e-9
"""What writing costs, encrypted or not; it is counted only for large answers."""

_clock = time.perf_counter


class ServerLink(asyncio.Protocol):
    """A connection that a client made to us; a `Link` for those above.

    Attributes:
        peer: Who is at the other end.
        account: Account that pays for what the connection uses.
        used: Seconds of turns that the connection has used, as compared with others of its account.
        user: User that the account belongs to; empty before the connection has authenticated.
        closed: True if it is closed or closing; sending has no effect then.
        announced: Whether the application knows it.
        was_served: True once a turn has served it.
        is_waiting: True while bytes or work wait for a turn to serve them.
        has_place: True while it is counted among the open connections.
        block: The block of addresses under which it is counted, None before the client's address is known.
        is_settled: True once the client's address is known.
        held: Bytes that were received and not served.
        liveness: How the connection gets on.
        work: Work that is left of its requests.
    """

    __slots__ = (
        "_answer_size", "_answered", "_arrived", "_batch", "_blocked", "_ending", "_first", "_frame_s", "_grace",
        "_hub", "_loop", "_out", "_peer_ended", "_reader", "_reading", "_scheduler", "_session", "_take",
        "_transport", "_woken", "account", "announced", "block", "closed", "has_place",
        "held", "is_settled", "is_waiting", "liveness", "peer", "used", "user", "was_served", "work",
    )  # fmt: skip

    def __init__(self, hub: LinkOwner["ServerLink"], loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self._scheduler = hub.scheduler
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader(hub.settings.max_frame, hub.anonymous_limits)
        self._session: tls.TlsSession | None = None
        self._take: Callable[[bytes], None] = self._detect_proxy_header
        self._first = b""
        self._arrived = b""
        self._batch = ANONYMOUS_BATCH if hub.has_authentication else BATCH
        self._out: list[bytes] = []
        # Bytes of answers of this turn. If they are many, the rest is served once it is known whether the peer reads.
        self._answered = self._answer_size = 0
        self._frame_s = 0.0
        self._woken = self._blocked = self._ending = self._peer_ended = False
        self._reading = True
        self._grace: asyncio.TimerHandle | None = None
        self.peer = Peer("", 0, Channel())
        self.user = ""
        self.account = hub.scheduler.account("", is_anonymous=True)
        self.account.links += 1
        self.closed = self.announced = self.was_served = self.is_waiting = self.has_place = self.is_settled = False
        self.work = RequestWork(hub, self)
        self.block: str | None = None
        self.held, self.used = 0, 0.0
        self.liveness = Liveness()

    # What the application may do

    def send(self, frame: bytes) -> None:
        """Queue one encoded frame; all frames of a turn leave in one write at its end."""
        if self.closed:
            return
        self._out.append(frame)
        self._scheduler.queued += len(frame)
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
        answered, self._answered = self._answered, 0
        if answered and self._has_input and not self._blocked and not self.is_waiting and not self.closed:
            self._scheduler.add(self)
        if self._ending and not self.is_waiting and not self._has_input and not self.closed:
            self._end()

    def finish(self) -> None:
        """Take no more from the peer, answer what it has asked, then close."""
        self._ending = True
        self._update_reading()
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
        if reason is None and not self._hub.trusts_proxy_header(self.peer.ip):
            reason = self._hub.settled(self)
        if reason is not None:
            self.cut(reason)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        self.liveness.received += len(data)
        if self._ending:
            return
        self._arrived = self._arrived + data if self._arrived else data
        if not self.is_waiting and not self._blocked:
            self._scheduler.add(self)
        if len(data) >= _LARGE:
            self._update_reading()  # libuv would read on at once, 8 MB in one go

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
        self._update_reading()
        self._hub.blocked(self)
        if self.closed:
            return
        seconds = self._hub.settings.slow_reader_seconds
        self._grace = self._loop.call_later(seconds, self.cut, f"it read nothing of its answers for {seconds:g} s")

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._blocked = False
        self._hub.unblocked(self)
        self._stop_grace()
        if self._has_input and not self.is_waiting and not self.closed:
            self._scheduler.add(self)
        self._update_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, the reason does not matter any more
        """The connection is gone."""
        self.closed = True
        self._stop_grace()
        self._release()
        self._out.clear()
        self._arrived = b""
        self._take = _ignore
        self.account.links -= 1
        self._depart()
        self._hub.left(self)

    # What the scheduler calls

    def serve(self, until: float) -> bool:
        """Serve what has arrived, one batch at least; True if more is left at that time of the clock."""
        data, session = self._arrived, self._session
        if data or (session is not None and session.is_left):
            self._arrived = b""
            self._take(data)
        reader = self._reader
        if reader.has_input or self.work:
            queued = self._scheduler.queued
            is_left = self._serve_frames(until)
            self.was_served = True
            self._answered += self._scheduler.queued - queued
            if is_left:
                self._count_held()
                return True
        if session is not None and session.is_left and not (self.closed or self._blocked or reader.has_input):
            return True
        self.is_waiting = False
        if self.held or reader.is_unfinished or reader.has_input:
            self._count_held()
        if not self._reading or reader.has_input:
            self._update_reading()
        if self._ending or reader.has_input:
            self._wake()  # `flush` goes on with it
        return False

    @property
    def is_heavy(self) -> bool:
        """True if a large frame ends with what has arrived."""
        return 0 < self._reader.missing <= len(self._arrived)

    def stop_reading(self) -> None:
        """Read no more until what has arrived was served."""
        self._count_held()
        self._update_reading()

    @property
    def _has_input(self) -> bool:
        is_left = self._session is not None and self._session.is_left
        return bool(self._arrived) or self._reader.has_input or is_left or bool(self.work)

    @property
    def is_anonymous(self) -> bool:
        """True until the connection has authenticated, where it can."""
        return self._hub.has_authentication and not self.user

    def _count_held(self) -> None:
        encrypted = 0 if self._session is None else self._session.pending
        held = len(self._arrived) + self._reader.pending + encrypted
        if held != self.held and not self.closed:
            change, self.held = held - self.held, held
            self._hub.hold(self, change)

    # First bytes: PROXY header, TLS or frames

    def _detect_proxy_header(self, data: bytes) -> None:
        data = self._first + data
        if proxy_protocol.may_begin(data[0]):
            if self.is_settled:
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
        reason = None if self.is_settled else self._hub.settled(self)
        if reason is not None:
            self.cut(reason)
            return
        self._take = self._detect_tls
        if data:
            self._detect_tls(data)

    def _detect_tls(self, data: bytes) -> None:
        if data[0] == tls.HANDSHAKE_BYTE:
            if self._hub.context is None:
                self.cut("it speaks TLS, which is disabled here")
                return
            self._session = tls.TlsSession(self._hub.context)
            self._take = self._take_encrypted
        else:
            if self._hub.settings.tls.mode is TlsMode.ENFORCING:
                self.cut("it does not speak TLS, which is enforced here")
                return
            self._take = self._reader.push
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
            self._announce()
        if plain and not self.closed:
            self._reader.push(plain)
        if session.ended:
            self.finish()

    def _serve_frames(self, until: float) -> bool:
        """Decode and serve frames; True if more is left for another turn."""
        if self.work and self.work.advance(until):
            return not self.closed
        reader = self._reader
        settings, scheduler = self._hub.settings, self._scheduler
        left = settings.frames_per_turn if self.was_served else FIRST_FRAMES
        count, size = self._batch
        answer = self._answer_size
        most = scheduler.queued + settings.output_high_water - self._answered
        begun = _clock()
        while reader.has_input and not self.closed and not self._blocked:
            if left <= 0 or scheduler.queued >= MAX_ANSWERS or scheduler.queued > most:
                break
            if answer > SMALL_ANSWER or self._frame_s > SLOW_FRAME_S:
                count = smaller_batch(count, answer, self._frame_s)
            queued = scheduler.queued
            served = self._serve_batch(count if left > count else left, size)  # noqa: FURB136 - a call less
            left -= served
            answer = self._answer_size = (scheduler.queued - queued) // max(served, 1)
            now = _clock()
            begun, self._frame_s = now, (now - begun) / max(served, 1)
            if self.work or now >= until:
                break
        # What is left for a peer that does not read, or may not, waits for `resume_writing` or `flush`.
        is_left = bool(self.work) or (reader.has_input and not self._blocked and scheduler.queued <= most)
        return is_left and not self.closed

    def _serve_batch(self, count: int, size: int) -> int:
        """Decode and serve so many frames at most; how many there were."""
        refused = failure = None
        try:
            commands = self._reader.take(count, size)
        except FrameRefused as exc:
            commands, refused = exc.commands, exc
        except RemoteProtocolError as exc:
            commands, failure = exc.commands, str(exc)
        if commands:
            self.liveness.has_progress = True
            self._hub.deliver(self, commands)
            if self.peer.channel.user != self.user:
                self._hub.authenticated(self)
                self._reader.limits = self._hub.authenticated_limits
                self._batch = BATCH
        if refused is not None and not self.closed:
            self._refuse(refused)
        if failure is not None and not self.closed:
            self._hub.complain(self, failure)
            self.finish()
        return len(commands) + 1 if refused is not None else len(commands)

    def _refuse(self, refused: FrameRefused) -> None:
        """Answer a request that is over a limit."""
        self._hub.refused(self, str(refused))
        if not refused.request.is_response and not refused.request.is_oneway:
            self.send(encode_reply(refused.request.opaque, refused.code, remark=str(refused)))

    # Output and the end

    def _announce(self) -> None:
        self.liveness.slow = 0
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
        self.liveness.sent += len(data)
        if len(data) > _LARGE:
            self.account.used += len(data) * _SECONDS_PER_BYTE
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
        """True if the peer owes the rest of a header, a handshake, a frame, or its end."""
        if self.is_waiting and not self.closed:
            return False
        return self.closed or bool(self._first or self._reader.is_unfinished or self.is_shaking_hands)

    @property
    def is_shaking_hands(self) -> bool:
        """Whether a TLS handshake has begun and not ended."""
        return self._session is not None and not self._session.established

    def _wake(self) -> None:
        if not self._woken and not self.closed:
            self._woken = True
            self._hub.wake(self)

    def _update_reading(self) -> None:
        """Read from the peer only while what it has sent can be served."""
        transport = self._transport
        wanted = self.closed or not (self._has_input or self._blocked or self._ending)
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
        self.liveness.slow = 0
        self._take = _ignore
        self._arrived = b""
        self._loop.call_soon(self._depart)
        if transport is None or transport.is_closing():
            return
        if self._session is not None:
            self._write_raw(self._session.goodbye())
        if self._peer_ended:
            transport.close()
        else:
            transport.write_eof()
            self._update_reading()

    def _stop_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _release(self) -> None:
        """Hold nothing any more that counts."""
        self.work.clear()
        held, self.held = self.held, 0
        self._hub.hold(self, -held)
        self._hub.unblocked(self)

    def _depart(self) -> None:
        """Tell the application, once."""
        if self.announced:
            self.announced = False
            self._hub.departed(self)


def _ignore(data: bytes) -> None:
    """Drop bytes that arrive after the end."""
