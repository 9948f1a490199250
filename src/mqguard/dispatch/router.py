"""The request loop: the guard decides about each request, a handler serves it, and the client gets one answer.

The router contains no request code. It gets a table of handlers: those of a broker, of a name server, or of both if one
port serves both.
"""

# Rule 1: a request reaches its handler only if the guard admitted it. While `access.pending`, no success is sent.
# Rule 2: any exception of a handler becomes an answer. The log gets its details, the client does not.
# Rule 3: a one-way request is served and never answered.
# Rule 4: the handler of a request with a fixed form (`remoting.exact`) gets it only in that form.
# Rule 5: a request that waits for plugins delays no other request. Later requests of its connection may overtake it.

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Defer, DeferredReply, Handler, Request
from mqguard.dispatch.suspended import NoSuspension, Suspension
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.model.peer import Channel, Peer
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link
from mqguard.remoting.signed_content import FORMS, check_exact

_LOG = logging.getLogger(__name__)

UNSUPPORTED = " request type {} not supported"
"""Apache's wording, including the leading blank."""
UNCHECKED = "internal error: the request was not checked in full, so it was refused; see the server's log"


class RequestGuard(Protocol):
    """The guard, as far as the router needs it."""

    def admit(self, command: Command, peer: Peer) -> AdmittedRequest:
        """Return the admitted request.

        Raises:
            Refused: The request is denied; the error has the code and the remark for the client.
        """
        ...  # pragma: no cover


class ClientAnswers(Protocol):
    """Requests to clients that wait for answers (`client_calls.ClientCalls`)."""

    def connected(self, link: Link) -> None:
        """Add a new connection, until `leave`."""

    def take_answer(self, link: Link, command: Command) -> bool:
        """Take a client's answer; return False if no request waits for it."""
        ...  # pragma: no cover

    def leave(self, channel: Channel) -> None:
        """Remove a closed connection."""


ErrorReply = Callable[[int, Exception], Reply]
"""Function that returns the answer for any exception of a request with that code."""


