"""Interface of a connection's protocol, which makes requests of the bytes of a peer, and the remoting protocol."""

from typing import Protocol

from mqguard.remoting.command import Command, FrameRefused, RemoteProtocolError
from mqguard.remoting.frame import FrameReader
from mqguard.rpc.calls import Event


class ServedLink(Protocol):
    """A connection, as far as its protocol needs it."""

    def deliver(self, commands: list[Command]) -> None:
        """Have commands served, in order."""

    def deliver_calls(self, events: list[Event]) -> None:
        """Have events of gRPC calls served, in order."""

    def refuse(self, refused: FrameRefused) -> None:
        """Answer a request that exceeds a limit."""

    def fail(self, reason: str) -> None:
        """Answer what was served and close: the peer broke the protocol."""


class LinkProtocol(Protocol):
    """The state of one connection's protocol."""

    @property
    def has_input(self) -> bool:
        """True if `serve` has not yet examined all bytes."""
        ...  # pragma: no cover

    @property
    def is_unfinished(self) -> bool:
        """True if a request has begun and not ended."""
        ...  # pragma: no cover

    @property
    def pending(self) -> int:
        """Bytes that are kept: those of unfinished requests, and those not yet decoded."""
        ...  # pragma: no cover

    @property
    def missing(self) -> int:
        """Bytes that a large request needs that has begun; 0 if there is none."""
        ...  # pragma: no cover

    def push(self, data: bytes) -> None:
        """Keep the next bytes of the peer for `serve`."""

    def serve(self, link: ServedLink, count: int, size: int) -> int:
        """Decode requests and have them served.

        Args:
            link: The connection.
            count: Maximum number of requests.
            size: Bytes after which no further request is decoded.

        Returns:
            The number of requests.
        """
        ...  # pragma: no cover


class RemotingProtocol(FrameReader):
    """Frames of the remoting protocol."""

    __slots__ = ()

    def serve(self, link: ServedLink, count: int, size: int) -> int:
        """Decode commands and have them served."""
        refused = failure = None
        try:
            commands = self.take(count, size)
        except FrameRefused as exc:
            commands, refused = exc.commands, exc
        except RemoteProtocolError as exc:
            commands, failure = exc.commands, str(exc)
        if commands:
            link.deliver(commands)
        if refused is not None:
            link.refuse(refused)
        if failure is not None:
            link.fail(failure)
        return len(commands) + 1 if refused is not None else len(commands)
