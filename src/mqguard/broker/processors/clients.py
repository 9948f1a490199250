"""Clients: heartbeats, group membership and queue locks (34, 35, 38, 41, 42, 46), and lists of them (203, 204, 328)."""

import time

from mqguard.broker.duplicate_clients import DuplicateClients
from mqguard.broker.report_bodies import connection, language_name, subscription_data
from mqguard.broker.settings import BrokerSettings
from mqguard.broker.statistics import Statistics
from mqguard.dispatch.client_rights import ClientRights
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients, RebalanceNotifications
from mqguard.engine.engine import Engine
from mqguard.engine.errors import LimitReached, NoSuchGroup
from mqguard.engine.filters import MAX_EXPRESSION_CHARS, TAG, SubscriptionFilter
from mqguard.engine.group_members import ConnectedClient, ConsumerHeartbeat, Member, Subscription
from mqguard.engine.locks import Locks, QueueKey
from mqguard.guard.admitted_request import DeniedPart
from mqguard.guard.message_authorization import visible_topics
from mqguard.guard.permissions import SUB
from mqguard.guard.topic_ownership import group_permission, popped
from mqguard.model.peer import Channel
from mqguard.model.process import Clock
from mqguard.remoting.bodies.clients import (
    CheckClient,
    ConsumerConnection,
    ConsumerData,
    ConsumerIdList,
    HeartbeatData,
    LockBatch,
    LockedQueues,
    ProducerConnection,
    ProducerInfo,
    ProducerTable,
    SubscriptionData,
)
from mqguard.remoting.bodies.codec import MessageQueue, decode, encode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.groups import ConsumerGroupHeader, ProducerGroupHeader, UnregisterClientHeader
from mqguard.remoting.pop_handles import named_topic

MAX_GROUPS = 1_000
"""Maximum groups of one connection. Each takes memory, and usual processes have a few."""
MAX_TOPICS = 1_000
"""Maximum topics to which a group subscribes."""
MAX_ALL_FILTERS_CHARS = 256 * 1024
"""Maximum characters of all filters of a heartbeat. They are kept while the client is connected."""
MAX_DISTINCT_FILTERS_CHARS = 32 * 1024
"""Maximum characters of the distinct filters of a heartbeat. Each takes some 30 bytes once the filter is used."""
MAX_NEW_GROUPS = 32
"""Maximum groups that one heartbeat creates, with several writes each. The next heartbeat, or a pull, creates more."""
MAX_NAME_CHARS = 255
"""Maximum characters of names in a heartbeat. They are kept, and some need no permission."""

Filters = dict[tuple[str, str], SubscriptionFilter]
"""The filters of a heartbeat by language and expression. Equal ones are shared."""


