"""What an operation over the wire can end with."""

from mqguard.errors import MqguardError
from mqguard.remoting.codes import ResponseCode


class Unreachable(MqguardError):
    """The server cannot be reached, or does not answer in time; says which, and what to look at."""


class AnswerInvalid(MqguardError):
    """The server answered something that no RocketMQ server answers."""


class PeerRefused(MqguardError):
    """The server answered with a code that is no success.

    Attributes:
        code: The response code.
        remark: What the server said.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(f"{_name(code)}: {remark}" if remark else _name(code))
        self.code = code
        self.remark = remark

    @property
    def is_refusal(self) -> bool:
        """Whether the guard said no, rather than something having failed."""
        return self.code == ResponseCode.NO_PERMISSION


def _name(code: int) -> str:
    try:
        return ResponseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"response code {code}"
