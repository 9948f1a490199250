"""Where groups stand and where queues begin and end (14, 15, 29, 30, 31, 32)."""

from mqguard.broker.offset_resets import Resets
from mqguard.broker.reserved_groups import refuse_reserved
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.offsets import (
    MaxOffsetHeader,
    QueryOffsetHeader,
    QueueHeader,
    SearchOffsetHeader,
    TimestampAnswer,
    UpdateOffsetHeader,
)

SMALL_QUEUE = 100_000
"""A queue that still has its first message and no more than this many is consumed from the start by a new group.

Java brokers do so while the queue's first message is in memory, so that the first consumer of a new topic misses
nothing that was sent before it came.
"""


class OffsetProcessor:
    """Answers and stores offsets.

    Args:
        engine: Queues and offsets.
        resets: Says whose commits do not count at the moment.
    """

    def __init__(self, engine: Engine, resets: Resets) -> None:
        self._engine = engine
        self._resets = resets

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.QUERY_CONSUMER_OFFSET: self.query,
            RequestCode.UPDATE_CONSUMER_OFFSET: self.update,
            RequestCode.SEARCH_OFFSET_BY_TIMESTAMP: self.search,
            RequestCode.GET_MAX_OFFSET: self.maximum,
            RequestCode.GET_MIN_OFFSET: self.minimum,
            RequestCode.GET_EARLIEST_MSG_STORETIME: self.earliest,
        }

    def query(self, request: Request) -> Reply:
        """The offset of a group in a queue (14)."""
        header = read(request.command.ext, QueryOffsetHeader)
        offset = self._engine.offsets.get(header.consumer_group, header.topic, header.queue_id)
        if offset is None:
            if header.set_zero_if_not_found is False or not self._is_small(header.topic, header.queue_id):
                raise RequestRefused(ResponseCode.QUERY_NOT_FOUND, "Not found, maybe this group consumer boot first")
            offset = 0
        return _offset(offset)

    def update(self, request: Request) -> Reply:
        """Store the offset of a group in a queue (15)."""
        header = read(request.command.ext, UpdateOffsetHeader)
        config = self._engine.topics.require(header.topic)
        if header.commit_offset < 0 or not 0 <= header.queue_id < config.queues:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"offset {header.commit_offset} of queue {header.queue_id} of topic `{header.topic}`: the offset must "
                f"be 0 or more, the queue 0 to {config.queues - 1}",
            )
        refuse_reserved(header.consumer_group)
        self._engine.groups.find(header.consumer_group, request.access.creator)
        if self._resets and self._resets.due(header.consumer_group, header.topic, header.queue_id) is not None:
            return Reply(remark="Offset has been previously reset")
        self._engine.offsets.set(
            header.consumer_group, header.topic, header.queue_id, header.commit_offset, request.access.creator
        )
        return Reply(stored=True)

    def search(self, request: Request) -> Reply:
        """The offset at a time (29)."""
        header = read(request.command.ext, SearchOffsetHeader)
        upper = (header.boundary_type or "").upper() == "UPPER"
        return _offset(self._engine.offset_at(header.topic, header.queue_id, header.timestamp, upper=upper))

    def maximum(self, request: Request) -> Reply:
        """One past the last offset of a queue (30)."""
        header = read(request.command.ext, MaxOffsetHeader)
        return _offset(self._engine.max_offset(header.topic, header.queue_id))

    def minimum(self, request: Request) -> Reply:
        """The first offset of a queue (31)."""
        header = read(request.command.ext, QueueHeader)
        return _offset(self._engine.min_offset(header.topic, header.queue_id))

    def earliest(self, request: Request) -> Reply:
        """When the first message of a queue was stored (32); -1 for an empty queue, as Java brokers answer."""
        header = read(request.command.ext, QueueHeader)
        earliest = self._engine.earliest_store_time(header.topic, header.queue_id)
        return Reply(ext=write(TimestampAnswer(timestamp=earliest)))

    def _is_small(self, topic: str, queue_id: int) -> bool:
        engine = self._engine
        config = engine.topics.get(topic)
        return (
            config is not None
            and 0 <= queue_id < config.queues
            and engine.min_offset(topic, queue_id) <= 0
            and engine.max_offset(topic, queue_id) <= SMALL_QUEUE
        )


def _offset(offset: int) -> Reply:
    return Reply(ext={"offset": str(offset)})
