"""Reports about lite topics (200074 to 200078), and a search for their messages on request (200079)."""

import heapq
import operator

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup, StoreDown
from mqguard.engine.lite_topics import MAX_LITE_TOPICS, LiteTopic
from mqguard.model import names
from mqguard.model.topic import LiteSettings, TopicConfig
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.lite import (
    BrokerLiteInfo,
    LiteClientInfo,
    LiteGroupInfo,
    LiteLag,
    LiteOffsets,
    LiteProgress,
    LiteSubscriber,
    LiteTopicInfo,
    ParentTopicInfo,
)
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.lite import (
    LiteClientHeader,
    LiteDispatchHeader,
    LiteGroupHeader,
    LiteTopicHeader,
    ParentTopicHeader,
)
from mqguard.store.errors import StoreFailed

MAX_LISTED = 10_000
"""Maximum lite topics or clients in an answer (Apache: 10,000)."""
MAX_LAGS = 1_000
"""Maximum lite topics in the lists of an answer about lags. Each needs one read of the disk."""


class LiteReportProcessor:
    """Handlers that report about lite topics.

    Args:
        engine: Engine, which has the lite topics.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._subscriptions = engine.lite_pop.subscriptions

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.GET_BROKER_LITE_INFO: self.broker,
            RequestCode.GET_PARENT_TOPIC_INFO: self.parent,
            RequestCode.GET_LITE_TOPIC_INFO: self.topic,
            RequestCode.GET_LITE_CLIENT_INFO: self.client,
            RequestCode.GET_LITE_GROUP_INFO: self.group,
            RequestCode.TRIGGER_LITE_DISPATCH: self.dispatch,
        }

    def broker(self, request: Request) -> Reply:
        """Return the numbers of the broker, and the parents and groups that the sender may see (200074)."""
        engine, allows = self._engine, request.access.allows
        parents = [
            topic
            for topic in engine.topics.all()
            if topic.is_lite and allows(ResourceType.TOPIC, topic.name, Action.GET)
        ]
        groups = self._groups_by_parent()
        seen = {
            parent: [group for group in found if allows(ResourceType.GROUP, group, Action.GET)]
            for parent, found in groups.items()
            if allows(ResourceType.TOPIC, parent, Action.GET)
        }
        request.access.pending = False
        info = BrokerLiteInfo(
            store_type="defaultRocksDB",
            max_lmq_num=MAX_LITE_TOPICS,
            current_lmq_num=len(engine.lite),
            lite_subscription_count=len(self._subscriptions),
            order_info_count=self._subscriptions.ready_count,
            cq_table_size=len(engine.queues()),
            offset_table_size=engine.offsets.count,
            event_map_size=self._subscriptions.client_count,
            topic_meta={topic.name: topic.lite_minutes for topic in parents},
            group_meta={parent: found for parent, found in seen.items() if found},
        )
        return Reply(body=encode(info))

    def parent(self, request: Request) -> Reply:
        """Return the numbers of a parent topic, and the groups that the sender may see (200075)."""
        name = read(request.command.ext, ParentTopicHeader).topic
        topic = self._parent(name)
        groups = [
            group
            for group in self._groups_by_parent().get(name, [])
            if request.access.allows(ResourceType.GROUP, group, Action.GET)
        ]
        request.access.pending = False
        lite = self._engine.lite
        info = ParentTopicInfo(name, topic.lite_minutes, groups, len(lite), len(lite.of(name)))
        return Reply(body=encode(info))

    def topic(self, request: Request) -> Reply:
        """Return offsets and subscribers of a lite topic (200076). Groups that the sender may not see are left out."""
        header = read(request.command.ext, LiteTopicHeader)
        self._parent(header.parent_topic)
        name = names.lite_queue(header.parent_topic, header.lite_topic)
        topic = self._engine.lite.get(name)
        allowed: dict[str, bool] = {}
        subscribers: list[LiteSubscriber] = []
        for client in self._subscriptions.subscribers(header.parent_topic, name):
            if client.group not in allowed:
                allowed[client.group] = request.access.allows(ResourceType.GROUP, client.group, Action.GET)
            if allowed[client.group] and len(subscribers) < MAX_LISTED:
                subscribers.append(LiteSubscriber(client_id=client.key[1], group=client.group))
        request.access.pending = False
        offsets = LiteOffsets()
        if topic is not None:
            offsets = LiteOffsets(topic.queue.min_offset, topic.queue.max_offset, self._last_time(topic))
        info = LiteTopicInfo(header.parent_topic, header.lite_topic, subscribers, offsets)
        return Reply(body=encode(info))

    def client(self, request: Request) -> Reply:
        """Return the lite topics of a client of a group (200077)."""
        header = read(request.command.ext, LiteClientHeader)
        self._parent(header.parent_topic)
        self._require_bound(header.group, header.parent_topic)
        found = [one for one in self._subscriptions.clients_of(header.group) if one.key[1] == header.client_id]
        # Users may have the same client id. The report is about the client that changed last.
        client = max(found, key=operator.attrgetter("seen_ms"), default=None)
        info = LiteClientInfo(header.parent_topic, header.group, header.client_id, -1, 0, -1, [])
        if client is not None:
            queues = self._engine.lite.names_of(client.parent) if client.is_wildcard else client.names
            count = max(0, min(header.max_count, MAX_LISTED))
            info.last_access_time = max(client.changed_at, client.popped_at)
            info.last_consume_time = client.popped_at
            info.lite_topic_count = len(list(queues))
            info.lite_topic_set = list(queues)[:count]
        return Reply(body=encode(info))

    def group(self, request: Request) -> Reply:
        """Return the progress of a group in one lite topic, or the lite topics in which it lags most (200078)."""
        header = read(request.command.ext, LiteGroupHeader)
        parent = self._bound(header.group)
        request.access.require(ResourceType.TOPIC, parent, Action.GET)
        info = LiteGroupInfo(header.group, parent, header.lite_topic or None)
        if header.lite_topic:
            topic = self._engine.lite.get(names.lite_queue(parent, header.lite_topic))
            if topic is not None:
                self._add_progress(info, topic)
        else:
            self._add_lags(info, max(0, min(header.top_k, MAX_LAGS)))
        return Reply(body=encode(info))

    def dispatch(self, request: Request) -> Reply:
        """Look for messages in all lite topics of a group, or of one of its clients (200079).

        The broker looks at each event, so this finds something only after an error of the broker.
        """
        header = read(request.command.ext, LiteDispatchHeader)
        self._bound(header.group)
        clients = self._subscriptions.clients_of(header.group)
        if not header.client_id:
            self._subscriptions.scan(header.group)
        for client in clients:
            if client.key[1] == header.client_id:
                self._subscriptions.scan(header.group, client)
        return Reply()

    def _add_progress(self, info: LiteGroupInfo, topic: LiteTopic) -> None:
        offset, end = self._engine.lite_pop.position(info.group, topic), topic.queue.max_offset
        committed = self._engine.offsets.get(info.group, topic.name, 0)
        consumed = offset if committed is None else committed
        info.total_lag_count = end - consumed
        info.earliest_unconsumed_timestamp = self._engine.lite_pop.time_of(topic, consumed)
        info.lite_topic_offset_wrapper = LiteProgress(
            end, consumed, offset, self._engine.lite_pop.time_of(topic, consumed - 1)
        )

    def _add_lags(self, info: LiteGroupInfo, count: int) -> None:
        """Add the lite topics that have most unconsumed messages, and those that have the oldest ones.

        The oldest are looked for among the `MAX_LAGS` lite topics with most unconsumed messages.
        """
        offsets = self._engine.offsets
        lags = []
        for topic in self._engine.lite.of(info.parent_topic):
            if info.group in topic.groups:
                committed = offsets.get(info.group, topic.name, 0) or 0
                consumed = max(committed, topic.queue.min_offset)
                if consumed < topic.queue.max_offset:
                    lags.append((topic.queue.max_offset - consumed, consumed, topic.lite, topic))
        info.total_lag_count = sum(lag for lag, _, _, _ in lags)
        most = [
            LiteLag(lite, lag, self._engine.lite_pop.time_of(topic, consumed))
            for lag, consumed, lite, topic in heapq.nlargest(MAX_LAGS, lags, key=lambda lag: lag[:3])
        ]
        info.lag_count_top_k = most[:count]
        oldest = sorted(most, key=lambda lag: lag.earliest_unconsumed_timestamp)
        info.lag_timestamp_top_k = oldest[:count]
        if oldest:
            info.earliest_unconsumed_timestamp = oldest[0].earliest_unconsumed_timestamp

    def _last_time(self, topic: LiteTopic) -> int:
        try:
            return self._engine.lite.last_time(topic)
        except StoreFailed as error:
            raise StoreDown(str(error)) from error

    def _parent(self, name: str) -> TopicConfig:
        topic = self._engine.topics.require(name)
        if not topic.is_lite:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"Topic [{name}] type not match.")
        return topic

    def _bound(self, name: str) -> str:
        """Return the parent topic of a group.

        Raises:
            NoSuchGroup: The group does not exist.
            RequestRefused: It does not consume lite topics.
        """
        group = self._engine.groups.get(name)
        if group is None:
            raise NoSuchGroup(f"Group [{name}] not exist.")
        settings = LiteSettings.of(group.attributes)
        if settings is None:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"Group [{name}] is not a LITE group.")
        return settings.parent

    def _require_bound(self, group: str, parent: str) -> None:
        found = self._engine.groups.get(group)
        if found is None:
            raise NoSuchGroup(f"Group [{group}] not exist.")
        settings = LiteSettings.of(found.attributes)
        if settings is None or settings.parent != parent:
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, f"Subscription [{group}]-[{parent}] not match.")

    def _groups_by_parent(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for group in self._engine.groups.all():
            settings = LiteSettings.of(group.attributes) if group.attributes else None
            if settings is not None:
                found.setdefault(settings.parent, []).append(group.name)
        return found
