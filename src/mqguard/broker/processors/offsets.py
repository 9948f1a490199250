"""Offsets of groups and queues: queries and commits (14, 15, 29 to 32), resets and copies (222, 314)."""

from collections.abc import Callable

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.group_offsets import OffsetResets, Progress
from mqguard.broker.group_rules import refuse_reserved
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup
from mqguard.engine.offsets import SMALL_QUEUE
from mqguard.engine.request_modes import POP
from mqguard.model import names
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.bodies.groups import ResetOffsets
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.topics import (
    CloneOffsetHeader,
    MaxOffsetHeader,
    QueryOffsetHeader,
    QueueHeader,
    ResetOffsetHeader,
    SearchOffsetHeader,
    TimestampAnswer,
    UpdateOffsetHeader,
)

MAX_RESET_QUEUES = 256
"""Maximum queues that one request resets. Each blocks the server for up to 20 reads, which find the time."""
MAX_COPIED_OFFSETS = 4_096
"""Maximum offsets that one request copies."""


class OffsetProcessor:
    """Handlers that return and store offsets.

    Args:
        engine: Queues and offsets.
        resets: Reset offsets that make the broker ignore commits.
    """

    def __init__(self, engine: Engine, resets: OffsetResets) -> None:
        self._engine = engine
        self._resets = resets

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.QUERY_CONSUMER_OFFSET: self.query,
            RequestCode.UPDATE_CONSUMER_OFFSET: self.update,
            RequestCode.SEARCH_OFFSET_BY_TIMESTAMP: self.search,
            RequestCode.GET_MAX_OFFSET: self.maximum,
            RequestCode.GET_MIN_OFFSET: self.minimum,
            RequestCode.GET_EARLIEST_MSG_STORETIME: self.earliest,
        }

    def query(self, request: Request) -> Reply:
        """Return the offset of a group in a queue (14)."""
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
                f"offset {header.commit_offset} in queue {header.queue_id} of topic `{header.topic}` is not valid: the "
                f"offset must be 0 or more, the queue 0 to {config.queues - 1}",
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
        """Return the offset at a time (29)."""
        header = read(request.command.ext, SearchOffsetHeader)
        upper = (header.boundary_type or "").upper() == "UPPER"
        return _offset(self._engine.offset_at(header.topic, header.queue_id, header.timestamp, upper=upper))

    def maximum(self, request: Request) -> Reply:
        """Return the offset after the last one of a queue (30)."""
        header = read(request.command.ext, MaxOffsetHeader)
        return _offset(self._engine.max_offset(header.topic, header.queue_id))

    def minimum(self, request: Request) -> Reply:
        """Return the first offset of a queue (31)."""
        header = read(request.command.ext, QueueHeader)
        return _offset(self._engine.min_offset(header.topic, header.queue_id))

    def earliest(self, request: Request) -> Reply:
        """Return the time at which a queue's first message was stored (32); -1 for an empty queue, as Apache does."""
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


