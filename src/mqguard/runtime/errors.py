"""Errors of a start."""

from mqguard.errors import MqguardError


class StartFailed(MqguardError):
    """A start that failed: a port or the data directory is in use, a file cannot be written."""
