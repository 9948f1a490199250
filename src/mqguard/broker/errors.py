"""What a processor refuses by itself."""

from mqguard.errors import MqguardError


class RequestRefused(MqguardError):
    """A request that cannot be served as it is.

    Attributes:
        code: Response code.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(remark)
        self.code = code
