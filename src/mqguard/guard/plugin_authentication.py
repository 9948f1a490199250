"""Authentication with plugins: a provider that replaces the server's signatures, and handlers after either."""

from collections.abc import Sequence

from mqguard.auth.authentication import AUTHENTICATION_FAILED
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.throttle import Throttle
from mqguard.guard.admitted_request import BY_CLAIM, BY_PLUGIN, Identity
from mqguard.guard.authentication import Authentication, AuthenticationCache, ConnectionThrottle
from mqguard.guard.plugin_api import AuthenticationRequest, HandlerResult, NotAuthenticated
from mqguard.guard.plugin_calls import PluginFailed, PluginInvoker, PluginResults
from mqguard.guard.request_context import RequestContext
from mqguard.guard.settings import GuardSettings
from mqguard.model.process import Clock

REFUSED = "plugin-refused"


class PluginAuthentication:
    """The parts of plugin authentication that all requests share.

    Args:
        ours: The server's own authentication, for a server without a provider or with authentication off.
        provider: The provider, None for the server's own authentication.
        handlers: Checks after a request is authenticated.
        cache: Cache of the strategy, None if it has none.
    """

    def __init__(
        self,
        settings: GuardSettings,
        ours: Authentication,
        provider: PluginInvoker[str | NotAuthenticated] | None,
        handlers: Sequence[PluginInvoker[HandlerResult]],
        cache: AuthenticationCache | None,
        throttle: Throttle,
        clock: Clock,
    ) -> None:
        self._enabled = settings.authentication_enabled
        self._whitelist = settings.authentication_whitelist
        self._ours = ours
        self._provider = provider
        self._handlers = tuple(handlers)
        self._cache = cache
        self._throttle = ConnectionThrottle(throttle)
        self._now_ms, self._monotonic_ms = clock.now_ms, clock.monotonic_ms

    def identify(self, request: RequestContext, snapshot: Snapshot, answers: PluginResults) -> Identity | None:
        """Return the user, None for an anonymous request, as `Authentication.identify`.

        Raises:
            AuthenticationFailed: Also if a plugin denies or fails.
            PluginCallsPending: A plugin must be called first.
        """
        if not self._enabled:
            return self._ours.identify(request, snapshot)
        is_listed = not self._whitelist.isdisjoint(request.operation.listed_as)
        try:
            if self._provider is None:
                identity = self._ours.identify(request, snapshot)
            elif is_listed and request.access_key is None and request.token is None:
                return None
            else:
                identity = self._authenticate(self._provider, request, snapshot, answers)
            if identity is not None and identity.method is not BY_CLAIM:
                self._check(request, identity, answers)
        except PluginFailed as failed:
            if is_listed:
                return None
            raise AuthenticationFailed(failed.reason, AUTHENTICATION_FAILED) from None
        except AuthenticationFailed:
            # A whitelisted request with invalid credentials is anonymous, as without plugins.
            if is_listed:
                return None
            raise
        return identity

    def _authenticate(
        self,
        provider: PluginInvoker[str | NotAuthenticated],
        request: RequestContext,
        snapshot: Snapshot,
        answers: PluginResults,
    ) -> Identity:
        if request.malformed is not None:
            raise AuthenticationFailed(request.malformed.reason, request.malformed.message)
        claimed, peer = request.access_key or "", request.peer
        now = self._monotonic_ms()
        state = self._throttle.state(peer)
        if self._cache is not None and claimed:
            found = self._cache.find(state, claimed, snapshot.version, now, self._now_ms())
            if found is not None:
                return found
        # As without a provider: a change of the user's record on this server ends the earlier authentication.
        is_known = state.claimed == claimed and snapshot.user(claimed) is state.user
        # A token may authenticate a user without an access key. An earlier success says nothing about the next token.
        is_guess = bool(claimed) or request.token is not None
        if is_guess and not (claimed and is_known):
            self._throttle.check(claimed, peer, now)
        name = provider.ask(answers, _question(request))
        if isinstance(name, NotAuthenticated):
            if is_guess:
                self._throttle.failed(claimed, peer, now)
            raise AuthenticationFailed(REFUSED, AUTHENTICATION_FAILED)
        user = snapshot.user(name)
        if user is not None and not user.is_enabled:
            raise AuthenticationFailed("disabled", f"User:{name} is disabled.")
        if not is_known:
            # A provider may return another user than the request claims. The claim is not authenticated then.
            state.claimed = claimed if claimed == name else None
            state.user = user
            self._throttle.succeeded(claimed, name, peer)
        # Rule 2 of `plugin_api.py`: only the server's users decide who is Super.
        identity = Identity(name, BY_PLUGIN, user is not None and user.is_super)
        if self._cache is not None:
            self._cache.add(state, identity, snapshot.version, now, None)
        return identity

    def _check(self, request: RequestContext, identity: Identity, answers: PluginResults) -> None:
        for handler in self._handlers:
            if handler.ask(answers, _question(request), identity.user) is not HandlerResult.NEXT:
                raise AuthenticationFailed(REFUSED, AUTHENTICATION_FAILED)


class PerRequestAuthentication:
    """Authentication of one request, with the results of plugins for it."""

    __slots__ = ("_answers", "_shared")

    def __init__(self, shared: PluginAuthentication, answers: PluginResults) -> None:
        self._shared = shared
        self._answers = answers

    def identify(self, request: RequestContext, snapshot: Snapshot) -> Identity | None:
        """Return the user; see `PluginAuthentication.identify`."""
        return self._shared.identify(request, snapshot, self._answers)


def _question(request: RequestContext) -> AuthenticationRequest:
    return AuthenticationRequest(
        user=request.access_key or "",
        signature=request.signature or "",
        token=request.token or "",
        content=request.signed_content(),
        operation=request.operation.name,
        code=request.operation.code,
        source=request.peer.ip,
        tls=request.peer.tls,
    )
