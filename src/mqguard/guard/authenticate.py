"""Who sent a request: the first of the guard's three steps.

Rule 1: an identity is what a signature proved, never what a client says of itself. (`authorizationTrustsClaimedUser`
is the operator's word against this rule; a claim is never Super.)
Rule 2: a code on the whitelist is excused from the proof. A proof that is given is looked at all the same, so that the
rights of the sender apply; a bad one leaves it nobody.
Rule 3: what a connection has proved is remembered, where the strategy says so, for one version of the users and for
one user. Failures and excuses are never remembered.
"""

from typing import Protocol

from mqguard.auth.authenticator import Credentials, authenticate
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.auth.user import User
from mqguard.guard.authentication_cache import AuthenticationCache, ChannelAuthentication, authentication_of
from mqguard.guard.connection_throttle import ConnectionThrottle
from mqguard.guard.context import BY_CLAIM, BY_SIGNATURE, Identity
from mqguard.guard.settings import GuardSettings, Strategy
from mqguard.guard.whitelist import codes_of
from mqguard.model.clock import Clock
from mqguard.model.peer import Peer
from mqguard.remoting.command import Command
from mqguard.remoting.signing import ACCESS_KEY, SECURITY_TOKEN, SIGNATURE, signed_content

GUESSES = frozenset({"unknown-user", "wrong-signature", "no-signature", "expired-secret"})
"""Failures that may be guesses, and so slow down who makes them. Sending no credentials at all guesses nothing: some
clients never sign what they ask a name server."""


class Identifier(Protocol):
    """Whoever finds out who sent a request."""

    def identify(self, command: Command, peer: Peer, snapshot: Snapshot) -> Identity | None:
        """The sender, None for nobody in particular.

        Raises:
            AuthenticationFailed: The request must prove who sent it and does not.
        """
        ...  # pragma: no cover


class Authentication:
    """Finds out who sent a request."""

    def __init__(
        self, settings: GuardSettings, clock: Clock, throttle: Throttle, cache: AuthenticationCache | None = None
    ) -> None:
        """Take the operator's decisions, and the cache of the strategy where it has one of its own."""
        self._enabled = settings.authentication_enabled
        self._trusting = settings.trust_claimed_user and settings.authorization_enabled
        self._excused = codes_of(settings.authentication_whitelist)
        self._now_ms = clock.now_ms
        self._throttle = ConnectionThrottle(throttle)
        self._owner = throttle
        self._cache = cache
        if cache is None and settings.authentication_strategy is Strategy.STATEFUL:
            self._cache = AuthenticationCache(settings.stateful_ms, settings.stateful_entries)

    def identify(self, command: Command, peer: Peer, snapshot: Snapshot) -> Identity | None:
        """The sender, None for nobody in particular.

        Raises:
            AuthenticationFailed: The request must prove who sent it and does not.
        """
        if not self._enabled:
            return _claimed(command) if self._trusting else None
        if command.code not in self._excused:
            return self._verify(command, peer, snapshot)
        if SIGNATURE not in command.ext:
            return None
        try:
            return self._verify(command, peer, snapshot)
        except AuthenticationFailed:
            return None

    def _verify(self, command: Command, peer: Peer, snapshot: Snapshot) -> Identity:
        ext = command.ext
        claimed = ext.get(ACCESS_KEY)
        now = self._now_ms()
        state = peer.channel.authentication
        # `authentication_of` is called for a new connection only: two calls are 0.15 of the 6 µs of the guard.
        if type(state) is not ChannelAuthentication or state.owner is not self._owner:
            state = authentication_of(peer.channel, self._owner)
        if self._cache is not None and claimed and ext.get(SIGNATURE):
            found = self._cache.find(state, claimed, snapshot.version, now)
            if found is not None:
                return found
        known, known_user = state.identity, state.user
        if claimed and (known is None or snapshot.user(claimed) is not known_user):
            self._throttle.check(claimed, peer, now)
        signature = ext.get(SIGNATURE)
        # Sorting the fields is work. A request that shows no signature, whoever it claims to be, is not worth it.
        content = signed_content(ext, command.body, command.version) if claimed and signature else b""
        try:
            user = authenticate(Credentials(claimed, signature, content), snapshot, now)
        except AuthenticationFailed as failure:
            user = self._look_again(command, peer, failure, snapshot, now)
        # The same user object: nothing about the user has changed since.
        identity = known if known is not None and known_user is user else self._remember(user, peer, state)
        if self._cache is not None:
            self._cache.add(state, identity, snapshot.version, now, _next_end(user, now))
        return identity

    def _look_again(
        self, command: Command, peer: Peer, failure: AuthenticationFailed, snapshot: Snapshot, now_ms: int
    ) -> User:
        """The user who signed as Go clients do, after the first look failed; counts the failure if there is none.

        Raises:
            AuthenticationFailed: As `authenticate` does.
        """
        try:
            return _signer_without_token(command, failure, snapshot, now_ms)
        except AuthenticationFailed as final:
            if final.reason in GUESSES:
                self._throttle.failed(command.ext.get(ACCESS_KEY, ""), peer, now_ms)
            raise

    def _remember(self, user: User, peer: Peer, state: ChannelAuthentication) -> Identity:
        identity = state.identity = Identity(user.name, BY_SIGNATURE, user.is_super)
        state.user = user
        self._throttle.succeeded(user.name, user.name, peer)
        return identity


def _signer_without_token(command: Command, failure: AuthenticationFailed, snapshot: Snapshot, now_ms: int) -> User:
    """The user who signed all but the security token: Go clients send the token and leave it out of what they sign.

    Unknown users and wrong secrets take the same second look, so that time does not tell them apart.
    """
    ext = command.ext
    if SECURITY_TOKEN not in ext or failure.reason not in GUESSES:
        raise failure
    if not ext.get(SIGNATURE):
        raise failure
    bare = {name: value for name, value in ext.items() if name != SECURITY_TOKEN}
    content = signed_content(bare, command.body, command.version)
    return authenticate(Credentials(ext.get(ACCESS_KEY), ext.get(SIGNATURE), content), snapshot, now_ms)


def _next_end(user: User, now_ms: int) -> int | None:
    """When the next of the user's secrets ends. Which one signed is not told, so the next end counts."""
    ends = [live.not_after for live in user.secrets if live.not_after is not None]
    return min((end for end in ends if end >= now_ms), default=None)


def _claimed(command: Command) -> Identity | None:
    user = command.ext.get(ACCESS_KEY)
    return Identity(user, BY_CLAIM) if user else None
