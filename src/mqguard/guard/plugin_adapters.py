"""The plugins that one guard was given."""

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
LONGEST_USER = 255
"""Longest user name that a plugin may prove."""


@dataclasses.dataclass(frozen=True, slots=True)
class InstalledPlugin(Generic[P]):
    """One plugin.

    Attributes:
        name: The option that names it, and what it is called there.
        plugin: Itself.
        quick: Whether it answers at once.
    """

    name: str
    plugin: P
    quick: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPlugins:
    """All plugins of a guard.

    Attributes:
        authentication_provider: In place of our signatures.
        authentication_handlers: Asked in their order after somebody has proved who it is.
        authentication_strategy: Whether a connection's proof is relied on.
        authorization_provider: In place of our policies.
        authorization_handlers: Asked in their order after something was allowed.
        authorization_strategy: Whether a provider's ruling is relied on.
        limit_ms: How long a request waits for all of its plugins, and how long a quick plugin may take.
    """

    authentication_provider: InstalledPlugin[AuthenticationProvider] | None = None
    authentication_handlers: tuple[InstalledPlugin[AuthenticationHandler], ...] = ()
    authentication_strategy: CacheStrategy | None = None
    authorization_provider: InstalledPlugin[AuthorizationProvider] | None = None
    authorization_handlers: tuple[InstalledPlugin[AuthorizationHandler], ...] = ()
    authorization_strategy: CacheStrategy | None = None
    limit_ms: int = 1_000

    def __bool__(self) -> bool:
        """Whether there is any plugin."""
        return any(
            getattr(self, field.name) not in (None, ())
            for field in dataclasses.fields(self)
            if field.name != "limit_ms"
        )


def proving_plug(
    found: InstalledPlugin[AuthenticationProvider], limit_ms: int, ports: GuardPorts
) -> PluginInvoker[str | NotAuthenticated]:
    """An authentication provider, made safe."""
    return PluginInvoker(
        found.name,
        found.plugin.authenticate,
        _read_user,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.now_ms,
        ticks=ports.ticks,
    )


def ruling_plug(
    found: InstalledPlugin[AuthorizationProvider], limit_ms: int, ports: GuardPorts
) -> PluginInvoker[Ruling]:
    """An authorization provider, made safe."""
    return PluginInvoker(
        found.name,
        found.plugin.decide,
        _read_ruling,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.now_ms,
        ticks=ports.ticks,
    )


def checking_plug(
    found: InstalledPlugin[AuthenticationHandler] | InstalledPlugin[AuthorizationHandler],
    limit_ms: int,
    ports: GuardPorts,
) -> PluginInvoker[HandlerResult]:
    """A handler, made safe."""
    return PluginInvoker(
        found.name,
        found.plugin.check,
        _read_step,
        quick=found.quick,
        limit_ms=limit_ms,
        now_ms=ports.clock.now_ms,
        ticks=ports.ticks,
    )


def relies(strategy: CacheStrategy, on: CachedResult) -> bool:
    """Whether a strategy relies on something; one that raises or answers nonsense relies on nothing."""
    try:
        return strategy.relies(on) is True
    except BaseException:  # noqa: BLE001 - rule 1; what is not relied on is found out anew
        return False


class SelectiveAuthenticationCache(AuthenticationCache):
    """A cache of authentications, as far as the operator's strategy accepts its entries."""

    def __init__(self, keep_ms: int, limit: int, strategy: CacheStrategy) -> None:
        super().__init__(keep_ms, limit)
        self._strategy = strategy

    def accepts(self, state: ChannelAuthentication, found: CachedAuthentication, now_ms: int) -> bool:
        """Ask the strategy."""
        return relies(self._strategy, CachedResult(found.identity.user, state.name, None, now_ms - found.since_ms))


def _read_user(raw: object) -> str | NotAuthenticated | None:
    if isinstance(raw, NotAuthenticated):
        return raw
    # Not a subclass, which might compare as it likes.
    return raw if type(raw) is str and len(raw) <= LONGEST_USER and raw.isprintable() and raw.strip() else None


def _read_ruling(raw: object) -> Ruling | None:
    return raw if isinstance(raw, Ruling) else None


def _read_step(raw: object) -> HandlerResult | None:
    return raw if isinstance(raw, HandlerResult) else None
