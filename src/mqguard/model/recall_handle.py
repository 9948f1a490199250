"""Handle of a message for a time, by which its producer recalls it (Apache: `RecallMessageHandle`).

The text is URL-safe base64 of `v1 TOPIC BROKER TIME UNIQUE_ID`, with blanks between the parts. A client can make any
handle, so the broker always looks for the message itself.
"""

import base64
import binascii
from typing import NamedTuple

from mqguard.errors import MqguardError

_VERSION = "v1"
_PARTS = 5
MAX_HANDLE = 4096
"""Maximum characters of a handle: a topic has at most 255 characters, but clients choose unique ids."""


class RecallHandleInvalid(MqguardError):
    """A text is not a recall handle."""


class RecallHandle(NamedTuple):
    """The parts of a handle.

    Attributes:
        topic: Topic of the message.
        broker: Name of the broker that has it.
        time: Time of delivery in milliseconds since the epoch, as text.
        unique_id: Unique id of the message.
    """

    topic: str
    broker: str
    time: str
    unique_id: str


def encode(handle: RecallHandle) -> str:
    """Return the text of a handle."""
    return base64.urlsafe_b64encode(" ".join((_VERSION, *handle)).encode()).decode()


def decode(text: str) -> RecallHandle:
    """Return the parts of a text.

    Raises:
        RecallHandleInvalid: The text is not a handle.
    """
    try:
        # Java accepts a text without the padding.
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= MAX_HANDLE else b""
        version, *parts = data.decode().split(" ")
    except (binascii.Error, ValueError):
        raise RecallHandleInvalid("recall handle is invalid") from None
    if version != _VERSION or len(parts) < _PARTS - 1:
        raise RecallHandleInvalid("recall handle is invalid")
    return RecallHandle(*parts[: _PARTS - 1])
