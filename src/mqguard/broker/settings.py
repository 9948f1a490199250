"""Settings of the broker, and the part of the configuration that administrators read and change over the wire.

Settings that concern messages are in `EngineSettings`.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping

import msgspec

from mqguard.auth.sealing import MASK
from mqguard.config import properties
from mqguard.config.errors import ConfigInvalid
from mqguard.dispatch.request import ConfigurationRefused
from mqguard.errors import MqguardError


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
        long_polling: Whether a pull without a message waits (`longPollingEnable`).
        waiting_pulls: Maximum number of pulls that wait at a time. One connection has an eighth of the places at most;
            if all are taken, the user with most of them gives way.
        secret_exposure: See `SecretExposure` (`secretExposure`).
        anonymous_administers: Whether requests without an identity may change users and policies: only where
            authentication is off.
        client_call_timeout_ms: How long a client may take to answer a question passed on to it, in milliseconds.
    """

    cluster: str = "DefaultCluster"
    name: str = "broker-a"
    broker_id: int = 0
    address: str = "127.0.0.1:10911"
    long_polling: bool = True
    waiting_pulls: int = 100_000
    secret_exposure: SecretExposure = SecretExposure.SEALED
    anonymous_administers: bool = False
    client_call_timeout_ms: int = 10_000


class RuntimeOption(msgspec.Struct, frozen=True):
    """A key that may be changed while the broker runs.

    Attributes:
        check: Raises an MqguardError that says what would be right if a value is not.
        apply: Makes the checked value count.
    """

    check: Callable[[str], object]
    apply: Callable[[str], object]


class ExposedConfiguration:
    """Keys and values in the form of `broker.conf`.

    Args:
        values: What is in force, as text.
        secret: Keys whose values are never shown.
        knobs: What may be changed; every other key, known or not, is refused.

    Attributes:
        changes: How often something was changed.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        secret: frozenset[str] = frozenset(),
        knobs: Mapping[str, RuntimeOption] | None = None,
    ) -> None:
        self._values = {key: MASK if key in secret and value else value for key, value in values.items()}
        self._knobs = dict(knobs or {})
        self.changes = 0

    def text(self) -> str:
        """All keys and values, in order of the keys."""
        return properties.write(sorted(self._values.items()))

    def get(self, key: str) -> str | None:
        """The value of one key, masked if it is a secret."""
        return self._values.get(key)

    def change(self, data: bytes) -> dict[str, str]:
        """Change what a properties text says: everything, or nothing.

        Returns:
            The keys and values that were set.

        Raises:
            ConfigurationRefused: A key may not be changed, or a value is not right.
        """
        try:
            wanted = {item.key: item.value for item in properties.parse(properties.decode(data), "request")}
        except ConfigInvalid as exc:
            raise ConfigurationRefused(str(exc)) from None
        if not wanted:
            raise ConfigurationRefused("no key to change: send lines of the form `key=value`")
        for key, value in wanted.items():
            self._check(key, value)
        for key, value in wanted.items():
            self._knobs[key].apply(value)
            self._values[key] = value
        self.changes += 1
        return wanted

    def _check(self, key: str, value: str) -> None:
        knob = self._knobs.get(key)
        if knob is None:
            changeable = ", ".join(f"`{name}`" for name in sorted(self._knobs)) or "none"
            raise ConfigurationRefused(
                f"the key `{key}` cannot be changed over the wire, nothing was changed; changeable keys: {changeable}"
            )
        try:
            knob.check(value)
        except MqguardError as exc:
            raise ConfigurationRefused(f"`{key}`: {exc}; nothing was changed") from None
