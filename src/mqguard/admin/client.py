"""A client of a cluster: its name server, its brokers, and connections to them made as they are needed."""

import contextlib
from typing import NamedTuple, Self, TypeVar

from mqguard.admin.errors import AnswerInvalid, ClusterUnknown
from mqguard.admin.session import Manner, Session
from mqguard.config.secret import Credentials
from mqguard.net.errors import LinkRefused
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.route import BrokerData, ClusterInfo, TopicRouteData
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.errors import BodyInvalid
from mqguard.remoting.headers.route import OWN_BROKERS, OwnBrokersHeader, OwnRouteHeader

MASTER = 0

T = TypeVar("T")


class Broker(NamedTuple):
    """A master broker.

    Attributes:
        cluster: Name of its cluster.
        name: Its name.
        address: `host:port`.
    """

    cluster: str
    name: str
    address: str


class Place(NamedTuple):
    """A broker that has a topic.

    Attributes:
        broker: The broker.
        read_queues: Queues to read from, from 0 on.
        write_queues: Queues to write to, from 0 on; 0 if it takes no messages.
    """

    broker: Broker
    read_queues: int
    write_queues: int


class Client:
    """Speaks to a cluster in the name of one user. Not for several threads.

    Args:
        namesrv: `host:port` of the name server; several are separated by `;`.
        manner: How to connect, and in whose name.
    """

    def __init__(self, namesrv: str, manner: Manner) -> None:
        self._namesrv = namesrv
        self._manner = manner
        self._sessions: dict[str, Session] = {}
        self._own: frozenset[str] = frozenset()

    def as_user(self, credentials: Credentials) -> "Client":
        """A client of the same cluster in the name of another user."""
        other = Client(self._namesrv, self._manner._replace(credentials=credentials))
        other._own = self._own
        return other

    def at(self, address: str) -> Session:
        """The connection to a server, made at its first use.

        Args:
            address: As the operator or the caller names it, or of what `brokers` and `route` return: what a name
                server answers is checked there.

        Raises:
            LinkRefused: It cannot be made, or the broker shows another certificate than the one that it is known by.
        """
        session = self._sessions.get(address)
        if session is None:
            pin = self._manner.known.pin(address)
            if pin and self._manner.tls is None:
                raise LinkRefused(f"`{address}` is known by its certificate: use `--tls`")
            session = self._sessions[address] = Session(address, self._manner, pin)
        return session

    def _check(self, broker: Broker) -> None:
        """Refuse a broker that is only registered: it would hear secrets, and signatures that it could send again.

        Raises:
            BrokerUnknown: It is neither named, nor pinned, nor of the name server's own process.
        """
        if broker.address not in self._own:
            self._manner.known.check(broker.address, broker.name, self._manner.tls)

    @property
    def namesrv(self) -> Session:
        """The connection to the first name server that can be reached.

        Raises:
            AddressInvalid: None is named.
            LinkRefused: None can be reached.
        """
        addresses = [address.strip() for address in self._namesrv.split(";") if address.strip()] or [self._namesrv]
        for address in addresses[:-1]:
            with contextlib.suppress(LinkRefused):
                return self.at(address)
        return self.at(addresses[-1])

    def brokers(self, cluster: str | None = None) -> list[Broker]:
        """The brokers that the operator has named, else the masters of a cluster, of the only one if none is named.

        Raises:
            BrokerUnknown: Nothing may be sent to one of them, so nothing is sent to any.
            ClusterUnknown: There is no such cluster, or several and none was named.
            PeerRefused: The name server refuses to tell.
        """
        if self._manner.known.named:
            return [Broker(cluster or "", address, address) for address in self._manner.known.named]
        answer = self.namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO, OwnBrokersHeader(mqguard_own_brokers="1"))
        self._note_own(answer)
        info = read(answer, ClusterInfo)
        known = sorted(info.cluster_addr_table)
        if cluster is None and len(known) > 1:
            raise ClusterUnknown(f"the name server knows the clusters {', '.join(known)}: name one with --cluster")
        wanted = cluster if cluster is not None else next(iter(known), "")
        masters = [
            _broker(data) for name, data in sorted(info.broker_addr_table.items()) if _is_in(info, wanted, name, data)
        ]
        if not masters:
            what = f"no broker of the cluster `{wanted}`" if wanted else "no broker"
            raise ClusterUnknown(
                f"the name server {self._namesrv} knows {what}; clusters: {', '.join(known) or 'none'}"
            )
        for master in masters:
            self._check(master)
        return masters

    def route(self, topic: str) -> list[Place]:
        """Where a topic is.

        Raises:
            BrokerUnknown: Nothing may be sent to one of its brokers.
            PeerRefused: The topic does not exist, or the user may not know.
        """
        header = OwnRouteHeader(topic=topic, mqguard_own_brokers="1")
        answer = self.namesrv.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, header)
        self._note_own(answer)
        found = read(answer, TopicRouteData)
        brokers = {data.broker_name: _broker(data) for data in found.broker_datas if MASTER in data.broker_addrs}
        for broker in brokers.values():
            self._check(broker)
        return [
            Place(
                brokers[queues.broker_name],
                queues.read_queue_nums if queues.perm & 4 else 0,
                queues.write_queue_nums if queues.perm & 2 else 0,
            )
            for queues in found.queue_datas
            if queues.broker_name in brokers
        ]

    def _note_own(self, answer: Command) -> None:
        """Trust the brokers of the process that the operator has named as the name server."""
        own = answer.ext.get(OWN_BROKERS, "")
        self._own |= frozenset(own.split(";")) if own else frozenset()

    def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def read(answer: Command, kind: type[T]) -> T:
    """The typed body of an answer.

    Raises:
        AnswerInvalid: It has another one.
    """
    try:
        return decode_leniently(answer.body, kind)
    except BodyInvalid as exc:
        raise AnswerInvalid(f"the server's answer cannot be read: {exc}") from None


def _broker(data: BrokerData) -> Broker:
    return Broker(data.cluster, data.broker_name, data.broker_addrs[MASTER])


def _is_in(info: ClusterInfo, cluster: str, name: str, data: BrokerData) -> bool:
    return name in info.cluster_addr_table.get(cluster, ()) and MASTER in data.broker_addrs
