"""Authentication, the first of the guard's three steps: find the user who sent a request."""

# Rule 1: an identity comes from a signature, never from a name that a client sends. `authorizationTrustsClaimedUser` is
# the operator's exception to this rule; a claimed user is never Super.
# Rule 2: whitelisted codes need no credentials. If credentials are sent they are still verified, so that the sender's
# rights apply; if that fails, the request is anonymous.
# Rule 3: the stateful strategy caches what a connection has authenticated as, for one version of the users and for one
# user. Failures and whitelisted requests are never cached.
# Rule 4: a connection that has authenticated as the user, whose record is the same since, is exempt from the throttle.
# Rule 5: a connection that keeps failing is slowed by itself first. A client with a wrong secret that retries for ever
# then takes little of what its address may fail.
# Rule 6: all other attempts are bounded by name and by address, new connections too: see `auth.throttle`.

from typing import Protocol

from mqguard.auth.authentication import AUTHENTICATION_FAILED, SignedCredentials, authenticate, has_signed
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.auth.user import User
from mqguard.guard.admitted_request import BY_CLAIM, BY_SIGNATURE, MAX_CLAIM_LENGTH, Identity
from mqguard.guard.request_context import RequestContext
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.model.peer import Channel, Peer
from mqguard.model.process import Clock

MAX_USERS_PER_CHANNEL = 16
"""Maximum number of users that the stateful strategy caches for one connection."""


class CachedAuthentication:
    """One user whose credentials a connection has shown, for the stateful strategy.

    Attributes:
        identity: The user.
        since_ms: Monotonic time of the verification.
        until_ms: First monotonic time at which it is not valid any more.
        not_after: Last date of the secret that was used, in milliseconds since the epoch; None for never.
    """

    __slots__ = ("identity", "not_after", "since_ms", "until_ms")

    def __init__(self, identity: Identity, since_ms: int, until_ms: int, not_after: int | None) -> None:
        self.identity = identity
        self.since_ms = since_ms
        self.until_ms = until_ms
        self.not_after = not_after


class ChannelAuthentication:
    """Authentication state of one connection, for one guard.

    Attributes:
        name: Name of the connection, for plugins.
        owner: The guard's part that made it. State of another owner is never used.
        identity: User of the last successful authentication, None before the first.
        user: The user's record at that time. Another record means that the user has changed since.
        claimed: Access key that was claimed in the last successful authentication by a plugin; None before the first.
        failures: Level of failed attempts, which falls with time.
        failed_ms: Monotonic time of that level.
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
    """Cache of the stateful strategy: a connection is verified once for a version of the users, for a limited time."""

    def __init__(self, keep_ms: int, limit: int = MAX_USERS_PER_CHANNEL) -> None:
        """Cache at most `limit` users of one connection, each for `keep_ms` milliseconds."""
        self._keep_ms = keep_ms
        self._limit = min(limit, MAX_USERS_PER_CHANNEL)

    def find(
        self, state: ChannelAuthentication, claimed: str, version: int, now_ms: int, date_ms: int
    ) -> Identity | None:
        """Return the user that a connection authenticated as with this access key; None if it must show a signature.

        Args:
            state: State of the connection.
            claimed: The access key.
            version: Version of the users.
            now_ms: Monotonic time.
            date_ms: Milliseconds since the epoch.
        """
        if version != state.version:
            state.cached.clear()
            state.version = version
            return None
        found = state.cached.get(claimed)
        if found is None or now_ms >= found.until_ms:
            return None
        if found.not_after is not None and date_ms > found.not_after:
            return None
        if not self.accepts(state, found, now_ms):
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
            now_ms: Monotonic time.
            not_after: Last date of the secret that was used, None for never.
        """
        if version != state.version or len(state.cached) >= self._limit:
            state.cached.clear()
            state.version = version
        state.cached[identity.user] = CachedAuthentication(identity, now_ms, now_ms + self._keep_ms, not_after)


CONNECTION_BURST = 10
"""Failed attempts of one connection before it is slowed."""
CONNECTION_PER_SECOND = 1.0
"""Failed attempts of one connection that are forgotten each second."""
MAX_CONNECTION_WAIT_S = 10
"""Maximum time in seconds that the failures of a connection slow it."""


class ConnectionThrottle:
    """Limit of the failed attempts of connections."""

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
            claimed: Access key that the request claims; empty for credentials without a name, such as a token.
            peer: The connection.
            now_ms: Monotonic time.

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


GUESSES = frozenset({"unknown-user", "wrong-signature", "no-signature", "expired-secret"})
"""Failures that may be guesses, so that the throttle counts them. A request without credentials guesses nothing: some
clients never sign what they ask a name server."""


class Authenticator(Protocol):
    """The step that finds the user who sent a request."""

    def identify(self, request: RequestContext, snapshot: Snapshot) -> Identity | None:
        """Return the user, None for an anonymous request.

        Raises:
            AuthenticationFailed: The request must have valid credentials and has none.
        """
        ...  # pragma: no cover


