"""The loader of a configuration: defaults, then the file, then the environment, then flags; the later wins.

Every value records its source. A malformed value stops the start; an unknown key is reported and ignored.
"""

import dataclasses
import difflib
import enum
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from mqguard.config import access_options, properties, server_options
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
        "MQGUARD_VENV",
    }
)
"""Environment variables of mqguard that are not options: they belong to the command line and to the set-up."""

SECRETS_PREFIX = "MQGUARD_SECRET_"
"""Prefix of environment variables that policy files use for the secrets of users."""

SECTIONS = {
    "auth": "Authentication and authorization",
    "broker": "The broker",
    "namesrv": "The name server",
    "engine": "Topics, groups and messages",
    "store": "Storage",
    "net": "Connections and TLS",
    "audit": "Audit and logs",
}

OPTIONS: tuple[Option[Any], ...] = tuple(
    value
    for module in (access_options, server_options)
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
    """

    def __init__(
        self,
        settings: Mapping[str, Setting],
        notices: Iterable[Notice] = (),
        path: Path | None = None,
        plugins: Mapping[str, str] | None = None,
    ) -> None:
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

    def refusal(self, option: Option[T], why: str) -> ConfigInvalid:
        """Return the error for a well-formed value that cannot be used."""
        return ConfigInvalid(f"{self.source(option)}: {option.name}: {why}")


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Iterable[Flag] = (),
) -> Configuration:
    """Load a configuration.

    Args:
        path: The properties file, or None.
        environ: The environment, or None; only `MQGUARD_…` is used.
        flags: The flags of the command line; of two for one option the later counts.

    Raises:
        ConfigInvalid: The file cannot be read, or a value is malformed; the message has the place, the key and the
            valid form.
    """
    settings: dict[str, Setting] = {}
    notices: list[Notice] = []
    plugins: dict[str, str] = {}
    if path is not None:
        _take_file(path, settings, notices, plugins)
    _take_environment(environ or {}, settings, notices)
    for flag in flags:
        option = BY_NAME.get(flag.key)
        if option is None:
            raise ConfigInvalid(f"flag {flag.name}: unknown key `{flag.key}`{_nearest(flag.key, BY_NAME)}")
        settings[option.name] = _setting(option, flag.text, f"flag {flag.name}")
    return Configuration(settings, notices, path, plugins)


def _take_file(path: Path, settings: dict[str, Setting], notices: list[Notice], plugins: dict[str, str]) -> None:
    seen: dict[str, int] = {}
    for item in properties.parse(_read(path), path.name):
        place = f"{path.name}:{item.line}"
        if item.key in seen:
            notices.append(
                Notice(Level.WARNING, f"{place}: `{item.key}` is also set in line {seen[item.key]}: this one is used")
            )
        seen[item.key] = item.line
        option = BY_NAME.get(item.key)
        if item.key.startswith(PLUGIN_PREFIX):
            plugins[item.key.removeprefix(PLUGIN_PREFIX)] = item.value
        elif option is None:
            notices.append(_unknown(item.key, place))
        elif item.value:
            settings[item.key] = _setting(option, item.value, place)
        else:
            # Apache keeps the default if a key has no value.
            settings.pop(item.key, None)


def _take_environment(environ: Mapping[str, str], settings: dict[str, Setting], notices: list[Notice]) -> None:
    by_variable = {option.environment: option for option in BY_NAME.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_OPTIONS or not text:
            continue
        option = by_variable.get(variable)
        if option is None and variable.startswith(SECRETS_PREFIX):
            continue
        if option is None:
            notices.append(Notice(Level.WARNING, f"environment: unknown `{variable}`{_nearest(variable, by_variable)}"))
        else:
            settings[option.name] = _setting(option, text.strip(), f"environment {variable}")


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


def _setting(option: Option[object], text: str, place: str) -> Setting:
    try:
        return Setting(option.kind.read(text), place)
    except ValueInvalid as exc:
        shown = "the value" if option.secret else f"`{text}`"
        raise ConfigInvalid(f"{place}: {option.name}: {shown} is not valid: {exc}") from None


def _unknown(key: str, place: str) -> Notice:
    """Return the notice about a key that is not an option: Apache's own are only named, others are likely mistyped."""
    apache = _apache_keys()
    if key in apache:
        return Notice(Level.INFO, f"{place}: `{key}` is known from Apache RocketMQ and has no effect here")
    return Notice(Level.WARNING, f"{place}: unknown key `{key}`{_nearest(key, (*BY_NAME, *apache))}")


def _nearest(word: str, known: Iterable[str]) -> str:
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.7)
    return f": did you mean `{by_lower[near[0]]}`?" if near else ""


def _apache_keys() -> frozenset[str]:
    text = resources.files("mqguard.config").joinpath("apache_keys.txt").read_text(encoding="ascii")
    return frozenset(line for line in text.split() if not line.startswith("#")) - set(BY_NAME)
