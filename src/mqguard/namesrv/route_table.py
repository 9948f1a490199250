"""The route table: which broker holds which topic, and where it is reached.

A table of plain values without clock and sockets. Remote brokers register themselves, renew that with heartbeats and
expire without them; a broker in the same process announces its topics and stays until it withdraws them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from mqguard.model.peer import Channel
from mqguard.model.topic import PERM_WRITE, DataVersion, TopicConfig

BROKER_LIFE_MS = 120_000
"""How long a remote broker stays without a heartbeat, unless it asks for another time."""
MASTER_ID = 0
UNIT_FLAG = 1
"""Bit of a topic's system flag: the topic belongs to one unit."""
UNIT_SUB_FLAG = 2
"""Bit of a topic's system flag: the topic is subscribed to by a unit."""


class QueueLayout(msgspec.Struct, frozen=True):
    """What one broker offers of a topic: its queues, and what may be done with them."""

    read_queues: int
    write_queues: int
    perm: int
    sys_flag: int = 0


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker says when it registers.

    Attributes:
        cluster: Name of its cluster.
        broker: Its name, shared by a master and its slaves.
        address: `host:port` that clients are sent to.
        broker_id: 0 for the master.
        ha_address: `host:port` for replication.
        topics: Topics and their shapes; those left out stay as they are. None if unchanged.
        version: Version of its topic table.
        life_ms: How long it stays without another word from it; None for ever (a broker in this process).
        channel: Its connection; None for a broker in this process.
        acting_master: Whether a slave may act as master.
        zone: Zone it stands in.
    """

    cluster: str
    broker: str
    address: str
    broker_id: int
    ha_address: str = ""
    topics: Mapping[str, QueueLayout] | None = None
    version: DataVersion = DataVersion()
    life_ms: int | None = BROKER_LIFE_MS
    channel: Channel | None = None
    acting_master: bool = False
    zone: str | None = None


class BrokerRoute(msgspec.Struct, frozen=True):
    """One broker of a route: where its master (0) and slaves are reached."""

    cluster: str
    name: str
    addresses: dict[int, str]
    acting_master: bool
    zone: str | None


class TopicRoute(msgspec.Struct, frozen=True):
    """Where a topic is: its brokers, and what each offers."""

    brokers: list[BrokerRoute]
    queues: dict[str, QueueLayout]


@dataclass(slots=True)
class _Live:
    cluster: str
    broker: str
    broker_id: int
    ha_address: str
    version: DataVersion
    life_ms: int | None
    channel: Channel | None
    seen_ms: int


@dataclass(slots=True)
class _Broker:
    cluster: str
    addresses: dict[int, str] = field(default_factory=dict)
    acting_master: bool = False
    zone: str | None = None


class RouteTable:
    """All brokers and topics that a name server knows.

    INVARIANT: an address stands in `_live` exactly if it stands in its broker's addresses; a topic never names a broker
    that `_brokers` does not hold.
    """

    def __init__(self) -> None:
        self._brokers: dict[str, _Broker] = {}
        self._topics: dict[str, dict[str, QueueLayout]] = {}
        self._live: dict[str, _Live] = {}
        self._read_only: set[str] = set()
        self._own: dict[str, str] = {}

    # Brokers come and go

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Take the whole truth of a master in this process: topics it no longer names are gone at once."""
        self.register(
            Registration(cluster=cluster, broker=broker, address=address, broker_id=MASTER_ID, life_ms=None), now_ms=0
        )
        self._own[broker] = address
        shapes = {topic.name: shape_of(topic) for topic in topics}
        for topic in [topic for topic, offers in self._topics.items() if broker in offers and topic not in shapes]:
            self._withdraw(topic, broker)
        self._offer(broker, shapes)

    @property
    def own_addresses(self) -> list[str]:
        """Addresses of the brokers in this process, whatever has registered beside them."""
        return sorted(self._own.values())

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Take what has become of one topic of a broker that is announced; None: it is deleted."""
        if topic is not None:
            self.place(name, {broker: shape_of(topic)})
        elif broker in self._topics.get(name, ()):
            self._withdraw(name, broker)

    def register(self, registration: Registration, now_ms: int) -> tuple[str, str]:
        """Note a broker.

        Returns:
            The address and the replication address of the master, for a slave; both empty for a master.
        """
        broker = self._brokers.get(registration.broker)
        if broker is None:
            broker = self._brokers[registration.broker] = _Broker(registration.cluster)
        broker.cluster = registration.cluster
        broker.acting_master = registration.acting_master
        broker.zone = registration.zone
        self._give_address(registration, broker)
        self._live[registration.address] = _Live(
            registration.cluster,
            registration.broker,
            registration.broker_id,
            registration.ha_address,
            registration.version,
            registration.life_ms,
            registration.channel,
            now_ms,
        )
        if registration.topics is not None and registration.broker_id == MASTER_ID:
            self._offer(registration.broker, registration.topics)
        master = broker.addresses.get(MASTER_ID)
        if registration.broker_id == MASTER_ID or master is None:
            return "", ""
        return master, self._live[master].ha_address

    def unregister(self, broker: str, address: str) -> bool:
        """Remove a broker's address; with its last one go the broker and what it offered. Whether it was known."""
        live = self._live.get(address)
        if live is None or live.broker != broker:
            return False
        self._remove(address)
        return True

    def heard_of(self, address: str, now_ms: int) -> bool:
        """Renew a broker's life; whether it is known."""
        live = self._live.get(address)
        if live is None:
            return False
        live.seen_ms = now_ms
        return True

    def version_of(self, address: str) -> DataVersion | None:
        """Version of the topic table that a broker registered last."""
        live = self._live.get(address)
        return live.version if live else None

    def is_own(self, broker: str, address: str) -> bool:
        """Whether a broker of this process has that name or that address; nobody else may take either."""
        return any(
            live.life_ms is None and (live.broker == broker or known == address) for known, live in self._live.items()
        )

    def expire(self, now_ms: int) -> list[str]:
        """Remove the brokers that fell silent; answers their addresses."""
        silent = [
            address
            for address, live in self._live.items()
            if live.life_ms is not None and now_ms - live.seen_ms >= live.life_ms
        ]
        for address in silent:
            self._remove(address)
        return silent

    def leave(self, channel: Channel) -> list[str]:
        """Remove the brokers that registered over a connection that closed; answers their addresses."""
        gone = [address for address, live in self._live.items() if live.channel is channel]
        for address in gone:
            self._remove(address)
        return gone

    # Topics

    def place(self, topic: str, offers: Mapping[str, QueueLayout]) -> None:
        """Put a topic on brokers that are known; others are ignored."""
        for broker, shape in offers.items():
            if broker in self._brokers:
                self._topics.setdefault(topic, {})[broker] = shape

    def delete_topic(self, topic: str, cluster: str | None = None) -> None:
        """Take a topic out of the table, or only out of one cluster's brokers."""
        for broker in list(self._topics.get(topic, ())):
            if not cluster or self._brokers[broker].cluster == cluster:
                self._withdraw(topic, broker)

    def route(self, topic: str) -> TopicRoute | None:
        """Where a topic is, None if nobody offers it."""
        offers = self._topics.get(topic)
        if not offers:
            return None
        return TopicRoute(
            [self._broker_route(broker) for broker in offers],
            {broker: self._allowed(broker, shape) for broker, shape in offers.items()},
        )

    def topics(self) -> list[str]:
        """All topics, in order."""
        return sorted(self._topics)

    def topics_of(self, cluster: str) -> list[str]:
        """The topics that any broker of a cluster offers, in order."""
        return sorted(
            topic
            for topic, offers in self._topics.items()
            if any(self._brokers[broker].cluster == cluster for broker in offers)
        )

    def topics_flagged(self, wanted: Callable[[int], bool]) -> list[str]:
        """The topics whose system flag on any broker pleases `wanted`, in order."""
        return sorted(
            topic for topic, offers in self._topics.items() if any(wanted(shape.sys_flag) for shape in offers.values())
        )

    # Clusters and brokers

    def clusters(self) -> dict[str, list[str]]:
        """Names of the brokers of each cluster."""
        clusters: dict[str, list[str]] = {}
        for name, broker in self._brokers.items():
            clusters.setdefault(broker.cluster, []).append(name)
        return clusters

    def brokers(self) -> list[BrokerRoute]:
        """All brokers."""
        return [self._broker_route(name) for name in self._brokers]

    def broker(self, name: str) -> BrokerRoute | None:
        """One broker by its name."""
        return self._broker_route(name) if name in self._brokers else None

    def forbid_writes(self, broker: str) -> int:
        """Let no producer find a broker any more; answers how many topics that concerns."""
        if broker in self._brokers:
            self._read_only.add(broker)
        return self._count(broker)

    def permit_writes(self, broker: str) -> int:
        """Undo `forbid_writes`; answers how many topics that concerns."""
        self._read_only.discard(broker)
        return self._count(broker)

    # Bookkeeping

    def _give_address(self, registration: Registration, broker: _Broker) -> None:
        # An address serves one broker under one id, and an id one address: what stood there before has moved.
        old = self._live.get(registration.address)
        if old is not None and (old.broker, old.broker_id) != (registration.broker, registration.broker_id):
            del self._live[registration.address]
            holder = self._brokers[old.broker]
            del holder.addresses[old.broker_id]
            if not holder.addresses and old.broker != registration.broker:
                self._forget_broker(old.broker)
        replaced = broker.addresses.get(registration.broker_id)
        if replaced is not None and replaced != registration.address:
            del self._live[replaced]
        broker.addresses[registration.broker_id] = registration.address

    def _remove(self, address: str) -> None:
        live = self._live.pop(address)
        broker = self._brokers[live.broker]
        del broker.addresses[live.broker_id]
        if not broker.addresses:
            self._forget_broker(live.broker)

    def _forget_broker(self, name: str) -> None:
        del self._brokers[name]
        self._read_only.discard(name)
        for topic in [topic for topic, offers in self._topics.items() if name in offers]:
            self._withdraw(topic, name)

    def _offer(self, broker: str, topics: Mapping[str, QueueLayout]) -> None:
        for topic, shape in topics.items():
            self._topics.setdefault(topic, {})[broker] = shape

    def _withdraw(self, topic: str, broker: str) -> None:
        offers = self._topics[topic]
        del offers[broker]
        if not offers:
            del self._topics[topic]

    def _allowed(self, broker: str, shape: QueueLayout) -> QueueLayout:
        if broker not in self._read_only or not shape.perm & PERM_WRITE:
            return shape
        return msgspec.structs.replace(shape, perm=shape.perm & ~PERM_WRITE)

    def _broker_route(self, name: str) -> BrokerRoute:
        broker = self._brokers[name]
        return BrokerRoute(
            broker.cluster, name, dict(sorted(broker.addresses.items())), broker.acting_master, broker.zone
        )

    def _count(self, broker: str) -> int:
        return sum(broker in offers for offers in self._topics.values())


def shape_of(topic: TopicConfig) -> QueueLayout:
    """What of a topic's configuration a route tells."""
    return QueueLayout(topic.read_queues, topic.write_queues, topic.perm, topic.sys_flag)


def in_zone(brokers: Iterable[BrokerRoute], zone: str) -> list[BrokerRoute]:
    """The brokers that a client of a zone should use: those of its zone, and those whose master is down.

    Java name servers do the same for clients that send `__ZONE_MODE` and `__ZONE_NAME`.
    """
    return [
        broker
        for broker in brokers
        if MASTER_ID not in broker.addresses or (broker.zone or "").casefold() == zone.casefold()
    ]
