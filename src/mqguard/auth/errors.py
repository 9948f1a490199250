"""What can be wrong with users, policies and requests for access."""

from mqguard.errors import ErrorKind, MqguardError


class PolicyInvalid(MqguardError):
    """A subject, resource, action, source, decision or policy that is none; says what and what would be right."""

    kind = ErrorKind.INVALID_INPUT


class AuthenticationFailed(MqguardError):
    """A caller is not who it says it is.

    Attributes:
        reason: Machine word for the audit log (`no-credentials`, `unknown-user`, `wrong-signature`, `disabled`, …).
        message: The sentence that the peer hears; the same for an unknown user and a wrong secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class MetadataRejected(MqguardError):
    """A change of users or policies that is refused; the sentence is Apache's where Apache has one."""


class MetadataStoreFailed(MqguardError):
    """Users and policies could not be read or written; nothing has changed."""


class RevisionConflict(MetadataStoreFailed):
    """Users and policies were changed by another server after they were read; nothing of this change was stored."""


class MetadataStoreOccupied(MetadataStoreFailed):
    """Another process holds the store."""


class MetadataStoreFull(MetadataStoreFailed):
    """There is no room left to write."""


class RecordCorrupt(MetadataStoreFailed):
    """A stored record of a user or a policy that cannot be read; names the record, never its contents."""
