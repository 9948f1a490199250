"""Why a process cannot start or go on."""

from mqguard.errors import MqguardError


class StartFailed(MqguardError):
    """The process cannot serve: a port or the data directory is taken, a file cannot be written."""
