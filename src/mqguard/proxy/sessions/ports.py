"""The needs of sessions: the guard, connections to servers, and rules by request code."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple, Protocol

from mqguard.dispatch.request import Handler, Request
from mqguard.dispatch.router import RequestGuard
from mqguard.dispatch.suspended import Suspension
from mqguard.model.peer import Channel
from mqguard.proxy.sessions.upstream_frames import Encode
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

RewriteRequest = Callable[[Request], Command]
"""Returns a request in the form for the server. It raises `RequestRefused` for one that cannot be served."""

OnChecked = Callable[[Exception | None], None]
"""Receiver of the outcome of a check: None if the request may pass, else the error for the client."""

CheckObjects = Callable[[Request, OnChecked], None]
"""Looks up the objects that a request reaches beyond those it names, and asks the guard about each.

It calls the receiver exactly once, perhaps before it returns.
"""


FilterAnswer = Callable[[Request, Command], Command]
"""Returns a successful answer without the parts that the client may not get, given the request without its body."""


class Filter(NamedTuple):
    """What is left out of the answers of a request code.

    Attributes:
        applies: Returns True for a request whose answer may have parts that its client may not get. Such a request gets
            another number, which the client does not know. So no other answer is taken for its own.
        filter: Leaves these parts out.
    """

    applies: Callable[[Request], bool]
    filter: FilterAnswer


CheckRequest = Callable[[Link, Command], None]
"""Checks that a client may get a request of the server.

Raises:
    Exception: It may not; the server gets the error.
"""


def _allow(_link: Link, _command: Command) -> None:
    pass


class Rules(NamedTuple):
    """The requests that a listener answers, checks or changes, by request code.

    Attributes:
        handlers: Requests that the guard answers itself.
        checks: Checks of objects. Without one, a request whose objects must be checked is refused.
        requests: Changes of requests.
        filters: Filters of answers.
        always_checked: Codes with a check for each request, whatever it names.
        check_request: Checks the requests of the server to clients.
        on_leave: Called with the channel of each closed connection.
    """

    handlers: Mapping[int, Handler]
    checks: Mapping[int, CheckObjects]
    requests: Mapping[int, RewriteRequest]
    filters: Mapping[int, Filter]
    always_checked: frozenset[int] = frozenset()
    check_request: CheckRequest = _allow
    on_leave: Callable[[Channel], None] = lambda _channel: None


NO_RULES = Rules({}, {}, {}, {})


class Rewriting(Protocol):
    """Changes of what a server sends (`rewriting.Rewriter`)."""

    @property
    def answers(self) -> Container[int]:
        """The codes of requests whose successful answers may change. Errors of all codes may."""
        ...  # pragma: no cover

    def answer(self, code: int, frame: bytes) -> bytes:
        """Return an answer as the client gets it."""
        ...  # pragma: no cover

    def to_client(self, frame: bytes) -> bytes:
        """Return a request of the server as the client gets it."""
        ...  # pragma: no cover

    def connected(self, local: str, client: str) -> None:
        """Note the client for which the guard has opened a connection, by the guard's address of it."""

    def disconnected(self, local: str) -> None:
        """Forget a connection of the guard."""


class ClientLink(Link, Protocol):
    """A connection of a client whose input can be held back (`net.link.ServerLink`)."""

    on_output: Callable[[bool], None] | None

    def hold_input(self) -> None:
        """Serve no further requests until `release_input`."""

    def release_input(self) -> None:
        """Continue to serve requests."""


class UpstreamConnection(Protocol):
    """The connection of one session to its server (`net.relay.Relay`)."""

    def write(self, data: bytes, *, expects_answer: bool) -> None:
        """Give bytes to the server."""

    def pause_reading(self) -> None:
        """Take no further bytes of the server."""

    def resume_reading(self) -> None:
        """Take bytes of the server again."""

    def close(self) -> None:
        """Close the connection; nothing more is reported."""


class UpstreamOwner(Protocol):
    """The user of a connection to a server (`net.relay.RelayOwner`)."""

    def opened(self, local: str) -> None:
        """Note the guard's address of the connection that was opened."""

    def received(self, data: bytes) -> None:
        """Take bytes of the server."""

    def blocked(self, *, is_blocked: bool) -> None:
        """Stop, or continue, to give bytes to the server."""

    def ended(self, reason: str) -> None:
        """Note the end of the connection, or that it could not be opened."""


Connect = Callable[[UpstreamOwner], UpstreamConnection]
"""Opens a connection to the server of a listener."""


class SessionPorts(NamedTuple):
    """The guard, and the connections to the server of a listener.

    Attributes:
        guard: The guard.
        connect: Opens a connection to the server.
        encode: Encodes a request for the server: with the guard's signature, or as it came.
        rewriting: Returns the changes of what the server sends. The listener has its address when it is called.
        suspension: The requests that wait for plugins; None without plugins.
        at_iteration_end: Callbacks for the end of an iteration of the event loop.
    """

    guard: RequestGuard
    connect: Connect
    encode: Encode
    rewriting: Callable[[], Rewriting]
    suspension: Suspension | None = None
    at_iteration_end: Sequence[Callable[[], None]] = ()
