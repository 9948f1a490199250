"""The server's side of an HTTP/2 connection (RFC 9113), as far as gRPC needs it, without I/O.

`push` and `advance` take the bytes of the peer and call a `Receiver`; `streams` has the bytes to send. There is no
server push, no priority, and no upgrade from HTTP/1.1.
"""

# Rule 1: the calls of the receiver depend on the bytes of the connection, never on how they were split.
# Rule 2: any bytes lead to calls of the receiver or to the end of the connection with a code, and nothing else.
# Rule 3: a frame that makes the server work without a call costs the peer a part of a budget.

from collections.abc import Callable
from typing import Final, Protocol

from mqguard.rpc import frames
from mqguard.rpc.budget import Budget
from mqguard.rpc.errors import ConnectionFailed, ErrorCode, StreamFailed
from mqguard.rpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD,
    HEADERS,
    MAX_FRAME,
    MAX_WINDOW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from mqguard.rpc.hpack import Decoder
from mqguard.rpc.streams import STREAM_WINDOW, OpenStream, Streams

MAX_STREAMS: Final = 1_024
"""Streams that a connection may have open: a push consumer has one for each of its queues."""
CONNECTION_WINDOW: Final = 8 * 1024 * 1024
MAX_LIST: Final = 64 * 1024
"""Maximum bytes of the fields of one call, decoded."""
MAX_BLOCK: Final = 64 * 1024
"""Maximum bytes of the fields of one call, as they are sent."""
MAX_CONTINUATIONS: Final = 8

CHEAP_FRAMES: Final = (1_000, 100)
"""Frames without a call that a peer may send at once, and per second."""
FRAMES_PER_CALL: Final = 8
"""Frames that each call allows in addition: some clients send a few small window updates with each."""
RESETS: Final = (1_000, 33)
"""Calls that a peer may cancel or break before they are answered, at once and per second."""
_SETTINGS_WEIGHT: Final = 5
MIN_CONTENT: Final = 64
"""Bytes of content, without padding, that a DATA frame must have to cost no part of the budget."""
_unpack_head = frames.HEAD_FORM.unpack_from


