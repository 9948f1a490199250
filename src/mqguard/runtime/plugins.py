"""Loads the plugins that a configuration names.

A plugin is named by an entry point of its package, or as `package.module:Name`. mqguard calls
this class or function with the `plugin.` keys of the configuration. Any error of a plugin stops the start.
"""

import contextlib
import difflib
import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from mqguard.auth.ports import MetadataStore
from mqguard.config import access_options, server_options
from mqguard.config.loader import Configuration
from mqguard.config.option import Option
from mqguard.guard.plugin_adapters import InstalledPlugin, InstalledPlugins
from mqguard.guard.plugin_api import RecordSink

_LOG = logging.getLogger(__name__)

GROUPS: Mapping[str, str] = {
    access_options.AUTHENTICATION_PROVIDER.name: "mqguard.authentication_providers",
    access_options.AUTHORIZATION_PROVIDER.name: "mqguard.authorization_providers",
    access_options.AUTHENTICATION_METADATA_PROVIDER.name: "mqguard.metadata_stores",
    access_options.AUTHENTICATION_STRATEGY.name: "mqguard.strategies",
    access_options.AUTHORIZATION_STRATEGY.name: "mqguard.strategies",
    access_options.AUTHENTICATION_HANDLERS.name: "mqguard.authentication_handlers",
    access_options.AUTHORIZATION_HANDLERS.name: "mqguard.authorization_handlers",
    server_options.AUDIT_SINKS.name: "mqguard.audit_sinks",
}
"""The entry point group of the plugins for each option."""

_METHODS: Mapping[str, dict[str, int]] = {
    "mqguard.authentication_providers": {"authenticate": 1},
    "mqguard.authorization_providers": {"decide": 1},
    "mqguard.metadata_stores": {"load": 0, "apply": 2, "watch": 1, "close": 0},
    "mqguard.strategies": {"accepts": 1},
    "mqguard.authentication_handlers": {"check": 2},
    "mqguard.authorization_handlers": {"check": 1},
    "mqguard.audit_sinks": {"write": 1, "close": 0},
}
"""The methods that a plugin of each group must have, with their number of arguments."""

_BUILT_IN = frozenset({"default", "local", "etcd", "brokers", "stateless", "stateful"})
"""Names of built-in implementations; `config/access_options.py` maps Apache's class names to them."""


class LoadedPlugins(NamedTuple):
    """All plugins of a configuration.

    Attributes:
        store: The store of users and policies, None for a built-in one.
        guard: Plugins of the guard.
        sinks: Audit sinks, with their names.
    """

    store: MetadataStore | None
    guard: InstalledPlugins
    sinks: list[tuple[str, RecordSink]]


def load(config: Configuration) -> LoadedPlugins:
    """Return all plugins that a configuration names. A start calls this before it creates anything.

    Raises:
        ConfigInvalid: As for `load_extensions`.
    """
    return LoadedPlugins(load_store(config), load_extensions(config), load_sinks(config))


def load_extensions(config: Configuration) -> InstalledPlugins:
    """Return the plugins of the guard that a configuration names.

    Raises:
        ConfigInvalid: A plugin cannot be found or created, or lacks a method.
    """
    return InstalledPlugins(
        authentication_provider=_one(config, access_options.AUTHENTICATION_PROVIDER),
        authentication_handlers=_many(config, access_options.AUTHENTICATION_HANDLERS),
        authentication_strategy=_strategy(config, access_options.AUTHENTICATION_STRATEGY),
        authorization_provider=_one(config, access_options.AUTHORIZATION_PROVIDER),
        authorization_handlers=_many(config, access_options.AUTHORIZATION_HANDLERS),
        authorization_strategy=_strategy(config, access_options.AUTHORIZATION_STRATEGY),
        limit_ms=config.get(access_options.PLUGIN_TIMEOUT),
    )


def load_sinks(config: Configuration) -> list[tuple[str, RecordSink]]:
    """Return the audit sinks that a configuration names, with their names.

    Raises:
        ConfigInvalid: As for `load_extensions`.
    """
    return [(found.name, found.plugin) for found in _many(config, server_options.AUDIT_SINKS)]


def load_store(config: Configuration) -> MetadataStore | None:
    """Return the plugin that stores users and policies, None for the built-in store.

    Raises:
        ConfigInvalid: As for `load_extensions`, or users and policies have different stores.
    """
    users, policies = access_options.AUTHENTICATION_METADATA_PROVIDER, access_options.AUTHORIZATION_METADATA_PROVIDER
    if config.get(users) != config.get(policies):
        raise config.refusal(
            policies if config.is_set(policies) else users,
            f"users (`{config.get(users)}`) and policies (`{config.get(policies)}`) must be in the same store: "
            f"give `{users.name}` and `{policies.name}` the same value",
        )
    found: InstalledPlugin[MetadataStore] | None = _one(config, users)
    return None if found is None else found.plugin


