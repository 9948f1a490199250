"""A command: the content of one remoting frame, and the answer to it."""

import msgspec

from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE

NO_EXT: dict[str, str] = {}
"""What a frame without ext fields carries. INVARIANT: nobody writes to it."""


class Command(msgspec.Struct, gc=False):
    """One decoded frame, request or answer.

    Attributes:
        code: Request code or, with the response flag set, response code.
        opaque: Correlation id chosen by the requester.
        flag: Bits of `FLAG_RESPONSE` and `FLAG_ONEWAY`.
        version: Version number of the sender (see `codes.SERVER_VERSION`).
        language: `LanguageCode` number of the sender.
        remark: Text for a person, mostly in answers.
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
        """Whether this answers a request of ours."""
        return bool(self.flag & FLAG_RESPONSE)

    @property
    def is_oneway(self) -> bool:
        """Whether the sender wants no answer."""
        return bool(self.flag & FLAG_ONEWAY)


class Reply(msgspec.Struct, gc=False):
    """What a handler answers; the router adds the request's `opaque` and encodes it.

    Attributes:
        code: Response code.
        ext: Ext fields of the answer; None leaves them out.
        body: Raw bytes after the header.
        remark: Text for a person.
        stored: Whether the answer must wait until this turn's writes are stored (an acknowledgement).
    """

    code: int = 0
    ext: dict[str, str] | None = None
    body: bytes = b""
    remark: str | None = None
    stored: bool = False
