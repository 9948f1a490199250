"""The root of every error that mqguard raises on purpose, and the kinds that callers act on."""

import enum
from typing import ClassVar


class ErrorKind(enum.Enum):
    """Kinds of errors: a command maps each to an exit code, another face to a status of its own."""

    FAILED = "failed"
    """The operation was rejected or failed."""
    INVALID_INPUT = "invalid-input"
    """An argument, a file or a setting is invalid; the same input fails again."""
    UNREACHABLE = "unreachable"
    """The server or the data cannot be reached; the same input may succeed later."""
    NOT_FOUND = "not-found"
    """The named object does not exist."""


class MqguardError(Exception):
    """A request or an operation that mqguard rejects or cannot do, explained in one line for users.

    Messages are lower case, without a full stop, with the user's input in backticks, and never contain a secret.

    Attributes:
        kind: Kind of the error; subclasses set another one.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.FAILED


class NotFound(MqguardError):
    """A named object that does not exist."""

    kind = ErrorKind.NOT_FOUND
