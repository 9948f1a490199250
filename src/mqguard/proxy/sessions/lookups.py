"""Look-ups at a broker, with the guard's own credentials, of the objects that requests of clients reach."""

from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from mqguard.dispatch.request import RequestRefused
from mqguard.errors import MqguardError
from mqguard.model.record import size_at
from mqguard.model.text import visible
from mqguard.net.upstream import OnOutcome, Outcome
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command

T = TypeVar("T")

TIMEOUT_S: Final = 3.0
"""Seconds to wait for the answer of a broker. Clients time out after as many."""
MAX_REMARK: Final = 256
"""Maximum characters of a broker's reason that a client gets."""


class BrokerCalls(Protocol):
    """The guard's own requests (`proxy.cluster.connections.Connections`)."""

    def call(self, address: str, command: Command, done: OnOutcome, timeout: float | None = None) -> None:
        """Sign and send a request."""


Found = Callable[[T | Exception], None]
"""Receiver of a result, or of the error for the client."""


class Lookups:
    """Look-ups at one broker.

    Args:
        calls: The guard's own requests.
        address: Returns the address of the broker.
    """

    def __init__(self, calls: BrokerCalls, address: Callable[[], str]) -> None:
        self._calls = calls
        self._address = address

    def ask(
        self, code: int, ext: dict[str, str], read: Callable[[Command], T], found: Found[T], body: bytes = b""
    ) -> None:
        """Send a request.

        Args:
            code: Request code.
            ext: Ext fields.
            read: Reads any answer; it may raise an error for the client.
            found: Receives what `read` has returned, or the error.
            body: Body of the request.
        """

        def done(outcome: Outcome) -> None:
            result: T | Exception
            if isinstance(outcome, MqguardError):
                result = RequestRefused(
                    ResponseCode.SYSTEM_BUSY, "the broker does not answer the guard, which must check the request"
                )
            else:
                try:
                    result = read(outcome)
                except Exception as exc:  # noqa: BLE001 - the client gets every error
                    result = exc
            found(result)

        self._calls.call(self._address(), Command(code, ext=ext, body=body), done, TIMEOUT_S)

    def message(self, offset: int, found: Found[bytes]) -> None:
        """Find the record at a physical offset."""
        self.ask(RequestCode.VIEW_MESSAGE_BY_ID, {"offset": str(offset)}, _record, found)

    def exists(self, topic: str, found: Found[bool]) -> None:
        """Find out if the broker has a topic."""
        self.ask(RequestCode.GET_TOPIC_CONFIG, {"topic": topic}, _exists, found)


def success(answer: Command) -> Command:
    """Return an answer.

    Raises:
        RequestRefused: It has an error, which the client gets as its own.
    """
    if answer.code != ResponseCode.SUCCESS:
        remark = visible((answer.remark or "the broker gives no reason")[:MAX_REMARK])
        raise RequestRefused(ResponseCode(answer.code) if answer.code in _CODES else ResponseCode.SYSTEM_ERROR, remark)
    return answer


_CODES: Final = frozenset(int(code) for code in ResponseCode)


def _record(answer: Command) -> bytes:
    body = success(answer).body
    return body[: size_at(body)]


def _exists(answer: Command) -> bool:
    if answer.code == ResponseCode.TOPIC_NOT_EXIST:
        return False
    success(answer)
    return True
