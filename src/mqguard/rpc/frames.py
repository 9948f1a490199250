"""Frames of HTTP/2 (RFC 9113, sections 4 and 6): their numbers, their bytes, and the settings that both sides send."""

import struct
from typing import Final

from mqguard.rpc.errors import ConnectionFailed, ErrorCode

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The first bytes of a client."""
MAX_FRAME: Final = 16_384
"""Maximum payload of a frame in both directions: the default of the protocol."""
HEAD: Final = 9
"""Bytes before the payload: length, kind, flags and stream."""
DEFAULT_WINDOW: Final = 65_535
MAX_WINDOW: Final = 2**31 - 1
MAX_STREAM: Final = 2**31 - 1

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

_ENABLE_PUSH: Final = 2
_MAX_CONCURRENT_STREAMS: Final = 3
_INITIAL_WINDOW_SIZE: Final = 4
_MAX_FRAME_SIZE: Final = 5
_MAX_HEADER_LIST_SIZE: Final = 6
_SETTING: Final = struct.Struct(">HI")
HEAD_FORM: Final = struct.Struct(">HBBBI")
"""The bytes before a payload: its length in two parts, kind, flags and stream."""
_pack_head = HEAD_FORM.pack


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    size = len(payload)
    return _pack_head(size >> 8, size & 0xFF, kind, flags, stream) + payload


def data_frames(stream: int, payload: bytes) -> bytes:
    """Return the DATA frames of a payload; none of them ends the stream."""
    if len(payload) <= MAX_FRAME:
        return frame(DATA, 0, stream, payload)
    return b"".join([frame(DATA, 0, stream, payload[at : at + MAX_FRAME]) for at in range(0, len(payload), MAX_FRAME)])


def settings(max_streams: int, window: int, max_list: int) -> bytes:
    """Return the SETTINGS frame of a server."""
    pairs = ((_MAX_CONCURRENT_STREAMS, max_streams), (_INITIAL_WINDOW_SIZE, window), (_MAX_HEADER_LIST_SIZE, max_list))
    return frame(SETTINGS, 0, 0, b"".join([_SETTING.pack(name, value) for name, value in pairs]))


def window_update(stream: int, amount: int) -> bytes:
    """Return a frame that lets the peer send this number of bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, amount.to_bytes(4, "big"))


def reset(stream: int, code: int) -> bytes:
    """Return a frame that ends a stream at once."""
    return frame(RST_STREAM, 0, stream, int(code).to_bytes(4, "big"))


def go_away(last: int, code: int, reason: str = "") -> bytes:
    """Return the frame that announces the end of the connection: streams above `last` are not served."""
    return frame(GOAWAY, 0, 0, last.to_bytes(4, "big") + int(code).to_bytes(4, "big") + reason.encode())


def read_settings(payload: bytes) -> int | None:
    """Check the settings of a client; return the new window of its streams, None if it does not set one.

    The other settings have no influence: the server pushes nothing, and its frames and tables have the default sizes.

    Raises:
        ConnectionFailed: A setting has an illegal value.
    """
    if len(payload) % _SETTING.size:
        raise ConnectionFailed(ErrorCode.FRAME_SIZE_ERROR, f"settings of {len(payload)} bytes")
    window = None
    for name, value in _SETTING.iter_unpack(payload):
        if name == _INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFailed(ErrorCode.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
            window = value
        elif name == _ENABLE_PUSH and value > 1:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"the setting ENABLE_PUSH is {value}")
        elif name == _MAX_FRAME_SIZE and not MAX_FRAME <= value < 1 << 24:
            raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, f"the setting MAX_FRAME_SIZE is {value}")
    return window


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return a payload without its padding.

    Raises:
        ConnectionFailed: The padding is longer than the payload.
    """
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFailed(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
