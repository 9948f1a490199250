"""The client's side of a connection, without I/O: matches responses with requests."""

import itertools
from dataclasses import dataclass

import msgspec

from mqguard.remoting.codes import FLAG_ONEWAY, FLAG_RESPONSE, SERVER_VERSION
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.frame import DEFAULT_MAX_FRAME, FrameReader, encode_reply, encode_request

_MAX_OPAQUE = 2**31


@dataclass(frozen=True, slots=True)
class Answered:
    """The event that a request of this client was answered.

    Attributes:
        opaque: The request's number, as returned by `ClientConnection.request`.
        command: The response.
    """

    opaque: int
    command: Command


@dataclass(frozen=True, slots=True)
class Asked:
    """The event that the server sent a request. Unless it is one-way, it expects `ClientConnection.answer`."""

    command: Command


Event = Answered | Asked


class ClientConnection:
    """Numbers requests, encodes them, and separates responses from the server's own requests.

    Args:
        max_frame: Maximum frame size in bytes.
    """

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self._reader = FrameReader(max_frame)
        self._numbers = itertools.count(1)
        self._waiting: set[int] = set()

    def request(self, command: Command) -> tuple[int, bytes]:
        """Encode a request that expects a response.

        Args:
            command: The request. Its `opaque` is replaced by a number of this connection; version 0 by the current one.

        Returns:
            The number and the frame.
        """
        opaque = next(self._numbers) % _MAX_OPAQUE
        frame = self._encode(command, opaque, command.flag & ~(FLAG_RESPONSE | FLAG_ONEWAY))
        self._waiting.add(opaque)
        return opaque, frame

    def one_way(self, command: Command) -> bytes:
        """Encode a request that the server does not answer."""
        return self._encode(command, next(self._numbers) % _MAX_OPAQUE, command.flag & ~FLAG_RESPONSE | FLAG_ONEWAY)

    def answer(self, request: Command, reply: Reply) -> bytes:
        """Encode the response to a request of the server."""
        return encode_reply(request.opaque, reply.code, reply.ext, reply.remark, reply.body)

    def forget(self, opaque: int) -> None:
        """Stop waiting for a response; if it still arrives, it is dropped."""
        self._waiting.discard(opaque)

    def receive(self, data: bytes) -> list[Event]:
        """Process the next bytes of the connection. Responses without a pending request are dropped.

        Raises:
            RemoteProtocolError: The bytes are not a frame.
        """
        events: list[Event] = []
        for command in self._reader.feed(data):
            if not command.is_response:
                events.append(Asked(command))
            elif command.opaque in self._waiting:
                self._waiting.remove(command.opaque)
                events.append(Answered(command.opaque, command))
        return events

    def _encode(self, command: Command, opaque: int, flag: int) -> bytes:
        version = command.version or SERVER_VERSION
        return encode_request(msgspec.structs.replace(command, opaque=opaque, flag=flag, version=version))
