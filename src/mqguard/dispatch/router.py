"""Frames in, answers out: the guard decides, a handler serves, one answer per request leaves.

The router knows no request code. It is built from a table of handlers, which may be a broker's, a name server's, or
both for one port that serves both.
"""

# Rule 1: nothing reaches a handler that the guard has not let in, and no success leaves while `access.pending`.
# Rule 2: whatever a handler raises becomes an answer; what it was goes to the log, never to the peer.
# Rule 3: a one-way request is served and never answered.
# Rule 4: a handler of a request of a fixed form (`remoting.exact`) sees no other form of it.
# Rule 5: a request that waits for plugins holds up no other. It may be served after later ones of its connection.

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Defer, DeferredReply, Handler, Request
from mqguard.dispatch.suspended import NoSuspension, Suspension
from mqguard.guard.context import AdmittedRequest
from mqguard.guard.plugin_calls import PluginCallsPending, PluginResults
from mqguard.model.peer import Peer
from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.exact import FORMS, check_exact
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.link import Link

_LOG = logging.getLogger(__name__)

UNSUPPORTED = " request type {} not supported"
"""Apache's wording, blank included."""
UNCHECKED = "internal error: the request was not checked in full, so it is refused"


class RequestGuard(Protocol):
    """The guard, as far as the router needs it."""

    def admit(self, command: Command, peer: Peer) -> AdmittedRequest:
        """Let a request in, or raise.

        Raises:
            Refused: With code and remark for the peer.
        """
        ...  # pragma: no cover


Explain = Callable[[int, Exception], Reply]
"""Says what a failure of a request of that code is on the wire, whatever it is."""


