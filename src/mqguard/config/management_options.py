"""Options of the HTTP listener for metrics and health."""

from typing import Final

from mqguard.config import option
from mqguard.config.errors import ValueInvalid
from mqguard.config.option import Kind, Option
from mqguard.config.secret import Credentials


def _port(text: str) -> int | None:
    if text.lower() == "off":
        return None
    try:
        return option.PORT.read(text)
    except ValueInvalid:
        raise ValueInvalid("write `off`, or a whole number from 0 to 65535") from None


PORT_OR_OFF: Final[Kind[int | None]] = Kind("`off`, or a port", _port)

PORT: Option[int | None] = Option(
    "managementPort",
    PORT_OR_OFF,
    None,
    "The port of the HTTP listener for `/metrics`, `/livez` and `/readyz`; 0 takes any free one.",
    "management",
    says_default="`off`",
    ours=True,
)
ADDRESS = Option(
    "managementAddress",
    option.HOST,
    "127.0.0.1",
    "The address of the HTTP listener. An address that other machines reach needs `managementCredentials`.",
    "management",
    ours=True,
)
CREDENTIALS: Option[Credentials | None] = Option(
    "managementCredentials",
    option.USER_CREDENTIALS,
    None,
    "The name and the secret that HTTP requests must have (Basic). They belong to no user of the broker.",
    "management",
    says_default="none",
    secret=True,
    ours=True,
)
SHUTDOWN_DELAY = Option(
    "shutdownDelayMillis",
    option.integer(0, 300_000),
    0,
    "The time after SIGTERM for which the server still serves, while `/readyz` answers 503, in milliseconds. Load "
    "balancers that watch `/readyz` then send new clients elsewhere.",
    "management",
    ours=True,
)
