"""Finds the plugins that a configuration names, and makes them.

A plugin is named by the word under which its package registers it (an entry point), or by `package.module:Name`. It is
made by calling that with what the configuration says to plugins. Whatever is wrong with one stops the start.
"""

import contextlib
import difflib
import importlib
import importlib.metadata
import inspect
import logging
from collections.abc import Mapping
from typing import Any

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
"""The group in which plugins for an option are registered."""

_METHODS: Mapping[str, dict[str, int]] = {
    "mqguard.authentication_providers": {"authenticate": 1},
    "mqguard.authorization_providers": {"decide": 1},
    "mqguard.metadata_stores": {"load": 0, "apply": 2, "watch": 1, "close": 0},
    "mqguard.strategies": {"relies": 1},
    "mqguard.authentication_handlers": {"check": 2},
    "mqguard.authorization_handlers": {"check": 1},
    "mqguard.audit_sinks": {"write": 1, "close": 0},
}
"""What a plugin of a group must have: methods, and how many arguments each is called with."""

_OURS = frozenset({"default", "local", "stateless", "stateful"})
"""The words for built-ins; the only mapping from Apache's class names to them is in `config/access_options.py`."""


def load_extensions(config: Configuration) -> InstalledPlugins:
    """The plugins of the guard that a configuration names.

    Raises:
        ConfigInvalid: One cannot be found, cannot be made, or is not what it must be.
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
    """The sinks that a configuration names, with their names.

    Raises:
        ConfigInvalid: As for `load_extensions`.
    """
    return [(found.name, found.plugin) for found in _many(config, server_options.AUDIT_SINKS)]


def load_store(config: Configuration) -> MetadataStore | None:
    """The store of users and policies that a configuration names, None for ours.

    Raises:
        ConfigInvalid: As for `load_extensions`; or users and policies are to be in two places.
    """
    users, policies = access_options.AUTHENTICATION_METADATA_PROVIDER, access_options.AUTHORIZATION_METADATA_PROVIDER
    if config.get(users) != config.get(policies):
        raise config.refusal(
            policies if config.is_set(policies) else users,
            f"users (`{config.get(users)}`) and policies (`{config.get(policies)}`) must be kept in the same place: "
            f"give `{users.name}` and `{policies.name}` the same value",
        )
    found: InstalledPlugin[MetadataStore] | None = _one(config, users)
    return None if found is None else found.plugin


def _strategy(config: Configuration, option: Option[str]) -> Any:
    found = _one(config, option)
    return None if found is None else found.plugin


def _one(config: Configuration, option: Option[str]) -> InstalledPlugin[Any] | None:
    name = config.get(option)
    return None if name in _OURS else _make(config, option, name)


def _many(config: Configuration, option: Option[tuple[str, ...]]) -> tuple[InstalledPlugin[Any], ...]:
    return tuple(_make(config, option, name) for name in config.get(option))


def _make(config: Configuration, option: Option[Any], name: str) -> InstalledPlugin[Any]:
    group = GROUPS[option.name]
    factory = _by_path(config, option, name) if ":" in name else _by_entry_point(config, option, name, group)
    if not callable(factory):
        raise config.refusal(option, f"`{name}` is no class and no function: name what makes the plugin when called")
    try:
        made = factory(dict(config.plugins))
    except BaseException as exc:
        raise config.refusal(option, f"the plugin `{name}` could not be made: {_told(exc)}") from exc
    quick = _check(config, option, name, made, _METHODS[group])
    _LOG.info("%s: the plugin `%s` is used%s", option.name, name, "" if quick else ", in threads of its own")
    return InstalledPlugin(f"{option.name}={name}", made, quick)


def _by_path(config: Configuration, option: Option[Any], name: str) -> Any:
    path, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(path)
    except BaseException as exc:
        raise config.refusal(
            option, f"the module `{path}` of the plugin `{name}` cannot be imported: {_told(exc)}"
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
        raise config.refusal(option, f"the plugin `{name}` (`{point.value}`) cannot be loaded: {_told(exc)}") from exc


def _check(config: Configuration, option: Option[Any], name: str, made: object, methods: Mapping[str, int]) -> bool:
    """Whether the plugin is quick.

    Raises:
        ConfigInvalid: It is not what it must be.
    """
    for method, count in methods.items():
        found = getattr(made, method, None)
        if not callable(found):
            raise config.refusal(option, f"the plugin `{name}` has no method `{method}`: see docs/plugins.md")
        if inspect.iscoroutinefunction(found):
            raise config.refusal(
                option, f"`{method}` of the plugin `{name}` is `async`: make it a plain method; it may wait as it likes"
            )
        with contextlib.suppress(ValueError):
            # A signature that cannot be told is found out by the first call.
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


def _told(exc: BaseException) -> str:
    text = str(exc).split("\n")[0]
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
