"""What connections have proved, for the stateful strategy."""

from mqguard.guard.context import Identity


class VerifiedConnections:
    """Remembers which user a connection has proved to be, for one version of the users and for a limited time."""

    def __init__(self, limit: int, keep_ms: int) -> None:
        """Remember at most `limit` connections, each for `keep_ms` milliseconds."""
        self._limit = limit
        self._keep_ms = keep_ms
        self._version = -1
        self._known: dict[tuple[str, str], tuple[Identity, int]] = {}

    def find(self, channel: str, user: str, version: int, now_ms: int) -> Identity | None:
        """Who the connection has proved to be when it calls itself `user`; None if it has to prove it."""
        if version != self._version:
            self._known.clear()
            self._version = version
            return None
        found = self._known.get((channel, user))
        if found is None or now_ms >= found[1]:
            return None
        return found[0]

    def add(self, channel: str, identity: Identity, version: int, now_ms: int, not_after: int | None) -> None:
        """Remember a proof.

        Args:
            channel: The connection.
            identity: Who it is.
            version: The version of the users that it was proved with.
            now_ms: Milliseconds since the epoch.
            not_after: When the secret that proved it ends, None for never.
        """
        if version != self._version:
            self._known.clear()
            self._version = version
        if len(self._known) >= self._limit:
            self._known.clear()
        until = now_ms + self._keep_ms
        if not_after is not None:
            until = min(until, not_after + 1)
        self._known[(channel, identity.user)] = (identity, until)