class Receiver(Protocol):
    """Interface of the code that gets the streams of a connection."""

    def opened(self, stream: int, names: list[str], values: list[str], is_end: bool) -> None:  # noqa: FBT001 - by position: called for each frame
        """Take the fields of a new stream; `is_end` is true if nothing follows.

        Args:
            stream: The stream.
            names: Names of its fields.
            values: The value of each name.
            is_end: True if nothing follows.

        Raises:
            StreamFailed: The fields are malformed.
        """
        ...  # pragma: no cover

    def received(self, stream: int, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - by position: called for each frame
        """Take the next bytes of a stream.

        Raises:
            StreamFailed: The stream cannot continue.
        """
        ...  # pragma: no cover

    def cancelled(self, stream: int) -> None:
        """Drop a stream that the peer has reset, or that failed."""
        ...  # pragma: no cover


class ServerConnection:
    """One connection.

    Args:
        receiver: Gets the streams.
        on_output: Called when there are bytes to send, once until they are taken.

    Attributes:
        has_input: True if `advance` has frames to read.
        is_over: True after an error or the GOAWAY of `end`: nothing more is read.
        failure: The reason for it.
        streams: The open streams, on which answers are sent.
    """

    __slots__ = (
        "_at", "_block", "_block_flags", "_block_stream", "_budget", "_continuations", "_credit", "_data", "_decoder",
        "_is_greeted", "_is_leaving", "_last", "_now", "_receiver", "_resets", "failure", "has_input", "is_over",
        "streams",
    )  # fmt: skip

    def __init__(self, receiver: Receiver, on_output: Callable[[], None]) -> None:
        self._receiver = receiver
        self._decoder = Decoder(MAX_LIST)
        self._budget = Budget(*CHEAP_FRAMES)
        self._resets = Budget(*RESETS)
        self.streams = Streams(on_output)
        self.streams.write(frames.settings(MAX_STREAMS, STREAM_WINDOW, MAX_LIST))
        self.streams.write(frames.window_update(0, CONNECTION_WINDOW - frames.DEFAULT_WINDOW))
        self._data = b""
        self._at = 0
        self._now = 0.0
        self._last = 0
        self._credit = CONNECTION_WINDOW
        self._block: list[bytes] | None = None
        self._block_stream = self._block_flags = self._continuations = 0
        self._is_greeted = self._is_leaving = False
        self.has_input = self.is_over = False
        self.failure = ""

    @property
    def pending(self) -> int:
        """Bytes that are kept: those not yet read, and those of an unfinished block of fields."""
        return len(self._data) - self._at + (sum(map(len, self._block)) if self._block else 0)

    def push(self, data: bytes) -> None:
        """Keep the next bytes of the connection for `advance`."""
        if self.is_over:
            return
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        self.has_input = self._is_complete()

    def _is_complete(self) -> bool:
        """Return True if a whole frame or preface is there, or a frame that is too long."""
        left = len(self._data) - self._at
        if not self._is_greeted:
            return left >= len(PREFACE) + 4 or not PREFACE.startswith(self._data[: len(PREFACE)])
        if left < HEAD:
            return False
        size = int.from_bytes(self._data[self._at : self._at + 3], "big")
        return size > MAX_FRAME or left >= HEAD + size

    def advance(self, count: int, size: int, now: float) -> None:
        """Read the next frames.

        Args:
            count: Maximum number of frames.
            size: Bytes after which no further frame is read.
            now: Seconds of a clock that never falls.
        """
        self._now = now
        try:
            if self._is_greeted or self._greet():
                self._advance(count, size)
        except ConnectionFailed as error:
            self.end(error.code, str(error))

    def _advance(self, count: int, most: int) -> None:
        data = self._data
        at, size = self._at, len(data)
        stop = at + most
        while count and size - at >= HEAD and at < stop and not self.is_over:
            high, low, kind, flags, stream = _unpack_head(data, at)
            length = high << 8 | low
            if length > MAX_FRAME:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = at + HEAD
            end = begin + length
            if end > size:
                break
            self._at = at = end
            count -= 1
            stream &= frames.MAX_STREAM
            if self._block is not None and (kind != CONTINUATION or stream != self._block_stream):
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "another frame within a block of header fields")
            try:
                if kind == DATA:
                    self._take_data(stream, flags, data[begin:end])
                elif kind == HEADERS:
                    self._take_headers(stream, flags, data[begin:end])
                else:
                    self._take_other(kind, stream, flags, data[begin:end])
            except StreamFailed as error:
                self._fail(error)
        if at >= size:
            self._data = b""
            self._at = 0
            self.has_input = False
        else:
            self.has_input = not self.is_over and self._is_complete()

    def _greet(self) -> bool:
        """Check the preface, and that settings follow it; return True if they are there.

        Raises:
            ConnectionFailed: It is another protocol.
        """
        if not PREFACE.startswith(self._data[: len(PREFACE)]):
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "the preface of HTTP/2 is missing")
        if len(self._data) >= len(PREFACE) + 4:
            if self._data[len(PREFACE) + 3] != SETTINGS:
                raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "the first frame has no settings")
            self._is_greeted = True
            self._at = len(PREFACE)
        self.has_input = self._is_greeted
        return self._is_greeted

    def _fail(self, error: StreamFailed) -> None:
        if self.streams.forget(error.stream):
            self._receiver.cancelled(error.stream)
            # A peer that provokes resets frees its streams as if it had sent them (CVE-2025-8671).
            self._count_reset()
        self._spend(1)
        self.streams.reset(error.stream, error.code)

    def _count_reset(self) -> None:
        """Count a reset.

        Raises:
            ConnectionFailed: There were too many.
        """
        if not self._resets.use(1, self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many resets")

    def _spend(self, amount: float) -> None:
        """Use a part of the budget for frames without a call.

        Raises:
            ConnectionFailed: Nothing is left.
        """
        if not self._budget.use(amount, self._now):
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many frames without a call")

    # Frames of streams

    def _take_data(self, number: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        if flags & PADDED:
            payload = frames.unpadded(payload, flags)
        self._credit -= size
        if self._credit < 0:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window of the connection")
        if self._credit < CONNECTION_WINDOW // 2:
            self.streams.write(frames.window_update(0, CONNECTION_WINDOW - self._credit))
            self._credit = CONNECTION_WINDOW
        stream = self.streams.get(number)
        if stream is None or stream.is_ended:
            self._spend(1)
            self._reject_data(number)
            return
        if len(payload) < MIN_CONTENT:
            self._spend(0 if flags & END_STREAM else 1)
        stream.credit -= size
        if stream.credit < 0:
            raise StreamFailed(number, ErrorCode.FLOW_CONTROL_ERROR, "more data than the window of the stream")
        if stream.expected is not None:
            stream.count_content(number, len(payload), is_end=bool(flags & END_STREAM))
        if flags & END_STREAM:
            stream.is_ended = True
            self._receiver.received(number, payload, True)  # noqa: FBT003 - by position: called for each frame
            return
        if stream.credit < STREAM_WINDOW // 2:
            self.streams.write(frames.window_update(number, STREAM_WINDOW - stream.credit))
            stream.credit = STREAM_WINDOW
        self._receiver.received(number, payload, False)  # noqa: FBT003 - by position: called for each frame

    def _reject_data(self, number: int) -> None:
        if number == 0 or number > self._last:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"data for stream {number}, which is not open")
        if not self.streams.was_dropped(number):
            raise StreamFailed(number, ErrorCode.STREAM_CLOSED, "data after the end of the stream")

    def _take_headers(self, number: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = frames.unpadded(payload, flags)
        depends_on_itself = False
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "a priority is missing")
            depends_on_itself = int.from_bytes(payload[:4], "big") & frames.MAX_STREAM == number
            payload = payload[5:]
        if number == 0:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "header fields for the connection")
        if flags & END_HEADERS:
            self._take_block(number, flags, payload)
        else:
            self._block, self._block_stream, self._block_flags, self._continuations = [payload], number, flags, 0
        if depends_on_itself:
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "the stream depends on itself")

    def _take_continuation(self, flags: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a continuation of nothing")
        self._continuations += 1
        block.append(payload)
        if self._continuations > MAX_CONTINUATIONS or sum(map(len, block)) > MAX_BLOCK:
            raise ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, f"header fields of more than {MAX_BLOCK} bytes")
        if flags & END_HEADERS:
            self._block = None
            self._take_block(self._block_stream, self._block_flags, b"".join(block))

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        # Decoded in any case: later blocks refer to its fields.
        names, values = self._decoder.decode(block)
        stream = self.streams.get(number)
        if stream is not None:
            self._take_trailers(number, stream, flags, names)
            return
        if number <= self._last:
            if self.streams.was_dropped(number):
                self._spend(1)
                return
            raise ConnectionFailed(ErrorCode.STREAM_CLOSED, f"header fields for stream {number}, which has ended")
        if not number & 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"a client cannot open stream {number}")
        self._last = number
        if len(self.streams) >= MAX_STREAMS or self._is_leaving:
            raise StreamFailed(number, ErrorCode.REFUSED_STREAM, f"more than {MAX_STREAMS} open streams")
        self._budget.add(FRAMES_PER_CALL)
        is_end = bool(flags & END_STREAM)
        self.streams.open(number, is_ended=is_end)
        self._receiver.opened(number, names, values, is_end)

    def _take_trailers(self, number: int, stream: OpenStream, flags: int, names: list[str]) -> None:
        self._spend(1)
        if stream.is_ended:
            raise StreamFailed(number, ErrorCode.STREAM_CLOSED, "header fields after the end of the stream")
        if not flags & END_STREAM or any(name[:1] == ":" or name != name.lower() for name in names):
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "malformed trailers")
        if stream.expected is not None:
            stream.count_content(number, 0, is_end=True)
        stream.is_ended = True
        self._receiver.received(number, b"", True)  # noqa: FBT003 - by position: called for each frame

    def _take_other(self, kind: int, number: int, flags: int, payload: bytes) -> None:
        if kind == CONTINUATION:
            self._take_continuation(flags, payload)
            return
        self._spend(_SETTINGS_WEIGHT if kind == SETTINGS else 1)
        if kind == WINDOW_UPDATE:
            self._take_window_update(number, payload)
        elif kind == PING:
            self._take_ping(number, flags, payload)
        elif kind == SETTINGS:
            self._take_settings(number, flags, payload)
        elif kind == RST_STREAM:
            self._take_reset(number, payload)
        elif kind == PRIORITY:
            _check_priority(number, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a client cannot push")
        elif kind == GOAWAY and number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a GOAWAY for a stream")

    def _take_reset(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"a reset of {len(payload)} bytes")
        if number == 0 or number > self._last:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"a reset of stream {number}, which is not open")
        self._count_reset()
        if self.streams.forget(number):
            self._receiver.cancelled(number)

    def _take_window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"a window update of {len(payload)} bytes")
        amount = int.from_bytes(payload, "big") & MAX_WINDOW
        if number > self._last:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"a window update of stream {number}, which is not open")
        if number:
            self.streams.widen_stream(number, amount)
        else:
            self.streams.widen(amount)

    # Frames of the connection

    def _take_ping(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a ping for a stream")
        if len(payload) != 8:
            raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"a ping of {len(payload)} bytes")
        if not flags & ACK:
            self.streams.write(frames.frame(PING, ACK, 0, payload))

    def _take_settings(self, number: int, flags: int, payload: bytes) -> None:
        if number:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "settings for a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, "acknowledged settings with content")
            return
        window = frames.read_settings(payload)
        self.streams.write(frames.frame(SETTINGS, ACK, 0))
        if window is not None:
            self.streams.set_window(window)

    # The end

    def leave(self) -> None:
        """Announce that the server stops: open streams are still answered, new ones are refused."""
        if not self._is_leaving and not self.is_over:
            self._is_leaving = True
            self.streams.write(frames.go_away(self._last, ErrorCode.NO_ERROR))

    def end(self, code: ErrorCode, reason: str = "") -> None:
        """End the connection: send a GOAWAY with the reason, and drop all streams."""
        if self.is_over:
            return
        self.is_over = True
        self.failure = reason
        self.has_input = False
        self._data, self._at, self._block = b"", 0, None
        self.streams.write(frames.go_away(self._last, code, reason))
        for number in self.streams.clear():
            self._receiver.cancelled(number)


def _check_priority(number: int, payload: bytes) -> None:
    if number == 0:
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a priority for the connection")
    if len(payload) != 5:
        raise StreamFailed(number, ErrorCode.FRAME_SIZE_ERROR, f"a priority of {len(payload)} bytes")
    if int.from_bytes(payload[:4], "big") & frames.MAX_STREAM == number:
        raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "the stream depends on itself")
