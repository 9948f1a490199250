"""What can be wrong with bytes, headers and bodies of the remoting protocol."""

from mqguard.errors import MqguardError
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command

_SENDS = frozenset(
    {
        RequestCode.SEND_MESSAGE,
        RequestCode.SEND_MESSAGE_V2,
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE_V2,
    }
)
"""Producers show the code of a refused message to their users, and do not send it again."""


class ProtocolError(MqguardError):
    """The remoting protocol was broken; a subclass says by whom."""


class LocalProtocolError(ProtocolError):
    """We were about to send something that the protocol cannot carry."""


class RemoteProtocolError(ProtocolError):
    """The peer sent bytes that are no frame of the protocol.

    The connection cannot go on, since the beginning of the next frame is unknown.

    Attributes:
        code: Response code to answer with, should an answer be possible.
        commands: Commands that were complete before the bad bytes, in order; they are to be served still.
    """

    def __init__(self, message: str, code: int = ResponseCode.SYSTEM_ERROR) -> None:
        super().__init__(message)
        self.code = code
        self.commands: list[Command] = []


class FrameRefused(RemoteProtocolError):
    """A frame is over a limit of its request code. Its header was read, and the connection can go on.

    Attributes:
        request: The frame without its body.
    """

    def __init__(self, message: str, request: Command) -> None:
        is_send = request.code in _SENDS
        super().__init__(message, ResponseCode.MESSAGE_ILLEGAL if is_send else ResponseCode.INVALID_PARAMETER)
        self.request = request


class HeaderInvalid(ProtocolError):
    """The ext fields of a well-formed frame are not what the request code needs.

    Attributes:
        field: Name of the field as the wire has it; empty if it is about the fields as a whole.
        why: What is wrong with it and what would be right.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"header field `{field}`: {why}" if field else f"header: {why}")
        self.field = field
        self.why = why


class BodyInvalid(ProtocolError):
    """The body of a well-formed frame is not what the request code needs.

    Attributes:
        path: Where in the body, such as `policies[0].entries[1].actions`; empty if it is about the body as a whole.
        why: What is wrong there and what would be right.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"body at `{path}`: {why}" if path else f"body: {why}")
        self.path = path
        self.why = why
