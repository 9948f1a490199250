"""The registry of all options, for files and environment. `docs/config.md` is made from this."""

from typing import Any

from mqguard.config import access_options, server_options
from mqguard.config.option import Option

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
