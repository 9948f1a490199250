"""The sessions of one listener: every request is decided by the guard, and then passed on.

The listener takes the place of a broker or of the name servers.
"""

# Rule 1: a request reaches the server only after the guard has admitted it, and its objects were checked.
# Rule 2: what was admitted in an iteration of the event loop leaves in one write at its end, in its order.
# Rule 3: a request whose objects are being looked up delays no other one. Later requests of its connection overtake it.

import functools
import secrets
from typing import Final, cast

import msgspec

from mqguard.dispatch.request import Request, RequestRefused, error_reply
from mqguard.dispatch.router import Router
from mqguard.model.peer import Channel
from mqguard.net.server import Application
from mqguard.proxy.sessions.body_forms import DECIDED_BY_BODY, check_form
from mqguard.proxy.sessions.ports import NO_RULES, ClientLink, FilterAnswer, Rules, SessionPorts
from mqguard.proxy.sessions.rewriting import read
from mqguard.proxy.sessions.session import ClientSession, OnAnswer
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.frame import encode_reply, encode_request
from mqguard.remoting.link import Link
from mqguard.remoting.signed_content import FORMS, check_exact

UNCHECKED: Final = "the guard cannot check which objects this request reaches, so it was refused"
MAX_CHECKS: Final = 256
"""Maximum number of requests of one client whose objects are being looked up."""


class SessionListener:
    """The sessions of one listener.

    Args:
        ports: The guard, and the connections to the server.
        rules: Answers of the guard itself, checks and changes of requests.

    Attributes:
        application: Serves the frames of the listener.
    """

    def __init__(self, ports: SessionPorts, rules: Rules = NO_RULES) -> None:
        self._ports = ports
        self._rules = rules
        self._encode = ports.encode
        self._sessions: dict[Channel, ClientSession] = {}
        self._checks: dict[Channel, int] = {}
        self._to_flush: list[ClientSession] = []
        router = Router(
            ports.guard,
            rules.handlers,
            error_reply,
            client_calls=self,
            suspension=ports.suspension,
            at_iteration_end=[self.flush, *ports.at_iteration_end],
        )
        router.fallback = self._pass_on
        self.application: Application = router

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def connected_sessions(self) -> int:
        """Return the number of sessions with a connection to the server."""
        return sum(session.is_connected for session in self._sessions.values())

    @property
    def pending(self) -> int:
        """Return the number of bytes of unfinished frames of the server."""
        return sum(session.pending for session in self._sessions.values())

    # Called by the router (`dispatch.router.ClientAnswers`)

    def connected(self, link: Link) -> None:
        """Create the session of a new connection."""
        # The links of `net.server` can be held back.
        client = cast("ClientLink", link)
        self._sessions[link.peer.channel] = ClientSession(
            client, self._ports.connect, self._ports.rewriting(), self._to_flush.append, self._rules.check_request
        )

    def take_answer(self, link: Link, command: Command) -> bool:
        """Pass the answer of a client on; return False if the server has not asked."""
        session = self._sessions.get(link.peer.channel)
        return session is not None and session.answer(command)

    def leave(self, channel: Channel) -> None:
        """Close the session of a closed connection."""
        session = self._sessions.pop(channel, None)
        self._checks.pop(channel, None)
        self._rules.on_leave(channel)
        if session is not None:
            session.close()

    def flush(self) -> None:
        """Write what was admitted in this iteration."""
        # The list stays the same one: sessions hold its method.
        sessions = self._to_flush[:]
        self._to_flush.clear()
        for session in sessions:
            session.flush()

    # Requests

    def _pass_on(self, request: Request) -> None:
        """Pass an admitted request on, at once or after a check of the objects that it reaches.

        Raises:
            RequestRefused: It cannot be passed on.
            Refused: A part of it is denied.
        """
        command, access = request.command, request.access
        code = command.code
        if code in FORMS:
            check_exact(command)
        if code in DECIDED_BY_BODY:
            check_form(command.body)
        if access.pending or code in self._rules.always_checked:
            self._check_first(request)
        else:
            self._send(request)

    def _check_first(self, request: Request) -> None:
        check = self._rules.checks.get(request.command.code)
        channel = request.link.peer.channel
        count = self._checks.get(channel, 0)
        if check is None:
            raise RequestRefused(ResponseCode.NO_PERMISSION, UNCHECKED)
        if count >= MAX_CHECKS:
            raise RequestRefused(ResponseCode.SYSTEM_BUSY, f"{MAX_CHECKS} requests of this connection wait for a check")
        self._checks[channel] = count + 1
        # INVARIANT: the request passes only in `_checked`, after the check has reported success.
        request.access.pending = False
        done = functools.partial(self._checked, request)
        try:
            check(request, done)
        except Exception as exc:  # noqa: BLE001 - any exception becomes an answer
            done(exc)

    def _checked(self, request: Request, failure: Exception | None) -> None:
        channel = request.link.peer.channel
        if channel not in self._sessions:
            return
        count = self._checks.get(channel, 1) - 1
        if count:
            self._checks[channel] = count
        else:
            self._checks.pop(channel, None)
        if failure is None:
            try:
                self._send(request)
            except Exception as exc:  # noqa: BLE001 - any exception becomes an answer
                failure = exc
        if failure is not None:
            request.respond(error_reply(request.command.code, failure))

    def _send(self, request: Request) -> None:
        command = request.command
        session = self._sessions.get(request.link.peer.channel)
        if session is None:
            return
        code = command.code
        rewrite_request = self._rules.requests.get(code)
        if rewrite_request is not None:
            command = rewrite_request(request)
        elif request.access.denied is not None:
            raise request.access.denied.error()
        wanted = self._rules.filters.get(code)
        if wanted is None or not wanted.applies(request):
            session.send(self._encode(command), command)
            return
        on_answer = self._filtering(wanted.filter, request, command)
        command = msgspec.structs.replace(command, opaque=secrets.randbits(31), frame=b"")
        session.send(self._encode(command), command, on_answer)

    def _filtering(self, filter_answer: FilterAnswer, request: Request, sent: Command) -> OnAnswer:
        """Return a function that makes the answer to a request whose answers are filtered."""
        # The request may be large, and filters need its fields only.
        kept = Request(msgspec.structs.replace(sent, body=b"", frame=b""), request.link, request.access)
        rewriting = self._ports.rewriting()
        code, opaque = sent.code, sent.opaque

        def make(frame: bytes) -> bytes:
            try:
                answer = read(frame)
                answer.opaque = opaque
                if answer.code == ResponseCode.SUCCESS:
                    answer = filter_answer(kept, answer)
                return rewriting.answer(code, encode_request(answer))
            except Exception as exc:  # noqa: BLE001 - the client must get an answer, and never an unfiltered one
                failure = error_reply(code, exc)
                return encode_reply(opaque, failure.code, None, failure.remark)

        return make
