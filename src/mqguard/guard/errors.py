"""Errors of the guard, and the reasons for its denials."""

import enum

from mqguard.errors import ErrorKind, MqguardError


class GuardMisconfigured(MqguardError):
    """Settings that contradict each other. The message names them and what would be right."""

    kind = ErrorKind.INVALID_INPUT


class DenialReason(enum.StrEnum):
    """The reason for a denial: keywords for audit, metrics, `mqguard why`, and the status that a face answers with."""

    # Authentication.
    MALFORMED_CREDENTIALS = "malformed-credentials"
    NO_CREDENTIALS = "no-credentials"
    NO_SIGNATURE = "no-signature"
    UNKNOWN_USER = "unknown-user"
    WRONG_SIGNATURE = "wrong-signature"
    STALE_SIGNATURE = "stale-signature"
    EXPIRED_SECRET = "expired-secret"  # noqa: S105 - a keyword
    DISABLED = "disabled"
    THROTTLED = "throttled"
    # Requirements: the request does not say what it touches, or only a Super user may send it.
    MISSING_FIELD = "missing-field"
    MISSING_BODY = "missing-body"
    MISSING_ORIGIN = "missing-origin"
    LONG_BODY = "long-body"
    LONG_NAME = "long-name"
    UNREADABLE_BODY = "unreadable-body"
    TOO_MANY_RESOURCES = "too-many-resources"
    FOREIGN_RETRY_TOPIC = "foreign-retry-topic"
    OWNERLESS_TOPIC = "ownerless-topic"
    TOPIC_FOR_GROUP = "topic-for-group"
    NO_REPLY_TOPIC = "no-reply-topic"
    SUPER_ONLY = "super-only"
    BROKER_ONLY = "broker-only"
    UNMAPPED_CODE = "unmapped-code"
    # Authorization.
    DENIED = "denied"
    NO_MATCH = "no-match"
    MISSING_NAME = "missing-name"
    NO_RESOURCE = "no-resource"
    NO_ACTION = "no-action"
    UNREADABLE = "unreadable"
    FOREIGN_OWNER = "foreign-owner"
    # Plugins.
    PLUGIN_REFUSED = "plugin-refused"
    PLUGIN_RAISED = "plugin-raised"
    PLUGIN_LATE = "plugin-late"
    PLUGIN_NONSENSE = "plugin-nonsense"
    PLUGIN_BUSY = "plugin-busy"
    # The guard itself.
    AUDIT_FULL = "audit-full"
    INTERNAL_ERROR = "internal-error"


class PermissionsUnclear(MqguardError):
    """A request that does not say, or may not say, what it touches. The message is for the peer.

    Attributes:
        reason: The reason for the denial.
    """

    def __init__(self, reason: DenialReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Refused(MqguardError):
    """A denied request.

    Attributes:
        reason: The reason, which each face maps to a status of its protocol.
        message: The message for the peer: Apache's wording and the decision id.
        decision_id: The id by which `mqguard why` and the audit log have the details.
    """

    def __init__(self, reason: DenialReason, message: str, decision_id: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.decision_id = decision_id


class RequestSuspended(MqguardError):
    """A request that waits for plugins: not a failure, and no peer sees it. See `plugin_calls.PluginCallsPending`."""
