"""The far side of a connection, as everything above the sockets sees it."""

from typing import Protocol

from mqguard.model.peer import Peer


class Link(Protocol):
    """A live connection to a client. One event-loop thread uses it; nothing here blocks.

    Attributes:
        peer: Who is at the other end; its `channel` tells connections apart.
        closed: Whether it is gone; sending to a closed link is a no-op.
    """

    peer: Peer
    closed: bool

    def send(self, frame: bytes) -> None:
        """Queue one encoded frame; all frames of a turn leave in one write at its end."""

    def close(self, reason: str) -> None:
        """Drop the connection; `reason` goes to our log only."""
