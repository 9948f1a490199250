"""The loader of a configuration: defaults, then the file, then the environment, then flags; the later wins.

Every value records its source. Malformed values stop the start, and all of them are reported at once. An unknown key
is reported and ignored, or stops the start if the caller is strict.
"""

import dataclasses
import difflib
import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from mqguard.config import (
    access_options,
    grpc_options,
    json_file,
    management_options,
    properties,
    proxy_options,
    server_options,
    store_options,
)
from mqguard.config.errors import ConfigInvalid, ValueInvalid
from mqguard.config.option import ENVIRONMENT_PREFIX, Option

T = TypeVar("T")

MAX_FILE_BYTES = 1 << 20
"""Maximum size of the file: a configuration is a page of text, and a larger file is a mistake, such as a log."""


NOT_OPTIONS = frozenset(
    {
        "MQGUARD_ACCESS_KEY",
        "MQGUARD_SECRET_KEY",
        "MQGUARD_NAMESRV",
        "MQGUARD_CONFIG",
        "MQGUARD_DATA",
        "MQGUARD_SEALING_KEY",
        "MQGUARD_TRACEBACK",
        "MQGUARD_BROKERS",
        "MQGUARD_CLUSTER",
        "MQGUARD_CONTEXT",
        "MQGUARD_CONTEXTS",
        "MQGUARD_KNOWN_BROKERS",
        "MQGUARD_TLS",
        "MQGUARD_TLS_CA",
        "MQGUARD_TLS_CERT",
        "MQGUARD_TLS_KEY",
        "MQGUARD_VENV",
    }
)
"""Environment variables of mqguard that are not options: they belong to the command line and to the set-up."""

SECRETS_PREFIX = "MQGUARD_SECRET_"
"""Prefix of environment variables that policy files use for the secrets of users."""

SECTIONS = {
    "auth": "Authentication and authorization",
    "remote": "Users and policies in the network",
    "broker": "The broker",
    "namesrv": "The name server",
    "grpc": "gRPC clients",
    "proxy": "In front of a cluster",
    "engine": "Topics, groups and messages",
    "store": "Storage",
    "net": "Connections and TLS",
    "audit": "Audit and logs",
    "management": "Metrics and health over HTTP",
}

OPTIONS: tuple[Option[Any], ...] = tuple(
    value
    for module in (access_options, store_options, server_options, grpc_options, proxy_options, management_options)
    for value in list(vars(module).values())
    if isinstance(value, Option)
)
"""All options, in the order of documentation."""

BY_NAME: dict[str, Option[Any]] = {option.name: option for option in OPTIONS}
"""Options by their key in `broker.conf`."""


PLUGIN_PREFIX = "plugin."
"""Prefix of keys in the file that are for plugins."""

HIDDEN = "***"
"""Replacement for secrets in output."""

_PLACEHOLDER = re.compile(r"\$\{[^{}]*\}")
_ANY = ""
_CONSEQUENCES: Mapping[str, Mapping[str, str]] = {
    "aclEnable": {
        "true": "ACL 2.0 is on by default, and `mqguard migrate` converts the accounts of ACL 1.0",
        "false": "requests must still be signed and allowed; to serve every client, set `authenticationEnabled` and "
        "`authorizationEnabled` to `false`",
    },
    "brokerRole": {
        "slave": "mqguard cannot be a slave and serves clients like a master",
        "sync_master": "no replica exists, so an acknowledged message is stored only on this machine",
    },
    "enableControllerMode": {"true": "no replica exists, and no other broker takes over"},
    "enableDLegerCommitLog": {"true": "no replica exists, so an acknowledged message is stored only on this machine"},
    "storePathCommitLog": {_ANY: "all messages are stored under `storePathRootDir`"},
}
"""Keys of Apache RocketMQ without effect here that change what an operator expects: the consequence by value."""


class Level(enum.Enum):
    """The importance of a notice."""

    INFO = "info"
    WARNING = "warning"


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """A message to the operator about the configuration, which does not stop the start."""

    level: Level
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """The value of one option, and its source."""

    value: object
    source: str


class Flag(NamedTuple):
    """A value from the command line.

    Attributes:
        name: The flag, dashes included.
        key: The option that it sets.
        text: The value.
    """

    name: str
    key: str
    text: str


