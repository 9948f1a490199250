"""The remote end of a connection, for all code above the sockets."""

from collections.abc import Callable
from typing import Protocol

from mqguard.model.peer import Peer

Work = Callable[[float], bool]
"""A part of a long request: works until a time of `time.perf_counter`, and returns True if more is left."""


class WorkQueue(Protocol):
    """Work of requests that take too long for one iteration of the event loop; true while some is left.

    The work is done in this iteration and the next ones. It counts as time of the connection. Later requests of the
    connection wait until it is done, and it is dropped with the connection.
    """

    def __bool__(self) -> bool: ...  # pragma: no cover

    def add(self, work: Work) -> None:
        """Put work at the end."""


class NoWork:
    """Work of a link whose requests are done at once."""

    def __bool__(self) -> bool:
        return False

    def add(self, work: Work) -> None:
        """Do the work."""
        while work(float("inf")):
            pass


NO_WORK: WorkQueue = NoWork()
"""The work of all such links."""


class Link(Protocol):
    """A live connection to a client. One event-loop thread uses it; no method blocks.

    Attributes:
        peer: The remote end; its `channel` identifies the connection.
        closed: True if it is closed; sending to a closed link has no effect.
    """

    peer: Peer
    closed: bool

    @property
    def work(self) -> WorkQueue:
        """Work that is left of the requests of this connection."""

    def send(self, frame: bytes) -> None:
        """Queue one encoded frame; all frames of one iteration of the event loop leave in one write at its end."""

    def close(self, reason: str) -> None:
        """Close the connection; `reason` only goes to the server's log."""
