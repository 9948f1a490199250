"""A client of a cluster: connections to its name server and its brokers, opened at first use."""

import contextlib
from typing import NamedTuple, Self, TypeVar

from mqguard.admin.errors import AnswerInvalid, ClusterUnknown
from mqguard.admin.session import ConnectionOptions, Session
from mqguard.config.secret import Credentials
from mqguard.net.errors import LinkRefused
from mqguard.remoting.bodies.codec import decode_leniently
from mqguard.remoting.bodies.topics import BrokerData, ClusterInfo, TopicRouteData
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import BodyInvalid, Command
from mqguard.remoting.headers.route import OWN_BROKERS, OwnBrokersHeader, OwnRouteHeader

MASTER = 0

T = TypeVar("T")


class Broker(NamedTuple):
    """Master broker.

    Attributes:
        cluster: Name of the cluster.
        name: Name of the broker.
        address: Address of the broker, `host:port`.
    """

    cluster: str
    name: str
    address: str


class TopicQueues(NamedTuple):
    """Queues of a topic at one broker.

    Attributes:
        broker: Broker that has the queues.
        read_queues: Number of queues that can be read.
        write_queues: Number of queues that can be written; 0 if the broker accepts no messages.
    """

    broker: Broker
    read_queues: int
    write_queues: int


class Client:
    """Client of a cluster in the name of one user; only one thread may use it.

    Args:
        namesrv: Address of the name server, `host:port`; several are separated by `;`.
        options: Options of its connections.
    """

    def __init__(self, namesrv: str, options: ConnectionOptions) -> None:
        self._namesrv = namesrv
        self._options = options
        self._sessions: dict[str, Session] = {}
        self._own: frozenset[str] = frozenset()

    def as_user(self, credentials: Credentials) -> "Client":
        """Return a client of the same cluster in the name of another user."""
        other = Client(self._namesrv, self._options._replace(credentials=credentials))
        other._own = self._own
        return other

    def at(self, address: str) -> Session:
        """Return the connection to a server; the first call opens it.

        Args:
            address: Address from the operator, or from `brokers` or `route`, which check the name server's answer.

        Raises:
            LinkRefused: The server cannot be reached, or the broker shows another certificate than the pinned one.
        """
        session = self._sessions.get(address)
        if session is None:
            pin = self._options.known.pin(address)
            if pin and self._options.tls is None:
                raise LinkRefused(f"`{address}` is pinned with its certificate: use `--tls`")
            session = self._sessions[address] = Session(address, self._options, pin)
        return session

    def _check(self, broker: Broker) -> None:
        """Refuse a broker that is only registered: it could read secrets and send signed requests again.

        Raises:
            BrokerUnknown: The broker is not named, not pinned, and not in the name server's own process.
        """
        if broker.address not in self._own:
            self._options.known.check(broker.address, broker.name, self._options.tls)

    @property
    def namesrv(self) -> Session:
        """Connection to the first name server that can be reached.

        Raises:
            AddressInvalid: No valid address is given.
            LinkRefused: No name server can be reached.
        """
        addresses = [address.strip() for address in self._namesrv.split(";") if address.strip()] or [self._namesrv]
        for address in addresses[:-1]:
            with contextlib.suppress(LinkRefused):
                return self.at(address)
        return self.at(addresses[-1])

    def brokers(self, cluster: str | None = None) -> list[Broker]:
        """Return the brokers that the operator has named, else the masters of a cluster.

        Args:
            cluster: Name of the cluster; None if there is only one.

        Raises:
            BrokerUnknown: One of the brokers is not known, so nothing is sent to any of them.
            ClusterUnknown: The cluster does not exist, or there are several and none was named.
            PeerRefused: The name server refused the request.
        """
        if self._options.known.named:
            return [Broker(cluster or "", address, address) for address in self._options.known.named]
        answer = self.namesrv.call(RequestCode.GET_BROKER_CLUSTER_INFO, OwnBrokersHeader(mqguard_own_brokers="1"))
        self._note_own(answer)
        info = read(answer, ClusterInfo)
        known = sorted(info.cluster_addr_table)
        if cluster is None and len(known) > 1:
            raise ClusterUnknown(f"the name server knows the clusters {', '.join(known)}: choose one with `--cluster`")
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

    def route(self, topic: str) -> list[TopicQueues]:
        """Return the queues of a topic at each broker.

        Raises:
            BrokerUnknown: One of the brokers is not known, so nothing is sent to any of them.
            PeerRefused: The topic does not exist, or the user has no permission.
        """
        header = OwnRouteHeader(topic=topic, mqguard_own_brokers="1")
        answer = self.namesrv.call(RequestCode.GET_ROUTEINFO_BY_TOPIC, header)
        self._note_own(answer)
        found = read(answer, TopicRouteData)
        brokers = {data.broker_name: _broker(data) for data in found.broker_datas if MASTER in data.broker_addrs}
        for broker in brokers.values():
            self._check(broker)
        return [
            TopicQueues(
                brokers[queues.broker_name],
                queues.read_queue_nums if queues.perm & 4 else 0,
                queues.write_queue_nums if queues.perm & 2 else 0,
            )
            for queues in found.queue_datas
            if queues.broker_name in brokers
        ]

    def _note_own(self, answer: Command) -> None:
        """Trust the brokers that run in the process of the name server."""
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
    """Decode the body of a response.

    Raises:
        AnswerInvalid: The body has another form.
    """
    try:
        return decode_leniently(answer.body, kind)
    except BodyInvalid as exc:
        raise AnswerInvalid(f"the server's answer cannot be read: {exc}") from None


def _broker(data: BrokerData) -> Broker:
    return Broker(data.cluster, data.broker_name, data.broker_addrs[MASTER])


def _is_in(info: ClusterInfo, cluster: str, name: str, data: BrokerData) -> bool:
    return name in info.cluster_addr_table.get(cluster, ()) and MASTER in data.broker_addrs
