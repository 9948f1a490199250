"""Frames: bytes in, commands out, and back.

A frame is: length i32 of all that follows, one byte for the header's form (0 JSON, 1 binary), header length u24,
header, body. All numbers are big-endian (Apache: `RemotingCommand`).
"""

# Rule 1: what `feed` does depends on the bytes of the connection so far, never on how they were split.
# Rule 2: any bytes give commands or a RemoteProtocolError, and nothing else.
# Rule 3: a frame is decoded once; of its bytes only the body (and the small header) is copied.

import struct
from typing import Final

from mqguard.remoting import header_binary, header_json
from mqguard.remoting.command import Command
from mqguard.remoting.errors import LocalProtocolError, RemoteProtocolError

DEFAULT_MAX_FRAME: Final = 16 * 1024 * 1024
"""Largest frame in bytes that Java peers accept by default (`com.rocketmq.remoting.frameMaxLength`)."""

MAX_HEADER: Final = 1024 * 1024
"""Longest header in bytes that we read. Honest ones stay under 200 KB (properties of 32 KB, every byte escaped)."""

JSON: Final = 0
BINARY: Final = 1

_PREFIX: Final = struct.Struct(">II")
_LENGTH: Final = struct.Struct(">i")
_LONGEST_HEADER: Final = 0xFFFFFF
_MAX_LENGTH: Final = 0x7FFFFFFF

_unpack_prefix = _PREFIX.unpack_from
_pack_prefix = _PREFIX.pack


class FrameReader:
    """Turns the bytes of one connection into commands.

    Args:
        max_frame: Largest frame in bytes that is accepted; a longer one is refused by its length field, unread.
    """

    __slots__ = ("_broken", "_held", "_max_frame", "_need")

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._held = bytearray()
        self._need = 4
        self._broken = False

    @property
    def pending(self) -> int:
        """Bytes held of a frame that has not ended."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Command]:
        """Take the next bytes of the connection.

        Returns:
            The commands that are complete now, in order.

        Raises:
            RemoteProtocolError: The bytes are no frame. Its `commands` holds those that were complete before.
                The reader is of no use afterwards: every further call raises.
        """
        if self._broken:
            raise RemoteProtocolError("bytes after a frame that could not be read")
        commands: list[Command] = []
        try:
            at = self._complete(data, commands) if self._held else 0
            if at < len(data):
                self._read(data, at, commands)
        except RemoteProtocolError as exc:
            self._broken = True
            self._held.clear()
            exc.commands = commands
            raise
        return commands

    def _complete(self, data: bytes, commands: list[Command]) -> int:
        """Give the held beginning of a frame what it needs; the position in `data` up to which that went."""
        held = self._held
        at = 0
        while True:
            missing = self._need - len(held)
            held += data[at : at + missing]
            at = min(len(data), at + missing)
            if len(held) < self._need:
                return at
            if self._need > 4:
                commands.append(self._one(bytes(held), 0, self._need))
                held.clear()
                self._need = 4
                return at
            self._need = 4 + self._length(held, 0)

    def _read(self, data: bytes, at: int, commands: list[Command]) -> None:
        """Read all whole frames from `at` on and hold the rest."""
        size = len(data)
        while at + 4 <= size:
            end = at + 4 + self._length(data, at)
            if end > size:
                self._need = end - at
                break
            commands.append(self._one(data, at, end))
            at = end
        if at < size:
            self._held += data[at:]

    def _length(self, data: bytes | bytearray, at: int) -> int:
        length: int = _LENGTH.unpack_from(data, at)[0]
        if 4 <= length <= self._max_frame:
            return length
        if length < 0:
            raise RemoteProtocolError(f"the frame's length {length} is negative")
        if length < 4:
            raise RemoteProtocolError(f"the frame's length {length} leaves no room for its header length")
        raise RemoteProtocolError(f"the frame's length {length} is over the limit of {self._max_frame} bytes")

    def _one(self, data: bytes, at: int, end: int) -> Command:
        word: int = _unpack_prefix(data, at)[1]
        start = at + 8
        size = word & _LONGEST_HEADER
        split = start + size
        if split > end:
            raise RemoteProtocolError(f"the frame's header length {size} is over the {end - start} bytes of the frame")
        if size > MAX_HEADER:
            raise RemoteProtocolError(f"the frame's header length {size} is over the limit of {MAX_HEADER} bytes")
        form = word >> 24
        if form == JSON:
            return header_json.read(data[start:split], data[split:end])
        if form == BINARY:
            return header_binary.read(data[start:split], data[split:end])
        raise RemoteProtocolError(f"unknown header form {form}: 0 is JSON, 1 is binary")


def encode_reply(
    opaque: int, code: int, ext: dict[str, str] | None = None, remark: str | None = None, body: bytes = b""
) -> bytes:
    """Encode an answer, always with a JSON header: every client reads the form frame by frame.

    Args:
        opaque: That of the request.
        code: Response code, within 16 bits because Go clients read it so.
        ext: Ext fields, all texts; an empty dict is written, None is left out.
        remark: Text for a person.
        body: Raw bytes after the header.

    Raises:
        LocalProtocolError: The code or the header does not fit, or a text has no UTF-8 form.
    """
    if not -32768 <= code <= 32767:
        raise LocalProtocolError(f"response code {code} does not fit 16 bits, as Go clients read it")
    return _frame(JSON, header_json.write_reply(opaque, code, ext, remark), body)


def encode_request(command: Command) -> bytes:
    """Encode a command as it is, with a JSON header.

    Raises:
        LocalProtocolError: The header does not fit, or a text has no UTF-8 form.
    """
    return _frame(JSON, header_json.write(command), command.body)


def encode_binary(command: Command) -> bytes:
    """Encode a command as it is, with a binary header.

    Raises:
        LocalProtocolError: A number or a text does not fit its field.
    """
    return _frame(BINARY, header_binary.write(command), command.body)


def _frame(form: int, header: bytes, body: bytes) -> bytes:
    size = len(header)
    length = 4 + size + len(body)
    if size > _LONGEST_HEADER or length > _MAX_LENGTH:
        raise LocalProtocolError(f"a header of {size} and a body of {len(body)} bytes do not fit a frame")
    return b"".join((_pack_prefix(length, form << 24 | size), header, body))
