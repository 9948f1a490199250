"""Commands: the content of one remoting frame, and its reply."""

import msgspec

from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE

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
    """

    code: int
    opaque: int = 0
    flag: int = 0
    version: int = 0
    language: int = 0
    remark: str | None = None
    ext: dict[str, str] = NO_EXT
    body: bytes = b""

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
    """

    code: int = 0
    ext: dict[str, str] | None = None
    body: bytes = b""
    remark: str | None = None
    stored: bool = False
