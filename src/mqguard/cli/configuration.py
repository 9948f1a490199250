"""Options of the configuration of a server, the same for its start and for `mqguard config`."""

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mqguard.cli.output import warn

if TYPE_CHECKING:
    from mqguard.config.loader import Flag

_KEYS = (
    ("data", "storePathRootDir"),
    ("port", "listenPort"),
    ("namesrv_port", "namesrvListenPort"),
    ("bind", "bindAddress"),
)
_OPTIONS = (
    click.option("--config", "path", type=click.Path(path_type=Path), envvar="MQGUARD_CONFIG", help="A broker.conf."),
    click.option("--data", envvar="MQGUARD_DATA", help="The data directory [default: mqguard-data]."),
    click.option("--port", help="The broker's port, 0 for any free port [default: 10911]."),
    click.option("--namesrv-port", help="The name server's port, 0 for any free port [default: 9876]."),
    click.option("--bind", help="The address to listen on [default: only this machine]."),
    click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Set any key of broker.conf; repeatable."),
    click.option("--strict", is_flag=True, help="Treat an unknown key of the configuration as an error."),
)


def with_configuration(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the configuration to a command, which gets the loaded configuration as first argument."""

    @functools.wraps(command)
    def run(*, path: Path | None, pairs: tuple[str, ...], strict: bool, **kwargs: Any) -> None:
        from mqguard.config.loader import Flag, load

        given = [(f"--{name.replace('_', '-')}", key, kwargs.pop(name)) for name, key in _KEYS]
        flags = [Flag(flag, key, str(text)) for flag, key, text in given if text is not None]
        flags += [Flag("--set", *_pair(pair)) for pair in pairs]
        _warn_of_literal_secrets(flags)
        command(load(path, os.environ, flags, strict=strict), **kwargs)

    decorated: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def _warn_of_literal_secrets(flags: "list[Flag]") -> None:
    from mqguard.config.loader import OPTIONS

    secret = {option.name for option in OPTIONS if option.secret}
    for flag in flags:
        if flag.key in secret and not flag.text.startswith(("env:", "file:")):
            warn(
                f"`{flag.name} {flag.key}=…` shows a secret to every process here and in the shell history: "
                "use `env:NAME` or `file:PATH` for its value, or the configuration file"
            )


def _pair(setting: str) -> tuple[str, str]:
    found = _SETTING.fullmatch(setting)
    if found is None:
        # The text after the key may be a secret.
        key = _KEY.match(setting)
        shown = key.group() if key else ""
        more = "…" if shown != setting else ""
        raise click.UsageError(f"`{shown}{more}` is not a valid setting: write KEY=VALUE")
    return found["key"], found["value"].strip()


_KEY = re.compile(r"[\w.-]+")
_SETTING = re.compile(rf"\s*(?P<key>{_KEY.pattern})\s*=(?P<value>.*)", re.DOTALL)
