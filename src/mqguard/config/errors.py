"""Errors in a configuration."""

from mqguard.errors import ErrorKind, MqguardError


class ConfigInvalid(MqguardError):
    """A configuration that prevents the start.

    Attributes:
        problems: One line for each problem, with the place, the key and the valid form.
    """

    kind = ErrorKind.INVALID_INPUT

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ValueInvalid(MqguardError):
    """A value that its option does not accept. The message names the valid form and never repeats the value.

    The loader adds place, key and, unless it is a secret, the value.
    """