class Authentication:
    """Authentication by the signatures of our users."""

    def __init__(
        self, settings: GuardSettings, clock: Clock, throttle: Throttle, cache: AuthenticationCache | None = None
    ) -> None:
        """Authenticate by these settings; `cache` replaces the cache of the configured strategy."""
        self._enabled = settings.authentication_enabled
        self._trusts_claims = settings.trust_claimed_user and settings.authorization_enabled
        self._whitelist = settings.authentication_whitelist
        self._now_ms, self._monotonic_ms = clock.now_ms, clock.monotonic_ms
        self._throttle = ConnectionThrottle(throttle)
        self._owner = throttle
        self._cache = cache
        if cache is None and settings.authentication_strategy is Strategy.STATEFUL:
            self._cache = AuthenticationCache(settings.stateful_ms, settings.stateful_entries)

    def identify(self, request: RequestContext, snapshot: Snapshot) -> Identity | None:
        """Return the user, None for an anonymous request.

        Raises:
            AuthenticationFailed: The request must have valid credentials and has none.
        """
        if not self._enabled:
            return _claimed(request) if self._trusts_claims else None
        if not self._whitelist or self._whitelist.isdisjoint(request.operation.listed_as):
            return self._verify(request, snapshot)
        if request.signature is None:
            return None
        try:
            return self._verify(request, snapshot)
        except AuthenticationFailed:
            return None

    def _verify(self, request: RequestContext, snapshot: Snapshot) -> Identity:
        claimed, signature, peer = request.access_key, request.signature, request.peer
        state = peer.channel.authentication
        # `authentication_of` is called for a new connection only: two calls are 0.15 of the 6 µs of the guard.
        if type(state) is not ChannelAuthentication or state.owner is not self._owner:
            state = authentication_of(peer.channel, self._owner)
        known, known_user = state.identity, state.user
        if known_user is not None and claimed and signature and self._cache is None:
            # The next request of a user who has authenticated here, whose record is the same object since. The short
            # check saves 0.6 µs of the guard's 6 per request; whatever it does not accept takes the long one below.
            rights = snapshot.rights(claimed)
            if (
                rights is not None
                and rights.user is known_user
                and known is not None
                and has_signed(known_user, request.signed_content(), signature)
            ):
                return known
        return self._verify_in_full(request, state, snapshot)

    def _verify_in_full(self, request: RequestContext, state: ChannelAuthentication, snapshot: Snapshot) -> Identity:
        claimed, signature, peer = request.access_key, request.signature, request.peer
        if request.malformed is not None:
            raise AuthenticationFailed(request.malformed.reason, request.malformed.message)
        now, date = self._monotonic_ms(), self._now_ms()
        if self._cache is not None and claimed and signature:
            found = self._cache.find(state, claimed, snapshot.version, now, date)
            if found is not None:
                return found
        known, known_user = state.identity, state.user
        if claimed and (known is None or snapshot.user(claimed) is not known_user):
            self._throttle.check(claimed, peer, now)
        # Sorting the fields is work. A request without a signature, whatever it claims, is not worth it.
        content = request.signed_content() if claimed and signature else b""
        try:
            user = authenticate(SignedCredentials(claimed, signature, content), snapshot, date)
        except AuthenticationFailed as failure:
            user = self._verify_without_token(request, failure, snapshot, date)
        # The same user object: nothing about the user has changed since.
        identity = known if known is not None and known_user is user else self._remember(user, peer, state)
        if self._cache is not None:
            self._cache.add(state, identity, snapshot.version, now, _next_end(user, date))
        return identity

    def _verify_without_token(
        self, request: RequestContext, failure: AuthenticationFailed, snapshot: Snapshot, date_ms: int
    ) -> User:
        """Return the user who signed all but the security token, after the first check failed; count a failure.

        Raises:
            AuthenticationFailed: As `authenticate` does.
        """
        try:
            return _signer_without_token(request, failure, snapshot, date_ms)
        except AuthenticationFailed as final:
            if final.reason in GUESSES:
                self._throttle.failed(request.access_key or "", request.peer, self._monotonic_ms())
            raise

    def _remember(self, user: User, peer: Peer, state: ChannelAuthentication) -> Identity:
        identity = state.identity = Identity(user.name, BY_SIGNATURE, user.is_super)
        state.user = user
        self._throttle.succeeded(user.name, user.name, peer)
        return identity


def _signer_without_token(
    request: RequestContext, failure: AuthenticationFailed, snapshot: Snapshot, date_ms: int
) -> User:
    """Return the user who signed all but the security token: Go clients send the token and do not sign it.

    Unknown users and wrong secrets take the same second check, so that the time of the answer is the same.
    """
    if request.token is None or failure.reason not in GUESSES or not request.signature:
        raise failure
    credentials = SignedCredentials(request.access_key, request.signature, request.signed_content_without_token())
    return authenticate(credentials, snapshot, date_ms)


def _next_end(user: User, date_ms: int) -> int | None:
    """Return the time at which the next of the user's secrets ends; which of them signed is not known."""
    ends = [live.not_after for live in user.secrets if live.not_after is not None]
    return min((end for end in ends if end >= date_ms), default=None)


def _claimed(request: RequestContext) -> Identity | None:
    user = request.access_key
    return Identity(user, BY_CLAIM) if user else None
