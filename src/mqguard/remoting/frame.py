"""Frames: bytes in, commands out, and back.

A frame is: length i32 of the rest, one byte for the header's form (0 JSON, 1 binary), header length u24, header, body.
All numbers are big-endian (Apache: `RemotingCommand`).
"""

# Rule 1: what `take` gives depends on the bytes of the connection and on the limits, never on how they were split.
# Rule 2: any bytes give commands or a RemoteProtocolError, and nothing else.
# Rule 3: a frame is decoded once; of its bytes only the body (and the small header) is copied.
# Rule 4: a limit is checked before the bytes that it bounds are collected.

import struct
from typing import Final

from mqguard.remoting.body_limits import FrameLimits
from mqguard.remoting.command import NO_EXT, Command, FrameRefused, LocalProtocolError, RemoteProtocolError
from mqguard.remoting.header import (
    read_binary_header,
    read_binary_start,
    read_json_header,
    read_json_start,
    write_binary_header,
    write_json_header,
    write_json_reply,
)

DEFAULT_MAX_FRAME: Final = 16 * 1024 * 1024
"""Maximum frame size in bytes that Java peers accept by default (`com.rocketmq.remoting.frameMaxLength`)."""

MAX_HEADER: Final = 1024 * 1024
"""Maximum header size in bytes. Real headers stay under 200 KB (properties of 32 KB, every byte escaped)."""

HEADER_START: Final = 256
"""Bytes that are read from a header over its limit, so that the request can be answered."""

JSON: Final = 0
BINARY: Final = 1

_PREFIX: Final = struct.Struct(">II")
_LENGTH: Final = struct.Struct(">i")
_HEADER_LENGTH_BITS: Final = 0xFFFFFF
_MAX_LENGTH: Final = 0x7FFFFFFF
_NO_LIMITS: Final = FrameLimits(MAX_HEADER, _HEADER_LENGTH_BITS, _MAX_LENGTH, {}, _MAX_LENGTH, _MAX_LENGTH)
_ALL: Final = _MAX_LENGTH

_read_json = read_json_header
_unpack_prefix = _PREFIX.unpack_from
_pack_prefix = _PREFIX.pack