class Configuration:
    """The value of every option.

    Attributes:
        notices: Messages to the operator.
        path: The file it was read from, or None.
        plugins: The settings of plugins: keys that begin with `plugin.`, without that prefix.
        problems: Malformed values and other reasons against a start, found while it was read. Options with a malformed
            value have their default.
        malformed: Names of the options with a malformed value.
    """

    def __init__(
        self,
        settings: Mapping[str, Setting],
        notices: Iterable[Notice] = (),
        path: Path | None = None,
        plugins: Mapping[str, str] | None = None,
        problems: Sequence[str] = (),
        malformed: Iterable[str] = (),
    ) -> None:
        self.problems = tuple(problems)
        self.malformed = frozenset(malformed)
        self._settings = dict(settings)
        self.notices = tuple(notices)
        self.path = path
        self.plugins = dict(plugins or {})

    def get(self, option: Option[T]) -> T:
        """Return the value of an option."""
        setting = self._settings.get(option.name)
        # The loader parsed the value with the option's own kind.
        return option.default if setting is None else cast("T", setting.value)

    def source(self, option: Option[T]) -> str:
        """Return the source of the value: `default`, `broker.conf:12`, `environment MQGUARD_…` or `flag --…`."""
        setting = self._settings.get(option.name)
        return "default" if setting is None else setting.source

    def is_set(self, option: Option[T]) -> bool:
        """True if the file, the environment or a flag sets the option."""
        return option.name in self._settings

    def text(self, option: Option[T]) -> str:
        """Return the value in the form of `broker.conf`; `HIDDEN` for a set secret, empty for none."""
        value = self.get(option)
        if option.secret:
            return "" if value is None else HIDDEN
        match value:
            case None:
                return ""
            case bool():
                return str(value).lower()
            case frozenset() | tuple():
                return ",".join(sorted(map(str, value)))
            case _:
                return str(value)

    def replaced(self, values: Mapping[Option[Any], object], source: str) -> "Configuration":
        """Return a configuration with other values, which were derived from this one.

        Args:
            values: Values by option.
            source: Their source.
        """
        settings = {**self._settings, **{option.name: Setting(value, source) for option, value in values.items()}}
        return Configuration(settings, self.notices, self.path, self.plugins)

    def refusal(self, option: Option[T], why: str) -> ConfigInvalid:
        """Return the error for a well-formed value that cannot be used."""
        return ConfigInvalid(f"{self.source(option)}: {option.name}: {why}")


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Iterable[Flag] = (),
    *,
    strict: bool = False,
) -> Configuration:
    """Load a configuration as `read` does.

    Raises:
        ConfigInvalid: The file cannot be read, or values are malformed.
    """
    config = read(path, environ, flags, strict=strict)
    if config.problems:
        raise ConfigInvalid(*config.problems)
    return config


def read(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Iterable[Flag] = (),
    *,
    strict: bool = False,
) -> Configuration:
    """Read a configuration, which may have problems.

    A caller that uses it checks its problems together with others, so that the operator reads all of them at once.

    Args:
        path: The properties file, or None.
        environ: The environment, or None; only `MQGUARD_…` is used.
        flags: The flags of the command line; of two for one option the later counts.
        strict: True if an unknown key is an error.

    Raises:
        ConfigInvalid: The file cannot be read.
    """
    draft = _Draft(is_strict=strict)
    if path is not None:
        draft.take_file(path)
    draft.take_environment(environ or {})
    draft.take_flags(flags)
    return Configuration(draft.settings, draft.notices, path, draft.plugins, draft.problems, draft.malformed)


