"""A request that the guard has admitted, the errors with which handlers refuse it, and its answers.

One table maps each error class to a response code. The remark is the message of the error: all classes in the table are
written for clients. The details of any other error go to the log. The client gets `STORE_FAILED` for an error of a
store, and `INTERNAL` for an internal error.
"""

import logging
from collections.abc import Callable

import msgspec

from mqguard.auth.errors import (
    AuthenticationFailed,
    MetadataRejected,
    MetadataStoreFailed,
    MetadataStoreFull,
    PolicyInvalid,
    RevisionConflict,
)
from mqguard.auth.seal import SealInvalid
from mqguard.engine import errors as engine
from mqguard.engine.group_commit import Completion
from mqguard.errors import MqguardError
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import DenialReason, Refused
from mqguard.model.record import RecordInvalid
from mqguard.model.topic import AttributesInvalid
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import BodyInvalid, Command, HeaderInvalid, LocalProtocolError, Reply
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link
from mqguard.store.errors import StoreError

_LOG = logging.getLogger(__name__)

INTERNAL = "internal error: see the server's log"
"""The remark for an internal error."""

STORE_FAILED = "the store cannot be read or written now: see the server's log"
"""The remark for an error of a store, whose message has paths of the server."""

NOT_STORED = "the store cannot write now, nothing was stored"


class DeferredReply(msgspec.Struct, eq=False):
    """Reply that is sent once the changes of its request are stored (`engine.group_commit.Completion`).

    Attributes:
        link: Connection of the client.
        frame: Encoded reply.
        opaque: Number of the request.
    """

    link: Link
    frame: bytes
    opaque: int

    def committed(self) -> None:
        """Send the reply."""
        self.link.send(self.frame)

    def failed(self, reason: str) -> None:
        """Send an error instead of the reply."""
        self.link.send(encode_reply(self.opaque, ResponseCode.SYSTEM_ERROR, None, self.remark(reason)))

    def remark(self, reason: str) -> str:
        """Return the remark of the error."""
        return f"{NOT_STORED}: {reason}"


Defer = Callable[[Completion], None]
"""Function that queues the completion of a request until its changes are committed."""


class Request(msgspec.Struct):
    """One admitted request.

    Attributes:
        command: The frame.
        link: Connection of the sender, which gets the answer.
        access: The sender's identity, and the checks of further resources that the handler finds.
    """

    command: Command
    link: Link
    access: AdmittedRequest

    def without_body(self) -> "Request":
        """Return the request without its fields and body, to be kept while it waits.

        Many requests may wait, and each may have megabytes.
        """
        command = self.command
        self.access.hold()
        return Request(Command(command.code, command.opaque, command.flag), self.link, self.access)

    def respond(self, reply: Reply) -> None:
        """Answer a request whose handler returned None; a one-way request gets no answer."""
        if not self.command.is_oneway:
            self.link.send(self.encode(reply))

    def encode(self, reply: Reply) -> bytes:
        """Return the frame of a reply, or of an error if the reply cannot be encoded."""
        opaque = self.command.opaque
        try:
            return reply.frame or encode_reply(opaque, reply.code, reply.ext, reply.remark, reply.body)
        except LocalProtocolError as exc:
            return encode_reply(opaque, ResponseCode.SYSTEM_ERROR, None, f"the answer cannot be sent as a frame: {exc}")


Handler = Callable[[Request], Reply | None]
"""Handler of one request code. It returns None if the answer follows later or the request needs none."""


class RequestRefused(MqguardError):
    """The request cannot be served as it is.

    Attributes:
        code: Response code.
    """

    def __init__(self, code: int, remark: str) -> None:
        super().__init__(remark)
        self.code = code


class ConfigurationRefused(MqguardError):
    """The configuration cannot be changed like this over the wire. The message names the key; nothing has changed."""


RESPONSE_CODES: dict[type[Exception], ResponseCode] = {
    AuthenticationFailed: ResponseCode.NO_PERMISSION,
    MetadataRejected: ResponseCode.NO_PERMISSION,
    PolicyInvalid: ResponseCode.INVALID_PARAMETER,
    SealInvalid: ResponseCode.INVALID_PARAMETER,
    MetadataStoreFailed: ResponseCode.SYSTEM_ERROR,
    MetadataStoreFull: ResponseCode.SERVICE_NOT_AVAILABLE,
    RevisionConflict: ResponseCode.SYSTEM_BUSY,
    ConfigurationRefused: ResponseCode.NO_PERMISSION,
    HeaderInvalid: ResponseCode.INVALID_PARAMETER,
    BodyInvalid: ResponseCode.INVALID_PARAMETER,
    LocalProtocolError: ResponseCode.SYSTEM_ERROR,
    RecordInvalid: ResponseCode.MESSAGE_ILLEGAL,
    AttributesInvalid: ResponseCode.INVALID_PARAMETER,
    engine.NoSuchTopic: ResponseCode.TOPIC_NOT_EXIST,
    engine.NoSuchGroup: ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
    engine.NoSuchQueue: ResponseCode.INVALID_PARAMETER,
    engine.NoSuchMessage: ResponseCode.SYSTEM_ERROR,
    engine.TransactionMismatch: ResponseCode.SYSTEM_ERROR,
    engine.TransactionExpired: ResponseCode.ILLEGAL_OPERATION,
    engine.NotWritable: ResponseCode.NO_PERMISSION,
    engine.NotReadable: ResponseCode.NO_PERMISSION,
    engine.MessageIllegal: ResponseCode.MESSAGE_ILLEGAL,
    engine.ConfigIllegal: ResponseCode.INVALID_PARAMETER,
    engine.LimitReached: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.LiteLimitReached: ResponseCode.LMQ_QUOTA_EXCEEDED,
    engine.LiteSubscriptionLimitReached: ResponseCode.LITE_SUBSCRIPTION_QUOTA_EXCEEDED,
    engine.NotSupported: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    engine.FilterInvalid: ResponseCode.SUBSCRIPTION_PARSE_FAILED,
    engine.FilterUnsupported: ResponseCode.SYSTEM_ERROR,
    engine.StoreFull: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.StoreDown: ResponseCode.SYSTEM_ERROR,
}

DENIAL_CODES: dict[DenialReason, ResponseCode] = {DenialReason.AUDIT_FULL: ResponseCode.SYSTEM_BUSY}
"""The response codes of denials by their reason; all others are NO_PERMISSION."""


def error_reply(code: int, exc: Exception) -> Reply:
    """Return the answer for an error.

    Args:
        code: Request code, for the log.
        exc: The error.
    """
    if isinstance(exc, Refused):
        return Reply(DENIAL_CODES.get(exc.reason, ResponseCode.NO_PERMISSION), remark=str(exc))
    if isinstance(exc, RequestRefused):
        return Reply(exc.code, remark=str(exc))
    if isinstance(exc, StoreError):
        _LOG.error("request code %d failed: %s", code, exc)
        return Reply(ResponseCode.SYSTEM_ERROR, remark=STORE_FAILED)
    for kind in type(exc).__mro__:
        found = RESPONSE_CODES.get(kind)
        if found is not None:
            return Reply(found, remark=str(exc))
    _LOG.error("request code %d failed", code, exc_info=exc)
    return Reply(ResponseCode.SYSTEM_ERROR, remark=INTERNAL)
