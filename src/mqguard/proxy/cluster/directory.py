"""The brokers of the cluster, by their names. The guard polls the name servers for them (106).

Rule 1: as long as no name server answers, the last known brokers stay.
Rule 2: a name server that the guard has just connected to may add brokers, but removes none. It may have started a
moment ago, and brokers register with it only every 30 seconds.
Rule 3: the number of brokers and of their addresses is bounded.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from mqguard.model.text import visible
from mqguard.net.upstream import OnOutcome
from mqguard.proxy.cluster.connections import Connections, NameServers, refusal, split_address
from mqguard.proxy.cluster.errors import ClusterUnavailable
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.topics import BrokerData, ClusterInfo
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Command

_LOG = logging.getLogger(__name__)

MASTER_ID: Final = 0
MAX_BROKERS: Final = 1_024
"""Maximum number of broker names; an answer with more is not used."""
MAX_REPLICAS: Final = 64
"""Maximum number of addresses of one broker name; an answer with more is not used."""


class Broker(msgspec.Struct, frozen=True):
    """The brokers of one name: a master and its slaves.

    Attributes:
        cluster: Name of the cluster.
        name: Name of the broker.
        addresses: `host:port` by broker id; 0 is the master. It has at least one.
        acting_master: True if a slave serves requests for the master that is gone.
    """

    cluster: str
    name: str
    addresses: dict[int, str]
    acting_master: bool = False

    @property
    def master(self) -> str | None:
        """The address of the master, None if it is gone."""
        return self.addresses.get(MASTER_ID)

    @property
    def serving(self) -> str:
        """The address for requests: the master, or the slave with the lowest id if the master is gone."""
        return self.addresses[min(self.addresses)]


OnChange = Callable[[Broker | None, Broker | None], None]
"""Receiver of a change: the broker before and after it. The first is None if it came, the second if it has left."""


class DirectorySettings(NamedTuple):
    """Times of the directory.

    Attributes:
        poll_s: Seconds between two polls.
        retry_s: Seconds until the next poll after one that failed.
        refresh_s: Minimum seconds between two polls.
        settle_s: Seconds after a connection to a name server from which its answers may remove brokers.
    """

    poll_s: float = 10.0
    retry_s: float = 1.0
    refresh_s: float = 0.5
    settle_s: float = 45.0


class Directory:
    """The brokers of the cluster.

    Args:
        name_servers: The name servers.
        settings: Times.
    """

    def __init__(self, name_servers: NameServers, settings: DirectorySettings | None = None) -> None:
        self._name_servers = name_servers
        self._connections: Connections = name_servers.connections
        self._settings = settings or DirectorySettings()
        self._loop = self._connections.loop
        self._brokers: dict[str, Broker] = {}
        self._on_change: list[OnChange] = []
        self._settled_s: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False
        self._closed = False
        self._polled_s = -self._settings.refresh_s
        self._answered_s: float | None = None
        self._connections.add_loss_listener(self._lost)

    @property
    def brokers(self) -> Mapping[str, Broker]:
        """Return the known brokers by name."""
        return MappingProxyType(self._brokers)

    @property
    def age_s(self) -> float | None:
        """Return the seconds since a name server has answered, None if none has yet."""
        return None if self._answered_s is None else self._loop.time() - self._answered_s

    def get(self, name: str) -> Broker | None:
        """Return the broker of a name, None if it is not known."""
        return self._brokers.get(name)

    def find_address(self, address: str) -> Broker | None:
        """Return the broker that has an address, None if none has."""
        return next((one for one in self._brokers.values() if address in one.addresses.values()), None)

    def add_listener(self, on_change: OnChange) -> None:
        """Have a function called after each change. Known brokers are reported at once, as if they came now."""
        self._on_change.append(on_change)
        for broker in list(self._brokers.values()):
            _report([on_change], None, broker)

    def start(self) -> None:
        """Begin to poll."""
        self._poll()

    def close(self) -> None:
        """Stop polling; the known brokers stay."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def refresh(self) -> None:
        """Poll soon, because a broker does not answer or is not known. Frequent calls cost nothing."""
        if self._is_open or self._closed:
            return
        self._poll_at(max(self._polled_s + self._settings.refresh_s, self._loop.time()))

    def call(self, name: str, command: Command, done: OnOutcome, timeout: float | None = None) -> None:
        """Sign and send a request of the guard to a broker.

        Args:
            name: Name of the broker. The request goes to its master, or to a slave if the master is gone.
            command: The request; its `opaque` is chosen here.
            done: Receives the answer, or the error. It is called exactly once, after this method has returned.
            timeout: Seconds to wait for the answer, instead of those of the connections.
        """
        broker = self._brokers.get(name)
        if broker is None:
            self.refresh()
            self._loop.call_soon(done, unknown_broker(name))
        else:
            self._connections.call(broker.serving, command, done, timeout)

    # Polls

    def _poll_at(self, when: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._poll)

    def _poll(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_open or self._closed:
            return
        self._is_open = True
        self._polled_s = self._loop.time()
        command = Command(RequestCode.GET_BROKER_CLUSTER_INFO, 0, 0, SERVER_VERSION, LanguageCode.PYTHON)
        self._name_servers.call(command, _read, self._answered)

    def _answered(self, address: str, found: dict[str, Broker] | ClusterUnavailable) -> None:
        self._is_open = False
        if self._closed:
            return
        now = self._loop.time()
        if isinstance(found, ClusterUnavailable):
            self._poll_at(now + self._settings.retry_s)
            return
        self._answered_s = now
        since = self._settled_s.setdefault(address, now)
        is_settled = now - since >= self._settings.settle_s
        self._update(found if is_settled else _merged(self._brokers, found))
        self._poll_at(now + self._settings.poll_s)

    def _lost(self, address: str) -> None:
        self._settled_s.pop(address, None)
        self.refresh()

    def _update(self, found: dict[str, Broker]) -> None:
        before, self._brokers = self._brokers, found
        for name in before | found:
            old, new = before.get(name), found.get(name)
            if old != new:
                _log_change(old, new)
                _report(self._on_change, old, new)
        # Last, so that a listener that still reads the old address does not open it again.
        kept = {*self._name_servers.addresses, *_addresses(found)}
        for address in set(_addresses(before)) - kept:
            self._connections.drop(address)


def unknown_broker(name: str) -> ClusterUnavailable:
    """Return the error for a broker that no name server knows."""
    return ClusterUnavailable(f"no name server knows the broker `{visible(name[:255])}`")


def _read(answer: Command) -> dict[str, Broker]:
    """Return the brokers of an answer.

    Raises:
        ClusterUnavailable: The server has refused the request, or the answer has too many brokers.
        BodyInvalid: The answer is not valid.
    """
    if answer.code != ResponseCode.SUCCESS:
        raise refusal(answer)
    table = decode_leniently(answer.body, ClusterInfo).broker_addr_table
    if len(table) > MAX_BROKERS:
        raise ClusterUnavailable(f"it knows {len(table)} brokers, and at most {MAX_BROKERS} are used")
    return {name: _broker(name, data) for name, data in table.items() if data.broker_addrs}


def _broker(name: str, data: BrokerData) -> Broker:
    if len(data.broker_addrs) > MAX_REPLICAS:
        raise ClusterUnavailable(f"the broker `{name}` has {len(data.broker_addrs)} addresses")
    for address in data.broker_addrs.values():
        if split_address(address)[1] == 0:
            raise BodyInvalid(f"brokerAddrTable.{name}", f"`{address}` is not an address HOST:PORT")
    return Broker(data.cluster, name, dict(sorted(data.broker_addrs.items())), data.enable_acting_master)


def _merged(known: Mapping[str, Broker], found: dict[str, Broker]) -> dict[str, Broker]:
    """Return the found brokers and those that were known, where both name different addresses the found ones."""
    merged = dict(known)
    for name, new in found.items():
        old = known.get(name)
        taken = set(new.addresses.values())
        rest = {} if old is None else {key: one for key, one in old.addresses.items() if one not in taken}
        merged[name] = msgspec.structs.replace(new, addresses=dict(sorted((rest | new.addresses).items())))
    return merged


def _addresses(brokers: Mapping[str, Broker]) -> Iterator[str]:
    for broker in brokers.values():
        yield from broker.addresses.values()


def _report(listeners: list[OnChange], old: Broker | None, new: Broker | None) -> None:
    for on_change in listeners:
        try:
            on_change(old, new)
        except Exception:  # noqa: BLE001 - the other listeners and the next polls must follow
            _LOG.exception("a change of the brokers was not taken over: internal error")


def _log_change(old: Broker | None, new: Broker | None) -> None:
    if new is None:
        if old is not None:
            _LOG.warning("the broker %s has left the cluster %s", old.name, old.cluster)
        return
    if old is None:
        _LOG.info("the broker %s of the cluster %s is at %s", new.name, new.cluster, _text(new))
    elif old.master is not None and new.master is None:
        _LOG.warning("the broker %s has lost its master: requests go to its slave %s", new.name, new.serving)
    else:
        _LOG.info("the broker %s of the cluster %s is now at %s", new.name, new.cluster, _text(new))


def _text(broker: Broker) -> str:
    return ", ".join(f"{address} (id {key})" for key, address in broker.addresses.items())
