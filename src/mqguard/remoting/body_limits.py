"""Maximum frame sizes by request code, before and after the connection has authenticated.

A request is small before its sender is known, unless its code needs more: a producer's first request may be a send.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from mqguard.remoting.codes import CODE_NAMES, RequestCode

_KB: Final = 1024
_MB: Final = 1024 * 1024

MAX_MESSAGE: Final = 4 * _MB
"""Maximum message size in bytes unless the caller gives another value."""
_MESSAGE_ROOM: Final = 64 * _KB
"""Bytes over the maximum message size that are still read, so that the engine answers with its own error."""
_UNKNOWN_BODY: Final = 4 * _KB


class _Row(NamedTuple):
    """Maximum body sizes of a request code, in bytes."""

    anonymous: int
    authenticated: int


NO_BODY: Final = _Row(4 * _KB, 64 * _KB)
"""Most codes have their parameters in the header alone."""

_SENDS: Final = (
    RequestCode.SEND_MESSAGE,
    RequestCode.SEND_MESSAGE_V2,
    RequestCode.SEND_BATCH_MESSAGE,
    RequestCode.SEND_REPLY_MESSAGE,
    RequestCode.SEND_REPLY_MESSAGE_V2,
)

TABLE: Final[Mapping[RequestCode, _Row]] = {
    RequestCode.HEART_BEAT: _Row(128 * _KB, 256 * _KB),
    RequestCode.CHECK_CLIENT_CONFIG: _Row(64 * _KB, 256 * _KB),
    RequestCode.LOCK_BATCH_MQ: _Row(64 * _KB, 256 * _KB),
    RequestCode.UNLOCK_BATCH_MQ: _Row(64 * _KB, 256 * _KB),
    RequestCode.QUERY_ASSIGNMENT: _Row(16 * _KB, 64 * _KB),
    RequestCode.SET_MESSAGE_REQUEST_MODE: _Row(16 * _KB, 64 * _KB),
    RequestCode.BATCH_ACK_MESSAGE: _Row(64 * _KB, 256 * _KB),
    RequestCode.LITE_SUBSCRIPTION_CTL: _Row(64 * _KB, 256 * _KB),
    RequestCode.REGISTER_BROKER: _Row(1 * _MB, 4 * _MB),
    RequestCode.REGISTER_TOPIC_IN_NAMESRV: _Row(16 * _KB, 256 * _KB),
    RequestCode.QUERY_DATA_VERSION: _Row(16 * _KB, 64 * _KB),
    RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_AND_CREATE_STATIC_TOPIC: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_BROKER_CONFIG: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_NAMESRV_CONFIG: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_CONTROLLER_CONFIG: _Row(64 * _KB, 256 * _KB),
    RequestCode.UPDATE_COLD_DATA_FLOW_CTR_CONFIG: _Row(16 * _KB, 64 * _KB),
    RequestCode.REMOVE_COLD_DATA_FLOW_CTR_CONFIG: _Row(16 * _KB, 64 * _KB),
    RequestCode.CONTROLLER_ALTER_SYNC_STATE_SET: _Row(16 * _KB, 64 * _KB),
    RequestCode.CONTROLLER_GET_SYNC_STATE_DATA: _Row(16 * _KB, 64 * _KB),
    RequestCode.GET_SYNC_STATE_DATA_REQUEST: _Row(16 * _KB, 64 * _KB),
    RequestCode.EXCHANGE_BROKER_HA_INFO: _Row(16 * _KB, 64 * _KB),
    RequestCode.AUTH_CREATE_USER: _Row(16 * _KB, 64 * _KB),
    RequestCode.AUTH_UPDATE_USER: _Row(16 * _KB, 64 * _KB),
    RequestCode.AUTH_CREATE_ACL: _Row(1 * _MB, 4 * _MB),
    RequestCode.AUTH_UPDATE_ACL: _Row(1 * _MB, 4 * _MB),
}
"""Codes whose bodies need more than `NO_BODY`; sends follow the maximum message size."""

_MAX_ANSWER: Final = _Row(4 * _KB, 4 * _MB)
"""Maximum size of a client's response to the server: running information with its stack traces is the largest."""


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """Limits of the frames that one connection may currently send. Sizes are bytes.

    Attributes:
        header: Maximum header size.
        fields: Maximum number of ext fields.
        answer: Maximum body size of a response.
        bodies: Maximum body size of a request, by code.
        unknown: Maximum body size of a request with an unknown code.
        unchecked: Size up to which a body fits any code.
    """

    header: int
    fields: int
    answer: int
    bodies: Mapping[int, int]
    unknown: int = _UNKNOWN_BODY
    unchecked: int = _UNKNOWN_BODY

    def body(self, code: int, *, is_response: bool) -> int:
        """Return the maximum body size of a frame with this code."""
        return self.answer if is_response else self.bodies.get(code, self.unknown)


def anonymous_limits(max_message: int = MAX_MESSAGE) -> FrameLimits:
    """Return the limits before a connection has authenticated.

    Args:
        max_message: Maximum message size in bytes.
    """
    bodies = {code: row.anonymous for code, row in _rows(max_message).items()}
    return FrameLimits(64 * _KB, 64, _MAX_ANSWER.anonymous, bodies)


def authenticated_limits(max_message: int = MAX_MESSAGE) -> FrameLimits:
    """Return the limits of a connection that has authenticated.

    A header contains the properties of a message, which are 32 KB before they are escaped.

    Args:
        max_message: Maximum message size in bytes.
    """
    bodies = {code: row.authenticated for code, row in _rows(max_message).items()}
    return FrameLimits(256 * _KB, 256, _MAX_ANSWER.authenticated, bodies)


def _rows(max_message: int) -> dict[int, _Row]:
    send = _Row(max_message + _MESSAGE_ROOM, max_message + _MESSAGE_ROOM)
    return (
        dict.fromkeys(CODE_NAMES, NO_BODY)
        | {int(code): row for code, row in TABLE.items()}
        | dict.fromkeys(map(int, _SENDS), send)
    )
