"""The route table: topics, the brokers that have them, and the addresses of these brokers.

The table has no clock and no sockets. Remote brokers register themselves and expire without heartbeats. A broker in the
same process announces its topics and never expires.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from mqguard.model.peer import Channel
from mqguard.model.topic import PERM_WRITE, DataVersion, TopicConfig

BROKER_LIFE_MS = 120_000
"""Time after which a remote broker without heartbeats expires, unless it asks for another time."""
MASTER_ID = 0
UNIT_FLAG = 1
"""Bit of a topic's system flag: the topic belongs to one unit."""
UNIT_SUB_FLAG = 2
"""Bit of a topic's system flag: a unit subscribes to the topic."""


class QueueLayout(msgspec.Struct, frozen=True):
    """Queues of a topic on one broker, and their permissions."""

    read_queues: int
    write_queues: int
    perm: int
    sys_flag: int = 0


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Registration of a broker.

    Attributes:
        cluster: Name of its cluster.
        broker: Its name, shared by a master and its slaves.
        address: `host:port` for clients.
        broker_id: 0 for the master.
        ha_address: `host:port` for replication.
        topics: Topics and their queues; topics left out do not change. None if nothing changed.
        version: Version of its topic table.
        life_ms: Time after which it expires without heartbeats; None for a broker in this process, which never does.
        channel: Its connection; None for a broker in this process.
        acting_master: True if a slave may act as master.
        zone: Zone of the broker.
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
    """One broker of a route, with the addresses of its master (0) and slaves."""

    cluster: str
    name: str
    addresses: dict[int, str]
    acting_master: bool
    zone: str | None


