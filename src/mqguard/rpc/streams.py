"""The open streams of an HTTP/2 connection, and the bytes that are sent on them within the windows of the peer."""

from collections.abc import Callable
from typing import Final

from mqguard.rpc import frames
from mqguard.rpc.errors import ConnectionFailed, ErrorCode, StreamFailed
from mqguard.rpc.frames import DATA, END_HEADERS, END_STREAM, HEADERS, MAX_FRAME, MAX_WINDOW

STREAM_WINDOW: Final = 1024 * 1024
"""Bytes that a peer may send on a stream before the server has read them."""
_KEPT_RESETS: Final = 100


class OpenStream:
    """One open stream.

    Attributes:
        window: Bytes that the peer accepts.
        credit: Bytes that the peer may still send.
        is_ended: True if the peer has sent its end.
        unsent: Bytes that wait for the window of the peer, after those that were sent.
        sent: Bytes at the begin of `unsent` that were sent.
        end: The trailers after them, None if the answer goes on.
        expected: Bytes that the peer has announced and not sent yet, None if it announced nothing.
    """

    __slots__ = ("credit", "end", "expected", "is_ended", "sent", "unsent", "window")

    def __init__(self, window: int, *, is_ended: bool) -> None:
        self.window = window
        self.credit = STREAM_WINDOW
        self.is_ended = is_ended
        self.unsent = b""
        self.sent = 0
        self.end: bytes | None = None
        self.expected: int | None = None

    def count_content(self, number: int, size: int, *, is_end: bool) -> None:
        """Subtract bytes from the content that was announced.

        Raises:
            StreamFailed: The content has another size (RFC 9113, section 8.1.1).
        """
        left = self.expected = (self.expected or 0) - size
        if left < 0 or (is_end and left):
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "the content has another size than content-length")


