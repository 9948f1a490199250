"""gRPC calls on one connection (gRPC over HTTP/2): bytes in, calls and their messages out, and answers back."""

# Rule 1: a call whose fields or messages are malformed is answered with a status, or its stream is reset; no other call
# notices it.
# Rule 2: of a repeated field the last one counts, in every place, because `GrpcCall.field` is the only way to read one.
# Rule 3: the length of a message is checked before its bytes are collected.

import enum
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from mqguard.rpc import call_fields, hpack
from mqguard.rpc.call_fields import FieldShape
from mqguard.rpc.errors import ErrorCode, StreamFailed
from mqguard.rpc.http2 import ServerConnection

MAX_MESSAGE: Final = 5 * 1024 * 1024
"""Maximum bytes of a message: a body of 4 MiB with its properties."""
MAX_REASON: Final = 1_024
"""Maximum characters of the message of a status."""
PREFIX: Final = 5
"""Bytes before a message: the compression flag, and the length."""
OPEN_CALL: Final = 1_024
"""Bytes that an open call is counted with, besides its fields and its message."""
_SMALL_FIELDS: Final = 2_048
"""Bytes of fields that are not counted any more once the application has the call."""
_MAX_SHAPES: Final = 256
_MAX_SHAPE: Final = 40


class GrpcStatus(enum.IntEnum):
    """Status codes of gRPC that calls end with; refusals of RocketMQ are in the answers of RPCs that have one."""

    OK = 0
    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14


_CONTENT_TYPE: Final = ("content-type", "application/grpc")
_HEAD: Final = hpack.encode([(":status", "200"), _CONTENT_TYPE])
_OK: Final = hpack.encode([("grpc-status", "0")])


class EventKind(enum.Enum):
    """Kinds of events of a call."""

    CALL = "call"
    """A call has arrived with its one message; the peer sends nothing more."""
    MESSAGE = "message"
    """A message of a stream has arrived; the first one opens it."""
    END = "end"
    """The peer sends nothing more on a stream."""
    CANCELLED = "cancelled"
    """The peer does not want the answer of a call any more."""


class Event(NamedTuple):
    """One thing that happened to a call.

    Attributes:
        kind: Its kind.
        call: The call.
        message: The message of `CALL` and `MESSAGE`.
    """

    kind: EventKind
    call: "GrpcCall"
    message: bytes = b""


_CALL: Final = EventKind.CALL
_new_event = tuple.__new__
"""Makes an `Event` in half the time of the class's own `__new__`."""


class Methods:
    """The methods of a server, and the shapes of calls that were checked; shared by all connections.

    Args:
        streaming: For each path, such as `/package.Service/Method`, whether the peer sends a stream of messages.

    Attributes:
        shapes: Properties of lists of names that were checked.
    """

    __slots__ = ("shapes", "streaming")

    def __init__(self, streaming: Mapping[str, bool]) -> None:
        self.streaming = dict(streaming)
        self.shapes: dict[tuple[str, ...], FieldShape] = {}

    def shape(self, names: tuple[str, ...]) -> FieldShape:
        """Return the properties of a list of names. Clients have few different lists."""
        shape = self.shapes.get(names)
        if shape is None:
            shape = call_fields.shape_of(names)
            if len(names) <= _MAX_SHAPE:
                if len(self.shapes) >= _MAX_SHAPES:
                    self.shapes.clear()
                self.shapes[names] = shape
        return shape


