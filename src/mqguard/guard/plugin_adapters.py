"""The installed plugins of one guard, and the safe calls of each kind."""

import dataclasses
from typing import Generic, TypeVar

from mqguard.guard.authentication import AuthenticationCache, CachedAuthentication, ChannelAuthentication
from mqguard.guard.plugin_api import (
    AuthenticationHandler,
    AuthenticationProvider,
    AuthorizationHandler,
    AuthorizationProvider,
    CachedResult,
    CacheStrategy,
    HandlerResult,
    NotAuthenticated,
    Ruling,
)
from mqguard.guard.plugin_calls import PluginInvoker
from mqguard.guard.ports import GuardPorts

P = TypeVar("P")
MAX_USER_LENGTH = 255
"""Maximum length of a user name that a plugin may return."""


@dataclasses.dataclass(frozen=True, slots=True)
class InstalledPlugin(Generic[P]):
    """One installed plugin.

    Attributes:
        name: The option that names the plugin, with its name there.
        plugin: The plugin.
        quick: True if the plugin answers at once.
    """

    name: str
    plugin: P
    quick: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPlugins:
    """All plugins of a guard.

    Attributes:
        authentication_provider: Replacement of the server's signatures.
        authentication_handlers: Checks after a request is authenticated, in order.
        authentication_strategy: Decision about the use of cached authentications.
        authorization_provider: Replacement of the server's policies.
        authorization_handlers: Checks after a permission is granted, in order.
        authorization_strategy: Decision about the use of cached rulings of the provider.
        limit_ms: Maximum time that a request waits for all of its plugins, and that a quick plugin may take.
    """

    authentication_provider: InstalledPlugin[AuthenticationProvider] | None = None
    authentication_handlers: tuple[InstalledPlugin[AuthenticationHandler], ...] = ()
    authentication_strategy: CacheStrategy | None = None
    authorization_provider: InstalledPlugin[AuthorizationProvider] | None = None
    authorization_handlers: tuple[InstalledPlugin[AuthorizationHandler], ...] = ()
    authorization_strategy: CacheStrategy | None = None
    limit_ms: int = 1_000

    def __bool__(self) -> bool:
        """Return True if there is any plugin."""
        return any(
            getattr(self, field.name) not in (None, ())
            for field in dataclasses.fields(self)
            if field.name != "limit_ms"
        )


def authentication_calls(
    found: InstalledPlugin[AuthenticationProvider], limit_ms: int, ports: GuardPorts
) -> PluginInvoker[str | NotAuthenticated]:
    """Return the safe calls of an authentication provider."""
    return PluginInvoker(
        found.name,
        found.plugin.authenticate,
        _read_user,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.monotonic_ms,
        ticks=ports.ticks,
    )


def authorization_calls(
    found: InstalledPlugin[AuthorizationProvider], limit_ms: int, ports: GuardPorts
) -> PluginInvoker[Ruling]:
    """Return the safe calls of an authorization provider."""
    return PluginInvoker(
        found.name,
        found.plugin.decide,
        _read_ruling,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.monotonic_ms,
        ticks=ports.ticks,
    )


def handler_calls(
    found: InstalledPlugin[AuthenticationHandler] | InstalledPlugin[AuthorizationHandler],
    limit_ms: int,
    ports: GuardPorts,
) -> PluginInvoker[HandlerResult]:
    """Return the safe calls of a handler."""
    return PluginInvoker(
        found.name,
        found.plugin.check,
        _read_result,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.monotonic_ms,
        ticks=ports.ticks,
    )


def is_accepted(strategy: CacheStrategy, result: CachedResult) -> bool:
    """Return True if a strategy accepts a result. A strategy that raises or returns an invalid answer accepts none."""
    try:
        return strategy.accepts(result) is True
    except BaseException:  # noqa: BLE001 - rule 1: without the result the guard finds a new one
        return False


class SelectiveAuthenticationCache(AuthenticationCache):
    """A cache of authentications, as far as the operator's strategy accepts its entries."""

    def __init__(self, keep_ms: int, limit: int, strategy: CacheStrategy) -> None:
        super().__init__(keep_ms, limit)
        self._strategy = strategy

    def accepts(self, state: ChannelAuthentication, found: CachedAuthentication, now_ms: int) -> bool:
        """Ask the strategy."""
        return is_accepted(self._strategy, CachedResult(found.identity.user, state.name, None, now_ms - found.since_ms))


def _read_user(raw: object) -> str | NotAuthenticated | None:
    if isinstance(raw, NotAuthenticated):
        return raw
    # Not a subclass, which might override comparison.
    return raw if type(raw) is str and len(raw) <= MAX_USER_LENGTH and raw.isprintable() and raw.strip() else None


def _read_ruling(raw: object) -> Ruling | None:
    return raw if isinstance(raw, Ruling) else None


def _read_result(raw: object) -> HandlerResult | None:
    return raw if isinstance(raw, HandlerResult) else None
