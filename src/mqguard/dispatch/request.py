"""A request that the guard has admitted, the errors with which handlers refuse it, and its answers.

One table maps each error class to a response code. The remark is the message of the error: all classes in the table are
written for clients. Any other error is an internal error: its details go to the log, and the client gets `INTERNAL`.
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
from mqguard.auth.sealing import SealInvalid
from mqguard.engine import errors as engine
from mqguard.engine.group_commit import Completion
from mqguard.errors import MqguardError
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.model.record import RecordInvalid
from mqguard.model.topic import AttributesInvalid
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.errors import BodyInvalid, HeaderInvalid, LocalProtocolError
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link

_LOG = logging.getLogger(__name__)

INTERNAL = "internal error: see the server's log"
"""The remark for an internal error."""

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
"""Takes the completion of a request whose changes are not stored yet."""


class Request(msgspec.Struct):
    """One admitted request.

    Attributes:
        command: What was sent.
        link: Where the answer goes.
        access: Who sent it, and the way to ask about resources that turn out to be touched.
    """

    command: Command
    link: Link
    access: AdmittedRequest

    def kept(self) -> "Request":
        """The same without its fields and body, for a request that waits: many wait, and each may be of megabytes."""
        command = self.command
        self.access.hold()
        return Request(Command(command.code, command.opaque, command.flag), self.link, self.access)

    def respond(self, reply: Reply) -> None:
        """Answer a request whose handler has returned None; a one-way request is not answered."""
        if not self.command.is_oneway:
            self.link.send(self.encode(reply))

    def encode(self, reply: Reply) -> bytes:
        """Return the frame of a reply; of an error if the reply cannot be encoded."""
        opaque = self.command.opaque
        try:
            return encode_reply(opaque, reply.code, reply.ext, reply.remark, reply.body)
        except LocalProtocolError as exc:
            return encode_reply(opaque, ResponseCode.SYSTEM_ERROR, None, f"the answer cannot be passed on: {exc}")


Handler = Callable[[Request], Reply | None]
"""Serves one request code. None: the answer comes later (the request is parked), or none is wanted."""


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


TABLE: dict[type[Exception], ResponseCode] = {
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
    engine.NotWritable: ResponseCode.NO_PERMISSION,
    engine.NotReadable: ResponseCode.NO_PERMISSION,
    engine.MessageIllegal: ResponseCode.MESSAGE_ILLEGAL,
    engine.ConfigIllegal: ResponseCode.INVALID_PARAMETER,
    engine.LimitReached: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.NotSupported: ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
    engine.StoreFull: ResponseCode.SERVICE_NOT_AVAILABLE,
    engine.StoreDown: ResponseCode.SYSTEM_ERROR,
}


def explain(code: int, exc: Exception) -> Reply:
    """The answer that tells a peer of an error.

    Args:
        code: Request code, for the log.
        exc: What went wrong.
    """
    if isinstance(exc, (Refused, RequestRefused)):
        return Reply(exc.code, remark=str(exc))
    for kind in type(exc).__mro__:
        found = TABLE.get(kind)
        if found is not None:
            return Reply(found, remark=str(exc))
    _LOG.error("request code %d failed", code, exc_info=exc)
    return Reply(ResponseCode.SYSTEM_ERROR, remark=INTERNAL)
