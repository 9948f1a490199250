"""Message ids: the broker's offset id and the client's unique id."""

import struct
from typing import NamedTuple

_HOST_V4 = struct.Struct(">4siq")
_HOST_V6 = struct.Struct(">16siq")
_UNIQUE_TAIL = struct.Struct(">HIIH")
_MONTH_MS = 31 * 24 * 3600 * 1000


class OffsetId(NamedTuple):
    """The content of an offset message id: the broker of the message, and its position.

    Attributes:
        address: 4 or 16 bytes of the broker's address.
        port: The broker's port.
        physical_offset: The position of the message.
    """

    address: bytes
    port: int
    physical_offset: int


def offset_id(address: bytes, port: int, physical_offset: int) -> str:
    """Format an offset id: 32 (IPv4) or 56 (IPv6) upper-case hex digits."""
    form = _HOST_V4 if len(address) == 4 else _HOST_V6
    return form.pack(address, port, physical_offset).hex().upper()


def parse_offset_id(text: str) -> OffsetId | None:
    """Parse an offset id; return None if the text has another form. A unique id of Java has the same form."""
    try:
        data = bytes.fromhex(text) if text.isalnum() else b""
    except ValueError:
        return None
    if len(data) == 16:
        return OffsetId(*_HOST_V4.unpack(data))
    if len(data) == 28:
        return OffsetId(*_HOST_V6.unpack(data))
    return None


class UniqueIds:
    """Creates unique ids in the form of the Java client, for messages without one.

    Args:
        address: 4 or 16 bytes that identify this host.
        process: A number that differs between the processes of a host; 16 bits count.
        salt: A number that differs between starts of a process; 32 bits count.
    """

    def __init__(self, address: bytes, process: int, salt: int) -> None:
        self._head = address
        self._process = process & 0xFFFF
        self._salt = salt & 0xFFFFFFFF
        self._counter = 0

    def next(self, now_ms: int) -> str:
        """Return another id; unique if fewer than 65,536 are created in a millisecond."""
        self._counter = (self._counter + 1) & 0xFFFF
        tail = _UNIQUE_TAIL.pack(self._process, self._salt, now_ms % _MONTH_MS, self._counter)
        return (self._head + tail).hex().upper()
