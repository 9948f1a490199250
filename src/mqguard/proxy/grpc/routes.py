"""Routes (QueryRoute) and the queues of push consumers (QueryAssignment)."""

from typing import Final

from mqguard.model import names
from mqguard.model.topic import MESSAGE_TYPE, LiteSettings, SubscriptionGroupConfig, TopicConfig
from mqguard.proxy.grpc.ports import Backend, Route
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.statuses import OK, CallRefused
from mqguard.rpc.protocol import messages_pb2 as pb

ANY_QUEUE: Final = -1
"""Id of all queues of a broker: the broker chooses when it delivers."""
_TYPES: Final[dict[str, tuple[pb.MessageType, ...]]] = {
    "NORMAL": (pb.NORMAL,),
    "FIFO": (pb.FIFO,),
    "DELAY": (pb.DELAY,),
    "TRANSACTION": (pb.TRANSACTION,),
    "PRIORITY": (pb.PRIORITY,),
    "LITE": (pb.LITE,),
    "MIXED": (pb.NORMAL, pb.FIFO, pb.DELAY, pb.TRANSACTION),
}


def message_types(topic: TopicConfig) -> tuple[pb.MessageType, ...]:
    """Return the kinds of messages that a topic accepts. One without the attribute accepts all common kinds."""
    return _TYPES.get(topic.attributes.get(MESSAGE_TYPE, ""), _TYPES["MIXED"])


def require_topic(name: str) -> str:
    """Return the name of a topic.

    Raises:
        CallRefused: It is not the name of a topic of users.
    """
    fault = names.topic_fault(name)
    if fault is None and name in names.UNWRITABLE_TOPICS:
        fault = f"the topic `{name}` belongs to the broker"
    if fault is not None:
        raise CallRefused(pb.ILLEGAL_TOPIC, fault)
    return name


def require_group(name: str) -> str:
    """Return the name of a group.

    Raises:
        CallRefused: It is not the name of a group.
    """
    fault = names.group_fault(name)
    if fault is not None:
        raise CallRefused(pb.ILLEGAL_CONSUMER_GROUP, fault)
    return name


def require_broker(route: Route | None, topic: str, broker: str) -> str:
    """Return the name of a broker that has a topic: the named one, or any from which the topic can be read.

    Raises:
        CallRefused: There is no such broker.
    """
    if route is None:
        raise CallRefused(pb.TOPIC_NOT_FOUND, f"the topic `{topic}` does not exist")
    if broker in route.brokers:
        return broker
    readable = route.readable
    if broker or not readable:
        raise CallRefused(pb.BAD_REQUEST, f"the topic `{topic}` has no readable queue on the broker `{broker[:64]}`")
    return readable[0][0]


class RouteHandlers:
    """Handlers for routes. A client reaches the brokers at the addresses that it has used itself.

    Args:
        backend: The brokers.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc("QueryRoute", pb.QueryRouteRequest, pb.QueryRouteResponse, self.route),
            Rpc("QueryAssignment", pb.QueryAssignmentRequest, pb.QueryAssignmentResponse, self.assign),
        ]

    def route(self, call: RpcCall, request: pb.QueryRouteRequest) -> None:
        """Return the queues of a topic."""
        topic = require_topic(request.topic.name)
        _require_endpoints(request.endpoints)

        def found(route: Route | None) -> None:
            queues = [
                queue
                for name, config in _existing(route, topic).brokers.items()
                for queue in _queues(request.topic, name, config, request.endpoints)
            ]
            call.reply(pb.QueryRouteResponse(status=OK, message_queues=queues))

        self._backend.route(topic, call.access, call.then(found))

    def assign(self, call: RpcCall, request: pb.QueryAssignmentRequest) -> None:
        """Return the queues from which a push consumer receives: each broker once, or each queue if order counts."""
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        _require_endpoints(request.endpoints)

        def found(route: Route | None) -> None:
            readable = _existing(route, topic).readable
            if not readable:
                raise CallRefused(pb.FORBIDDEN, f"the topic `{topic}` is not readable")

            def with_group(config: SubscriptionGroupConfig | None) -> None:
                # A client of lite topics has no queues of its own, even if order counts.
                in_order = config is not None and config.consume_orderly and LiteSettings.of(config.attributes) is None
                queues = [
                    _queue(request.topic, name, number, pb.READ, request.endpoints, message_types(queues))
                    for name, queues in readable
                    for number in (range(queues.read_queues) if in_order else (ANY_QUEUE,))
                ]
                call.reply(
                    pb.QueryAssignmentResponse(
                        status=OK, assignments=[pb.Assignment(message_queue=queue) for queue in queues]
                    )
                )

            self._backend.group(group, call.access, call.then(with_group))

        self._backend.route(topic, call.access, call.then(found))


def _existing(route: Route | None, topic: str) -> Route:
    if route is None:
        raise CallRefused(pb.TOPIC_NOT_FOUND, f"the topic `{topic}` does not exist")
    return route


def _require_endpoints(endpoints: pb.Endpoints) -> None:
    if not endpoints.addresses:
        raise CallRefused(
            pb.ILLEGAL_ACCESS_POINT, "`endpoints` has no address: clients name the one that they have used"
        )


def _queues(topic: pb.Resource, broker: str, config: TopicConfig, endpoints: pb.Endpoints) -> list[pb.MessageQueue]:
    """Return the queues: those that can only be read or written first, as Apache numbers them."""
    types = message_types(config)
    read = config.read_queues if config.readable else 0
    write = config.write_queues if config.writable else 0
    both = min(read, write)
    rights = [pb.READ] * (read - both) + [pb.WRITE] * (write - both) + [pb.READ_WRITE] * both
    return [_queue(topic, broker, number, right, endpoints, types) for number, right in enumerate(rights)]


def _queue(
    topic: pb.Resource,
    broker: str,
    number: int,
    permission: pb.Permission,
    endpoints: pb.Endpoints,
    types: tuple[pb.MessageType, ...],
) -> pb.MessageQueue:
    return pb.MessageQueue(
        topic=topic,
        id=number,
        permission=permission,
        broker=pb.Broker(name=broker, id=0, endpoints=endpoints),
        accept_message_types=types,
    )
