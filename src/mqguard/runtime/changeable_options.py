"""Options that an administrator may change over the wire while the server runs (25, `mqadmin updateBrokerConfig`).

Each change is in force at once and holds until the server stops: the next start reads the configuration again. Options
of security, of paths and of listeners are not in the list, so they are refused.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

from mqguard.broker.server import BrokerServer
from mqguard.broker.settings import RuntimeOption
from mqguard.config import loader, server_options
from mqguard.config.errors import ValueInvalid
from mqguard.config.loader import Configuration
from mqguard.config.option import HOST, OPTIONAL_PATH, PATH, PORT, Option
from mqguard.engine.engine import Engine

_ENGINE: Final[dict[Option[Any], str]] = {
    server_options.AUTO_CREATE_TOPIC: "auto_create_topic",
    server_options.AUTO_CREATE_GROUP: "auto_create_group",
    server_options.MAX_TOPICS: "max_topics",
    server_options.MAX_TOPICS_PER_USER: "max_topics_per_user",
    server_options.MAX_GROUPS: "max_groups",
    server_options.MAX_GROUPS_PER_USER: "max_groups_per_user",
    server_options.MAX_MESSAGE_SIZE: "max_message_bytes",
    server_options.MAX_FETCH_MESSAGES: "max_fetch_messages",
    server_options.MAX_FETCH_BYTES: "max_fetch_bytes",
    server_options.FILE_RESERVED_TIME: "reserved_hours",
    server_options.MAX_BYTES: "max_bytes",
    server_options.MAX_TRACE_BYTES: "trace_bytes",
    server_options.TRANSACTION_TIMEOUT: "transaction_timeout_ms",
    server_options.TRANSACTION_CHECK_MAX: "transaction_check_max",
    server_options.TRANSACTION_CHECK_INTERVAL: "transaction_check_interval_ms",
    server_options.MAX_PENDING_TRANSACTIONS: "max_pending_transactions",
}
"""Options that are settings of the engine."""
CHANGEABLE: Final = frozenset(
    option.name
    for option in (
        *_ENGINE,
        server_options.BROKER_PERMISSION,
        server_options.DISK_FULL_RATIO,
        server_options.LONG_POLLING,
    )
)
"""Names of the options that may be changed."""
_SECURITY: Final = frozenset({"auth", "audit"})
_LISTENERS: Final = frozenset({"net", "namesrv"})


def changeable_options(
    config: Configuration, engine: Engine, broker: Callable[[], BrokerServer]
) -> dict[str, RuntimeOption]:
    """Return the options that may be changed, by name.

    Args:
        config: The configuration of the start.
        engine: The engine.
        broker: Function that returns the broker.
    """
    found = {option.name: _of_engine(option, engine, field) for option, field in _ENGINE.items()}
    size = server_options.MAX_MESSAGE_SIZE
    found[size.name] = RuntimeOption(_up_to(size, config.get(size)), found[size.name].apply)
    ratio = server_options.DISK_FULL_RATIO
    found[ratio.name] = RuntimeOption(
        ratio.kind.read,
        lambda text: engine.configure(dataclasses.replace(engine.settings, max_disk_ratio=ratio.kind.read(text) / 100)),
    )
    permission = server_options.BROKER_PERMISSION
    found[permission.name] = RuntimeOption(
        permission.kind.read,
        lambda text: engine.configure(dataclasses.replace(engine.settings, permission=int(permission.kind.read(text)))),
    )
    polling = server_options.LONG_POLLING
    found[polling.name] = RuntimeOption(
        polling.kind.read, lambda text: broker().set_long_polling(enabled=polling.kind.read(text))
    )
    return found


def fixed_options() -> dict[str, str]:
    """Return, by name, the reason for which an option may not be changed, as if none were changeable."""
    found: dict[str, str] = {}
    for option in loader.OPTIONS:
        if option.secret or option.section in _SECURITY:
            found[option.name] = (
                "it concerns access control or its records, which only the configuration file may change"
            )
        elif option.kind in (PATH, OPTIONAL_PATH):
            found[option.name] = "it is a path, which only the configuration file may change"
        elif option.section in _LISTENERS or option.kind in (PORT, HOST):
            found[option.name] = "it concerns listeners, which only the configuration file may change"
        else:
            found[option.name] = "the server reads it only when it starts"
    return found


def _of_engine(option: Option[Any], engine: Engine, field: str) -> RuntimeOption:
    def apply(text: str) -> None:
        engine.configure(dataclasses.replace(engine.settings, **{field: option.kind.read(text)}))

    return RuntimeOption(option.kind.read, apply)


def _up_to(option: Option[int], maximum: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        value = option.kind.read(text)
        if value > maximum:
            raise ValueInvalid(
                f"the connections were opened for at most {maximum} bytes: write less, or set a larger value in the "
                "configuration file and start again"
            )
        return value

    return check