class OffsetResetProcessor:
    """Handlers that reset and copy the offsets of groups.

    Args:
        engine: Queues and offsets.
        clients: The connected groups.
        resets: Reset offsets that running consumers have to get.
        progress: Names of queues.
        wake: Function that ends the waiting pulls of a topic.
        default_mode: `PULL` or `POP`, for groups without a mode.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        resets: OffsetResets,
        progress: Progress,
        wake: Callable[[str], None],
        default_mode: str,
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._resets = resets
        self._progress = progress
        self._wake = wake
        self._default_mode = default_mode

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.INVOKE_BROKER_TO_RESET_OFFSET: self.reset,
            RequestCode.CLONE_GROUP_OFFSET: self.clone,
        }

    def reset(self, request: Request) -> Reply:
        """Set the offsets of a group to a time or to an offset, in every queue of a topic or in one (222)."""
        header = read(request.command.ext, ResetOffsetHeader)
        refuse_reserved(header.group)
        if self._engine.groups.get(header.group) is None:
            raise NoSuchGroup(f"subscription group [{header.group}] does not exist")
        topic = self._engine.topics.require(header.topic)
        queues = range(topic.read_queues) if header.queue_id < 0 else (header.queue_id,)
        if len(queues) > MAX_RESET_QUEUES:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"topic `{header.topic}` has {len(queues)} queues, and one request resets at most "
                f"{MAX_RESET_QUEUES}: name one queue (`queueId`) in each request",
            )
        table = {queue_id: self._target(header, queue_id) for queue_id in queues}
        for queue_id, offset in table.items():
            self._engine.offsets.set(header.group, header.topic, queue_id, offset, request.access.creator)
            self._engine.pop.reset(header.group, header.topic, queue_id)
            # Only a pull takes the reset offset, and until then the broker ignores commits.
            if self._clients.group(header.group) is not None and not self._pops(header.group, header.topic):
                self._send_later(header.group, header.topic, queue_id, offset)
        self._engine.group_commit.after(lambda: self._wake(header.topic))
        moved = {self._progress.queue(header.topic, queue_id): offset for queue_id, offset in table.items()}
        return Reply(body=encode(ResetOffsets(offset_table=moved)), stored=True)

    def _pops(self, group: str, topic: str) -> bool:
        mode = self._engine.request_modes.get(topic, group)
        return (self._default_mode if mode is None else mode.mode) == POP

    def _send_later(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Have a running consumer get its new offset, once it is stored."""
        before = self._resets.due(group, topic, queue_id)
        self._resets.set(group, topic, queue_id, offset)
        self._engine.group_commit.after(lambda: self._resets.stored(group, topic, queue_id))
        self._engine.group_commit.undo(lambda: self._resets.put_back(group, topic, queue_id, before))

    def clone(self, request: Request) -> Reply:
        """Copy the offsets of a group to another one, in one topic or in all topics (314)."""
        header = read(request.command.ext, CloneOffsetHeader)
        refuse_reserved(header.src_group)
        refuse_reserved(header.dest_group)
        named = header.topic
        topics = [named] if named else self._engine.offsets.topics_of(header.src_group)
        # A retry topic belongs to one group, so its offsets have no meaning for another one.
        topics = [topic for topic in topics if names.owner_of(topic) is None]
        request.access.pending = False
        source = {topic: self._engine.offsets.of(header.src_group, topic) for topic in topics}
        count = sum(map(len, source.values()))
        if count > MAX_COPIED_OFFSETS or len(source) > MAX_COPIED_OFFSETS // 16:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"group `{header.src_group}` has {count} offsets in {len(source)} topics, and one request copies at "
                f"most {MAX_COPIED_OFFSETS} in {MAX_COPIED_OFFSETS // 16} topics: name the topic (`topic`)",
            )
        for topic in topics:
            if not named:
                request.access.require(ResourceType.TOPIC, topic, Action.UPDATE)
        if self._engine.groups.get(header.dest_group) is None:
            request.access.require(ResourceType.GROUP, header.dest_group, Action.CREATE)
        self._engine.groups.find(header.dest_group, request.access.creator)
        for topic in topics:
            if self._engine.topics.get(topic) is not None:
                for queue_id, offset in source[topic].items():
                    self._engine.offsets.set(header.dest_group, topic, queue_id, offset, request.access.creator)
                    self._engine.pop.reset(header.dest_group, topic, queue_id)
        return Reply(stored=True)

    def _target(self, header: ResetOffsetHeader, queue_id: int) -> int:
        low = self._engine.min_offset(header.topic, queue_id)
        high = self._engine.max_offset(header.topic, queue_id)
        if header.queue_id >= 0 and header.offset is not None and header.offset != -1:
            if not low <= header.offset <= high:
                raise RequestRefused(
                    ResponseCode.INVALID_PARAMETER,
                    f"Target offset {header.offset} not in consume queue range [{low}-{high}]",
                )
            return header.offset
        if header.timestamp < 0:
            return high
        target = self._engine.offset_at(header.topic, queue_id, header.timestamp)
        stored = self._engine.offsets.get(header.group, header.topic, queue_id)
        return target if header.is_force or stored is None else min(target, stored)
