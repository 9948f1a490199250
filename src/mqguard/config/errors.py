"""Errors in a configuration."""

from mqguard.errors import ErrorKind, MqguardError


class ConfigInvalid(MqguardError):
    """A configuration that prevents the start; the message names the place, the key and the valid form."""

    kind = ErrorKind.INVALID_INPUT


class ValueInvalid(MqguardError):
    """A value that its option does not accept. The message names the valid form and never repeats the value.

    The loader adds place, key and, unless it is a secret, the value.
    """