class FrameReader:
    """Decodes the bytes of one connection to commands.

    `push` takes bytes, and `take` decodes a number of frames. `feed` does both for all bytes.

    Args:
        max_frame: Maximum frame size in bytes; a longer frame is rejected by its length field, unread.
        limits: Limits by request code; without them only those of the format apply.
        keeps_frames: True to add the bytes of its frame to each command.

    Attributes:
        limits: The current limits. They may be changed between two calls.
        has_input: True if `take` has not yet examined all bytes.
        is_unfinished: True if a frame has begun and not ended.
    """

    __slots__ = (
        "_at",
        "_broken",
        "_data",
        "_head",
        "_held",
        "_keeps_frames",
        "_max_frame",
        "_need",
        "_skip",
        "_start",
        "has_input",
        "is_unfinished",
        "limits",
    )

    def __init__(
        self, max_frame: int = DEFAULT_MAX_FRAME, limits: FrameLimits | None = None, *, keeps_frames: bool = False
    ) -> None:
        self._max_frame = max_frame
        self._keeps_frames = keeps_frames
        # The received part of an unfinished frame before its body, if frames are kept.
        self._start = b""
        self.limits = _NO_LIMITS if limits is None else limits
        self._data = b""
        self._at = 0
        self.has_input = False
        # A partially received frame: first its prefix and header, then, once `_head` is known, its body.
        self._held = bytearray()
        self._need = 0
        self._head: Command | None = None
        self._skip = 0
        self.is_unfinished = False
        self._broken = False

    @property
    def pending(self) -> int:
        """The number of stored bytes: those of an unfinished frame, and those not yet decoded."""
        return len(self._held) + len(self._data) - self._at

    @property
    def missing(self) -> int:
        """Bytes that a frame needs of which the header has arrived; 0 if there is none."""
        return 0 if self._head is None else self._need - len(self._held)

    def push(self, data: bytes) -> None:
        """Store the next bytes of the connection for `take`."""
        if self._broken:
            return
        self._data = self._data[self._at :] + data if self.has_input else data
        self._at = 0
        self.has_input = bool(self._data)

    def take(self, count: int, size: int = _ALL) -> list[Command]:
        """Decode the next frames.

        Args:
            count: Maximum number of frames.
            size: Bytes after which no further frame is decoded.

        Returns:
            The complete commands, in order.

        Raises:
            FrameRefused: A frame is over a limit of its code; the next call continues after it.
            RemoteProtocolError: The bytes are not a frame. Afterwards the reader is unusable: every further call
                raises. The `commands` of both errors contain those that were complete before.
        """
        if self._broken:
            raise RemoteProtocolError("the connection sent bytes after an invalid frame: open a new one")
        commands: list[Command] = []
        try:
            self._take(commands, count, size)
        except FrameRefused as exc:
            self.has_input = self._at < len(self._data)
            exc.commands = commands
            raise
        except RemoteProtocolError as exc:
            self._broken = True
            self._held.clear()
            self._data, self._at, self.has_input = b"", 0, False
            self._need = self._skip = 0
            self.is_unfinished = False
            exc.commands = commands
            raise
        return commands

    def feed(self, data: bytes) -> list[Command]:
        """Store the next bytes of the connection, and decode all complete frames.

        Raises:
            RemoteProtocolError: See `take`.
        """
        self.push(data)
        return self.take(_ALL)

    def _take(self, commands: list[Command], count: int, most: int) -> None:
        if self.is_unfinished:
            self._go_on(commands)
            if self.is_unfinished:
                return
        data = self._data
        at, size, max_frame = self._at, len(data), self._max_frame
        stop = at + most if most < size else size
        limits = self.limits
        max_header, max_fields = limits.header, limits.fields
        unchecked = -1 if self._keeps_frames else limits.unchecked
        while at + 8 <= size and at < stop and len(commands) < count:
            length, word = _unpack_prefix(data, at)
            split = at + 8 + (word & _HEADER_LENGTH_BITS)
            end = at + 4 + length
            if end > size or split > end or not 4 <= length <= max_frame or split - at - 8 > max_header:
                break
            self._at = end
            if word >> 24 == JSON:
                # Inlined `_decode` for most frames: its calls take a tenth of the time of a frame.
                command = _read_json(data[at + 8 : split], data[split:end])
                if len(command.ext) > max_fields:
                    raise _too_many_fields(command, max_fields)
            else:
                command = self._decode(word >> 24, data[at + 8 : split], data[split:end])
            if end - split > unchecked:
                self._check_body(command, end - split, data[at:end] if self._keeps_frames else b"")
            commands.append(command)
            at = end
        if at >= size:
            self._data, self._at, self.has_input = b"", 0, False
        elif at < stop and len(commands) < count:
            # Incomplete or invalid bytes.
            self._need = 4
            self.is_unfinished = True
            self._go_on(commands)

    def _decode(self, form: int, header: bytes, body: bytes) -> Command:
        """Decode a header.

        Raises:
            FrameRefused: It has too many fields.
            RemoteProtocolError: It is invalid.
        """
        max_fields = self.limits.fields
        if form == JSON:
            command = _read_json(header, body)
            if len(command.ext) > max_fields:
                raise _too_many_fields(command, max_fields)
            return command
        if form == BINARY:
            return read_binary_header(header, body, max_fields)
        raise RemoteProtocolError(f"unknown header form {form}: 0 is JSON, 1 is binary")

    def _check_body(self, command: Command, size: int, frame: bytes = b"") -> None:
        """Check the size of a body, and keep the frame.

        Raises:
            FrameRefused: The body is too large.
        """
        limit = self.limits.body(command.code, is_response=command.is_response)
        if size > limit:
            what = "answer" if command.is_response else "request"
            command.body = b""
            raise FrameRefused(
                f"the body of {what} {command.code} has {size} bytes, more than the limit of {limit} bytes", command
            )
        command.frame = frame

    # Frames that arrive in parts

    def _go_on(self, commands: list[Command]) -> None:
        """Add the available bytes to the unfinished frame; check each part before the next."""
        while self.is_unfinished:
            if self._skip:
                self._skip -= self._move(self._skip, None)
                self.is_unfinished = self._skip > 0
                if self._skip:
                    return
                continue
            self._move(self._need - len(self._held), self._held)
            if len(self._held) < self._need:
                return
            if self._head is not None:
                self._head.body = body = bytes(self._held)
                if self._keeps_frames:
                    self._head.frame = self._start + body
                    self._start = b""
                commands.append(self._head)
                self._begin_next()
            elif self._need == 4:
                self._length(_LENGTH.unpack_from(self._held)[0])
                self._need = 8
            elif self._need == 8:
                size = self._header_size()
                # Of a header that is too long, only the part that identifies the request is collected.
                self._need += size if size <= self.limits.header else min(size, HEADER_START)
                if self._need == 8:
                    self._end_header(commands)
            else:
                self._end_header(commands)

    def _move(self, wanted: int, to: bytearray | None) -> int:
        """Consume bytes of the input; return the number of bytes of the wanted ones."""
        data, at = self._data, self._at
        found = min(wanted, len(data) - at)
        if to is not None:
            to += data[at : at + found]
        self._at = at + found
        self.has_input = self._at < len(data)
        if not self.has_input:
            self._data, self._at = b"", 0
        return found

    def _begin_next(self) -> None:
        self._held = bytearray()
        self._head = None
        self._need = 0
        self.is_unfinished = False

    def _length(self, length: int) -> None:
        """Check the length of a frame.

        Raises:
            RemoteProtocolError: The length is invalid or too large.
        """
        if 4 <= length <= self._max_frame:
            return
        if length < 0:
            raise RemoteProtocolError(f"the frame's length {length} is negative")
        if length < 4:
            raise RemoteProtocolError(f"the frame's length {length} leaves no room for its header length")
        raise RemoteProtocolError(f"the frame's length {length} is over the limit of {self._max_frame} bytes")

    def _header_size(self) -> int:
        length, word = _unpack_prefix(self._held)
        size: int = word & _HEADER_LENGTH_BITS
        if size > length - 4:
            raise RemoteProtocolError(f"the frame's header length {size} is over the {length - 4} bytes of the frame")
        return size

    def _end_header(self, commands: list[Command]) -> None:
        """Decode the received header, and check its body before any byte of it is collected.

        Raises:
            FrameRefused: The rest of the frame must be skipped.
            RemoteProtocolError: The header is invalid.
        """
        length, word = _unpack_prefix(self._held)
        start = bytes(self._held) if self._keeps_frames else b""
        header = bytes(self._held[8:])
        size = length - 4 - len(header)
        self._begin_next()
        self._skip = size
        self.is_unfinished = size > 0
        if word & _HEADER_LENGTH_BITS > self.limits.header:
            raise _header_too_long(word, header, self.limits.header)
        command = self._decode(word >> 24, header, b"")
        if size > self.limits.unchecked:
            self._check_body(command, size)
        self._skip = 0
        if size:
            self._head = command
            self._start = start
            self._need = size
            self.is_unfinished = True
        else:
            command.frame = start
            commands.append(command)


