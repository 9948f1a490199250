"""Errors in users, policies and access requests."""

from mqguard.errors import ErrorKind, MqguardError


class PolicyInvalid(MqguardError):
    """An invalid subject, resource, action, source, decision or policy. Its message names the correct form."""

    kind = ErrorKind.INVALID_INPUT


class AuthenticationFailed(MqguardError):
    """A caller that failed authentication.

    Attributes:
        reason: The audit log's keyword (`no-credentials`, `unknown-user`, `wrong-signature`, `disabled`, …).
        message: The sentence for the peer; the same for an unknown user and a wrong secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class MetadataRejected(MqguardError):
    """A rejected change of users or policies; the sentence is Apache's if Apache has one."""


class MetadataStoreFailed(MqguardError):
    """A failure to read or write users and policies; nothing has changed."""


class RevisionConflict(MetadataStoreFailed):
    """A change that was decided on an older revision of the store; nothing has changed."""


class MetadataStoreOccupied(MetadataStoreFailed):
    """A store that another process uses."""


class MetadataStoreFull(MetadataStoreFailed):
    """A store without space for another write; nothing has changed."""


class SealingKeyWrong(MetadataStoreFailed):
    """A store whose secrets are sealed with another key than the given one."""


class RecordCorrupt(MetadataStoreFailed):
    """A stored user or policy record that cannot be read; the message names the record, never its contents."""
