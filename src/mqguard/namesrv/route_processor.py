"""Routes, clusters and lists of topics (105, 106, 206, 216, 217, 224, 304, 311, 312, 313)."""

from collections.abc import Callable

from mqguard.dispatch.request import Handler, Request
from mqguard.model import names
from mqguard.model.topic import MAX_QUEUES, PERM_INHERIT, perm_fault
from mqguard.namesrv.kv import ORDER_NAMESPACE, KvTable
from mqguard.namesrv.route_table import (
    UNIT_FLAG,
    UNIT_SUB_FLAG,
    BrokerRoute,
    QueueLayout,
    RouteTable,
    TopicRoute,
    in_zone,
)
from mqguard.remoting.bodies.codec import decode, encode
from mqguard.remoting.bodies.topics import BrokerData, ClusterInfo, QueueData, TopicList, TopicRouteData
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.route import ClusterHeader, DeleteTopicHeader, OwnBrokersHeader, RouteHeader
from mqguard.remoting.headers.topics import TopicHeader

ZONE_NAME = "__ZONE_NAME"
ZONE_MODE = "__ZONE_MODE"


class RouteProcessor:
    """Handlers that read and change the route table."""

    def __init__(self, table: RouteTable, kv: KvTable) -> None:
        self._table = table
        self._kv = kv

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        table = self._table
        return {
            RequestCode.GET_ROUTEINFO_BY_TOPIC: self.route,
            RequestCode.GET_BROKER_CLUSTER_INFO: self.clusters,
            RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: lambda _: _topics(table.topics()),
            RequestCode.DELETE_TOPIC_IN_NAMESRV: self.delete,
            RequestCode.REGISTER_TOPIC_IN_NAMESRV: self.register,
            RequestCode.GET_TOPICS_BY_CLUSTER: self.topics_of_cluster,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_NS: self.system_topics,
            RequestCode.GET_UNIT_TOPIC_LIST: self._flagged(lambda flag: bool(flag & UNIT_FLAG)),
            RequestCode.GET_HAS_UNIT_SUB_TOPIC_LIST: self._flagged(lambda flag: bool(flag & UNIT_SUB_FLAG)),
            RequestCode.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: self._flagged(
                lambda flag: bool(flag & UNIT_SUB_FLAG) and not flag & UNIT_FLAG
            ),
        }

    def route(self, request: Request) -> Reply:
        """Return the route of a topic (105)."""
        ext = request.command.ext
        topic = read(ext, RouteHeader).topic
        found = self._table.route(topic)
        if found is not None and topic == names.TEMPLATE_TOPIC and not request.link.peer.channel.has_denied_route:
            # Clients do not show the reason for which a route was denied. With this route they find a broker, which
            # denies their messages, and they show its reason.
            found = _creating(found)
        if found is None:
            return Reply(
                ResponseCode.TOPIC_NOT_EXIST, remark=f"No topic route info in name server for the topic: {topic}"
            )
        brokers = found.brokers
        if ext.get(ZONE_MODE, "").lower() == "true" and ext.get(ZONE_NAME):
            brokers = in_zone(brokers, ext[ZONE_NAME])
        data = _route_data(found, brokers, self._kv.get(ORDER_NAMESPACE, topic))
        return Reply(ext=self._own(request), body=encode(data))

    def clusters(self, request: Request) -> Reply:
        """Return all brokers by cluster (106)."""
        table = {broker.name: _broker_data(broker) for broker in self._table.brokers()}
        info = ClusterInfo(broker_addr_table=table, cluster_addr_table=self._table.clusters())
        return Reply(ext=self._own(request), body=encode(info))

    def _own(self, request: Request) -> dict[str, str] | None:
        """Return the brokers of this process, if the request asks for them.

        Tools send secrets only to these brokers, and not to brokers that registered themselves.
        """
        if read(request.command.ext, OwnBrokersHeader).mqguard_own_brokers is None:
            return None
        return write(OwnBrokersHeader(mqguard_own_brokers=";".join(self._table.own_addresses)))

    def delete(self, request: Request) -> Reply:
        """Remove a topic from all brokers, or from those of one cluster (216)."""
        header = read(request.command.ext, DeleteTopicHeader)
        self._table.delete_topic(header.topic, header.cluster_name)
        return Reply()

    def register(self, request: Request) -> Reply:
        """Add a topic to registered brokers (217)."""
        topic = read(request.command.ext, TopicHeader).topic
        data = decode(request.command.body, TopicRouteData)
        fault = names.topic_fault(topic) or next(filter(None, map(_queues_fault, data.queue_datas)), None)
        if fault is not None:
            return Reply(ResponseCode.INVALID_PARAMETER, remark=fault)
        self._table.place(
            topic,
            {
                queue.broker_name: QueueLayout(
                    queue.read_queue_nums, queue.write_queue_nums, queue.perm, queue.topic_sys_flag
                )
                for queue in data.queue_datas
            },
        )
        return Reply()

    def topics_of_cluster(self, request: Request) -> Reply:
        """Return the topics of one cluster (224)."""
        return _topics(self._table.topics_of(read(request.command.ext, ClusterHeader).cluster))

    def system_topics(self, request: Request) -> Reply:
        """Return the names of clusters and brokers, whose routes tools request as if they were topics (304)."""
        del request
        clusters = self._table.clusters()
        known = [*clusters, *(name for brokers in clusters.values() for name in brokers)]
        address = next((next(iter(broker.addresses.values())) for broker in self._table.brokers()), None)
        return Reply(body=encode(TopicList(topic_list=known, broker_addr=address)))

    def _flagged(self, wanted: Callable[[int], bool]) -> Handler:
        return lambda _: _topics(self._table.topics_flagged(wanted))


def _creating(route: TopicRoute) -> TopicRoute | None:
    """Return the part of the template topic's route with brokers that create topics, None if there are none."""
    queues = {name: layout for name, layout in route.queues.items() if layout.perm & PERM_INHERIT}
    if not queues:
        return None
    return TopicRoute([broker for broker in route.brokers if broker.name in queues], queues)


def _queues_fault(data: QueueData) -> str | None:
    """Return an error message for queue numbers or permissions that clients cannot use, else None."""
    if 0 <= data.read_queue_nums <= MAX_QUEUES and 0 <= data.write_queue_nums <= MAX_QUEUES:
        return perm_fault(data.perm)
    return (
        f"broker `{data.broker_name}` has {data.read_queue_nums} read and {data.write_queue_nums} write queues: "
        f"use 0 to {MAX_QUEUES} for both"
    )


def _topics(topics: list[str]) -> Reply:
    return Reply(body=encode(TopicList(topic_list=topics)))


def _broker_data(broker: BrokerRoute) -> BrokerData:
    return BrokerData(
        cluster=broker.cluster,
        broker_name=broker.name,
        broker_addrs=broker.addresses,
        enable_acting_master=broker.acting_master,
        zone_name=broker.zone,
    )


def _route_data(route: TopicRoute, brokers: list[BrokerRoute], order: str | None) -> TopicRouteData:
    shown = {broker.name for broker in brokers}
    return TopicRouteData(
        broker_datas=[_broker_data(broker) for broker in brokers],
        queue_datas=[
            QueueData(
                broker_name=name,
                read_queue_nums=layout.read_queues,
                write_queue_nums=layout.write_queues,
                perm=layout.perm,
                topic_sys_flag=layout.sys_flag,
            )
            for name, layout in route.queues.items()
            if name in shown
        ],
        order_topic_conf=order,
    )
