"""One connection of a client, whatever its protocol."""

import itertools

_numbers = itertools.count(1)


class Channel:
    """A connection, created by the listener that accepted it. Two channels are equal only if they are one object.

    The channel stores the authenticated user and the number of failed attempts, which end with the connection. A number
    or a name is never a key for it, since several listeners share one guard.

    Attributes:
        name: Text that names the connection to people. Unique in this process, and never a key.
        user: User that the connection authenticated as last; empty before its first authentication.
        authentication: State of the guard that decides about this connection, None before its first request.
    """

    __slots__ = ("authentication", "name", "user")

    def __init__(self, name: str = "") -> None:
        self.name = name or f"{next(_numbers):08x}"
        self.user = ""
        self.authentication: object | None = None

    def __repr__(self) -> str:
        return f"Channel({self.name!r})"