class ClientProcessor:
    """Handlers for heartbeats, group membership and queue locks.

    Args:
        engine: Groups and their retry topics.
        clients: The connected clients.
        locks: Locks of clients on queues that they consume in order.
        notices: Pending notifications of group members.
        statistics: Statistics, which count registrations.
        settings: Settings with the name of this broker.
        clock: Clock.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        locks: Locks,
        notices: RebalanceNotifications,
        statistics: Statistics,
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._broker = settings.name
        self._engine = engine
        self._clients = clients
        self._duplicates = DuplicateClients(clients)
        self._locks = locks
        self._notices = notices
        self._statistics = statistics
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.HEART_BEAT: self.heartbeat,
            RequestCode.UNREGISTER_CLIENT: self.unregister,
            RequestCode.GET_CONSUMER_LIST_BY_GROUP: self.consumers,
            RequestCode.LOCK_BATCH_MQ: self.lock,
            RequestCode.UNLOCK_BATCH_MQ: self.unlock,
            RequestCode.CHECK_CLIENT_CONFIG: self.check,
        }

    def heartbeat(self, request: Request) -> Reply:
        """Store what a client produces and consumes (34)."""
        began = time.perf_counter()
        command, link = request.command, request.link
        beat = decode(command.body, HeartbeatData)
        _require_short(beat)
        user = request.access.user or None
        rights = ClientRights(request.access)
        client = ConnectedClient(beat.client_id, link.peer, command.language, command.version, user, rights)
        now = self._clock.monotonic_ms()
        self._require_room(link.peer.channel, len(beat.consumer_data_set) + len(beat.producer_data_set))
        filters: Filters = {}
        denied = request.access.denied
        consuming = [
            _consuming(consumer, filters, keep=beat.without_sub)
            for consumer in beat.consumer_data_set
            if denied is None or _keep_granted(consumer, denied)
        ]
        producing = {producer.group_name for producer in beat.producer_data_set}
        if not self._clients.has_room(client, consuming, producing):
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY,
                "the clients of this user have too many groups, topics and filters together: stop some of them",
            )
        new = 0
        for one in consuming:
            if self._engine.groups.get(one.group) is None:
                new += 1
                if new > MAX_NEW_GROUPS:
                    continue
            self._consume(client, one, now, request.access.creator)
        for group in producing:
            self._clients.produce(client, group, now)
        self._statistics.registered(len(consuming), len(producing), time.perf_counter() - began)
        if denied is not None:
            raise denied.error()
        return Reply(stored=True)

    def unregister(self, request: Request) -> Reply:
        """Remove a client from a group (35)."""
        header = read(request.command.ext, UnregisterClientHeader)
        channel = request.link.peer.channel
        for user in self._clients.users_on(channel, header.client_id):
            request.access.require_owner(user, f"the client id `{header.client_id}` of this connection")
        request.access.pending = False
        if header.producer_group:
            self._clients.stop_producing(channel, header.client_id, header.producer_group)
        if header.consumer_group and self._clients.stop_consuming(channel, header.client_id, header.consumer_group):
            self._changed(header.consumer_group)
        return Reply()

    def consumers(self, request: Request) -> Reply:
        """Return the client ids of a consumer group (38)."""
        header = read(request.command.ext, ConsumerGroupHeader)
        group = self._clients.group(header.consumer_group)
        if group is None:
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, f"no consumer for this group, {header.consumer_group}")
        return Reply(body=encode(ConsumerIdList(consumer_id_list=group.client_ids())))

    def lock(self, request: Request) -> Reply:
        """Lock queues for a client, which then consumes them alone (41)."""
        body = decode(request.command.body, LockBatch)
        _check_names(body.client_id)
        queues = {_key(queue): queue for queue in body.mq_set if self._exists(queue)}
        held = self._locks.lock(
            body.consumer_group,
            (request.access.owner, body.client_id),
            queues,
            self._clock.monotonic_ms(),
            ClientRights(request.access),
        )
        return Reply(body=encode(LockedQueues(queues=[queues[key] for key in held])))

    def unlock(self, request: Request) -> Reply:
        """Unlock queues (42)."""
        body = decode(request.command.body, LockBatch)
        self._locks.unlock(body.consumer_group, (request.access.owner, body.client_id), map(_key, body.mq_set))
        return Reply()

    def check(self, request: Request) -> Reply:
        """Check that the filter of a consumer is supported and valid (46)."""
        wanted = decode(request.command.body, CheckClient).subscription_data
        self._engine.filters.find(wanted.expression_type, wanted.sub_string)
        return Reply()

    def _exists(self, queue: MessageQueue) -> bool:
        """True if this broker has the queue. Other names must not take memory."""
        topic = self._engine.topics.get(queue.topic)
        return topic is not None and queue.broker_name == self._broker and 0 <= queue.queue_id < topic.queues

    def _consume(self, client: ConnectedClient, consuming: ConsumerHeartbeat, now_ms: int, creator: str | None) -> None:
        try:
            config = self._engine.groups.with_retry_topic(consuming.group, creator)
        except (NoSuchGroup, LimitReached):
            # As at Apache, the client gets the error with its first pull. Its other groups work.
            return
        self._duplicates.check(client, consuming, now_ms)
        if self._clients.consume(client, consuming, now_ms) and config.notify_changes:
            self._notices.changed(consuming.group)

    def _changed(self, group: str) -> None:
        config = self._engine.groups.get(group)
        if config is None or config.notify_changes:
            self._notices.changed(group)

    def _require_room(self, channel: Channel, more: int) -> None:
        if max(more, self._clients.groups_on(channel)) > MAX_GROUPS:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"one connection can be a member of at most {MAX_GROUPS} groups: use fewer groups in this client",
            )


def _keep_granted(consumer: ConsumerData, denied: DeniedPart) -> bool:
    """Remove the denied subscriptions of a consumer; return False if its group is denied."""
    group = group_permission(consumer.group_name, SUB)
    if group in denied.permissions:
        return False
    consumer.subscription_data_set = [
        one
        for one in consumer.subscription_data_set
        if denied.permissions.isdisjoint(popped(one.topic, consumer.group_name, SUB, SUB))
    ]
    return True


def _consuming(consumer: ConsumerData, filters: Filters, *, keep: bool) -> ConsumerHeartbeat:
    # Clients name the retry topic of pop in a form that may be the name of another group's retry topic.
    others = named_topic(consumer.group_name, "")
    return ConsumerHeartbeat(
        consumer.group_name,
        str(consumer.consume_type),
        str(consumer.message_model),
        str(consumer.consume_from_where),
        None
        if keep
        else tuple(
            _subscription(data, filters) for data in consumer.subscription_data_set if not data.topic.startswith(others)
        ),
    )


def _require_short(beat: HeartbeatData) -> None:
    """Refuse long heartbeats, because they are kept as long as their connection. Usual clients are far below."""
    _check_names(beat.client_id, *(producer.group_name for producer in beat.producer_data_set))
    for consumer in beat.consumer_data_set:
        _check_names(consumer.group_name)
        if len(consumer.subscription_data_set) > MAX_TOPICS:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"group `{consumer.group_name}` subscribes to {len(consumer.subscription_data_set)} topics: use at "
                f"most {MAX_TOPICS}",
            )
        for subscription in consumer.subscription_data_set:
            _check_names(subscription.topic, subscription.expression_type)
            if len(subscription.sub_string) > MAX_EXPRESSION_CHARS:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER,
                    f"the filter of topic `{subscription.topic}` has {len(subscription.sub_string)} characters: use at "
                    f"most {MAX_EXPRESSION_CHARS}",
                )
    wanted = (subscription for consumer in beat.consumer_data_set for subscription in consumer.subscription_data_set)
    filters = [subscription.sub_string for subscription in wanted]
    for limit, what, counted in (
        (MAX_ALL_FILTERS_CHARS, "filters", filters),
        (MAX_DISTINCT_FILTERS_CHARS, "distinct filters", set(filters)),
    ):
        if sum(map(len, counted)) > limit:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"the {what} of all topics together have more than {limit} characters: use fewer or shorter ones",
            )


def _check_names(*names: str) -> None:
    for name in names:
        if len(name) > MAX_NAME_CHARS:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER, f"`{name[:32]}…` is longer than {MAX_NAME_CHARS} characters"
            )


def _subscription(data: SubscriptionData, filters: Filters) -> Subscription:
    # The tags and codes that the client sends are ignored: they are computed from the filter.
    kind, expression = data.expression_type or TAG, data.sub_string
    wanted = filters.setdefault((kind, expression), SubscriptionFilter(kind, expression))
    return Subscription(data.topic, expression, kind, data.sub_version, data.class_filter_mode, wanted)


def _key(queue: MessageQueue) -> QueueKey:
    return queue.topic, queue.broker_name, queue.queue_id


class ClientListProcessor:
    """Handlers that list connected clients."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.GET_CONSUMER_CONNECTION_LIST: self.consumers,
            RequestCode.GET_PRODUCER_CONNECTION_LIST: self.producers,
            RequestCode.GET_ALL_PRODUCER_INFO: self.all_producers,
        }

    def consumers(self, request: Request) -> Reply:
        """Return the consumers of a group, with the subscriptions that the sender may see (203)."""
        name = read(request.command.ext, ConsumerGroupHeader).consumer_group
        group = self._clients.group(name)
        if group is None:
            raise RequestRefused(ResponseCode.CONSUMER_NOT_ONLINE, f"the consumer group[{name}] not online")
        latest = group.latest
        shown = visible_topics(request.access, group.subscriptions)
        return Reply(
            body=encode(
                ConsumerConnection(
                    connection_set=[connection(member.client) for member in group.members.values()],
                    subscription_table={topic: subscription_data(group.subscriptions[topic]) for topic in shown},
                    consume_type=latest.consume_type,
                    message_model=latest.message_model,
                    consume_from_where=latest.consume_from,
                )
            )
        )

    def producers(self, request: Request) -> Reply:
        """Return the producers of a group (204)."""
        name = read(request.command.ext, ProducerGroupHeader).producer_group
        members = self._clients.producers(name)
        if not members:
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, f"the producer group[{name}] not exist")
        return Reply(body=encode(ProducerConnection(connection_set=[connection(member.client) for member in members])))

    def all_producers(self, request: Request) -> Reply:
        """Return all producers by group (328)."""
        del request
        # The registry has spans only; clients of this report expect dates.
        offset = self._clock.now_ms() - self._clock.monotonic_ms()
        table = {
            group: [_producer(member, member.seen_ms + offset) for member in members]
            for group, members in self._clients.all_producers().items()
        }
        return Reply(body=encode(ProducerTable(data=table)))


def _producer(member: Member, seen_ms: int) -> ProducerInfo:
    client = member.client
    return ProducerInfo(
        client_id=client.client_id,
        remote_ip=client.peer.address,
        language=language_name(client.language),
        version=client.version,
        last_update_timestamp=seen_ms,
    )
