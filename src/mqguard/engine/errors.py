"""Errors of the engine. `dispatch/request.py` has the table of their response codes.

Messages for clients keep Apache's wording where it has one.
"""

from mqguard.errors import MqguardError


class EngineError(MqguardError):
    """The engine cannot carry out a request."""


class NoSuchTopic(EngineError):
    """The topic does not exist, and this request may not create it."""


class NoSuchGroup(EngineError):
    """The consumer group does not exist, and this request may not create it."""


class NoSuchQueue(EngineError):
    """The topic has no queue with that number."""


class NoSuchMessage(EngineError):
    """The offset has no message."""


class TransactionMismatch(EngineError):
    """A request names a transaction with another producer group or queue offset than its own."""


class TransactionExpired(EngineError):
    """Only the answer to a check can end the transaction now."""


class NotWritable(EngineError):
    """The topic has no write permission."""


class NotReadable(EngineError):
    """The topic has no read permission, or the group may not consume."""


class MessageIllegal(EngineError):
    """The message is too large, malformed or contradictory."""


class ConfigIllegal(EngineError):
    """A topic or group has an illegal name, number or attribute, or is a system topic."""


class LimitReached(EngineError):
    """The maximum number of topics, groups or offsets is reached, in total or for the user."""


class LiteLimitReached(EngineError):
    """The maximum number of lite topics is reached, in total or for the user."""


class LiteSubscriptionLimitReached(EngineError):
    """The maximum number of subscriptions to lite topics is reached, in total or for the client or the user."""


class NotSupported(EngineError):
    """The engine does not have the requested feature yet."""


class FilterInvalid(EngineError):
    """The filter of a subscription is malformed or too large, or its language is unknown."""


class FilterUnsupported(EngineError):
    """The broker does not accept filters of that language."""


class StoreFull(EngineError):
    """The disk is nearly full, and new messages are rejected."""


class StoreDown(EngineError):
    """The store cannot be written or read now; clients may try again."""
