"""Errors of the engine. `dispatch/request.py` has the table of their response codes.

Messages for clients keep Apache's wording where it has one.
"""

from mqguard.errors import MqguardError


class EngineError(MqguardError):
    """The engine cannot carry out a request."""


class NoSuchTopic(EngineError):
    """The topic does not exist, and this request may not create it (17)."""


class NoSuchGroup(EngineError):
    """The consumer group does not exist, and this request may not create it (26)."""


class NoSuchQueue(EngineError):
    """The topic has no queue with that number (29)."""


class NoSuchMessage(EngineError):
    """The offset has no message (1)."""


class NotWritable(EngineError):
    """The topic has no write permission (16)."""


class NotReadable(EngineError):
    """The topic has no read permission, or the group may not consume (16)."""


class MessageIllegal(EngineError):
    """The message is too large, malformed or contradictory (13)."""


class ConfigIllegal(EngineError):
    """A topic or group has an illegal name, number or attribute, or is a system topic (29)."""


class LimitReached(EngineError):
    """The maximum number of topics, groups or offsets is reached, in total or for the user (14)."""


class NotSupported(EngineError):
    """The engine does not have the requested feature yet (3)."""


class StoreFull(EngineError):
    """The disk is nearly full, and new messages are rejected (14)."""


class StoreDown(EngineError):
    """The store cannot be written or read now (1); clients may try again."""
