"""Limits of connections: counts them, all and by address, and drops anonymous ones if there are too many."""

# Rule 1: a connection that has authenticated is never closed to make room for another.
# Rule 2: at the limit, the oldest anonymous connection of the address with most anonymous ones is dropped.
# Rule 3: one user cannot take the connections of all others. The last eighth is for users below an even share.

from typing import Final, Generic, Protocol, TypeVar

from mqguard.model.peer import Peer, address_block

_MIN_SHARE: Final = 256
"""Number of connections that may always be anonymous, if the maximum allows so many."""
RESERVED_PART: Final = 8
"""Part of all connections, and of those of an address, that only users below an even share may open."""


class CountedConnection(Protocol):
    """A connection that is counted."""

    peer: Peer
    is_counted: bool
    block: str | None
    """The block of addresses under which it is counted, None before its address is known."""


G = TypeVar("G", bound=CountedConnection)


class _UserCounts:
    """Counts authenticated connections by user, against a maximum."""

    __slots__ = ("_by_user", "_maximum", "_total")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._total = 0
        self._by_user: dict[str, int] = {}

    def allows(self, user: str) -> bool:
        """Return True if a user may have one more connection."""
        maximum = self._maximum
        if self._total < maximum - maximum // RESERVED_PART:
            return True
        users = len(self._by_user) + (user not in self._by_user)
        return self._by_user.get(user, 0) < maximum // (users + 1)

    def change(self, user: str, more: int) -> bool:
        """Count a connection or its end; return True if any connection is left."""
        self._total += more
        count = self._by_user.get(user, 0) + more
        if count:
            self._by_user[user] = count
        else:
            del self._by_user[user]
        return bool(self._total)


class ConnectionLimits(Generic[G]):
    """Counts connections.

    Args:
        maximum: Maximum number of connections.
        maximum_per_address: Maximum number of connections from one address (IPv6: from one /64 network).

    Attributes:
        count: Number of connections.
    """

    def __init__(self, maximum: int, maximum_per_address: int) -> None:
        self._maximum = maximum
        self._max_per_address = maximum_per_address
        self._max_anonymous = _share(maximum)
        self._max_anonymous_per_address = _share(maximum_per_address)
        self._by_block: dict[str, int] = {}
        # Insertion order is the order of age.
        self._anonymous: dict[str, dict[G, None]] = {}
        self._anonymous_count = 0
        self._users = _UserCounts(maximum)
        self._users_by_block: dict[str, _UserCounts] = {}
        self._user_of: dict[G, str] = {}
        self.count = 0

    def enter(self, connection: G) -> tuple[str | None, G | None]:
        """Count a connection.

        Returns:
            The reason to refuse the connection, or the connection that must be dropped for it; None otherwise.
        """
        evicted = None
        if self.count >= self._maximum:
            evicted = self._oldest_of_most()
            if evicted is None:
                return f"{self._maximum} connections are open", None
            self.leave(evicted)
        self.count += 1
        connection.is_counted = True
        return None, evicted

    def settle(self, connection: G, *, is_anonymous: bool) -> tuple[str | None, G | None]:
        """Count the address of a connection.

        Args:
            connection: The connection.
            is_anonymous: True if the connection has not authenticated.

        Returns:
            As `enter`.
        """
        block = address_block(connection.peer.ip)
        own = self._anonymous.get(block, {})
        evicted = None
        if self._by_block.get(block, 0) >= self._max_per_address or (
            is_anonymous and len(own) >= self._max_anonymous_per_address
        ):
            evicted = next(iter(own), None)
            if evicted is None:
                return f"{self._max_per_address} connections from {block} are open", None
        elif is_anonymous and self._anonymous_count >= self._max_anonymous:
            evicted = self._oldest_of_most()
        if evicted is not None:
            self.leave(evicted)
        connection.block = block
        self._by_block[block] = self._by_block.get(block, 0) + 1
        if is_anonymous:
            self._anonymous.setdefault(block, {})[connection] = None
            self._anonymous_count += 1
        return None, evicted

    def authenticate(self, connection: G, user: str) -> str | None:
        """Count a connection under the user that it has authenticated as.

        Returns:
            The reason to refuse the connection, None otherwise.
        """
        self._forget_anonymous(connection)
        self._forget_user(connection)
        block = connection.block
        if block is None:
            return None
        users = self._users_by_block.get(block)
        if users is None:
            users = self._users_by_block[block] = _UserCounts(self._max_per_address)
        # It is counted in any case: `leave` subtracts it.
        has_room = self._users.allows(user) and users.allows(user)
        self._user_of[connection] = user
        self._users.change(user, 1)
        users.change(user, 1)
        return None if has_room else "its user has so many connections that too few are left for other users"

    def _forget_anonymous(self, connection: G) -> None:
        own = self._anonymous.get(connection.block or "")
        if own is None or connection not in own:
            return
        del own[connection]
        self._anonymous_count -= 1
        if not own and connection.block is not None:
            del self._anonymous[connection.block]

    def _forget_user(self, connection: G) -> None:
        user = self._user_of.pop(connection, None)
        if user is None or connection.block is None:
            return
        self._users.change(user, -1)
        if not self._users_by_block[connection.block].change(user, -1):
            del self._users_by_block[connection.block]

    def leave(self, connection: G) -> None:
        """Forget a connection; a second call has no effect."""
        if connection.is_counted:
            connection.is_counted = False
            self.count -= 1
        self._forget_anonymous(connection)
        self._forget_user(connection)
        block, connection.block = connection.block, None
        if block is not None:
            count = self._by_block[block] - 1
            if count:
                self._by_block[block] = count
            else:
                del self._by_block[block]

    def _oldest_of_most(self) -> G | None:
        """Return the oldest anonymous connection of the address with most of them."""
        if not self._anonymous:
            return None
        block = max(self._anonymous, key=lambda block: len(self._anonymous[block]))
        return next(iter(self._anonymous[block]))


def _share(maximum: int) -> int:
    return max(maximum // 2, min(maximum, _MIN_SHARE))
