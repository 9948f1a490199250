"""Slows down connections and sources that keep failing to authenticate."""

# Rule 1: a connection that has authenticated as the user, whose record is the same since, is exempt.
# Rule 2: a connection that keeps failing is slowed by itself first. A client with a wrong secret that retries for ever
# then takes little of what its address may fail.
# Rule 3: all other attempts are bounded by name and by address, new connections too: see `auth.throttle`.

from mqguard.auth.authenticator import AUTHENTICATION_FAILED
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.throttle import Throttle
from mqguard.guard.authentication_cache import ChannelAuthentication, authentication_of
from mqguard.guard.context import MAX_CLAIM_LENGTH
from mqguard.model.peer import Peer

CONNECTION_BURST = 10
"""Failed attempts of one connection before it is slowed."""
CONNECTION_PER_SECOND = 1.0
"""Failed attempts of one connection that are forgotten each second."""
MAX_CONNECTION_WAIT_S = 10
"""Longest time in seconds that the failures of a connection slow it."""


class ConnectionThrottle:
    """Counts the failed attempts of connections, and refuses further ones while there were too many."""

    __slots__ = ("_throttle",)

    def __init__(self, throttle: Throttle) -> None:
        """Count by users and addresses with the throttle."""
        self._throttle = throttle

    def state(self, peer: Peer) -> ChannelAuthentication:
        """Return the authentication state of a connection."""
        return authentication_of(peer.channel, self._throttle)

    def check(self, claimed: str, peer: Peer, now_ms: int) -> None:
        """Refuse an attempt without verifying it, if too many have failed.

        Args:
            claimed: Access key that the request claims; empty if it shows something that names nobody, such as a
                token.
            peer: The connection.
            now_ms: Milliseconds since the epoch.

        Raises:
            AuthenticationFailed: With the reason `throttled`.
        """
        state = self.state(peer)
        is_slowed = _level(state, now_ms) > CONNECTION_BURST - 1
        if is_slowed or self._throttle.wait_ms(claimed[:MAX_CLAIM_LENGTH], peer.ip, now_ms):
            raise AuthenticationFailed("throttled", AUTHENTICATION_FAILED)

    def failed(self, claimed: str, peer: Peer, now_ms: int) -> None:
        """Count a failed attempt of a connection."""
        self._throttle.failed(claimed[:MAX_CLAIM_LENGTH], peer.ip, now_ms)
        state = self.state(peer)
        highest = CONNECTION_BURST + MAX_CONNECTION_WAIT_S * CONNECTION_PER_SECOND
        state.failures = min(_level(state, now_ms) + 1, highest)
        state.failed_ms = now_ms

    def succeeded(self, claimed: str, user: str, peer: Peer) -> None:
        """Note that a connection has authenticated as `user` for the first time, with the access key `claimed`."""
        self._throttle.succeeded(claimed[:MAX_CLAIM_LENGTH], peer.ip)
        peer.channel.user = user


def _level(state: ChannelAuthentication, now_ms: int) -> float:
    if not state.failures:
        return 0.0
    return max(0.0, state.failures - max(0, now_ms - state.failed_ms) / 1000 * CONNECTION_PER_SECOND)
