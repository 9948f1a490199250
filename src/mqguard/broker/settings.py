"""Settings of the broker, and the part of the configuration that administrators read and change over the wire.

Settings that concern messages are in `EngineSettings`.
"""

import dataclasses
from collections.abc import Callable, Mapping

import msgspec

from mqguard.auth.seal import MASK
from mqguard.config import properties
from mqguard.config.errors import ConfigInvalid
from mqguard.dispatch.access_bodies import SecretExposure
from mqguard.dispatch.request import ConfigurationRefused
from mqguard.errors import MqguardError
from mqguard.model.text import visible


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The broker's settings; names in parentheses are the keys of `broker.conf`.

    Attributes:
        cluster: Name of the cluster (`brokerClusterName`).
        name: Name of the broker (`brokerName`), the same for a master and its slaves.
        broker_id: 0 for a master (`brokerId`).
        address: `host:port` at which clients reach the broker.
        long_polling: True if a pull waits when there is no message (`longPollingEnable`).
        waiting_pulls: Maximum number of pulls that wait at a time. One connection gets at most an eighth of the places.
            If all are used, a pull of the user with the largest number of them ends early.
        filter_support_retry: True if an expression for a retry topic is replaced by those of the original topics
            (`filterSupportRetry`).
        request_mode: Mode of groups for which none was set, `PULL` or `POP` (`defaultMessageRequestMode`).
        pop_share_queues: Number of further members whose queues a member of a group in mode `POP` pops too; negative
            for all queues (`defaultPopShareQueueNum`).
        secret_exposure: See `SecretExposure` (`secretExposure`).
        anonymous_administers: True if anonymous requests may change users and policies. It is so only while
            authentication is off.
        client_call_timeout_ms: Milliseconds in which a client must answer a request of the broker.
    """

    cluster: str = "DefaultCluster"
    name: str = "broker-a"
    broker_id: int = 0
    address: str = "127.0.0.1:10911"
    long_polling: bool = True
    waiting_pulls: int = 100_000
    filter_support_retry: bool = False
    request_mode: str = "PULL"
    pop_share_queues: int = -1
    secret_exposure: SecretExposure = SecretExposure.SEALED
    anonymous_administers: bool = False
    client_call_timeout_ms: int = 10_000


class RuntimeOption(msgspec.Struct, frozen=True):
    """Key that may be changed while the broker runs.

    Attributes:
        check: Function that raises an MqguardError, which says what would be right, for an invalid value.
        apply: Function that puts a checked value into force.
    """

    check: Callable[[str], object]
    apply: Callable[[str], object]


class ExposedConfiguration:
    """Keys and values in the form of `broker.conf`.

    Args:
        values: Values in force, as text.
        secret: Keys whose values are never shown.
        options: Keys that may be changed; all others, known or not, are refused.
        reasons: Reasons for which other keys may not be changed.

    Attributes:
        changes: Number of changes since the start.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        secret: frozenset[str] = frozenset(),
        options: Mapping[str, RuntimeOption] | None = None,
        reasons: Mapping[str, str] | None = None,
    ) -> None:
        self._values = {key: MASK if key in secret and value else value for key, value in values.items()}
        self._options = dict(options or {})
        self._reasons = dict(reasons or {})
        self.changes = 0

    def text(self) -> str:
        """Return all keys and values, sorted by key."""
        return properties.write(sorted(self._values.items()))

    def get(self, key: str) -> str | None:
        """Return the value of one key, masked if it is a secret."""
        return self._values.get(key)

    def change(self, data: bytes) -> dict[str, str]:
        """Set the keys of a properties text: all of them, or none.

        Returns:
            The keys and values that were set.

        Raises:
            ConfigurationRefused: A key may not be changed, or a value is invalid.
        """
        try:
            wanted = {item.key: item.value for item in properties.parse(properties.decode(data), "request")}
        except ConfigInvalid as exc:
            raise ConfigurationRefused(str(exc)) from None
        if not wanted:
            raise ConfigurationRefused("the body has no key: send lines of the form `key=value`")
        for key, value in wanted.items():
            self._check(key, value)
        for key, value in wanted.items():
            self._options[key].apply(value)
            self._values[key] = value
        self.changes += 1
        return wanted

    def _check(self, key: str, value: str) -> None:
        option = self._options.get(key)
        if option is None:
            changeable = ", ".join(f"`{name}`" for name in sorted(self._options)) or "none"
            reason = self._reasons.get(key, "this key is unknown")
            raise ConfigurationRefused(
                f"the key `{visible(key)}` cannot be changed over the wire: {reason}; nothing was changed; changeable "
                f"keys: {changeable}"
            )
        try:
            option.check(value)
        except MqguardError as exc:
            raise ConfigurationRefused(f"`{key}`: {exc}; nothing was changed") from None