class Router:
    """Serves the frames of all connections of a port (`net.server.Application`).

    Args:
        guard: Decides about every request, known code or not.
        handlers: Handler by request code.
        explain: What failures become.
        defer: Keeps answers back until the turn's writes are stored; None if no handler stores.
        questions: Open requests of ours to clients.
        parking: Where requests wait for plugins; without one they are refused.
        at_close: Called with each connection that is gone.
        at_turn_end: Called in order when all frames of an event-loop turn are served.
    """

    def __init__(
        self,
        guard: RequestGuard,
        handlers: Mapping[int, Handler],
        explain: Explain,
        *,
        defer: Defer | None = None,
        questions: ClientCalls | None = None,
        parking: Suspension | None = None,
        at_close: Sequence[Callable[[Link], None]] = (),
        at_turn_end: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._guard = guard
        self._handlers = {code: _exact(code, handler) for code, handler in handlers.items()}
        self._explain = explain
        self._defer = defer
        self._questions = ClientCalls() if questions is None else questions
        self._parking = NoSuspension() if parking is None else parking
        self._at_close = (lambda link: self._questions.leave(link.peer.channel), *at_close)
        self._at_turn_end = tuple(at_turn_end)

    @property
    def codes(self) -> frozenset[int]:
        """The request codes that have a handler."""
        return frozenset(self._handlers)

    def connected(self, link: Link) -> None:
        """Make a new connection reachable for requests to its client."""
        self._questions.connected(link)

    def commands(self, link: Link, commands: list[Command]) -> None:
        """Serve frames in order."""
        admit = self._guard.admit
        left = iter(commands)
        for command in left:
            if command.flag & FLAG_RESPONSE:
                self._answered(link, command)
                continue
            self._serve(link, command, admit)
            if link.work:
                self._postpone(link, list(left))

    def _postpone(self, link: Link, commands: list[Command]) -> None:
        """Serve commands after the work that a command before them has begun."""

        def serve(_until: float) -> bool:
            self.commands(link, commands)
            return False

        if commands:
            link.work.add(serve)

    def _serve(self, link: Link, command: Command, admit: Callable[[Command, Peer], AdmittedRequest]) -> None:
        """Let a request in or not, have it handled, and answer it."""
        access: AdmittedRequest | None = None
        try:
            access = admit(command, link.peer)
            handler = self._handlers.get(command.code)
            reply = handler(Request(command, link, access)) if handler else _unsupported(command.code)
            if access.pending and (reply is None or reply.code == 0):
                reply = _unchecked(command)
        except PluginCallsPending as waits:
            reply = self._park(link, command, waits, access)
        except Exception as exc:  # noqa: BLE001, rule 2
            reply = self._explain(command.code, exc)
        if reply is not None and not command.flag & FLAG_ONEWAY:
            self._send(link, command, reply)

    def _park(
        self, link: Link, command: Command, waits: PluginCallsPending, access: AdmittedRequest | None
    ) -> Reply | None:
        """Go on with a request when the plugins that it waits for have answered, or their time is up.

        `access` is what the guard gave if the handler waits, None if the guard itself waits.
        """
        answers = waits.answers
        # The frames of the traceback hold the request: nothing that waits shall keep them.
        waits.__traceback__ = None
        if access is not None:
            access.hold()
        try:
            self._parking.park(link, command, waits, lambda: self._go_on(link, command, answers, access))
        except Exception as exc:  # noqa: BLE001, rule 2
            return self._explain(command.code, exc)
        return None

    def _go_on(self, link: Link, command: Command, answers: PluginResults, access: AdmittedRequest | None) -> None:
        """Look at a request from its beginning, or serve it from its beginning if it was let in.

        A request that was let in is looked at once more if its sender's rights changed while it waited.
        """
        if link.closed:
            return
        if access is not None and not access.is_current():
            answers.renew()
            access = None

        def admit(command: Command, peer: Peer) -> AdmittedRequest:
            return self._parking.resume(command, peer, answers) if access is None else access

        self._serve(link, command, admit)

    def closed(self, link: Link) -> None:
        """Forget a connection."""
        for callback in self._at_close:
            try:
                callback(link)
            except Exception:  # noqa: BLE001, one part's fault must not keep the others from cleaning up
                _LOG.exception("cleaning up after %s failed", link.peer.address)

    def end_of_turn(self) -> None:
        """Commit, wake, and tell: whatever was to wait for the end of the turn."""
        for callback in self._at_turn_end:
            try:
                callback()
            except Exception:  # noqa: BLE001, the next turn must come
                _LOG.exception("the end of a turn failed")

    def _send(self, link: Link, command: Command, reply: Reply) -> None:
        try:
            frame = encode_reply(command.opaque, reply.code, reply.ext, reply.remark, reply.body)
        except Exception as exc:  # noqa: BLE001, rule 2
            failure = self._explain(command.code, exc)
            link.send(encode_reply(command.opaque, failure.code, None, failure.remark))
            return
        if reply.stored and self._defer is not None:
            self._defer(DeferredReply(link, frame, command.opaque))
        else:
            link.send(frame)

    def _answered(self, link: Link, command: Command) -> None:
        try:
            known = self._questions.answer(link, command)
        except Exception:  # noqa: BLE001, an answer has nobody to be refused to
            _LOG.exception("the answer of %s to request %d was not understood", link.peer.address, command.opaque)
            return
        if not known:
            _LOG.debug("%s answers request %d, which nobody sent", link.peer.address, command.opaque)


def _exact(code: int, handler: Handler) -> Handler:
    """The handler, or one that checks the request's form first. Other requests pay nothing for it."""
    if code not in FORMS:
        return handler

    def serve(request: Request) -> Reply | None:
        check_exact(request.command)
        return handler(request)

    return serve


def _unsupported(code: int) -> Reply:
    return Reply(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=UNSUPPORTED.format(code))


def _unchecked(command: Command) -> Reply:
    # INVARIANT of the guard: a request whose needs depend on what it touches is asked about before it succeeds.
    _LOG.error("request code %d was served without asking about what it touches", command.code)
    return Reply(ResponseCode.NO_PERMISSION, remark=UNCHECKED)
