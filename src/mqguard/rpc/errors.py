"""Errors of HTTP/2 connections and of gRPC calls."""

import enum

from mqguard.errors import MqguardError


class ErrorCode(enum.IntEnum):
    """Error codes of HTTP/2 (RFC 9113, section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFailed(MqguardError):
    """A peer broke the protocol or exceeded a limit, so that its connection must end.

    Attributes:
        code: Error code for the peer.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class HpackInvalid(ConnectionFailed):
    """A block of compressed header fields cannot be decoded, so later blocks cannot be decoded either."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.COMPRESSION_ERROR, message)


class StreamFailed(MqguardError):
    """A peer broke the protocol on one stream, which ends; the connection continues.

    Attributes:
        stream: The stream.
        code: Error code for the peer.
    """

    def __init__(self, stream: int, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.stream = stream
        self.code = code