class GrpcCall:
    """One call, which is answered by `reply`, by `send` and `end`, or by `fail`. Answers after its end have no effect.

    Attributes:
        stream: The stream of the call, unique in its connection.
        path: Path of the method.
        is_streaming: True if the peer sends a stream of messages.
        timeout_s: Seconds after which the peer gives up; None if it does not say so.
        held: Bytes of its messages that are kept.
        overhead: Bytes that it is counted with besides them.
    """

    __slots__ = (
        "_connection", "_is_begun", "_parts", "_places", "_size", "_values", "held", "is_delivered", "is_streaming",
        "message", "overhead", "path", "stream", "timeout_s",
    )  # fmt: skip

    def __init__(
        self, connection: "GrpcConnection", stream: int, path: str, values: list[str], places: dict[str, int]
    ) -> None:
        self._connection = connection
        self._values = values
        self._places = places
        self._is_begun = self.is_delivered = self.is_streaming = False
        self._parts: list[bytes] = []
        self._size = self.held = self.overhead = 0
        self.message: bytes | None = None
        self.path = path
        self.stream = stream
        self.timeout_s: float | None = None

    def field(self, name: str) -> str:
        """Return the value of a field, of several the last one; empty if there is none."""
        place = self._places.get(name)
        return "" if place is None else self._values[place]

    @property
    def is_open(self) -> bool:
        """True if an answer still has a meaning."""
        return self._connection.streams.is_open(self.stream)

    def reply(self, message: bytes) -> None:
        """Answer a call with its one message."""
        payload = b"\0" + len(message).to_bytes(4, "big") + message
        self._connection.reply(self, b"" if self._is_begun else _HEAD, payload)

    def send(self, message: bytes) -> None:
        """Answer with one of several messages."""
        streams = self._connection.streams
        if not self._is_begun:
            self._is_begun = True
            streams.send_headers(self.stream, _HEAD)
        streams.send(self.stream, b"\0" + len(message).to_bytes(4, "big") + message)

    def end(self) -> None:
        """End an answer of several messages, or of none."""
        if not self._is_begun:
            self._connection.streams.send_headers(self.stream, _HEAD)
        self._connection.finish(self, _OK)

    def fail(self, status: GrpcStatus, reason: str) -> None:
        """End the call with a status of the transport."""
        fields = [("grpc-status", str(int(status))), ("grpc-message", call_fields.percent_encoded(reason[:MAX_REASON]))]
        if not self._is_begun:
            fields = [(":status", "200"), _CONTENT_TYPE, *fields]
        self._connection.finish(self, hpack.encode(fields))

    def take(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the peer; return the messages that are complete now.

        Raises:
            _Refused: A message is compressed or too long.
        """
        if not self._parts:
            size = len(data)
            # Nearly always a frame has one whole message.
            if size >= PREFIX and not data[0] and size == PREFIX + int.from_bytes(data[1:PREFIX], "big") <= MAX_MESSAGE:
                return [data[PREFIX:]]
        if not data:
            return []
        self._parts.append(data)
        self._size += len(data)
        if self._size < PREFIX:
            return []
        first = self._parts[0]
        if len(first) < PREFIX:
            first = b"".join(self._parts)
            self._parts = [first]
        return self._complete() if self._size >= _whole(first) else []

    def _complete(self) -> list[bytes]:
        data = b"".join(self._parts)
        at, messages = 0, []
        while len(data) - at >= PREFIX:
            end = at + _whole(data[at : at + PREFIX])
            if end > len(data):
                break
            messages.append(data[at + PREFIX : end])
            at = end
        self._parts = [data[at:]] if at < len(data) else []
        self._size = len(data) - at
        return messages

    @property
    def is_unfinished(self) -> bool:
        """True if a message has begun and not ended."""
        return self._size > 0

    def count_held(self) -> int:
        """Count the bytes that are kept anew, and return the change."""
        held = self._size + (len(self.message) if self.message is not None else 0)
        change, self.held = held - self.held, held
        return change


class _Refused(Exception):
    """A message cannot be taken."""

    def __init__(self, status: GrpcStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class GrpcConnection:
    """The calls of one connection.

    Args:
        methods: The methods of the server.
        on_output: Called when there are bytes to send, once until they are taken.

    Attributes:
        streams: The streams on which calls are answered.
    """

    __slots__ = ("_calls", "_events", "_held", "_http", "_methods", "_opening", "_overhead", "streams")

    def __init__(self, methods: Methods, on_output: Callable[[], None]) -> None:
        self._methods = methods
        self._http = ServerConnection(self, on_output)
        self.streams = self._http.streams
        self._calls: dict[int, GrpcCall] = {}
        self._events: list[Event] = []
        self._held = self._overhead = self._opening = 0

    def push(self, data: bytes) -> None:
        """Keep the next bytes of the connection for `take`."""
        self._http.push(data)

    @property
    def has_input(self) -> bool:
        """True if `take` has frames to read."""
        return self._http.has_input

    @property
    def is_over(self) -> bool:
        """True if nothing more is read, because the peer broke the protocol or the connection ended."""
        return self._http.is_over

    @property
    def failure(self) -> str:
        """The reason for which the connection is over."""
        return self._http.failure

    @property
    def held(self) -> int:
        """Bytes of the peer that are kept: frames that are not read, incomplete messages, and open calls."""
        return self._held + self._overhead + self._http.pending

    @property
    def is_unfinished(self) -> bool:
        """True if a frame, a message or the first message of a call has begun and not ended."""
        return self._held > 0 or self._opening > 0 or self._http.pending > 0

    @property
    def has_calls(self) -> bool:
        """True if answers are missing, or not sent yet."""
        return len(self.streams) > 0

    @property
    def unsent(self) -> int:
        """Bytes of answers that wait until the peer accepts them."""
        return self.streams.unsent

    def take(self, count: int, size: int, now: float) -> list[Event]:
        """Read the next frames, and return what they say about calls.

        Args:
            count: Maximum number of frames.
            size: Bytes after which no further frame is read.
            now: Seconds of a clock that never falls.
        """
        self._http.advance(count, size, now)
        events = self._events
        if events:
            self._events = []
        return events

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        return self.streams.take_output()

    def leave(self) -> None:
        """Announce that the server stops: open calls are still answered, new ones are refused."""
        self._http.leave()

    def end(self, code: ErrorCode, reason: str = "") -> None:
        """End the connection with a code for the peer, and drop all calls."""
        self._http.end(code, reason)

    def finish(self, call: GrpcCall, block: bytes) -> None:
        """End the answer of a call with a block of header fields, and forget the call."""
        if self._calls.pop(call.stream, None) is not None:
            self._forget(call)
        self.streams.finish(call.stream, block)

    def reply(self, call: GrpcCall, head: bytes, payload: bytes) -> None:
        """Send a whole answer, or its rest if `head` is empty, and forget the call."""
        if self._calls.pop(call.stream, None) is not None:
            self._forget(call)
        if head:
            self.streams.reply(call.stream, head, payload, _OK)
        else:
            self.streams.send(call.stream, payload)
            self.streams.finish(call.stream, _OK)

    def _forget(self, call: GrpcCall) -> None:
        self._held -= call.held
        self._overhead -= call.overhead
        if not call.is_delivered:
            self._opening -= 1

    # Called by the HTTP/2 connection

    def opened(self, stream: int, names: list[str], values: list[str], is_end: bool) -> None:  # noqa: FBT001 - by position: called for each frame
        """Begin a call.

        Raises:
            StreamFailed: Its fields are malformed.
        """
        key = tuple(names)
        # Inlined for most calls: each call of a function takes a hundredth of the time of all of them.
        shape = self._methods.shapes.get(key) or self._methods.shape(key)
        fault, places, path_at, method_at, kind_at, timeout_at, te_at, length_at = shape
        if fault:
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR, fault)
        text = "".join(values)
        if not (text.isascii() and text.isprintable()):
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR, "a header field has characters that are not printable")
        path = values[path_at]
        if not path or (te_at >= 0 and values[te_at] != "trailers"):
            raise StreamFailed(stream, ErrorCode.PROTOCOL_ERROR, "the path is empty, or `te` is not `trailers`")
        if length_at >= 0:
            self._expect(stream, values[length_at], is_end=is_end)
        call = self._calls[stream] = GrpcCall(self, stream, path, values, places)
        call.overhead = OPEN_CALL + len(text)
        self._overhead += call.overhead
        self._opening += 1
        if values[method_at] != "POST":
            self._refuse_http(call, "405")
        elif kind_at < 0 or not values[kind_at].startswith("application/grpc"):
            self._refuse_http(call, "415")
        else:
            self._open(call, values[timeout_at] if timeout_at >= 0 else "", is_end=is_end)

    def _expect(self, number: int, length: str, *, is_end: bool) -> None:
        """Note the size of the content that the peer announces.

        Raises:
            StreamFailed: It is not a size, or nothing follows.
        """
        stream = self.streams.get(number)
        size = call_fields.read_length(length)
        if size is None or (is_end and size):
            raise StreamFailed(number, ErrorCode.PROTOCOL_ERROR, "the field content-length is wrong")
        if stream is not None:
            stream.expected = size

    def _refuse_http(self, call: GrpcCall, status: str) -> None:
        """Answer a request that is not a gRPC call with a status of HTTP."""
        self.finish(call, hpack.encode([(":status", status)]))

    def _open(self, call: GrpcCall, timeout: str, *, is_end: bool) -> None:
        is_streaming = self._methods.streaming.get(call.path)
        if is_streaming is None:
            call.fail(GrpcStatus.UNIMPLEMENTED, f"there is no method {call.path[:100]}")
            return
        call.is_streaming = is_streaming
        if timeout:
            call.timeout_s = call_fields.read_timeout(timeout)
            if call.timeout_s is None:
                call.fail(GrpcStatus.INTERNAL, "the field grpc-timeout is malformed")
                return
        if is_end:
            self.received(call.stream, b"", True)  # noqa: FBT003 - by position: called for each frame

    def received(self, stream: int, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - by position: called for each frame
        """Take the next bytes of a call."""
        call = self._calls.get(stream)
        if call is None:
            return  # it is answered already
        if is_end and not call.is_streaming and not call.held and call.message is None:
            size = len(data)
            # Nearly always the last frame of a call has its whole message.
            if size >= PREFIX and not data[0] and size == PREFIX + int.from_bytes(data[1:PREFIX], "big"):
                self._deliver_first(call)
                self._events.append(_new_event(Event, (_CALL, call, data[PREFIX:])))
                return
        try:
            messages = call.take(data)
            if call.is_streaming:
                self._deliver(call, messages, is_end=is_end)
            else:
                self._collect(call, messages, is_end=is_end)
        except _Refused as refused:
            if call.is_delivered:
                self._events.append(Event(EventKind.CANCELLED, call))
            call.fail(refused.status, str(refused))

    def _deliver(self, call: GrpcCall, messages: list[bytes], *, is_end: bool) -> None:
        if messages and not call.is_delivered:
            self._deliver_first(call)
        for message in messages:
            self._events.append(Event(EventKind.MESSAGE, call, message))
        self._held += call.count_held()
        if is_end:
            if call.held:
                raise _Refused(GrpcStatus.INTERNAL, "the stream ends within a message")
            if call.is_delivered:
                self._events.append(Event(EventKind.END, call))
            else:
                call.end()

    def _collect(self, call: GrpcCall, messages: list[bytes], *, is_end: bool) -> None:
        if messages:
            if call.message is not None or len(messages) > 1:
                raise _Refused(GrpcStatus.INTERNAL, "the call has more than one message")
            call.message = messages[0]
        if not is_end:
            self._held += call.count_held()
            return
        self._held -= call.held
        call.held = 0
        message, call.message = call.message, None
        if message is None or call.is_unfinished:
            raise _Refused(GrpcStatus.INTERNAL, "the call ends without a whole message")
        self._deliver_first(call)
        self._events.append(Event(_CALL, call, message))

    def _deliver_first(self, call: GrpcCall) -> None:
        """Note that the application gets the call with the next event."""
        call.is_delivered = True
        self._opening -= 1
        if call.overhead < OPEN_CALL + _SMALL_FIELDS:
            self._overhead -= call.overhead
            call.overhead = 0

    def cancelled(self, stream: int) -> None:
        """Drop a call that the peer does not want any more, or that broke the protocol."""
        call = self._calls.pop(stream, None)
        if call is not None:
            self._forget(call)
            if call.is_delivered:
                self._events.append(Event(EventKind.CANCELLED, call))


def _whole(prefix: bytes) -> int:
    """Return the length of a message with its prefix.

    Raises:
        _Refused: It is compressed or too long.
    """
    if prefix[0]:
        raise _Refused(GrpcStatus.UNIMPLEMENTED, "compressed messages are not supported")
    size = int.from_bytes(prefix[1:PREFIX], "big")
    if size > MAX_MESSAGE:
        raise _Refused(GrpcStatus.RESOURCE_EXHAUSTED, f"a message of {size} bytes, and the maximum is {MAX_MESSAGE}")
    return PREFIX + size
