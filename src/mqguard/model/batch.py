"""The body of a batch send: several messages of one topic in one frame (Apache: `MessageDecoder`)."""

import struct

import msgspec

from mqguard.model.errors import RecordInvalid

_HEAD = struct.Struct(">iiiii")
"""Total size, magic (0), checksum (0), flag, body size."""
_SHORT = struct.Struct(">h")


class BatchMessage(msgspec.Struct, gc=False):
    """One message of a batch; topic, times and hosts are those of the request.

    Attributes:
        body: Message body.
        properties: Property text as bytes.
        flag: The user's number.
    """

    body: bytes
    properties: bytes = b""
    flag: int = 0


def encode(messages: list[BatchMessage]) -> bytes:
    """Encode a batch body as the Java client does."""
    parts: list[bytes] = []
    for message in messages:
        size = _HEAD.size + len(message.body) + 2 + len(message.properties)
        parts += (
            _HEAD.pack(size, 0, 0, message.flag, len(message.body)),
            message.body,
            _SHORT.pack(len(message.properties)),
            message.properties,
        )
    return b"".join(parts)


def decode(data: bytes) -> list[BatchMessage]:
    """Decode a batch body.

    Raises:
        RecordInvalid: The bytes are not whole messages in sequence.
    """
    found: list[BatchMessage] = []
    at = 0
    while at < len(data):
        message, at = decode_at(data, at)
        found.append(message)
    return found


def decode_at(data: bytes, at: int) -> tuple[BatchMessage, int]:
    """Decode one message of a batch body.

    Args:
        data: The body.
        at: The position of the message.

    Returns:
        The message, and the position of the next one.

    Raises:
        RecordInvalid: There is no whole message.
    """
    number_at = f"the batch message at byte {at}"
    if len(data) - at < _HEAD.size + 2:
        raise RecordInvalid(f"{number_at} is cut off after {len(data) - at} bytes")

    size, _, _, flag, body_size = _HEAD.unpack_from(data, at)
    body_at = at + _HEAD.size
    if not 0 <= body_size <= len(data) - body_at - 2:
        raise RecordInvalid(f"{number_at} claims {body_size} body bytes, but {len(data) - body_at - 2} are present")

    (properties_size,) = _SHORT.unpack_from(data, body_at + body_size)
    properties_at = body_at + body_size + 2
    end = properties_at + properties_size
    if properties_size < 0 or end > len(data):
        raise RecordInvalid(f"{number_at} claims {properties_size} bytes of properties")
    if end - at != size:
        raise RecordInvalid(f"{number_at} claims {size} bytes but its parts take {end - at}")
    return BatchMessage(data[body_at : body_at + body_size], data[properties_at:end], flag), end