class Router:
    """Request loop for all connections of a port (`net.server.Application`).

    Args:
        guard: Guard, which decides about every request, also with an unknown code.
        handlers: Handler by request code.
        error_reply: Function that makes the answer from an exception.
        defer: Queue that holds answers until the commit; None if no handler stores.
        client_calls: Open calls to clients.
        suspension: Store of requests that wait for plugins; without it they are refused.
        at_close: Callbacks that get each closed connection.
        at_iteration_end: Callbacks that run in order when all frames of an iteration of the event loop are served.

    Attributes:
        fallback: Handler of all other codes; without it, the router answers that they are not supported.
    """

    def __init__(
        self,
        guard: RequestGuard,
        handlers: Mapping[int, Handler],
        error_reply: ErrorReply,
        *,
        defer: Defer | None = None,
        client_calls: ClientAnswers | None = None,
        suspension: Suspension | None = None,
        at_close: Sequence[Callable[[Link], None]] = (),
        at_iteration_end: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._guard = guard
        self._handlers = {code: _exact(code, handler) for code, handler in handlers.items()}
        self.fallback: Handler | None = None
        self._error_reply = error_reply
        self._defer = defer
        self._client_calls: ClientAnswers = ClientCalls() if client_calls is None else client_calls
        self._suspension = NoSuspension() if suspension is None else suspension
        self._at_close = (lambda link: self._client_calls.leave(link.peer.channel), *at_close)
        self._at_iteration_end = tuple(at_iteration_end)

    @property
    def codes(self) -> frozenset[int]:
        """Return the request codes that have a handler."""
        return frozenset(self._handlers)

    def connected(self, link: Link) -> None:
        """Register a new connection for calls to its client."""
        self._client_calls.connected(link)

    def commands(self, link: Link, commands: list[Command]) -> None:
        """Serve frames in order."""
        admit = self._guard.admit
        left = iter(commands)
        for command in left:
            if command.flag & FLAG_RESPONSE:
                self._take_answer(link, command)
                continue
            self._serve(link, command, admit)
            if link.work:
                self._postpone(link, list(left))

    def handle(self, request: Request) -> Reply | None:
        """Have a request handled that the face of another protocol has admitted.

        Returns:
            The reply; None if the handler sends it later to the request's link.

        Raises:
            Exception: Any error of the handler; `error_reply` makes an answer of it.
            PluginCallsPending: Plugins must be called first; nothing has been done.
        """
        command = request.command
        handler = self._handlers.get(command.code, self.fallback)
        reply = handler(request) if handler else _unsupported(command.code)
        if request.access.pending and (reply is None or reply.code == 0):
            return _unchecked(command)
        return reply

    def _postpone(self, link: Link, commands: list[Command]) -> None:
        """Serve commands after the work that an earlier command of the connection began."""

        def serve(_until: float) -> bool:
            self.commands(link, commands)
            return False

        if commands:
            link.work.add(serve)

    def _serve(self, link: Link, command: Command, admit: Callable[[Command, Peer], AdmittedRequest]) -> None:
        """Have a request admitted and handled, and send its answer."""
        access: AdmittedRequest | None = None
        try:
            access = admit(command, link.peer)
            # As `handle`, written out: this is the hot path.
            handler = self._handlers.get(command.code, self.fallback)
            reply = handler(Request(command, link, access)) if handler else _unsupported(command.code)
            if access.pending and (reply is None or reply.code == 0):
                reply = _unchecked(command)
        except PluginCallsPending as pending:
            reply = self._suspend(link, command, pending, access)
        except Exception as exc:  # noqa: BLE001, rule 2
            reply = self._error_reply(command.code, exc)
        if reply is not None and not command.flag & FLAG_ONEWAY:
            self._send(link, command, reply)

    def _suspend(
        self, link: Link, command: Command, pending: PluginCallsPending, access: AdmittedRequest | None
    ) -> Reply | None:
        """Suspend a request until its plugins have answered or timed out.

        `access` is the guard's result if the handler waits, and None if the guard itself waits.
        """
        results = pending.answers
        # The frames of the traceback refer to the request. Without this line a suspended request would keep them.
        pending.__traceback__ = None
        if access is not None:
            access.hold()
        try:
            self._suspension.suspend(link, command, pending, lambda: self._resume(link, command, results, access))
        except Exception as exc:  # noqa: BLE001, rule 2
            return self._error_reply(command.code, exc)
        return None

    def _resume(self, link: Link, command: Command, results: PluginResults, access: AdmittedRequest | None) -> None:
        """Evaluate a suspended request again from its beginning; if it was admitted, only its handler runs again.

        If the sender's rights changed meanwhile, the guard decides about an admitted request once more.
        """
        if link.closed:
            return
        if access is not None and not access.is_current():
            results.renew()
            access = None

        def admit(command: Command, peer: Peer) -> AdmittedRequest:
            return self._suspension.resume(command, peer, results) if access is None else access

        self._serve(link, command, admit)

    def closed(self, link: Link) -> None:
        """Drop the state of a closed connection."""
        for callback in self._at_close:
            try:
                callback(link)
            except Exception:  # noqa: BLE001, the other callbacks must run
                _LOG.exception("cleaning up after %s failed", link.peer.address)

    def end_of_iteration(self) -> None:
        """Run the callbacks for the end of an iteration of the event loop, such as the commit of its writes."""
        for callback in self._at_iteration_end:
            try:
                callback()
            except Exception:  # noqa: BLE001, the other callbacks must run
                _LOG.exception("a callback at the end of an iteration of the event loop failed")

    def _send(self, link: Link, command: Command, reply: Reply) -> None:
        try:
            frame = reply.frame or encode_reply(command.opaque, reply.code, reply.ext, reply.remark, reply.body)
        except Exception as exc:  # noqa: BLE001, rule 2
            failure = self._error_reply(command.code, exc)
            link.send(encode_reply(command.opaque, failure.code, None, failure.remark))
            return
        if reply.stored and self._defer is not None:
            self._defer(DeferredReply(link, frame, command.opaque))
        else:
            link.send(frame)

    def _take_answer(self, link: Link, command: Command) -> None:
        try:
            is_expected = self._client_calls.take_answer(link, command)
        except Exception:  # noqa: BLE001, an answer gets no answer
            _LOG.exception("processing the answer of %s to request %d failed", link.peer.address, command.opaque)
            return
        if not is_expected:
            _LOG.debug("dropped an answer of %s: no open call has the number %d", link.peer.address, command.opaque)


def _exact(code: int, handler: Handler) -> Handler:
    """Return the handler, wrapped in a check of the request's form if its code has one. Other codes have no cost."""
    if code not in FORMS:
        return handler

    def serve(request: Request) -> Reply | None:
        check_exact(request.command)
        return handler(request)

    return serve


def _unsupported(code: int) -> Reply:
    return Reply(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=UNSUPPORTED.format(code))


def _unchecked(command: Command) -> Reply:
    # INVARIANT of the guard: if the permissions depend on objects, the handler checks them before success.
    _LOG.error("request code %d was served without a check of the objects that it reached", command.code)
    return Reply(ResponseCode.NO_PERMISSION, remark=UNCHECKED)
