"""One connection to a client: first bytes, TLS, frames, waiting input, and output."""

# Rule 1: bytes of the peer can close only this connection.
# Rule 2: output is written once, at the end of the iteration of the event loop (`flush`), never by a handler.
# Rule 3: the scheduler decides when bytes that arrived are read. They are decoded only as far as they are served.
# Rule 4: while bytes wait, or the peer does not read, nothing more is read from it.

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Final, cast

import msgspec

from mqguard.model.peer import Channel, Peer
from mqguard.net import first_bytes, tls
from mqguard.net.first_bytes import FirstBytes
from mqguard.net.flow_control import FlowControl
from mqguard.net.grpc_protocol import GrpcProtocol
from mqguard.net.link_owner import LinkOwner
from mqguard.net.link_protocol import LinkProtocol, RemotingProtocol
from mqguard.net.liveness import Liveness, SlowReaderTimer
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
from mqguard.remoting.command import Command, FrameRefused
from mqguard.remoting.frame import encode_reply
from mqguard.rpc.calls import Event, Methods

_LARGE: Final = 64 * 1024
_SECONDS_PER_BYTE: Final = 1e-9
"""Time that a write costs, encrypted or not; it is counted only for large answers."""

_clock = time.perf_counter


class ServerLink(FlowControl):
    """A connection of a client; a `Link` for the packages above.

    Attributes:
        peer: The remote end.
        account: Account that pays for what the connection uses.
        used: Seconds that the connection has used, comparable with others of its account.
        user: User that the account belongs to; empty before the connection has authenticated.
        closed: True if it is closed or closing; sending has no effect then.
        announced: True while the application knows it.
        was_served: True once the scheduler has served it.
        is_waiting: True while bytes or work wait for the scheduler.
        is_counted: True while it counts as an open connection.
        block: The block of addresses under which it is counted, None before the client's address is known.
        is_settled: True once the client's address is known.
        held: Bytes that were received and not served.
        liveness: Progress of the connection, as its sweeps see it.
        work: Work that is left of its requests.
    """

    __slots__ = (
        "_answer_size", "_answered", "_arrived", "_batch", "_ending", "_first", "_frame_s",
        "_grpc", "_is_flush_due", "_is_leaving", "_loop", "_out", "_owner", "_peer_ended", "_protocol", "_reading",
        "_remoting", "_scheduler", "_session", "_take", "_take_plain", "_transport", "account", "announced", "block",
        "closed", "held", "is_counted", "is_settled", "is_waiting", "liveness", "peer", "used", "user", "was_served",
        "work",
    )  # fmt: skip

    def __init__(self, owner: LinkOwner["ServerLink"], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._owner = owner
        self._loop = loop
        self._scheduler = owner.scheduler
        self._transport: asyncio.Transport | None = None
        self._remoting = RemotingProtocol(
            owner.settings.max_frame, owner.anonymous_limits, keeps_frames=owner.settings.keeps_frames
        )
        self._protocol: LinkProtocol = self._remoting
        self._grpc: GrpcProtocol | None = None
        self._session: tls.TlsSession | None = None
        self._first = first = FirstBytes(owner, self)
        self._take: Callable[[bytes], None] = first.take
        self._take_plain: Callable[[bytes], None] = first.take_plain
        self._arrived = b""
        self._batch = ANONYMOUS_BATCH if owner.has_authentication else BATCH
        self._out: list[bytes] = []
        # Bytes of answers of this iteration. If they are many, the rest is served once the peer has read them.
        self._answered = self._answer_size = 0
        self._frame_s = 0.0
        self._is_flush_due = self._ending = self._is_leaving = self._peer_ended = False
        self._reading = True
        self._grace = SlowReaderTimer(loop, owner, self)
        self.peer = Peer("", 0, Channel())
        self.user = ""
        self.account = owner.scheduler.account("", is_anonymous=True)
        self.account.links += 1
        self.closed = self.announced = self.was_served = self.is_waiting = self.is_counted = self.is_settled = False
        self.work = RequestWork(owner, self)
        self.block: str | None = None
        self.held, self.used = 0, 0.0
        self.liveness = Liveness()

    # Called by the application

    def send(self, frame: bytes) -> None:
        """Queue one encoded frame; all frames of an iteration are written at its end."""
        if self.closed:
            return
        self._out.append(frame)
        self._scheduler.queued += len(frame)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._owner.flush_soon(self)

    def close(self, reason: str) -> None:
        """Close the connection after the queued frames were written; `reason` is only logged."""
        if self.closed:
            return
        self._owner.log_dropped(self, reason)
        self._end()

    # Called by the server

    def flush(self) -> None:
        """Write the frames that were queued in this iteration."""
        self._is_flush_due = False
        if self.closed or self._transport is None:
            return
        out = self._out
        if out:
            self._out = []
            self._write(out[0] if len(out) == 1 else b"".join(out))
        if self._grpc is not None:
            self._write(self._grpc.take_output())
            # It is still read if it does not accept them, because its window updates must arrive.
            self._grace.watch(self._grpc.unsent, is_blocked=self._blocked)
        answered, self._answered = self._answered, 0
        if answered and self._has_input and not self._blocked and not self.is_waiting and not self.closed:
            self._scheduler.add(self)
        is_last = self._ending or (self._is_leaving and self._grpc is not None and not self._grpc.has_calls)
        if is_last and not self.is_waiting and not self._has_input and not self.closed:
            self._end()

    def leave(self) -> None:
        """Announce the end, answer the calls that are open, then close; the second call no longer waits for them."""
        if self._grpc is None or self._is_leaving:
            self.finish()
        else:
            self._is_leaving = True
            self._grpc.leave()
            self._flush_soon()

    def finish(self) -> None:
        """Read no more from the peer, answer its requests, then close."""
        self._ending = True
        if self._grpc is not None:
            self._grpc.leave()
        self._update_reading()
        self._flush_soon()

    def cut(self, reason: str) -> None:
        """Drop the connection and everything that was not sent, and log the reason."""
        if not self.closed:
            self._owner.log_dropped(self, reason)
        self.abort()

    def abort(self) -> None:
        """Drop the connection without a log line."""
        self.closed = self._ending = True
        self._release()
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the connection was accepted."""
        # uvloop's transports have the methods of asyncio's and not the type.
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=self._owner.settings.output_high_water)
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple) and len(name) >= 2:
            own = transport.get_extra_info("sockname")
            listener = int(own[1]) if isinstance(own, tuple) and len(own) >= 2 else 0
            self.peer = Peer(plain_ip(str(name[0])), int(name[1]), self.peer.channel, listener=listener)
        reason = self._owner.entered(self)
        if reason is None and not self._owner.trusts_proxy_header(self.peer.ip):
            reason = self._owner.settled(self)
        if reason is not None:
            self.cut(reason)

    def data_received(self, data: bytes) -> None:
        """Keep the bytes that arrived until the scheduler serves them."""
        self.liveness.received += len(data)
        if self._ending:
            return
        self._arrived = self._arrived + data if self._arrived else data
        if not self.is_waiting and not self._blocked:
            self._scheduler.add(self)
        if len(data) >= _LARGE:
            self._update_reading()  # libuv would read on at once, up to 8 MB

    def eof_received(self) -> bool:
        """End after the peer has ended: its requests are still answered."""
        self._peer_ended = True
        if not self.closed:
            self.finish()
        return not self.closed

    def _continue(self) -> None:
        """Serve the input that has waited, if nothing blocks it any more."""
        if self._has_input and not self._blocked and not self.is_waiting and not self.closed:
            self._scheduler.add(self)
        self._update_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002, the reason has no effect
        """Release everything after the connection has ended."""
        self.closed = True
        self.on_output = None
        self._grace.stop()
        self._release()
        self._out.clear()
        if self._grpc is not None and (cancelled := self._grpc.end()):
            self._owner.deliver_calls(self, cancelled)
        self._arrived = b""
        self._take = first_bytes.ignore
        self.account.links -= 1
        self._depart()
        self._owner.left(self)

    # Called by the scheduler

    def serve(self, until: float) -> bool:
        """Serve input, at least one batch; return True if input is left at that time of the clock."""
        data, session = self._arrived, self._session
        if data or (session is not None and session.is_left):
            self._arrived = b""
            self._take(data)
        reader = self._protocol
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
        if self.held or reader.pending:
            self._count_held()
        if not self._reading or reader.has_input:
            self._update_reading()
        if self._ending or self._is_leaving or reader.has_input:
            self._flush_soon()  # `flush` continues
        return False

    @property
    def is_heavy(self) -> bool:
        """True if a large frame ends with what has arrived."""
        return 0 < self._protocol.missing <= len(self._arrived)

    def stop_reading(self) -> None:
        """Stop reading until the waiting input was served."""
        self._count_held()
        self._update_reading()

    @property
    def _has_input(self) -> bool:
        is_left = self._session is not None and self._session.is_left
        return bool(self._arrived) or self._protocol.has_input or is_left or bool(self.work)

    @property
    def is_anonymous(self) -> bool:
        """True until the connection has authenticated, if authentication is on."""
        return self._owner.has_authentication and not self.user

    def _count_held(self) -> None:
        encrypted = 0 if self._session is None else self._session.pending
        held = len(self._arrived) + self._protocol.pending + encrypted
        if held != self.held and not self.closed:
            change, self.held = held - self.held, held
            self._owner.hold(self, change)

    # Called for the first bytes

    def begin_tls(self, session: tls.TlsSession, data: bytes) -> None:
        """Decrypt all bytes from now on."""
        self._session = session
        self._take = self._take_encrypted
        self._take_encrypted(data)

    def begin_remoting(self, data: bytes) -> None:
        """Read frames of the remoting protocol from now on."""
        self._begin(self._remoting, data)

    def begin_grpc(self, methods: Methods, data: bytes) -> None:
        """Read gRPC calls from now on."""
        self._grpc = GrpcProtocol(methods, self._scheduler, self._flush_soon)
        self._begin(self._grpc, data)

    def _begin(self, protocol: LinkProtocol, data: bytes) -> None:
        self._protocol = protocol
        self._take_plain = protocol.push
        if self._session is None:
            self._take = protocol.push
            self._announce()
        protocol.push(data)

    def _take_encrypted(self, data: bytes) -> None:
        session = self._session
        assert session is not None  # noqa: S101, set together with this method
        try:
            plain = session.receive(data)
        except ssl.SSLError as exc:
            self._owner.log_dropped(self, f"TLS failed: {exc.reason or 'unreadable'}")
            self._write_raw(session.outgoing())
            self._end()
            return
        self._write_raw(session.outgoing())
        if session.established and not self.peer.tls:
            self.peer = msgspec.structs.replace(self.peer, tls=True)
            self._announce()
        if plain and not self.closed:
            self._take_plain(plain)
        if session.ended:
            self.finish()

    def _serve_frames(self, until: float) -> bool:
        """Decode and serve frames; return True if input is left for another iteration."""
        if self.work and self.work.advance(until):
            return not self.closed
        reader = self._protocol
        settings, scheduler = self._owner.settings, self._scheduler
        left = settings.frames_per_iteration if self.was_served else FIRST_FRAMES
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
            served = reader.serve(self, count if left > count else left, size)  # noqa: FURB136 - a call less
            left -= served
            answer = self._answer_size = (scheduler.queued - queued) // max(served, 1)
            now = _clock()
            begun, self._frame_s = now, (now - begun) / max(served, 1)
            if self.work or now >= until:
                break
        # Input of a peer with too many unread answers waits for `resume_writing` or `flush`.
        is_left = bool(self.work) or (reader.has_input and not self._blocked and scheduler.queued <= most)
        return is_left and not self.closed

    # Called by the protocol

    def deliver(self, commands: list[Command]) -> None:
        """Have commands served, in order."""
        self._owner.deliver(self, commands)
        self._served()

    def deliver_calls(self, events: list[Event]) -> None:
        """Have events of gRPC calls served, in order."""
        self._owner.deliver_calls(self, events)
        self._served()

    def _served(self) -> None:
        self.liveness.has_progress = True
        if self.peer.channel.user != self.user:
            self._owner.authenticated(self)
            self._remoting.limits = self._owner.authenticated_limits
            self._batch = BATCH

    def refuse(self, refused: FrameRefused) -> None:
        """Answer a request that exceeds a limit."""
        if self.closed:
            return
        self._owner.log_refused(self, str(refused))
        if not refused.request.is_response and not refused.request.is_oneway:
            self.send(encode_reply(refused.request.opaque, refused.code, remark=str(refused)))

    def fail(self, reason: str) -> None:
        """Answer what was served and close: the peer broke the protocol."""
        if not self.closed:
            self._owner.log_dropped(self, reason)
            self.finish()

    # Output and the end

    def _announce(self) -> None:
        self.liveness.unfinished_sweeps = 0
        self.announced = True
        self._owner.connected(self)

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
        if self._blocked:
            self._grace.bound(transport.get_write_buffer_size())

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer to read."""
        buffered = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return buffered if self._grpc is None else buffered + self._grpc.unsent

    @property
    def is_unfinished(self) -> bool:
        """True if the rest of a header, a handshake, a frame or the close is missing."""
        if (self.is_waiting or self._is_input_held) and not self.closed:
            return False
        return self.closed or bool(self._first.is_unfinished or self._protocol.is_unfinished or self.is_shaking_hands)

    @property
    def is_shaking_hands(self) -> bool:
        """True while a TLS handshake is in progress."""
        return self._session is not None and not self._session.established

    def _flush_soon(self) -> None:
        if not self._is_flush_due and not self.closed:
            self._is_flush_due = True
            self._owner.flush_soon(self)

    def _update_reading(self) -> None:
        """Read from the peer only while its input can be served."""
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
        """Write the queued frames and close our side.

        Input of the peer is read and dropped until it closes too. If we closed with unread bytes, the system would
        reset the connection and answers could be lost. The sweep limits this time.
        """
        if self.closed:
            return
        transport = self._transport
        if self._out and not self.is_shaking_hands:
            out, self._out = self._out, []
            self._write(b"".join(out))
        self.closed = self._ending = True
        self.liveness.unfinished_sweeps = 0
        self._take = first_bytes.ignore
        self._arrived = b""
        self._loop.call_soon(self._depart)
        if transport is None or transport.is_closing():
            return
        if self._session is not None:
            self._write_raw(self._session.close_notify())
        if self._peer_ended:
            transport.close()
        else:
            transport.write_eof()
            self._update_reading()

    def _release(self) -> None:
        """Release the memory and the work that are counted."""
        self.work.clear()
        held, self.held = self.held, 0
        self._owner.hold(self, -held)
        self._owner.unblocked(self)

    def _depart(self) -> None:
        """Report the end to the application, once."""
        if self.announced:
            self.announced = False
            self._owner.departed(self)