def _strategy(config: Configuration, option: Option[str]) -> Any:
    found = _one(config, option)
    return None if found is None else found.plugin


def _one(config: Configuration, option: Option[str]) -> InstalledPlugin[Any] | None:
    name = config.get(option)
    return None if name in _BUILT_IN else _make(config, option, name)


def _many(config: Configuration, option: Option[tuple[str, ...]]) -> tuple[InstalledPlugin[Any], ...]:
    return tuple(_make(config, option, name) for name in config.get(option))


def _make(config: Configuration, option: Option[Any], name: str) -> InstalledPlugin[Any]:
    group = GROUPS[option.name]
    factory = _by_path(config, option, name) if ":" in name else _by_entry_point(config, option, name, group)
    if not callable(factory):
        raise config.refusal(option, f"`{name}` is not callable: name a class or a factory function")
    try:
        made = factory(dict(config.plugins))
    except BaseException as exc:
        raise config.refusal(option, f"the plugin `{name}` could not be created: {_described(exc)}") from exc
    quick = _check(config, option, name, made, _METHODS[group])
    _LOG.info("%s: the plugin `%s` is used%s", option.name, name, "" if quick else ", in worker threads")
    return InstalledPlugin(f"{option.name}={name}", made, quick)


def _by_path(config: Configuration, option: Option[Any], name: str) -> Any:
    path, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(path)
    except BaseException as exc:
        raise config.refusal(
            option, f"the module `{path}` of the plugin `{name}` cannot be imported: {_described(exc)}"
        ) from exc
    try:
        return getattr(module, attribute)
    except AttributeError:
        near = difflib.get_close_matches(attribute, [word for word in dir(module) if word[0] != "_"], n=1, cutoff=0.6)
        hint = f": did you mean `{path}:{near[0]}`?" if near else ""
        raise config.refusal(option, f"the module `{path}` has no `{attribute}`{hint}") from None


def _by_entry_point(config: Configuration, option: Option[Any], name: str, group: str) -> Any:
    found = importlib.metadata.entry_points(group=group)
    matches = {point.value: point for point in found if point.name == name}
    if len(matches) > 1:
        both = " and ".join(f"`{value}`" for value in sorted(matches))
        raise config.refusal(option, f"more than one plugin `{name}` is installed: name one as {both}")
    if not matches:
        names = sorted({point.name for point in found})
        installed = f"installed are {', '.join(f'`{one}`' for one in names)}" if names else "none is installed"
        raise config.refusal(
            option,
            f"no plugin `{name}` is registered in the entry point group `{group}` ({installed}): install its package, "
            f"write `package.module:Name`, or {option.kind.label.removesuffix(', or a plugin')}",
        )
    (point,) = matches.values()
    try:
        return point.load()
    except BaseException as exc:
        raise config.refusal(
            option, f"the plugin `{name}` (`{point.value}`) cannot be loaded: {_described(exc)}"
        ) from exc


def _check(config: Configuration, option: Option[Any], name: str, made: object, methods: Mapping[str, int]) -> bool:
    """Return True if the plugin does not block.

    Raises:
        ConfigInvalid: It lacks a method, or a method has the wrong form.
    """
    for method, count in methods.items():
        found = getattr(made, method, None)
        if not callable(found):
            raise config.refusal(option, f"the plugin `{name}` has no method `{method}`: see docs/plugins.md")
        if inspect.iscoroutinefunction(found):
            raise config.refusal(
                option, f"`{method}` of the plugin `{name}` is `async`: make it a plain method, which may block"
            )
        with contextlib.suppress(ValueError):
            # If the signature is not known, an error shows at the first call.
            signature = inspect.signature(found)
            try:
                signature.bind(*range(count))
            except TypeError:
                raise config.refusal(
                    option,
                    f"`{method}` of the plugin `{name}` must take {count} argument{'s' if count != 1 else ''}, "
                    f"not `{signature}`",
                ) from None
    quick = getattr(made, "quick", False)
    if not isinstance(quick, bool):
        raise config.refusal(option, f"`quick` of the plugin `{name}` must be True or False")
    return quick


def _described(exc: BaseException) -> str:
    text = str(exc).split("\n")[0]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
