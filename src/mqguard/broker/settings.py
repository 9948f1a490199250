"""What the operator decides about the broker's face."""

import dataclasses
import enum


class SecretExposure(enum.Enum):
    """In which form an administrator gets the secret of a user."""

    SEALED = "sealed"
    """Encrypted: another mqguard with the same key accepts it as the password, nobody can read it."""
    MASKED = "masked"
    """Eight asterisks."""
    PLAIN = "plain"
    """As it is, which is what Apache's broker answers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The broker's settings.

    Attributes:
        cluster: Name of the cluster.
        name: Name of the broker, the same for a master and its slaves.
        broker_id: 0 for a master.
        address: `host:port` under which clients reach the broker.
        region: Told to producers, which write it into traces.
        trace_on: Whether clients are to send traces.
        auto_create_topic: Whether a send may create its topic.
        auto_create_group: Whether a consumer may create its group by appearing.
        default_queues: Most queues of a topic that a send creates.
        long_polling: Whether a pull without a message waits.
        pull_messages: Most messages of one pull.
        pull_bytes: Most bytes of one pull, but always one message.
        waiting_pulls: Most pulls that wait at a time.
        secret_exposure: See `SecretExposure`.
        question_ms: How long a client may take to answer a question passed on to it, in milliseconds.
    """

    cluster: str = "DefaultCluster"
    name: str = "broker-a"
    broker_id: int = 0
    address: str = "127.0.0.1:10911"
    region: str = "DefaultRegion"
    trace_on: bool = True
    auto_create_topic: bool = True
    auto_create_group: bool = True
    default_queues: int = 8
    long_polling: bool = True
    pull_messages: int = 32
    pull_bytes: int = 256 * 1024
    waiting_pulls: int = 100_000
    secret_exposure: SecretExposure = SecretExposure.MASKED
    question_ms: int = 10_000
