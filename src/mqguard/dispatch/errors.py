"""Errors of handlers that become answers."""

from mqguard.errors import MqguardError


class RequestRefused(MqguardError):
    """A request that cannot be served as it is.

    Attributes:
        code: Response code.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(remark)
        self.code = code


class ConfigurationRefused(MqguardError):
    """A change of the configuration that is not possible over the wire. It names the key; nothing has changed."""
