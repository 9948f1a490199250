"""The frames of a server that are passed on to a client: runs of whole frames, and frames that must be read.

Rule 1: only whole frames are given out, so that other frames can be put between them.
Rule 2: a frame is passed on unread only if its header shows that it is an answer, and no answer is wanted.
"""

import struct
from collections.abc import Container
from typing import Final

from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import BINARY, DEFAULT_MAX_FRAME, JSON
from mqguard.remoting.header import read_binary_header, read_json_header

_ANSWER: Final = b'"flag":1,'
"""Shows an answer in a JSON header. It cannot be part of a text, in which quotes have a backslash."""
_FLAG_OFFSET: Final = 12
"""Offset of the lowest byte of `flag` in a binary header."""
_START: Final = 8
_HEADER_LENGTH_BITS: Final = 0xFFFFFF

_unpack_prefix = struct.Struct(">II").unpack_from

Part = bytes | Command


class RelayReader:
    """Splits the bytes of one connection.

    Args:
        wanted: Numbers of the requests whose answers must be read.
        max_frame: Maximum frame size in bytes.
    """

    __slots__ = ("_held", "_held_size", "_max_frame", "_need", "_wanted")

    def __init__(self, wanted: Container[int], max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._wanted = wanted
        self._max_frame = max_frame
        self._held: list[bytes] = []
        self._held_size = self._need = 0

    @property
    def pending(self) -> int:
        """The number of bytes of an unfinished frame."""
        return self._held_size

    def feed(self, data: bytes) -> list[Part]:
        """Take the next bytes of the connection.

        Returns:
            Whole frames in order: bytes to be passed on, and commands (with their frame) to be read.

        Raises:
            RemoteProtocolError: The bytes are not frames.
        """
        if self._held:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size < self._need:
                return []
            data = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        parts: list[Part] = []
        start = at = 0
        size, is_any_wanted = len(data), bool(self._wanted)
        self._need = _START
        while at + _START <= size:
            length, word = _unpack_prefix(data, at)
            end, split = at + 4 + length, at + _START + (word & _HEADER_LENGTH_BITS)
            if not 4 <= length <= self._max_frame or split > end:
                raise RemoteProtocolError(f"a frame of {length} bytes with {word & _HEADER_LENGTH_BITS} of a header")
            if end > size:
                self._need = end - at
                break
            if is_any_wanted or not _is_answer(data, word >> 24, at + _START, split):
                command = _read(word >> 24, data[at + _START : split], data[split:end])
                if not command.is_response or command.opaque in self._wanted:
                    if start < at:
                        parts.append(data[start:at])
                    command.frame = data[at:end]
                    parts.append(command)
                    start = end
            at = end
        if start < at:
            parts.append(data[start:at])
        self._hold(data[at:])
        return parts

    def _hold(self, data: bytes) -> None:
        """Keep the start of a frame."""
        if data:
            self._held.append(data)
            self._held_size = len(data)


def _is_answer(data: bytes, form: int, at: int, split: int) -> bool:
    """Return True if a header is certainly that of an answer."""
    if form == JSON:
        return data.find(_ANSWER, at, split) >= 0
    return form == BINARY and at + _FLAG_OFFSET < split and bool(data[at + _FLAG_OFFSET] & 1)


def _read(form: int, header: bytes, body: bytes) -> Command:
    """Decode a frame.

    Raises:
        RemoteProtocolError: It is not valid.
    """
    if form == JSON:
        return read_json_header(header, body)
    if form == BINARY:
        return read_binary_header(header, body)
    raise RemoteProtocolError(f"unknown header form {form}: 0 is JSON, 1 is binary")
