"""The form of `rmq-proxy.json`, the configuration of Apache's proxy: one JSON object of options."""

from typing import Final

import msgspec

from mqguard.config.errors import ConfigInvalid
from mqguard.config.properties import Property

NAMES: Final = {
    "rocketMQClusterName": "brokerClusterName",
    "remotingListenPort": "namesrvListenPort",
    "localServeAddr": "brokerIP1",
}
"""Options of Apache's proxy that have another name in `broker.conf`."""


def is_json(text: str) -> bool:
    """Return True if a configuration file is JSON and not a properties file."""
    return text.lstrip("\ufeff \t\r\n").startswith("{")


def parse(text: str, name: str) -> list[Property]:
    """Read all options of a file, in its order.

    Args:
        text: The content of the file.
        name: The name of the file in errors.

    Raises:
        ConfigInvalid: The file is not a JSON object of texts, numbers and booleans.
    """
    try:
        found = msgspec.json.decode(text.lstrip("\ufeff").encode("utf-8", "surrogatepass"), type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as exc:
        raise ConfigInvalid(f"{name}: the file is not a JSON object: {exc}") from None
    return [Property(NAMES.get(key, key), _text(value), _line(text, key)) for key, value in found.items()]


def _text(value: object) -> str:
    """Return a value as a properties file has it. A nested object, such as credentials, stays JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case _:
            return msgspec.json.encode(value).decode()


def _line(text: str, key: str) -> int:
    """Return the line of a key."""
    return text.count("\n", 0, max(text.find(f'"{key}"'), 0)) + 1
