"""What can be wrong with a configuration."""

from mqguard.errors import ErrorKind, MqguardError


class ConfigInvalid(MqguardError):
    """A configuration that must not be started with; says which place, which key and what would be right."""

    kind = ErrorKind.INVALID_INPUT


class ValueInvalid(MqguardError):
    """A value that its option cannot take; says what would be right and never repeats the value.

    The loader adds place, key and, unless it is a secret, the value.
    """
