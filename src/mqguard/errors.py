"""The root of every error that mqguard raises on purpose, and the kinds that callers act on."""

import enum
from typing import ClassVar


class ErrorKind(enum.Enum):
    """Kinds of errors: a command maps each to an exit code, another face to a status of its own."""

    FAILED = "failed"
    """The operation was refused or failed."""
    INVALID_INPUT = "invalid-input"
    """An argument, a file or a setting is wrong; the same input fails again."""
    UNREACHABLE = "unreachable"
    """The server or the data cannot be reached; the same input may succeed later."""
    NOT_FOUND = "not-found"
    """The named object does not exist."""


class MqguardError(Exception):
    """Something that mqguard refuses or cannot do, said in one line for a person.

    Messages are lower case, without a full stop, hold the user's input in backticks and never a secret.

    Attributes:
        kind: Kind of the error; subclasses set another one.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.FAILED


class NotFound(MqguardError):
    """The object that the caller named does not exist."""

    kind = ErrorKind.NOT_FOUND
