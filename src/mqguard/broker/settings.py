"""What the operator decides about the broker's face; what concerns messages stands in `EngineSettings`."""

import dataclasses
import enum


class SecretExposure(enum.Enum):
    """In which form an administrator gets the secret of a user."""

    SEALED = "sealed"
    """Encrypted behind asterisks: other mqguards accept it as the password (see `exposure`), nobody can read it."""
    MASKED = "masked"
    """Asterisks."""
    PLAIN = "plain"
    """As it is, which is what Apache's broker answers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The broker's settings; names in parentheses are the keys of `broker.conf`.

    Attributes:
        cluster: Name of the cluster (`brokerClusterName`).
        name: Name of the broker (`brokerName`), the same for a master and its slaves.
        broker_id: 0 for a master (`brokerId`).
        address: `host:port` under which clients reach the broker.
        region: Told to producers, which write it into traces (`regionId`).
        trace_on: Whether clients are to send traces (`traceOn`).
        long_polling: Whether a pull without a message waits (`longPollingEnable`).
        waiting_pulls: Maximum number of pulls that wait at a time. One connection has an eighth of the places at most;
            if all are taken, the user with most of them gives way.
        secret_exposure: See `SecretExposure` (`secretExposure`).
        nobody_administers: Whether requests without an identity may change users and policies: only where
            authentication is off.
        question_ms: How long a client may take to answer a question passed on to it, in milliseconds.
    """

    cluster: str = "DefaultCluster"
    name: str = "broker-a"
    broker_id: int = 0
    address: str = "127.0.0.1:10911"
    region: str = "DefaultRegion"
    trace_on: bool = True
    long_polling: bool = True
    waiting_pulls: int = 100_000
    secret_exposure: SecretExposure = SecretExposure.SEALED
    nobody_administers: bool = False
    question_ms: int = 10_000
