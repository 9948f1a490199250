"""How the guard says no."""

from mqguard.errors import ErrorKind, MqguardError


class GuardMisconfigured(MqguardError):
    """The guard's settings contradict each other; says which, and what would be right."""

    kind = ErrorKind.INVALID_INPUT


class NeedUnclear(MqguardError):
    """A request does not say, or may not say, what it wants to touch; the message is told to the peer.

    Attributes:
        reason: Machine word for the audit log (`missing-field`, `foreign-retry-topic`, `super-only`, …).
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Refused(MqguardError):
    """A request is refused.

    Attributes:
        code: Response code for the peer.
        remark: What the peer hears: Apache's wording and the decision id.
        decision_id: Under which `mqguard why` and the audit log tell the whole story.
    """

    def __init__(self, code: int, remark: str, decision_id: str) -> None:
        super().__init__(remark)
        self.code = code
        self.remark = remark
        self.decision_id = decision_id


class RequestSuspended(MqguardError):
    """A request has to wait for plugins: no failure, and never told to a peer. `asking.Waits` says for what."""
