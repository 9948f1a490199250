"""Serves gRPC calls: each one is admitted by the guard, handled, and answered with a status in every case."""

# Rule 1: no call is handled before the guard has admitted it. Each message of a stream is decided by itself.
# Rule 2: any error is answered with a status. Internal errors are logged, and their details reach no client.
# Rule 3: a client id belongs to the sender, so a sender reaches nothing of a client of another one.

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from mqguard.dispatch.rpc_admission import SERVICE, RpcAdmission, RpcRequest
from mqguard.dispatch.suspended import NoSuspension, Suspension
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.proxy.grpc import statuses
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall, Waiting
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link
from mqguard.rpc.calls import Event, EventKind, GrpcCall, Methods
from mqguard.rpc.protocol import messages_pb2 as pb

CLIENT_ID: Final = "x-mq-client-id"
MAX_CLIENT_ID: Final = 255
"""Maximum characters of a client id."""
TELEMETRY: Final = "Telemetry"
_STOPPING: Final = pb.Status(code=pb.MESSAGE_NOT_FOUND, message="no new message: the server stops")


class StreamHandler(Protocol):
    """Handler of Telemetry calls."""

    def is_known(self, stream: GrpcCall) -> bool:
        """Return True if a command of the stream was admitted."""

    def streams(self) -> list[GrpcCall]:
        """Return the streams with admitted commands."""

    def stream_ended(self, stream: GrpcCall) -> None:
        """Forget a stream that has ended."""

    def refused(self, stream: GrpcCall, command: pb.TelemetryCommand | None, error: Exception) -> None:
        """Answer a command that was denied or that is not valid; None for a command that could not be read."""


class RpcServer:
    """Serves the calls of all listeners (`net.server.CallApplication`).

    Args:
        admission: Admission of calls.
        rpcs: All RPCs.
        suspension: Store of requests that wait for plugins; without it they are refused.
        streams: Handler of Telemetry calls that end or are refused.

    Attributes:
        methods: The methods by their paths.
    """

    def __init__(
        self,
        admission: RpcAdmission,
        rpcs: Sequence[Rpc],
        streams: StreamHandler,
        suspension: Suspension | None = None,
    ) -> None:
        self._admission = admission
        self._rpcs = {f"{SERVICE}{rpc.name}": rpc for rpc in rpcs}
        self.methods = Methods({path: rpc.name == TELEMETRY for path, rpc in self._rpcs.items()})
        self._suspension = NoSuspension() if suspension is None else suspension
        self._streams = streams
        self._waiting: Waiting = {}

    @property
    def rpcs(self) -> dict[str, Rpc]:
        """Return the RPCs by their names."""
        return {rpc.name: rpc for rpc in self._rpcs.values()}

    @property
    def waiting(self) -> int:
        """Return the number of calls whose answers wait."""
        return len(self._waiting)

    def calls(self, link: Link, events: list[Event]) -> None:
        """Serve events of calls, in order."""
        for event in events:
            kind, call = event.kind, event.call
            if kind is EventKind.CALL or kind is EventKind.MESSAGE:
                self._serve(link, call, event.message)
            elif kind is EventKind.END:
                self._end_stream(call)
            elif call.is_streaming:
                self._streams.stream_ended(call)
            else:
                self._cancel(call)

    def _end_stream(self, call: GrpcCall) -> None:
        self._streams.stream_ended(call)
        call.end()

    def end_calls(self) -> None:
        """End calls that wait without messages, and the streams of clients: the server stops."""
        for call in list(self._waiting):
            self._cancel(call)
            answer: Any = self._rpcs[call.path].answer(status=_STOPPING)
            call.reply(answer.SerializeToString())
        for call in self._streams.streams():
            self._end_stream(call)

    def _cancel(self, call: GrpcCall) -> None:
        cancel = self._waiting.pop(call, None)
        if cancel is not None:
            cancel()

    def _serve(self, link: Link, call: GrpcCall, data: bytes) -> None:
        rpc = self._rpcs[call.path]
        try:
            message = rpc.request.FromString(data)
            is_open = call.is_streaming and self._streams.is_known(call)
            request = self._admission.request(rpc.name, message, call, link.peer, is_stream_open=is_open)
        except Exception as error:  # noqa: BLE001, rule 2
            self._fail(call, rpc, None, error)
            return
        self._admit(link, call, rpc, request, lambda: self._admission.admit(request))

    def _admit(
        self, link: Link, call: GrpcCall, rpc: Rpc, request: RpcRequest, admit: Callable[[], AdmittedRequest]
    ) -> None:
        access: AdmittedRequest | None = None
        try:
            access = admit()

            def suspend(pending: PluginCallsPending) -> None:
                self._suspend(link, call, rpc, request, pending, access)

            handled = RpcCall(call, rpc, link.peer, access, _client_id(call), self._waiting, suspend)
            rpc.handle(handled, request.message)
        except PluginCallsPending as pending:
            self._suspend(link, call, rpc, request, pending, access)
        except Exception as error:  # noqa: BLE001, rule 2
            self._fail(call, rpc, request.message, error)

    def _suspend(
        self,
        link: Link,
        call: GrpcCall,
        rpc: Rpc,
        request: RpcRequest,
        pending: PluginCallsPending,
        access: AdmittedRequest | None,
    ) -> None:
        """Suspend a call until its plugins have answered; `access` is the guard's result if the handler waits."""
        results = pending.answers
        # As in the router: without this line a suspended call would keep the frames of the traceback.
        pending.__traceback__ = None
        if access is not None:
            access.hold()

        def admit() -> AdmittedRequest:
            return self._decided(request, results, access)

        # Only the size counts: the message is kept by `request`.
        held = Command(0, body=request.message.SerializeToString())
        try:
            self._suspension.suspend(link, held, pending, lambda: self._admit(link, call, rpc, request, admit))
        except Exception as error:  # noqa: BLE001, rule 2
            self._fail(call, rpc, request.message, error)

    def _decided(self, request: RpcRequest, results: PluginResults, access: AdmittedRequest | None) -> AdmittedRequest:
        if access is not None and access.is_current():
            return access
        if access is not None:
            results.renew()
        return self._admission.resume(request, results)

    def _fail(self, call: GrpcCall, rpc: Rpc, message: pb.TelemetryCommand | None, error: Exception) -> None:
        if rpc.name == TELEMETRY:
            self._streams.refused(call, message, error)
        else:
            call.reply(rpc.answer(status=statuses.of_error(rpc.name, error)).SerializeToString())


def _client_id(call: GrpcCall) -> str:
    """Return the client id of a call.

    Raises:
        CallRefused: There is none, or it is too long.
    """
    found = call.field(CLIENT_ID)
    if not found.strip():
        raise CallRefused(pb.CLIENT_ID_REQUIRED, f"the header field `{CLIENT_ID}` is missing")
    if len(found) > MAX_CLIENT_ID:
        raise CallRefused(
            pb.BAD_REQUEST, f"the client id has {len(found)} characters, and the maximum is {MAX_CLIENT_ID}"
        )
    return found
