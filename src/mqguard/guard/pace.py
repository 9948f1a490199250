"""Slows down who keeps failing to prove who it is, connection by connection.

Rule 1: a new connection's first attempt is always looked at, so that a client that keeps failing does not hold up the
rightful one beside it at the same address. Only connections that have failed are slowed.
Rule 2: only a connection's first proof forgives failures: else the owner's traffic would forgive a guesser beside it
for ever. Whoever asks here asks only about connections that have not proved to be that user, and about what names none.
"""

from mqguard.auth.authenticator import AUTHENTICATION_FAILED
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.throttle import Throttle
from mqguard.guard.context import LONGEST_CLAIM
from mqguard.model.peer import Peer

MOST_CHANNELS = 100_000
"""Most connections of which anything is remembered, here and by those who ask here."""


class Pace:
    """What connections have failed, and how long they wait for it."""

    __slots__ = ("_failed", "_throttle")

    def __init__(self, throttle: Throttle) -> None:
        """Count by users and addresses with the throttle."""
        self._throttle = throttle
        self._failed: dict[str, None] = {}

    def check(self, claimed: str, peer: Peer, now_ms: int) -> None:
        """Refuse a connection that has failed too often, without looking at what it shows.

        Args:
            claimed: Who it says it is; empty where it shows something that names nobody, such as a token.
            peer: The connection.
            now_ms: Milliseconds since the epoch.

        Raises:
            AuthenticationFailed: With the reason `throttled`.
        """
        if peer.channel in self._failed and self._throttle.wait_ms(claimed[:LONGEST_CLAIM], peer.ip, now_ms):
            raise AuthenticationFailed("throttled", AUTHENTICATION_FAILED)

    def failed(self, claimed: str, peer: Peer, now_ms: int) -> None:
        """Count a failure of the connection."""
        self._throttle.failed(claimed[:LONGEST_CLAIM], peer.ip, now_ms)
        if len(self._failed) >= MOST_CHANNELS:
            del self._failed[next(iter(self._failed))]
        self._failed[peer.channel] = None

    def proved(self, user: str, peer: Peer) -> None:
        """Forgive: the connection has proved to be the user for the first time."""
        self._throttle.succeeded(user[:LONGEST_CLAIM], peer.ip)