class _Draft:
    """A configuration while it is read.

    Attributes:
        settings: Values by name of their option.
        notices: Messages to the operator.
        plugins: Settings of plugins.
        problems: Reasons that stop the start.
        malformed: Names of the options with a malformed value.
    """

    def __init__(self, *, is_strict: bool) -> None:
        self.settings: dict[str, Setting] = {}
        self.notices: list[Notice] = []
        self.plugins: dict[str, str] = {}
        self.problems: list[str] = []
        self.malformed: set[str] = set()
        self._is_strict = is_strict

    def take_file(self, path: Path) -> None:
        """Add the values of a file."""
        seen: dict[str, int] = {}
        without_effect: list[str] = []
        for item in _parse(_read(path), path.name):
            place = f"{path.name}:{item.line}"
            if item.key in seen:
                self._warn(f"{place}: `{item.key}` is also set in line {seen[item.key]}: this one is used")
            seen[item.key] = item.line
            option = BY_NAME.get(item.key)
            if item.key.startswith(PLUGIN_PREFIX):
                self.plugins[item.key.removeprefix(PLUGIN_PREFIX)] = item.value
                self._check_replaced(item.key, item.value, place, is_secret=True)
            elif option is None:
                self._take_other_key(item, place, without_effect)
            elif item.value:
                self._set(option, item.value, place)
            else:
                # Apache keeps the default if a key has no value.
                self.settings.pop(item.key, None)
        if without_effect:
            self.notices.append(Notice(Level.INFO, _summary(path.name, without_effect)))

    def take_environment(self, environ: Mapping[str, str]) -> None:
        """Add the values of the environment."""
        by_variable = {option.environment: option for option in BY_NAME.values()}
        for variable, text in sorted(environ.items()):
            if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_OPTIONS or not text:
                continue
            option = by_variable.get(variable)
            if option is not None:
                self._set(option, text.strip(), f"environment {variable}")
            elif not variable.startswith(SECRETS_PREFIX):
                self._unknown(f"environment: unknown `{variable}`{_nearest(variable, by_variable)}")

    def take_flags(self, flags: Iterable[Flag]) -> None:
        """Add the values of the command line."""
        for flag in flags:
            option = BY_NAME.get(flag.key)
            if option is None:
                self.problems.append(f"flag {flag.name}: unknown key `{flag.key}`{_nearest(flag.key, BY_NAME)}")
            else:
                self._set(option, flag.text, f"flag {flag.name}")

    def _set(self, option: Option[object], text: str, place: str) -> None:
        if not self._check_replaced(option.name, text, place, is_secret=option.secret):
            self.malformed.add(option.name)
            return
        try:
            self.settings[option.name] = Setting(option.kind.read(text), place)
        except ValueInvalid as exc:
            self.malformed.add(option.name)
            shown = "the value" if option.secret else f"`{text}`"
            self.problems.append(f"{place}: {option.name}: {shown} is not valid: {exc}")

    def _check_replaced(self, key: str, text: str, place: str, *, is_secret: bool) -> bool:
        """Return False, and add a problem, if a placeholder such as `${NAME}` was not replaced."""
        found = _PLACEHOLDER.search(text)
        if found is not None:
            # A part of a secret may look like a placeholder.
            shown = "a placeholder" if is_secret else f"`{found.group()}`"
            self.problems.append(
                f"{place}: {key}: {shown} was not replaced: write the value itself, or `env:NAME` for a secret"
            )
        return found is None

    def _take_other_key(self, item: properties.Property, place: str, without_effect: list[str]) -> None:
        """Report a key that is not an option: one of Apache RocketMQ, or probably a mistyped one."""
        apache = _apache_keys()
        if item.key not in apache:
            self._unknown(f"{place}: unknown key `{item.key}`{_nearest(item.key, (*BY_NAME, *apache))}")
            return
        by_value = _CONSEQUENCES.get(item.key, {})
        consequence = by_value.get(item.value.lower(), by_value.get(_ANY))
        if consequence is None:
            without_effect.append(f"`{item.key}` (line {item.line})")
        else:
            self._warn(f"{place}: `{item.key} = {item.value}` has no effect: {consequence}")

    def _unknown(self, text: str) -> None:
        if self._is_strict:
            self.problems.append(text)
        else:
            self._warn(text)

    def _warn(self, text: str) -> None:
        self.notices.append(Notice(Level.WARNING, text))


def _parse(text: str, name: str) -> list[properties.Property]:
    """Read a properties file, or the JSON of `rmq-proxy.json`."""
    return json_file.parse(text, name) if json_file.is_json(text) else properties.parse(text, name)


def _summary(file: str, keys: list[str]) -> str:
    """Return the line about keys of Apache RocketMQ that have no effect."""
    many = "1 key" if len(keys) == 1 else f"{len(keys)} keys"
    verb = "has" if len(keys) == 1 else "have"
    return f"{file}: {many} of Apache RocketMQ {verb} no effect here: {', '.join(keys)}"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigInvalid(f"the configuration file `{path}` cannot be read: {exc.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigInvalid(f"the configuration file `{path}` is larger than 1 MiB: is it the right file?")
    if b"\0" in data:
        raise ConfigInvalid(f"the configuration file `{path}` is not text: write a properties file")
    return properties.decode(data)


def _nearest(word: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f": did you mean `{by_lower[near[0]]}`?" if near else ""


def _apache_keys() -> frozenset[str]:
    text = resources.files("mqguard.config").joinpath("apache_keys.txt").read_text(encoding="ascii")
    return frozenset(line for line in text.split() if not line.startswith("#")) - set(BY_NAME)
