"""What the engine refuses. `dispatch/request.py` says which response code each class becomes.

Texts that a client sees keep Apache's wording where it has one.
"""

from mqguard.errors import MqguardError


class EngineError(MqguardError):
    """The engine can not do what it was asked for."""


class NoSuchTopic(EngineError):
    """The topic does not exist and must not be made by this request (17)."""


class NoSuchGroup(EngineError):
    """The consumer group does not exist and must not be made by this request (26)."""


class NoSuchQueue(EngineError):
    """The topic has no queue of that number (29)."""


class NoSuchMessage(EngineError):
    """There is no message at that offset (1)."""


class NotWritable(EngineError):
    """The topic takes no messages (16)."""


class NotReadable(EngineError):
    """The topic gives no messages, or the group may not consume (16)."""


class MessageIllegal(EngineError):
    """The message itself is refused: too large, malformed, contradicting itself (13)."""


class ConfigIllegal(EngineError):
    """A topic or group that can not be as asked for: name, numbers, attributes, a system topic (29)."""


class LimitReached(EngineError):
    """There are as many topics, groups or offsets as there may be, in all or of this user (14)."""


class NotSupported(EngineError):
    """A feature that is not served yet (3)."""


class StoreFull(EngineError):
    """The disk is nearly full; new messages are refused before it is (14)."""


class StoreDown(EngineError):
    """The store can not be written or read now (1); clients may try again."""