class Streams:
    """The open streams of one connection, and its output.

    Args:
        on_output: Called when there are bytes to send, once until they are taken.

    Attributes:
        unsent: Bytes of answers that wait for the windows of the peer.
        queued: Bytes to send that were not taken yet.
    """

    __slots__ = ("_dropped", "_on_output", "_open", "_out", "_peer_window", "_waiting", "_window", "queued", "unsent")

    def __init__(self, on_output: Callable[[], None]) -> None:
        self._on_output = on_output
        self.queued = 0
        self._open: dict[int, OpenStream] = {}
        self._out: list[bytes] = []
        self._peer_window = self._window = frames.DEFAULT_WINDOW
        self._waiting: dict[int, OpenStream] = {}
        """Streams with unsent bytes that wait only for the window of the connection, in their order."""
        self._dropped: dict[int, None] = {}
        """The latest streams that the server ended before the peer: what is under way for them is ignored."""
        self.unsent = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, number: int, *, is_ended: bool) -> None:
        """Add a stream; `is_ended` is true if the peer sends nothing more."""
        self._open[number] = OpenStream(self._peer_window, is_ended=is_ended)

    def get(self, number: int) -> OpenStream | None:
        """Return an open stream."""
        return self._open.get(number)

    def was_dropped(self, number: int) -> bool:
        """Return True if the server ended the stream lately, so that the peer may not know it yet."""
        return number in self._dropped

    def forget(self, number: int) -> bool:
        """Remove a stream; return False if it is not open."""
        stream = self._open.pop(number, None)
        if stream is None:
            return False
        if stream.unsent:
            self._waiting.pop(number, None)
            self.unsent -= len(stream.unsent) - stream.sent
        return True

    def clear(self) -> list[int]:
        """Remove all streams, and return their numbers."""
        numbers = list(self._open)
        self._open.clear()
        self._waiting.clear()
        self.unsent = 0
        return numbers

    # Output

    def write(self, data: bytes) -> None:
        """Send whole frames that no window limits."""
        if not self._out:
            self._on_output()
        self._out.append(data)
        self.queued += len(data)

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        out = self._out
        if not out:
            return b""
        self._out, self.queued = [], 0
        return b"".join(out) if len(out) > 1 else out[0]

    def is_open(self, number: int) -> bool:
        """Return True if an answer on the stream still has a meaning."""
        stream = self._open.get(number)
        return stream is not None and stream.end is None

    def send_headers(self, number: int, block: bytes) -> None:
        """Send the header fields that begin an answer."""
        if number in self._open:
            self.write(frames.frame(HEADERS, END_HEADERS, number, block))

    def send(self, number: int, payload: bytes) -> None:
        """Send bytes, or keep them until the peer accepts them."""
        stream = self._open.get(number)
        if stream is None or stream.end is not None or not payload:
            return
        size = len(payload)
        if stream.unsent or size > stream.window or size > self._window:
            stream.unsent, stream.sent = stream.unsent[stream.sent :] + payload, 0
            self.unsent += size
            self._send_unsent(number, stream)
            return
        stream.window -= size
        self._window -= size
        self.write(frames.data_frames(number, payload))

    def reply(self, number: int, head: bytes, payload: bytes, end: bytes) -> None:
        """Send a whole answer: the header fields that begin it, its bytes, and those that end it."""
        stream = self._open.get(number)
        if stream is None or stream.end is not None:
            return
        size = len(payload)
        if size > MAX_FRAME or size > stream.window or size > self._window or not stream.is_ended or stream.unsent:
            self.send_headers(number, head)
            self.send(number, payload)
            self.finish(number, end)
            return
        self._window -= size
        del self._open[number]
        frame = frames.frame
        self.write(
            frame(HEADERS, END_HEADERS, number, head)
            + frame(DATA, 0, number, payload)
            + frame(HEADERS, END_HEADERS | END_STREAM, number, end)
        )

    def finish(self, number: int, block: bytes) -> None:
        """Send the header fields that end an answer, after all of its bytes."""
        stream = self._open.get(number)
        if stream is None or stream.end is not None:
            return
        if stream.unsent:
            stream.end = block
        else:
            self._end(number, stream, block)

    def reset(self, number: int, code: ErrorCode) -> None:
        """End a stream at once."""
        self.forget(number)
        self._drop(number)
        self.write(frames.reset(number, code))

    # Windows

    def widen(self, amount: int) -> None:
        """Take a window update for the connection.

        Raises:
            ConnectionFailed: The amount is 0, or the window too large.
        """
        if amount == 0:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "a window update of 0 bytes")
        self._window += amount
        if self._window > MAX_WINDOW:
            raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "the window of the connection is too large")
        self._send_all_unsent()

    def widen_stream(self, number: int, amount: int) -> None:
        """Take a window update for a stream.

        Raises:
            StreamFailed: The amount is 0, or the window too large.
        """
        stream = self._open.get(number)
        if stream is None:
            return
        if amount == 0:
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "a window update of 0 bytes")
        stream.window += amount
        if stream.window > MAX_WINDOW:
            raise StreamFailed(number, ErrorCode.FLOW_CONTROL_ERROR, "the window of the stream is too large")
        if stream.unsent:
            self._send_unsent(number, stream)

    def set_window(self, window: int) -> None:
        """Take a new initial window, which also changes the windows of open streams.

        Raises:
            ConnectionFailed: The window of a stream becomes too large.
        """
        change, self._peer_window = window - self._peer_window, window
        for number, stream in self._open.items():
            stream.window += change
            if stream.window > MAX_WINDOW:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, "the window of a stream is too large")
            if stream.unsent and stream.window > 0:
                self._waiting.setdefault(number, stream)
        self._send_all_unsent()

    def _send_all_unsent(self) -> None:
        for number, stream in list(self._waiting.items()):
            if self._window <= 0:
                return
            self._send_unsent(number, stream)

    def _send_unsent(self, number: int, stream: OpenStream) -> None:
        size = min(len(stream.unsent) - stream.sent, stream.window, self._window)
        if size > 0:
            self.write(frames.data_frames(number, stream.unsent[stream.sent : stream.sent + size]))
            stream.sent += size
            self.unsent -= size
            stream.window -= size
            self._window -= size
        if stream.sent < len(stream.unsent) and stream.window > 0:
            self._waiting.setdefault(number, stream)
            return
        # A stream that waits for its own window is not here, so that updates of the connection need not look at it.
        self._waiting.pop(number, None)
        if stream.sent == len(stream.unsent):
            stream.unsent, stream.sent = b"", 0
            if stream.end is not None:
                self._end(number, stream, stream.end)

    def _end(self, number: int, stream: OpenStream, block: bytes) -> None:
        self.write(frames.frame(HEADERS, END_HEADERS | END_STREAM, number, block))
        del self._open[number]
        if not stream.is_ended:
            # The peer need not send the rest.
            self._drop(number)
            self.write(frames.reset(number, ErrorCode.NO_ERROR))

    def _drop(self, number: int) -> None:
        self._dropped[number] = None
        if len(self._dropped) > _KEPT_RESETS:
            del self._dropped[next(iter(self._dropped))]