class TopicRoute(msgspec.Struct, frozen=True):
    """Brokers of a topic, and the queues of each."""

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
    """All brokers and topics of a name server.

    INVARIANT: an address is in `_live` exactly if it is in its broker's addresses; all brokers of a topic are in
    `_brokers`.
    """

    def __init__(self) -> None:
        self._brokers: dict[str, _Broker] = {}
        self._topics: dict[str, dict[str, QueueLayout]] = {}
        self._live: dict[str, _Live] = {}
        self._read_only: set[str] = set()
        self._own: dict[str, str] = {}

    # Brokers come and go

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Replace all topics of a master in this process; topics that it no longer has are removed at once."""
        self.register(
            Registration(cluster=cluster, broker=broker, address=address, broker_id=MASTER_ID, life_ms=None), now_ms=0
        )
        self._own[broker] = address
        layouts = {topic.name: layout_of(topic) for topic in topics}
        for topic in [topic for topic, offers in self._topics.items() if broker in offers and topic not in layouts]:
            self._withdraw(topic, broker)
        self._offer(broker, layouts)

    @property
    def own_addresses(self) -> list[str]:
        """Return the addresses of the brokers in this process; other registrations do not change them."""
        return sorted(self._own.values())

    def retract(self, broker: str) -> None:
        """Remove an announced broker, whose process has ended."""
        address = self._own.pop(broker, None)
        if address is not None:
            self.unregister(broker, address)

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Update one topic of an announced broker; None removes it."""
        if topic is not None:
            self.place(name, {broker: layout_of(topic)})
        elif broker in self._topics.get(name, ()):
            self._withdraw(name, broker)

    def register(self, registration: Registration, now_ms: int) -> tuple[str, str]:
        """Register a broker.

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
        """Remove an address of a broker, and with the last address the broker; return whether it was registered."""
        live = self._live.get(address)
        if live is None or live.broker != broker:
            return False
        self._remove(address)
        return True

    def renew(self, address: str, now_ms: int) -> bool:
        """Renew the registration of a broker; return whether it is registered."""
        live = self._live.get(address)
        if live is None:
            return False
        live.seen_ms = now_ms
        return True

    def version_of(self, address: str) -> DataVersion | None:
        """Return the version of the topic table that a broker registered last."""
        live = self._live.get(address)
        return live.version if live else None

    def is_own(self, broker: str, address: str) -> bool:
        """True if a broker of this process has that name or that address; no other broker may register with either."""
        return any(
            live.life_ms is None and (live.broker == broker or known == address) for known, live in self._live.items()
        )

    def expire(self, now_ms: int) -> list[str]:
        """Remove the brokers without recent heartbeats, and return their addresses."""
        expired = [
            address
            for address, live in self._live.items()
            if live.life_ms is not None and now_ms - live.seen_ms >= live.life_ms
        ]
        for address in expired:
            self._remove(address)
        return expired

    def leave(self, channel: Channel) -> list[str]:
        """Remove the brokers that registered over a closed connection, and return their addresses."""
        gone = [address for address, live in self._live.items() if live.channel is channel]
        for address in gone:
            self._remove(address)
        return gone

    # Topics

    def place(self, topic: str, offers: Mapping[str, QueueLayout]) -> None:
        """Add a topic to registered brokers; others are ignored."""
        for broker, layout in offers.items():
            if broker in self._brokers:
                self._topics.setdefault(topic, {})[broker] = layout

    def delete_topic(self, topic: str, cluster: str | None = None) -> None:
        """Remove a topic from all brokers, or from those of one cluster."""
        for broker in list(self._topics.get(topic, ())):
            if not cluster or self._brokers[broker].cluster == cluster:
                self._withdraw(topic, broker)

    def route(self, topic: str) -> TopicRoute | None:
        """Return the route of a topic, None if no broker has it."""
        offers = self._topics.get(topic)
        if not offers:
            return None
        return TopicRoute(
            [self._broker_route(broker) for broker in offers],
            {broker: self._allowed(broker, layout) for broker, layout in offers.items()},
        )

    def topics(self) -> list[str]:
        """Return the names of all topics, sorted."""
        return sorted(self._topics)

    def topics_of(self, cluster: str) -> list[str]:
        """Return the names of the topics of a cluster, sorted."""
        return sorted(
            topic
            for topic, offers in self._topics.items()
            if any(self._brokers[broker].cluster == cluster for broker in offers)
        )

    def topics_flagged(self, wanted: Callable[[int], bool]) -> list[str]:
        """Return the names of the topics whose system flag matches `wanted` on any broker, sorted."""
        return sorted(
            topic
            for topic, offers in self._topics.items()
            if any(wanted(layout.sys_flag) for layout in offers.values())
        )

    # Clusters and brokers

    def clusters(self) -> dict[str, list[str]]:
        """Return the names of the brokers of each cluster."""
        clusters: dict[str, list[str]] = {}
        for name, broker in self._brokers.items():
            clusters.setdefault(broker.cluster, []).append(name)
        return clusters

    def brokers(self) -> list[BrokerRoute]:
        """Return all brokers."""
        return [self._broker_route(name) for name in self._brokers]

    def broker(self, name: str) -> BrokerRoute | None:
        """Return one broker by its name."""
        return self._broker_route(name) if name in self._brokers else None

    def forbid_writes(self, broker: str) -> int:
        """Hide a broker from producers, and return the number of its topics."""
        if broker in self._brokers:
            self._read_only.add(broker)
        return self._count(broker)

    def permit_writes(self, broker: str) -> int:
        """Undo `forbid_writes`, and return the number of the broker's topics."""
        self._read_only.discard(broker)
        return self._count(broker)

    # Bookkeeping

    def _give_address(self, registration: Registration, broker: _Broker) -> None:
        # Each address has one broker and id, and each id of a broker one address: the old pair of either is removed.
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
        for topic, layout in topics.items():
            self._topics.setdefault(topic, {})[broker] = layout

    def _withdraw(self, topic: str, broker: str) -> None:
        offers = self._topics[topic]
        del offers[broker]
        if not offers:
            del self._topics[topic]

    def _allowed(self, broker: str, layout: QueueLayout) -> QueueLayout:
        if broker not in self._read_only or not layout.perm & PERM_WRITE:
            return layout
        return msgspec.structs.replace(layout, perm=layout.perm & ~PERM_WRITE)

    def _broker_route(self, name: str) -> BrokerRoute:
        broker = self._brokers[name]
        return BrokerRoute(
            broker.cluster, name, dict(sorted(broker.addresses.items())), broker.acting_master, broker.zone
        )

    def _count(self, broker: str) -> int:
        return sum(broker in offers for offers in self._topics.values())


def layout_of(topic: TopicConfig) -> QueueLayout:
    """Return the part of a topic's configuration that its route contains."""
    return QueueLayout(topic.read_queues, topic.write_queues, topic.perm, topic.sys_flag)


def in_zone(brokers: Iterable[BrokerRoute], zone: str) -> list[BrokerRoute]:
    """Return the brokers that a client of a zone should use: those of its zone, and those whose master is down.

    Java name servers do the same for clients that send `__ZONE_MODE` and `__ZONE_NAME`.
    """
    return [
        broker
        for broker in brokers
        if MASTER_ID not in broker.addresses or (broker.zone or "").casefold() == zone.casefold()
    ]
