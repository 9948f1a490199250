"""The broker of the same process, as the port to brokers. Its handlers get commands, and no bytes are encoded."""

import itertools

import msgspec

from mqguard.dispatch.request import NOT_STORED, Defer, Request, error_reply
from mqguard.dispatch.router import Router
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.guard.plugin_calls import PluginCallsPending
from mqguard.model.peer import Channel, Peer
from mqguard.proxy.grpc.ports import OnAnswer, OnGroup, OnRoute, Route
from mqguard.remoting.codes import FLAG_RESPONSE, ResponseCode
from mqguard.remoting.command import NO_EXT, Command, Reply
from mqguard.remoting.frame import read_frame
from mqguard.remoting.link import NO_WORK, Link


class _Waiting:
    """A request without an answer, as the connection to which its handler sends the answer."""

    __slots__ = ("_on_answer", "_router", "closed", "peer", "work")

    def __init__(self, router: Router, peer: Peer, on_answer: OnAnswer) -> None:
        self._router = router
        self._on_answer: OnAnswer | None = on_answer
        # A handler finds what waits by the channel, and one connection has many calls.
        self.peer = Peer(peer.ip, peer.port, Channel(), peer.tls, peer.listener)
        self.closed = False
        self.work = NO_WORK

    def send(self, frame: bytes) -> None:
        """Take the answer."""
        self.answer(read_frame(frame))

    def answer(self, command: Command | Exception) -> None:
        """Pass the answer on, once."""
        on_answer, self._on_answer = self._on_answer, None
        self.closed = True
        if on_answer is not None:
            on_answer(command)

    def close(self, reason: str) -> None:  # noqa: ARG002, the interface of links
        """End the request without an answer."""
        self.cancel()

    def cancel(self) -> None:
        """Drop the request."""
        if not self.closed:
            self.closed = True
            self._on_answer = None
            self._router.closed(self)


class _StoredAnswer(msgspec.Struct, eq=False):
    """An answer that is passed on once the changes of its request are stored (`engine.group_commit.Completion`)."""

    on_answer: OnAnswer
    answer: Command

    def committed(self) -> None:
        """Pass the answer on."""
        self.on_answer(self.answer)

    def failed(self, reason: str) -> None:
        """Pass an error on."""
        error = ResponseCode.SYSTEM_ERROR
        self.on_answer(Command(error, 0, FLAG_RESPONSE, remark=f"{NOT_STORED}: {reason}"))


class EmbeddedBackend:
    """The port to the broker of this process.

    Args:
        name: Name of the broker.
        engine: Engine, which has topics and groups.
        router: The broker's handlers.
        defer: Queues an answer until the changes of its request are stored.
    """

    def __init__(self, name: str, engine: Engine, router: Router, defer: Defer) -> None:
        self._name = name
        self._topics = engine.topics
        self._groups = engine.groups
        self._router = router
        self._defer = defer
        self._opaques = itertools.count(1)

    def has_broker(self, name: str) -> bool:
        """See `Backend`."""
        return name == self._name

    def route(self, topic: str, access: AdmittedRequest, on_route: OnRoute) -> None:  # noqa: ARG002, nobody waits
        """See `Backend`."""
        found = self._topics.get(topic)
        on_route(None if found is None else Route({self._name: found}))

    def group(self, name: str, access: AdmittedRequest, on_group: OnGroup) -> None:  # noqa: ARG002, nobody waits
        """See `Backend`."""
        try:
            found = self._groups.preview(name)
        except NoSuchGroup:
            on_group(None)
        else:
            on_group(found)

    def request(
        self,
        broker: str,  # noqa: ARG002, there is one
        command: Command,
        peer: Peer,
        access: AdmittedRequest,
        on_answer: OnAnswer,
    ) -> _Waiting:
        """See `Backend`."""
        waiting = _Waiting(self._router, peer, on_answer)
        self._handle(Request(command, waiting, access), waiting.answer)
        return waiting

    def request_of(self, link: Link, command: Command, access: AdmittedRequest, on_answer: OnAnswer) -> None:
        """See `Backend`."""
        self._handle(Request(command, link, access), on_answer)

    def answer(self, link: Link, command: Command) -> None:
        """See `Backend`."""
        self._router.commands(link, [command])

    def connected(self, link: Link) -> None:
        """See `Backend`."""
        self._router.connected(link)

    def left(self, link: Link) -> None:
        """See `Backend`."""
        self._router.closed(link)

    def _handle(self, request: Request, on_answer: OnAnswer) -> None:
        try:
            reply = self._router.handle(request)
        except (PluginCallsPending, Refused):
            raise
        except Exception as exc:  # noqa: BLE001, as in the router
            reply = error_reply(request.command.code, exc)
        if reply is None:
            return
        answer = _answer(reply)
        if reply.stored:
            self._defer(_StoredAnswer(on_answer, answer))
        else:
            on_answer(answer)


def _answer(reply: Reply) -> Command:
    if reply.frame:
        return read_frame(reply.frame)
    return Command(reply.code, 0, FLAG_RESPONSE, 0, 0, reply.remark, reply.ext or NO_EXT, reply.body)
