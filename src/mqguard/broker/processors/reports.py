"""Reports on the progress of groups (208, 303, 317, 321, 343, 345)."""

from collections.abc import Callable

from mqguard.broker.group_offsets import Progress, check_queue_count
from mqguard.broker.group_rules import RESERVED_GROUPS
from mqguard.broker.report_bodies import ConsumeQueueView, EntryView, SubscriptionView, subscription_data
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.filters import MessageFilter
from mqguard.guard.message_authorization import visible_topics
from mqguard.model import properties, record
from mqguard.model.process import Clock
from mqguard.model.properties import tags_code_of
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.groups import ConsumeStats, ConsumeStatsList, TimeSpans
from mqguard.remoting.bodies.topics import TopicList
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.groups import (
    BrokerConsumeStatsHeader,
    ConsumeStatsHeader,
    GroupHeader,
    GroupTopicHeader,
    TimeSpanHeader,
)
from mqguard.remoting.headers.topics import ConsumeQueueHeader


class ReportProcessor:
    """Handlers for reports on the progress of groups.

    Args:
        engine: Queues and offsets.
        clients: Subscriptions of connected groups.
        progress: Progress of groups.
        address: Function that returns the `host:port` at which clients reach this broker.
        clock: Clock.
    """

    def __init__(
        self, engine: Engine, clients: Clients, progress: Progress, address: Callable[[], str], clock: Clock
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._progress = progress
        self._address = address
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.GET_CONSUME_STATS: self.stats,
            RequestCode.QUERY_CONSUME_TIME_SPAN: self.spans,
            RequestCode.GET_BROKER_CONSUME_STATS: self.all_stats,
            RequestCode.QUERY_CONSUME_QUEUE: self.queue,
            RequestCode.QUERY_TOPICS_BY_CONSUMER: self.topics,
            RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER: self.subscription,
        }

    def stats(self, request: Request) -> Reply:
        """Return the progress of a group, in the given topics or in all topics of the group (208)."""
        header = read(request.command.ext, ConsumeStatsHeader)
        named = [name for name in [header.topic, *(header.topic_list or "").split(";")] if name]
        if named:
            found = [topic for name in dict.fromkeys(named) if (topic := self._engine.topics.get(name)) is not None]
        else:
            topics = self._progress.topics_of(header.consumer_group)
            shown = set(visible_topics(request.access, [topic.name for topic in topics]))
            found = [topic for topic in topics if topic.name in shown]
        return Reply(body=encode(self._progress.stats(header.consumer_group, found, self._progress.times())))

    def spans(self, request: Request) -> Reply:
        """Return the times of a group's offsets (303)."""
        header = read(request.command.ext, TimeSpanHeader)
        topic = self._engine.topics.require(header.topic)
        spans = self._progress.spans(header.group, topic, self._clock.now_ms())
        return Reply(body=encode(TimeSpans(consume_time_span_set=spans)))

    def all_stats(self, request: Request) -> Reply:
        """Return the progress of all groups (317)."""
        ordered_only = read(request.command.ext, BrokerConsumeStatsHeader).is_order
        listed: list[dict[str, list[ConsumeStats]]] = []
        behind = queues = 0
        times = self._progress.times()
        for group in self._engine.groups.all():
            topics = [topic for topic in self._progress.topics_of(group.name) if topic.order or not ordered_only]
            if group.name in RESERVED_GROUPS or not topics:
                continue
            queues += sum(topic.read_queues for topic in topics)
            check_queue_count(queues)
            stats = [self._progress.stats(group.name, [topic], times) for topic in topics]
            listed.append({group.name: stats})
            behind += sum(
                queue.broker_offset - queue.consumer_offset for one in stats for queue in one.offset_table.values()
            )
        body = ConsumeStatsList(consume_stats_list=listed, broker_addr=self._address(), total_diff=behind)
        return Reply(body=encode(body))

    def queue(self, request: Request) -> Reply:
        """Return entries of a queue's index (321)."""
        header = read(request.command.ext, ConsumeQueueHeader)
        topic, queue_id = header.topic or "", header.queue_id
        subscription = self._clients.subscription(header.consumer_group or "", topic)
        first = max(header.index, self._engine.min_offset(topic, queue_id))
        wanted = subscription.filter.compiled(self._engine.filters) if subscription else None
        fetched = self._engine.fetch(topic, queue_id, first, header.count, 0)
        return Reply(
            body=encode(
                ConsumeQueueView(
                    queue_data=[_entry(data, wanted) for data in fetched.records],
                    min_queue_index=fetched.min_offset,
                    max_queue_index=fetched.max_offset,
                    subscription_data=subscription_data(subscription) if subscription else None,
                )
            )
        )

    def topics(self, request: Request) -> Reply:
        """Return the topics in which a group has offsets (343), if the sender may see them."""
        group = read(request.command.ext, GroupHeader).group
        listed = visible_topics(request.access, self._engine.offsets.topics_of(group))
        return Reply(body=encode(TopicList(topic_list=listed)))

    def subscription(self, request: Request) -> Reply:
        """Return the subscription of a connected group to a topic (345)."""
        header = read(request.command.ext, GroupTopicHeader)
        topic = header.topic or ""
        found = self._clients.subscription(header.group, topic)
        if found is None and self._clients.group(header.group) is None:
            raise RequestRefused(ResponseCode.CONSUMER_NOT_ONLINE, f"the consumer group[{header.group}] not online")
        data = subscription_data(found) if found else None
        return Reply(body=encode(SubscriptionView(group=header.group, topic=topic, subscription_data=data)))


def _entry(data: bytes, wanted: MessageFilter | None) -> EntryView:
    message = record.decode(data)
    text = properties.parse(message.properties.decode(errors="replace")).get(properties.TAGS)
    code = tags_code_of(text) if text else 0
    return EntryView(
        physic_offset=message.physical_offset,
        physic_size=len(data),
        tags_code=code,
        eval=wanted is None or wanted.matches(data),
    )
