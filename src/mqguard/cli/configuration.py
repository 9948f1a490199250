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

_DATA = ("--data", "storePathRootDir", "The data directory [default: mqguard-data].")
_BROKER_PORT = ("listenPort", "The broker's port, 0 for any free port [default: 10911].")
_NAMESRV_PORT = ("namesrvListenPort", "The name server's port, 0 for any free port [default: 9876].")
_GRPC_PORT = ("grpcServerPort", "The port for gRPC clients, 0 for any free port [default: 8081].")
_MANAGEMENT = (
    "--management-port",
    "managementPort",
    "The HTTP port for metrics and health, 0 for any free port [default: off].",
)
_BIND = ("--bind", "bindAddress", "The address to listen on [default: only this machine].")

STANDALONE_FLAGS = (
    _DATA,
    ("--port", *_BROKER_PORT),
    ("--namesrv-port", *_NAMESRV_PORT),
    ("--grpc-port", *_GRPC_PORT),
    _BIND,
    _MANAGEMENT,
)
NAMESRV_FLAGS = (_DATA, ("--port", *_NAMESRV_PORT), _BIND, _MANAGEMENT)
BROKER_FLAGS = (
    _DATA,
    ("--namesrv", "namesrvAddr", "The name servers to register with, HOST:PORT, separated by `;`."),
    ("--name", "brokerName", "The name of the broker [default: broker-a]."),
    ("--port", *_BROKER_PORT),
    _BIND,
    _MANAGEMENT,
)
PROXY_FLAGS = (
    _DATA,
    ("--namesrv", "namesrvAddr", "The name servers of the cluster, HOST:PORT, separated by `;`."),
    ("--port", "namesrvListenPort", "The port in place of the name servers, 0 for any free port [default: 9876]."),
    ("--grpc-port", *_GRPC_PORT),
    ("--broker-ports", "proxyBrokerPorts", "The ports for brokers, FIRST-LAST [default: 11000-11255]."),
    _BIND,
    _MANAGEMENT,
)
"""Options for single keys of `broker.conf`: the option, the key, and the help."""

_VARIABLES = {"--data": "MQGUARD_DATA"}


def with_configuration(
    flags: tuple[tuple[str, str, str], ...] = STANDALONE_FLAGS,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options of the configuration to a command, which gets the loaded configuration as first argument.

    A group gets it only without a subcommand.

    Args:
        flags: Options for single keys.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*, path: Path | None, pairs: tuple[str, ...], strict: bool, **kwargs: Any) -> None:
            from mqguard.config.loader import Flag, read

            given = [Flag(flag, key, str(text)) for flag, key, _ in flags if (text := kwargs.pop(key)) is not None]
            if click.get_current_context().invoked_subcommand is not None:
                return
            given += [Flag("--set", *_pair(pair)) for pair in pairs]
            _warn_of_literal_secrets(given)
            command(read(path, os.environ, given, strict=strict), **kwargs)

        decorated: Callable[..., None] = run
        for option in reversed(_options(flags)):
            decorated = option(decorated)
        return decorated

    return decorate


def _options(flags: tuple[tuple[str, str, str], ...]) -> list[Callable[[Callable[..., None]], Callable[..., None]]]:
    return [
        click.option(
            "--config",
            "path",
            type=click.Path(path_type=Path),
            envvar="MQGUARD_CONFIG",
            help="A broker.conf.",
        ),
        *(click.option(flag, key, envvar=_VARIABLES.get(flag), help=text) for flag, key, text in flags),
        click.option(
            "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Set any key of broker.conf; repeatable."
        ),
        click.option("--strict", is_flag=True, help="Treat an unknown key of the configuration as an error."),
    ]


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
