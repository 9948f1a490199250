"""What an operation over the wire can end with, beside the errors of the connection itself."""

from mqguard.errors import ErrorKind, MqguardError
from mqguard.remoting.codes import ResponseCode


class AddressInvalid(MqguardError):
    """An address that is none."""

    kind = ErrorKind.INVALID_INPUT


class ClusterUnknown(MqguardError):
    """The name server knows no such cluster, or several and none was named."""


class BrokerUnknown(MqguardError):
    """The name server names a broker that neither the operator nor a known process vouches for."""


class SourceUnavailable(MqguardError):
    """Users and policies cannot be read from their source, so there is no finding about them."""

    kind = ErrorKind.UNREACHABLE


class ChangesIncomplete(MqguardError):
    """A broker refused its changes after others had made theirs."""


class RotationUnknown(MqguardError):
    """The broker does not know how to keep the secret that is replaced."""


class ChangesTooMany(MqguardError):
    """More changes than the broker takes in one request."""


class AnswerInvalid(MqguardError):
    """The server answered something that no RocketMQ server answers."""


class PeerRefused(MqguardError):
    """The server answered with a code that is no success.

    Attributes:
        code: The response code.
        remark: What the server said.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(": ".join(filter(None, (_name(code), remark.strip()))))
        self.code = code
        self.remark = remark


def _name(code: int) -> str:
    try:
        return ResponseCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"response code {code}"
