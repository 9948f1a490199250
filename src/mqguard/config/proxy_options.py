"""Options of `mqguard proxy`, the guard in front of a cluster."""

from typing import Final, NamedTuple

from mqguard.config import option
from mqguard.config.errors import ValueInvalid
from mqguard.config.option import Kind, Option


class PortRange(NamedTuple):
    """Ports for brokers.

    Attributes:
        first: The first port; 0 for any free ones.
        last: The last port.
    """

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}" if self.first else "0"


MIN_PORTS: Final = 4


def _ports(text: str) -> PortRange:
    first, dash, last = text.partition("-")
    if text == "0":
        return PortRange(0, 0)
    if dash and all(word.isascii() and word.isdigit() and 0 < int(word) < 65_536 for word in (first, last)):
        found = PortRange(int(first), int(last))
        if found.last - found.first + 1 >= MIN_PORTS:
            return found
    raise ValueInvalid(
        f"write at least {MIN_PORTS} ports as FIRST-LAST, such as `11000-11099`, or `0` for any free ones"
    )


PORTS: Final[Kind[PortRange]] = Kind("ports `FIRST-LAST`, or `0`", _ports)

BROKER_PORTS = Option(
    "proxyBrokerPorts",
    PORTS,
    PortRange(11_000, 11_255),
    "The ports of `mqguard proxy` at which clients reach brokers. Each broker has two of them, the lower one for the "
    "VIP channel, and keeps them over restarts.",
    "proxy",
    ours=True,
)
SIGN_REQUESTS = Option(
    "proxySignRequests",
    option.BOOLEAN,
    default=True,
    help="True to sign requests to the cluster with `innerClientAuthenticationCredentials`, if these are set; false "
    "passes the signatures of clients on.",
    section="proxy",
    ours=True,
)
CONNECT_TIMEOUT = Option(
    "proxyConnectTimeoutMillis",
    option.integer(100, 60_000),
    3_000,
    "The maximum time of `mqguard proxy` to connect to a broker, in milliseconds.",
    "proxy",
    ours=True,
)
ANSWER_TIMEOUT = Option(
    "proxyAnswerTimeoutMillis",
    option.integer(30_000, 3_600_000),
    120_000,
    "The time after which `mqguard proxy` drops the connection to a broker that owes an answer and sends nothing, in "
    "milliseconds.",
    "proxy",
    ours=True,
)
