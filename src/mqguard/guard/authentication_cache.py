"""What one connection has authenticated as. It is kept on the connection's own object and ends with it."""

from mqguard.auth.user import User
from mqguard.guard.context import Identity
from mqguard.model.channel import Channel

MAX_USERS_PER_CHANNEL = 16
"""Maximum number of users that the stateful strategy caches for one connection."""


class CachedAuthentication:
    """One user whose credentials a connection has shown, for the stateful strategy.

    Attributes:
        identity: The user.
        since_ms: Time of the verification, in milliseconds since the epoch.
        until_ms: First moment at which it is not valid any more.
    """

    __slots__ = ("identity", "since_ms", "until_ms")

    def __init__(self, identity: Identity, since_ms: int, until_ms: int) -> None:
        self.identity = identity
        self.since_ms = since_ms
        self.until_ms = until_ms


class ChannelAuthentication:
    """Authentication state of one connection, for one guard.

    Attributes:
        name: Name of the connection, for plugins.
        owner: The guard's part that made it. State of another owner is never used.
        identity: User of the last successful authentication, None before the first.
        user: The user's record at that time. Another record means that the user has changed since.
        claimed: Access key that was claimed in the last successful authentication by a plugin; None before the first.
        failures: Level of failed attempts, which falls with time.
        failed_ms: Time of that level, in milliseconds since the epoch.
        version: Version of the users for which `cached` is valid.
        cached: Cached authentications by access key.
    """

    __slots__ = ("cached", "claimed", "failed_ms", "failures", "identity", "name", "owner", "user", "version")

    def __init__(self, name: str, owner: object) -> None:
        self.name = name
        self.owner = owner
        self.identity: Identity | None = None
        self.user: User | None = None
        self.claimed: str | None = None
        self.failures = 0.0
        self.failed_ms = 0
        self.version = -1
        self.cached: dict[str, CachedAuthentication] = {}


def authentication_of(channel: Channel, owner: object) -> ChannelAuthentication:
    """Return the state of a connection for an owner, new if it has none of that owner."""
    state = channel.authentication
    if type(state) is not ChannelAuthentication or state.owner is not owner:
        state = channel.authentication = ChannelAuthentication(channel.name, owner)
    return state


class AuthenticationCache:
    """The stateful strategy: a connection is verified once for each version of the users and for a limited time."""

    def __init__(self, keep_ms: int, limit: int = MAX_USERS_PER_CHANNEL) -> None:
        """Cache at most `limit` users of one connection, each for `keep_ms` milliseconds."""
        self._keep_ms = keep_ms
        self._limit = min(limit, MAX_USERS_PER_CHANNEL)

    def find(self, state: ChannelAuthentication, claimed: str, version: int, now_ms: int) -> Identity | None:
        """Return the user that a connection authenticated as with this access key; None if it must show a signature."""
        if version != state.version:
            state.cached.clear()
            state.version = version
            return None
        found = state.cached.get(claimed)
        if found is None or now_ms >= found.until_ms or not self.accepts(state, found, now_ms):
            return None
        return found.identity

    def accepts(self, state: ChannelAuthentication, found: CachedAuthentication, now_ms: int) -> bool:  # noqa: ARG002
        """Return whether a valid entry is used; a strategy of the operator's may decline it."""
        return True

    def add(
        self,
        state: ChannelAuthentication,
        identity: Identity,
        version: int,
        now_ms: int,
        not_after: int | None,
    ) -> None:
        """Cache a successful authentication.

        Args:
            state: State of the connection.
            identity: The user. Requests with this name as access key are found.
            version: Version of the users that it was verified with.
            now_ms: Milliseconds since the epoch.
            not_after: Last moment of the secret that was used, None for never.
        """
        if version != state.version or len(state.cached) >= self._limit:
            state.cached.clear()
            state.version = version
        until = now_ms + self._keep_ms
        if not_after is not None:
            until = min(until, not_after + 1)
        state.cached[identity.user] = CachedAuthentication(identity, now_ms, until)
