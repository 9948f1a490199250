"""Commands: the content of one remoting frame, and its reply. Errors in bytes, headers and bodies."""

import msgspec

from mqguard.errors import MqguardError
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, RequestCode, ResponseCode

NO_EXT: dict[str, str] = {}
"""The fields of a frame without ext fields. INVARIANT: no code writes to it."""


class Command(msgspec.Struct, gc=False):
    """One decoded frame, request or answer.

    Attributes:
        code: Request code or, with the response flag set, response code.
        opaque: Correlation id chosen by the requester.
        flag: Bits of `FLAG_RESPONSE` and `FLAG_ONEWAY`.
        version: Version number of the sender (see `codes.SERVER_VERSION`).
        language: `LanguageCode` number of the sender.
        remark: Text for users, usually in responses.
        ext: The header's ext fields, all texts.
        body: Raw bytes after the header.
        frame: The whole frame as received, if the reader keeps frames; else empty.
    """

    code: int
    opaque: int = 0
    flag: int = 0
    version: int = 0
    language: int = 0
    remark: str | None = None
    ext: dict[str, str] = NO_EXT
    body: bytes = b""
    frame: bytes = b""

    @property
    def is_response(self) -> bool:
        """True if this is the response to a request of this side."""
        return bool(self.flag & FLAG_RESPONSE)

    @property
    def is_oneway(self) -> bool:
        """True if the sender wants no response."""
        return bool(self.flag & FLAG_ONEWAY)


class Reply(msgspec.Struct, gc=False):
    """The reply of a handler; the router adds the request's `opaque` and encodes it.

    Attributes:
        code: Response code.
        ext: Ext fields of the reply; None leaves them out.
        body: Raw bytes after the header.
        remark: Text for users.
        stored: True if the reply must wait for the current group commit (an acknowledgement).
        frame: The whole reply, if the handler made it by a template; else empty.
    """

    code: int = 0
    ext: dict[str, str] | None = None
    body: bytes = b""
    remark: str | None = None
    stored: bool = False
    frame: bytes = b""


_SENDS = frozenset(
    {
        RequestCode.SEND_MESSAGE,
        RequestCode.SEND_MESSAGE_V2,
        RequestCode.SEND_BATCH_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE,
        RequestCode.SEND_REPLY_MESSAGE_V2,
    }
)
"""Producers show the code of a rejected message to their users, and do not send it again."""


class ProtocolError(MqguardError):
    """A violation of the remoting protocol; a subclass names the responsible side."""


class LocalProtocolError(ProtocolError):
    """An attempt to send content that the protocol cannot represent."""


class RemoteProtocolError(ProtocolError):
    """Bytes from the peer that are not a frame of the protocol.

    The connection cannot continue, since the beginning of the next frame is unknown.

    Attributes:
        code: Response code for the peer, if a response is possible.
        commands: Commands that were complete before the invalid bytes, in order; they must still be served.
    """

    def __init__(self, message: str, code: int = ResponseCode.SYSTEM_ERROR) -> None:
        super().__init__(message)
        self.code = code
        self.commands: list[Command] = []


class FrameRefused(RemoteProtocolError):
    """A frame over a limit of its request code. Its header was read, and the connection can continue.

    Attributes:
        request: The frame without its body.
    """

    def __init__(self, message: str, request: Command) -> None:
        is_send = request.code in _SENDS
        super().__init__(message, ResponseCode.MESSAGE_ILLEGAL if is_send else ResponseCode.INVALID_PARAMETER)
        self.request = request


class HeaderInvalid(ProtocolError):
    """A well-formed frame with ext fields that do not fit the request code.

    Attributes:
        field: Name of the field in the frame; empty for the fields as a whole.
        why: The problem, and the valid form.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"header field `{field}`: {why}" if field else f"header: {why}")
        self.field = field
        self.why = why


class BodyInvalid(ProtocolError):
    """A well-formed frame with a body that does not fit the request code.

    Attributes:
        path: Position in the body, such as `policies[0].entries[1].actions`; empty for the body as a whole.
        why: The problem there, and the valid form.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"body at `{path}`: {why}" if path else f"body: {why}")
        self.path = path
        self.why = why
