"""The frames of a server that are passed on to a client: where each begins and ends, and what it answers.

Rule 1: only whole frames are given out, so that other frames can be put between them.
Rule 2: a header is not decoded if it has the form that servers write. The number of an answer is searched in it.
"""

import re
import struct
from typing import Final

from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import BINARY, DEFAULT_MAX_FRAME, JSON
from mqguard.remoting.header import read_binary_header, read_json_header

_ANSWER: Final = b'"flag":1,'
"""Shows an answer in a JSON header. It cannot be part of a text, in which quotes have a backslash."""
_OPAQUE: Final = re.compile(rb'"opaque":(-?[0-9]{1,10})[,}]')
_BINARY_FLAG: Final = 12
"""Offset of the lowest byte of `flag` in a binary header."""
_BINARY_OPAQUE: Final = struct.Struct(">5xi")
_START: Final = 8
_HEADER_LENGTH_BITS: Final = 0xFFFFFF

_unpack_prefix = struct.Struct(">II").unpack_from
_find_opaque = _OPAQUE.search

ServerFrame = tuple[int, int, int, int | None]
"""Begin, begin of the body and end of a frame, and the number of the request that it answers; None for a request."""


class RelayReader:
    """Finds the frames in the bytes of one connection.

    Args:
        max_frame: Maximum frame size in bytes.
    """

    __slots__ = ("_held", "_held_size", "_max_frame", "_need")

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._max_frame = max_frame
        self._held: list[bytes] = []
        self._held_size = self._need = 0

    @property
    def pending(self) -> int:
        """The number of bytes of an unfinished frame."""
        return self._held_size

    def feed(self, data: bytes) -> tuple[bytes, list[ServerFrame]]:
        """Take the next bytes of the connection.

        Returns:
            Bytes, and the whole frames in them, one after the other from the first byte.

        Raises:
            RemoteProtocolError: The bytes are not frames.
        """
        data = self._complete(data)
        frames: list[ServerFrame] = []
        at, size = 0, len(data)
        self._need = _START
        while at + _START <= size:
            length, word = _unpack_prefix(data, at)
            end, split = at + 4 + length, at + _START + (word & _HEADER_LENGTH_BITS)
            if not 4 <= length <= self._max_frame or split > end:
                raise RemoteProtocolError(f"a frame of {length} bytes with {word & _HEADER_LENGTH_BITS} of a header")
            if end > size:
                self._need = end - at
                break
            frames.append((at, split, end, _answered(data, word >> 24, at + _START, split)))
            at = end
        if at < size:
            rest = data[at:]
            self._held.append(rest)
            self._held_size = len(rest)
        return data, frames

    def _complete(self, data: bytes) -> bytes:
        """Return the bytes with those before; nothing if the unfinished frame is still not complete."""
        if not self._held:
            return data
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size < self._need:
            return b""
        data = b"".join(self._held)
        self._held.clear()
        self._held_size = 0
        return data


def read_server_frame(data: bytes, at: int, split: int, end: int) -> Command:
    """Decode a frame.

    Raises:
        RemoteProtocolError: It is not valid.
    """
    form, header = data[at + 4], data[at + _START : split]
    if form == JSON:
        return read_json_header(header, data[split:end])
    if form == BINARY:
        return read_binary_header(header, data[split:end])
    raise RemoteProtocolError(f"unknown header form {form}: 0 is JSON, 1 is binary")


def _answered(data: bytes, form: int, at: int, split: int) -> int | None:
    """Return the number of the request that a frame answers, None for a request."""
    if form == JSON and data.find(_ANSWER, at, split) >= 0:
        found = _find_opaque(data, at, split)
        if found is not None:
            return int(found[1])
    if form == BINARY and at + _BINARY_FLAG < split and data[at + _BINARY_FLAG] & 1:
        opaque: int = _BINARY_OPAQUE.unpack_from(data, at)[0]
        return opaque
    command = read_server_frame(data, at - _START, split, split)
    return command.opaque if command.is_response else None
