"""Requests for single messages: queries by key or id, reads by offset, and send-backs (12, 33, 36)."""

from mqguard.auth.policy import Action
from mqguard.broker.statistics import Statistics
from mqguard.broker.throughput import CopyLimiter
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchMessage
from mqguard.engine.messages import SendBack
from mqguard.guard.message_authorization import is_permitted, readable, require_message
from mqguard.model.process import Clock
from mqguard.model.record import Record, encode
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read, write
from mqguard.remoting.headers.pull import QueryMessageAnswer, QueryMessageHeader, ViewMessageHeader
from mqguard.remoting.headers.send import SendBackHeader


class QueryMessageProcessor:
    """Handlers that find messages, and that take back messages which a consumer could not process.

    Args:
        engine: Engine, which has the messages.
        statistics: Statistics, which count what is sent back.
        clock: Clock.
    """

    def __init__(self, engine: Engine, statistics: Statistics, clock: Clock) -> None:
        self._engine = engine
        self._statistics = statistics
        self._clock = clock
        self._copies = CopyLimiter()

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.QUERY_MESSAGE: self.query,
            RequestCode.VIEW_MESSAGE_BY_ID: self.view,
            RequestCode.CONSUMER_SEND_MSG_BACK: self.send_back,
        }

    def query(self, request: Request) -> Reply:
        """Return the messages of a topic with a key or unique id (12)."""
        header = read(request.command.ext, QueryMessageHeader)
        kind = (header.index_type or "").strip() or ("U" if header.unique else "K")
        if kind not in ("K", "U"):
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"`{kind}` is not a valid index type: use `K` (key) or `U` (unique id)",
            )
        found = self._engine.query(
            header.topic,
            header.key,
            header.max_num,
            header.begin_timestamp,
            header.end_timestamp,
            unique=kind == "U",
        )
        found = readable(request.access, header.topic, found, Action.SUB, Action.GET)
        if not found:
            raise RequestRefused(ResponseCode.QUERY_NOT_FOUND, "can not find message, maybe time range not correct")
        # The index is part of the store, so it is always up to date.
        ext = write(QueryMessageAnswer(index_last_update_timestamp=self._clock.now_ms(), index_last_update_phyoffset=0))
        return Reply(ext=ext, body=b"".join(found))

    def view(self, request: Request) -> Reply:
        """Return the message at a physical offset (33)."""
        header = read(request.command.ext, ViewMessageHeader)
        half = self._half_message(request, header.offset)
        if half is not None:
            return Reply(body=encode(half))
        data = self._record(header.offset)
        require_message(request.access, data, Action.GET)
        return Reply(body=data)

    def send_back(self, request: Request) -> Reply:
        """Deliver a message to its group again later, or move it to the dead-letter topic (36)."""
        header = read(request.command.ext, SendBackHeader)
        now, owner = self._clock.monotonic_ms(), request.access.owner
        wait = self._copies.wait_ms(owner, now)
        if wait:
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY,
                f"too many bytes of messages were sent back: try again in {wait} ms",
            )
        data = self._record(header.offset)
        require_message(request.access, data, Action.SUB)
        copy = self._engine.send_back(
            SendBack(
                header.group,
                header.offset,
                header.delay_level,
                header.max_reconsume_times,
            )
        )
        self._copies.add(owner, len(data), now)
        if copy is not None:
            self._engine.group_commit.after(
                lambda: self._statistics.sent_back(copy.original_topic, header.group, owner, dead=copy.is_dead)
            )
        return Reply(stored=True)

    def _half_message(self, request: Request, offset: int) -> Record | None:
        """Return the half message at an offset, None if there is none or the sender may not see it."""
        transactions = self._engine.transactions
        pending = transactions.find(offset)
        if pending is None or not is_permitted(request.access, pending.topic, Action.GET):
            return None
        return transactions.half_message(pending)

    def _record(self, offset: int) -> bytes:
        data = self._engine.record_at(offset)
        if data is None:
            raise NoSuchMessage(f"can not find message by the offset, {offset}")
        return data
