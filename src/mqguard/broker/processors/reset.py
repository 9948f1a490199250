"""Setting groups back or forth, and asking where their clients stand (222, 223, 314)."""

from collections.abc import Callable

from mqguard.auth.action import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.offset_resets import Resets
from mqguard.broker.processors.relay import RIGHTS_CHANGED
from mqguard.broker.progress import Progress
from mqguard.broker.reserved_groups import refuse_reserved
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Client, Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchGroup
from mqguard.engine.group_members import Client
from mqguard.model import names
from mqguard.model.clock import Clock
from mqguard.remoting.bodies.codec import MessageQueue, decode_table, encode
from mqguard.remoting.bodies.groups import ConsumerStatus, ResetOffsets
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.errors import BodyInvalid
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.offsets import CloneOffsetHeader, ConsumerStatusHeader, ResetOffsetHeader

MAX_QUEUES = 256
"""Maximum queues that one request resets: each takes up to 20 reads to find the time, while all others wait."""
MAX_OFFSETS = 4_096
"""Maximum positions that one request copies."""


class OffsetResetProcessor:
    """Moves the offsets of groups.

    Args:
        engine: Queues and offsets.
        clients: Whose clients are asked where they stand.
        questions: Open requests of ours to clients.
        resets: Takes what running consumers have to be told.
        progress: Names queues, and says which topics a group has.
        wake: Called with a topic whose waiting pulls have to be answered now.
        settings: See `BrokerSettings`.
        clock: Tells when a client is late.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        questions: ClientCalls,
        resets: Resets,
        progress: Progress,
        wake: Callable[[str], None],
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._questions = questions
        self._resets = resets
        self._progress = progress
        self._wake = wake
        self._patience_ms = settings.question_ms
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {
            RequestCode.INVOKE_BROKER_TO_RESET_OFFSET: self.reset,
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS: self.status,
            RequestCode.CLONE_GROUP_OFFSET: self.clone,
        }

    def reset(self, request: Request) -> Reply:
        """Set a group to a time or to an offset, in every queue of a topic or in one (222)."""
        header = read(request.command.ext, ResetOffsetHeader)
        refuse_reserved(header.group)
        if self._engine.groups.get(header.group) is None:
            raise NoSuchGroup(f"subscription group [{header.group}] does not exist")
        topic = self._engine.topics.require(header.topic)
        queues = range(topic.read_queues) if header.queue_id < 0 else (header.queue_id,)
        if len(queues) > MAX_QUEUES:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"topic `{header.topic}` has {len(queues)} queues, and one request resets at most {MAX_QUEUES}: name "
                "the queue (`queueId`), one after the other",
            )
        table = {queue_id: self._target(header, queue_id) for queue_id in queues}
        for queue_id, offset in table.items():
            self._engine.offsets.set(header.group, header.topic, queue_id, offset, request.access.creator)
            if self._clients.group(header.group) is not None:
                self._tell(header.group, header.topic, queue_id, offset)
        self._engine.turn.after(lambda: self._wake(header.topic))
        moved = {self._progress.queue(header.topic, queue_id): offset for queue_id, offset in table.items()}
        return Reply(body=encode(ResetOffsets(offset_table=moved)), stored=True)

    def _tell(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Have a running consumer told of its new offset, unless it comes to nothing."""
        before = self._resets.due(group, topic, queue_id)
        self._resets.set(group, topic, queue_id, offset)
        self._engine.turn.after(lambda: self._resets.stored(group, topic, queue_id))
        self._engine.turn.undo(lambda: self._resets.put_back(group, topic, queue_id, before))

    def clone(self, request: Request) -> Reply:
        """Give a group the offsets of another, in one topic or in all that are reached (314)."""
        header = read(request.command.ext, CloneOffsetHeader)
        refuse_reserved(header.src_group)
        refuse_reserved(header.dest_group)
        named = header.topic
        topics = [named] if named else self._engine.offsets.topics_of(header.src_group)
        # A retry topic belongs to one group alone: its offsets mean nothing to another.
        topics = [topic for topic in topics if names.owner_of(topic) is None]
        request.access.pending = False
        source = {topic: self._engine.offsets.of(header.src_group, topic) for topic in topics}
        count = sum(map(len, source.values()))
        if count > MAX_OFFSETS or len(source) > MAX_OFFSETS // 16:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"group `{header.src_group}` has {count} positions in {len(source)} topics, and one request copies at "
                f"most {MAX_OFFSETS} in {MAX_OFFSETS // 16} topics: name the topic (`topic`)",
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
        return Reply(stored=True)

    def status(self, request: Request) -> None:
        """Where the clients of a group stand in a topic, by their own word (223)."""
        header = read(request.command.ext, ConsumerStatusHeader)
        group = self._clients.group(header.group)
        asked = [
            member.client
            for member in (group.members.values() if group else ())
            if not header.client_addr or header.client_addr == member.client.client_id
        ]
        if not asked:
            raise RequestRefused(
                ResponseCode.CONSUMER_NOT_ONLINE, f"No Any Consumer online in the consumer group: [{header.group}]"
            )
        gathering = _Gathering(request.kept(), len(asked))
        deadline = self._clock.now_ms() + self._patience_ms
        for client in asked:
            take = gathering.taker(client)
            if not self._questions.ask(
                client.link,
                RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT,
                write(header),
                b"",
                deadline,
                take,
                request.access.owner,
            ):
                take(None)

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


class _Gathering:
    """Collects the answers of several clients into one."""

    def __init__(self, request: Request, missing: int) -> None:
        self._request = request
        self._missing = missing
        self._found: dict[str, dict[MessageQueue, int]] = {}

    def taker(self, client: Client) -> Callable[[Command | None], None]:
        """What takes the answer of one client."""
        return lambda answer: self._take(client.client_id, answer)

    def _take(self, client_id: str, answer: Command | None) -> None:
        if answer is not None and answer.code == 0:
            try:
                self._found[client_id] = decode_table(answer.body, ConsumerStatus).message_queue_table
            except BodyInvalid:
                self._found[client_id] = {}
        self._missing -= 1
        if self._missing:
            return
        if not self._request.access.still_allowed():
            self._request.respond(Reply(ResponseCode.NO_PERMISSION, remark=RIGHTS_CHANGED))
        else:
            self._request.respond(Reply(body=encode(ConsumerStatus(consumer_table=self._found))))
