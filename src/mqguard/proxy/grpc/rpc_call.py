"""One call in the hands of its handler, and the description of an RPC."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.plugin_calls import PluginCallsPending
from mqguard.model.peer import Peer
from mqguard.proxy.grpc import statuses
from mqguard.rpc.calls import GrpcCall
from mqguard.rpc.protocol import messages_pb2 as pb

_LOG = logging.getLogger(__name__)

T = TypeVar("T")

UNCHECKED = "internal error: the call was served without a check of what it reached"


class Rpc(NamedTuple):
    """One RPC.

    Attributes:
        name: Its name in the service.
        request: Class of the request message.
        answer: Class of the answer message, which has a field `status`.
        handle: The handler. It answers by the call, at once or later, or raises an error.
        streams_answer: True if the answer is a stream of messages.
    """

    name: str
    request: type[Message]
    answer: type[Message]
    handle: Callable[["RpcCall", Any], None]
    streams_answer: bool = False


Waiting = dict[GrpcCall, Callable[[], None]]
"""Calls whose answers follow later, with the functions that drop them."""


class RpcCall:
    """An admitted call.

    Attributes:
        call: The call on its connection.
        rpc: The RPC.
        peer: The connection.
        access: The sender, and the checks of further resources.
        client_id: The client id that the caller has chosen; it belongs to the sender.
    """

    __slots__ = ("_suspend", "_waiting", "access", "call", "client_id", "peer", "rpc")

    def __init__(
        self,
        call: GrpcCall,
        rpc: Rpc,
        peer: Peer,
        access: AdmittedRequest,
        client_id: str,
        waiting: "Waiting",
        suspend: Callable[[PluginCallsPending], None],
    ) -> None:
        self.call = call
        self.rpc = rpc
        self.peer = peer
        self.access = access
        self.client_id = client_id
        self._waiting = waiting
        self._suspend = suspend

    def wait(self, cancel: Callable[[], None]) -> None:
        """Note that the answer follows later; `cancel` is called if the caller does not want it any more."""
        if self.call.is_open:
            self._waiting[self.call] = cancel

    def reply(self, answer: Message) -> None:
        """Answer with one message."""
        self._waiting.pop(self.call, None)
        # INVARIANT of the guard: if the permissions depend on objects, the handler checks them before success.
        if self.access.pending:
            _LOG.error("%s was served without a check of the objects that it reached", self.rpc.name)
            self.fail(pb.Status(code=pb.INTERNAL_SERVER_ERROR, message=UNCHECKED))
            return
        self.call.reply(answer.SerializeToString())

    def reply_all(self, answers: Sequence[Message]) -> None:
        """Answer with a stream of messages, and end it."""
        self._waiting.pop(self.call, None)
        if self.access.pending:
            _LOG.error("%s was served without a check of the objects that it reached", self.rpc.name)
            self.fail(pb.Status(code=pb.INTERNAL_SERVER_ERROR, message=UNCHECKED))
            return
        for answer in answers:
            self.call.send(answer.SerializeToString())
        self.call.end()

    def fail(self, status: pb.Status) -> None:
        """Answer with a status alone."""
        self._waiting.pop(self.call, None)
        self.call.reply(self.rpc.answer(status=status).SerializeToString())

    def guarded(self, part: Callable[[T], None]) -> Callable[[T], None]:
        """Return a receiver of later events whose errors become the answer of this call."""

        def run(value: T) -> None:
            try:
                part(value)
            except Exception as error:  # noqa: BLE001 - the outermost stage of a later event
                self.fail(statuses.of_error(self.rpc.name, error))

        return run

    def then(self, part: Callable[[T], None], *, is_repeatable: bool = True) -> Callable[[T | Exception], None]:
        """Return a receiver for a result of the brokers, whose errors become the answer of this call.

        Args:
            part: Function that takes the result.
            is_repeatable: True if the call may be served again from its beginning once plugins have answered.
        """

        def run(value: T | Exception) -> None:
            try:
                if isinstance(value, Exception):
                    raise value  # noqa: TRY301 - both ways end below
                part(value)
            except PluginCallsPending as pending:
                if is_repeatable:
                    self._waiting.pop(self.call, None)
                    self._suspend(pending)
                else:
                    self.fail(statuses.of_error(self.rpc.name, pending))
            except Exception as error:  # noqa: BLE001 - the outermost stage of a later event
                self.fail(statuses.of_error(self.rpc.name, error))

        return run
