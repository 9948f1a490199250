"""Places of a listener: counts open connections, all and by address, and makes room where anonymous ones take it."""

# Rule 1: a connection that has authenticated is never closed to make room for another.
# Rule 2: where there is no room, the oldest anonymous connection of the address with most of them goes.
# Rule 3: one user cannot take the places of all others. The last eighth is for users below an even share.

from typing import Final, Generic, Protocol, TypeVar

from mqguard.model.peer import Peer, address_block

_MIN_SHARE: Final = 256
"""Places that anonymous connections may take in any case, as far as there are so many."""
RESERVED_PART: Final = 8
"""Part of all places, and of those of an address, that only users below an even share may take."""


class Guest(Protocol):
    """A connection that takes a place."""

    peer: Peer
    has_place: bool
    block: str | None
    """The block of addresses under which it is counted, None before its address is known."""


G = TypeVar("G", bound=Guest)


class _UserCounts:
    """Counts authenticated connections by user, against a number of places."""

    __slots__ = ("_by_user", "_most", "_total")

    def __init__(self, most: int) -> None:
        self._most = most
        self._total = 0
        self._by_user: dict[str, int] = {}

    def allows(self, user: str) -> bool:
        """Return whether a user may have one more connection."""
        most = self._most
        if self._total < most - most // RESERVED_PART:
            return True
        users = len(self._by_user) + (user not in self._by_user)
        return self._by_user.get(user, 0) < most // (users + 1)

    def change(self, user: str, more: int) -> bool:
        """Count a connection, or its end; return whether any connection is left."""
        self._total += more
        count = self._by_user.get(user, 0) + more
        if count:
            self._by_user[user] = count
        else:
            del self._by_user[user]
        return bool(self._total)


class Places(Generic[G]):
    """Counts connections.

    Args:
        most: Maximum number of connections.
        most_per_address: Maximum number of connections from one address (IPv6: from one /64 network).

    Attributes:
        count: Number of connections.
    """

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._most_anonymous = _share(most)
        self._most_anonymous_per_address = _share(most_per_address)
        self._by_block: dict[str, int] = {}
        # Insertion order is the order of age.
        self._anonymous: dict[str, dict[G, None]] = {}
        self._anonymous_count = 0
        self._users = _UserCounts(most)
        self._users_by_block: dict[str, _UserCounts] = {}
        self._user_of: dict[G, str] = {}
        self.count = 0

    def enter(self, guest: G) -> tuple[str | None, G | None]:
        """Count a connection.

        Returns:
            The reason for which there is no place, or the connection that must go to make room; None otherwise.
        """
        evicted = None
        if self.count >= self._most:
            evicted = self._oldest_of_most()
            if evicted is None:
                return f"{self._most} connections are open", None
            self.leave(evicted)
        self.count += 1
        guest.has_place = True
        return None, evicted

    def settle(self, guest: G, *, is_anonymous: bool) -> tuple[str | None, G | None]:
        """Count the address of a connection.

        Args:
            guest: The connection.
            is_anonymous: True if the connection has to authenticate still.

        Returns:
            As `enter`.
        """
        block = address_block(guest.peer.ip)
        own = self._anonymous.get(block, {})
        evicted = None
        if self._by_block.get(block, 0) >= self._most_per_address or (
            is_anonymous and len(own) >= self._most_anonymous_per_address
        ):
            evicted = next(iter(own), None)
            if evicted is None:
                return f"{self._most_per_address} connections from {block} are open", None
        elif is_anonymous and self._anonymous_count >= self._most_anonymous:
            evicted = self._oldest_of_most()
        if evicted is not None:
            self.leave(evicted)
        guest.block = block
        self._by_block[block] = self._by_block.get(block, 0) + 1
        if is_anonymous:
            self._anonymous.setdefault(block, {})[guest] = None
            self._anonymous_count += 1
        return None, evicted

    def authenticate(self, guest: G, user: str) -> str | None:
        """Count a connection under the user that it has authenticated as.

        Returns:
            The reason for which there is no place for the user, None otherwise.
        """
        self._forget_anonymous(guest)
        self._forget_user(guest)
        block = guest.block
        if block is None:
            return None
        users = self._users_by_block.get(block)
        if users is None:
            users = self._users_by_block[block] = _UserCounts(self._most_per_address)
        # Counted in any case: `leave` takes it out again.
        has_room = self._users.allows(user) and users.allows(user)
        self._user_of[guest] = user
        self._users.change(user, 1)
        users.change(user, 1)
        return None if has_room else "its user has so many connections that too few are left for other users"

    def _forget_anonymous(self, guest: G) -> None:
        own = self._anonymous.get(guest.block or "")
        if own is None or guest not in own:
            return
        del own[guest]
        self._anonymous_count -= 1
        if not own and guest.block is not None:
            del self._anonymous[guest.block]

    def _forget_user(self, guest: G) -> None:
        user = self._user_of.pop(guest, None)
        if user is None or guest.block is None:
            return
        self._users.change(user, -1)
        if not self._users_by_block[guest.block].change(user, -1):
            del self._users_by_block[guest.block]

    def leave(self, guest: G) -> None:
        """Forget a connection; doing it twice is fine."""
        if guest.has_place:
            guest.has_place = False
            self.count -= 1
        self._forget_anonymous(guest)
        self._forget_user(guest)
        block, guest.block = guest.block, None
        if block is not None:
            count = self._by_block[block] - 1
            if count:
                self._by_block[block] = count
            else:
                del self._by_block[block]

    def _oldest_of_most(self) -> G | None:
        """The oldest anonymous connection of the address with most of them."""
        if not self._anonymous:
            return None
        block = max(self._anonymous, key=lambda block: len(self._anonymous[block]))
        return next(iter(self._anonymous[block]))


def _share(most: int) -> int:
    return max(most // 2, min(most, _MIN_SHARE))