def _header_too_long(word: int, start: bytes, limit: int) -> RemoteProtocolError:
    """Return an error that can be answered, if the start of the header identifies the request."""
    why = f"the frame's header length {word & _HEADER_LENGTH_BITS} is over the limit of {limit} bytes"
    read_start = {JSON: read_json_start, BINARY: read_binary_start}.get(word >> 24)
    request = read_start(start[:HEADER_START]) if read_start is not None else None
    return RemoteProtocolError(why) if request is None else FrameRefused(why, request)


def _too_many_fields(command: Command, max_fields: int) -> FrameRefused:
    command.ext, command.body = NO_EXT, b""
    return FrameRefused(f"the header of request {command.code} has more than {max_fields} ext fields", command)


def read_frame(frame: bytes) -> Command:
    """Return the command of a whole frame that this process has encoded.

    Raises:
        RemoteProtocolError: The header is not JSON.
    """
    _, word = _unpack_prefix(frame)
    end = 8 + (word & _HEADER_LENGTH_BITS)
    return read_json_header(frame[8:end], frame[end:])


def encode_reply(
    opaque: int, code: int, ext: dict[str, str] | None = None, remark: str | None = None, body: bytes = b""
) -> bytes:
    """Encode a response, always with a JSON header: every client detects the form of each frame.

    Args:
        opaque: The `opaque` of the request.
        code: Response code, within 16 bits because Go clients read it as such.
        ext: Ext fields, all texts; an empty dict is written, None is left out.
        remark: Text for users.
        body: Raw bytes after the header.

    Raises:
        LocalProtocolError: The code or the header does not fit, or a text has no UTF-8 form.
    """
    if not -32768 <= code <= 32767:
        raise LocalProtocolError(f"response code {code} does not fit 16 bits, the maximum of Go clients")
    return _frame(JSON, write_json_reply(opaque, code, ext, remark), body)


def encode_request(command: Command) -> bytes:
    """Encode a command as it is, with a JSON header.

    Raises:
        LocalProtocolError: The header does not fit, or a text has no UTF-8 form.
    """
    return _frame(JSON, write_json_header(command), command.body)


def encode_binary(command: Command) -> bytes:
    """Encode a command as it is, with a binary header.

    Raises:
        LocalProtocolError: A number or a text does not fit its field.
    """
    return _frame(BINARY, write_binary_header(command), command.body)


def _frame(form: int, header: bytes, body: bytes) -> bytes:
    size = len(header)
    length = 4 + size + len(body)
    if size > _HEADER_LENGTH_BITS or length > _MAX_LENGTH:
        raise LocalProtocolError(f"a header of {size} and a body of {len(body)} bytes do not fit a frame")
    return b"".join((_pack_prefix(length, form << 24 | size), header, body))
