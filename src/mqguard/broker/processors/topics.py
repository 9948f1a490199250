"""Topics: create, change, delete and read (17, 18, 21, 202, 215, 300, 305, 351)."""

from mqguard.auth.resource import ResourceType
from mqguard.broker.group_offsets import Progress
from mqguard.broker.report_bodies import page_of
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.guard.message_authorization import require_put
from mqguard.model.topic import TopicConfig, change_attributes
from mqguard.remoting.bodies.codec import decode, encode
from mqguard.remoting.bodies.topics import (
    GroupList,
    QueueStats,
    TopicConfigBody,
    TopicConfigs,
    TopicList,
    TopicStats,
    TopicTable,
)
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.topics import CreateTopicHeader, TopicHeader, TopicSeqAnswer, TopicSeqHeader


class TopicProcessor:
    """Handlers that change and return topics.

    Args:
        engine: Engine, which has the topics.
        progress: Progress of groups, which knows the consumers of a topic.
    """

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.UPDATE_AND_CREATE_TOPIC: self.put,
            RequestCode.UPDATE_AND_CREATE_TOPIC_LIST: self.put_all,
            RequestCode.DELETE_TOPIC_IN_BROKER: self.delete,
            RequestCode.GET_ALL_TOPIC_CONFIG: self.all,
            RequestCode.GET_TOPIC_CONFIG: self.get,
            RequestCode.GET_TOPIC_STATS_INFO: self.stats,
            RequestCode.QUERY_TOPIC_CONSUME_BY_WHO: self.groups,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: self.system_topics,
        }

    def put(self, request: Request) -> Reply:
        """Create or change a topic (17)."""
        header = read(request.command.ext, CreateTopicHeader)
        old = self._engine.topics.get(header.topic)
        require_put(request.access, ResourceType.TOPIC, header.topic, exists=old is not None)
        attributes = change_attributes(old.attributes if old else {}, header.attributes or "")
        self._engine.topics.put(
            TopicConfig(
                header.topic,
                header.read_queue_nums,
                header.write_queue_nums,
                header.perm,
                header.topic_filter_type,
                header.topic_sys_flag or 0,
                header.order,
                attributes,
            ),
            request.access.creator,
        )
        return Reply(stored=True)

    def put_all(self, request: Request) -> Reply:
        """Create or change several topics (18), up to the first invalid one, which the answer names."""
        bodies = decode(request.command.body, TopicConfigs).topic_config_list
        for body in bodies:
            exists = self._engine.topics.get(body.topic_name) is not None
            require_put(request.access, ResourceType.TOPIC, body.topic_name, exists=exists)
        for body in bodies:
            topic = body.value()
            old = self._engine.topics.get(topic.name)
            change = ",".join(f"{name}={value}" if name[:1] == "+" else name for name, value in body.attributes.items())
            attributes = change_attributes(old.attributes if old else {}, change)
            self._engine.topics.put(
                TopicConfig(
                    topic.name,
                    topic.read_queues,
                    topic.write_queues,
                    topic.perm,
                    topic.filter_type,
                    topic.sys_flag,
                    topic.order,
                    attributes,
                ),
                request.access.creator,
            )
        return Reply(stored=True)

    def delete(self, request: Request) -> Reply:
        """Delete a topic with its messages and offsets (215)."""
        topic = read(request.command.ext, TopicHeader).topic
        if not topic.strip():
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "The specified topic is blank.")
        self._engine.topics.delete(topic)
        return Reply(stored=True)

    def all(self, request: Request) -> Reply:
        """Return all topics, or a page of them (21)."""
        header = read(request.command.ext, TopicSeqHeader)
        topics, total = page_of(self._engine.topics.all(), header.topic_seq, header.max_topic_num)
        body = encode(TopicTable.of(topics, self._engine.topics.data_version))
        return Reply(ext=write(TopicSeqAnswer(total_topic_num=total)), body=body)

    def get(self, request: Request) -> Reply:
        """Return a topic (351)."""
        name = read(request.command.ext, TopicHeader).topic
        topic = self._engine.topics.get(name)
        if topic is None:
            raise RequestRefused(ResponseCode.TOPIC_NOT_EXIST, f"No topic in this broker. topic: {name}")
        return Reply(body=encode(TopicConfigBody.of(topic)))

    def stats(self, request: Request) -> Reply:
        """Return the offsets of every queue of a topic (202).

        The table has empty queues too, because tools treat an empty table as an error.
        """
        name = read(request.command.ext, TopicHeader).topic
        topic = self._engine.topics.get(name)
        if topic is None:
            raise RequestRefused(ResponseCode.TOPIC_NOT_EXIST, f"topic[{name}] not exist")
        table = {
            self._progress.queue(name, queue_id): QueueStats(
                min_offset=self._engine.min_offset(name, queue_id),
                max_offset=self._engine.max_offset(name, queue_id),
                last_update_timestamp=self._engine.last_store_time(name, queue_id),
            )
            for queue_id in range(topic.queues)
        }
        return Reply(body=encode(TopicStats(offset_table=table, topic_put_tps=self._progress.put_tps(name))))

    def groups(self, request: Request) -> Reply:
        """Return the groups that consume a topic (300)."""
        name = read(request.command.ext, TopicHeader).topic
        return Reply(body=encode(GroupList(group_list=self._progress.groups_of(name))))

    def system_topics(self, request: Request) -> Reply:
        """Return the topics that the broker itself needs (305)."""
        del request
        topics = self._engine.topics
        return Reply(body=encode(TopicList(topic_list=[t.name for t in topics.all() if topics.is_system(t.name)])))
