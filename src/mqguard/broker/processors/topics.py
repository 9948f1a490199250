"""Topics: made, changed, deleted (17, 215)."""

from mqguard.broker.errors import RequestRefused
from mqguard.broker.request import Handler, Request
from mqguard.engine.engine import Engine
from mqguard.model.topic import TopicConfig, change_attributes
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.topics import CreateTopicHeader, TopicHeader


class TopicAdministration:
    """Changes the topics."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.UPDATE_AND_CREATE_TOPIC: self.put,
            RequestCode.DELETE_TOPIC_IN_BROKER: self.delete,
        }

    def put(self, request: Request) -> Reply:
        """Make a topic or change it (17)."""
        header = read(request.command.ext, CreateTopicHeader)
        old = self._engine.topics.get(header.topic)
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
            )
        )
        return Reply(stored=True)

    def delete(self, request: Request) -> Reply:
        """Delete a topic with its messages and offsets (215)."""
        topic = read(request.command.ext, TopicHeader).topic
        if not topic.strip():
            raise RequestRefused(ResponseCode.INVALID_PARAMETER, "The specified topic is blank.")
        self._engine.topics.delete(topic)
        return Reply(stored=True)
