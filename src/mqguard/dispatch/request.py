"""A request as handlers see it: let in by the guard, with the connection that it came over."""

from collections.abc import Callable

import msgspec

from mqguard.guard.context import AdmittedRequest
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.errors import LocalProtocolError
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link

Defer = Callable[[Link, bytes, Callable[[str], bytes]], None]
"""Takes a link, the frame to send once this turn's writes are stored, and what makes the one for a failure."""


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

    def respond(self, reply: Reply, defer: Defer | None = None, failure: Callable[[str], str] = str) -> None:
        """Answer a request whose handler has answered None; a one-way request is not answered.

        Args:
            reply: The answer.
            defer: Keeps the answer back until this turn's writes are stored; None sends it at once.
            failure: Makes the remark of the answer from the reason if they cannot be stored.
        """
        opaque = self.command.opaque
        if self.command.is_oneway:
            return
        try:
            frame = encode_reply(opaque, reply.code, reply.ext, reply.remark, reply.body)
        except LocalProtocolError as exc:
            frame = encode_reply(opaque, ResponseCode.SYSTEM_ERROR, None, f"the answer cannot be passed on: {exc}")
        if defer is None:
            self.link.send(frame)
        else:
            code = ResponseCode.SYSTEM_ERROR
            defer(self.link, frame, lambda reason: encode_reply(opaque, code, None, failure(reason)))


Handler = Callable[[Request], Reply | None]
"""Serves one request code. None: the answer comes later (the request is parked), or none is wanted."""
