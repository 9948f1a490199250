"""Sends of single messages and batches (10, 310, 320), and the recall of messages that wait for a time (370)."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.statistics import Statistics
from mqguard.broker.unfinished_batches import UnfinishedBatches
from mqguard.dispatch.open_requests import REPLY_TO_CLIENT, OpenRequests
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchTopic
from mqguard.engine.messages import SendRequest, SendResult
from mqguard.guard.errors import Refused
from mqguard.model import names, properties, recall_handle
from mqguard.model.process import Clock
from mqguard.model.recall_handle import RecallHandle, RecallHandleInvalid
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Reply
from mqguard.remoting.headers.codec import read
from mqguard.remoting.headers.send import RecallHeader, SendAnswerTemplate, read_send

_BATCH = int(RequestCode.SEND_BATCH_MESSAGE)
FIRST_SLICE_S: Final = 0.001
"""Seconds after which the rest of a batch is stored in later iterations of the event loop."""
_MAX_DIGITS = 18


class SendProcessor:
    """Handlers that store messages.

    Args:
        engine: Engine, which stores them.
        statistics: Statistics, which count batches.
        requests: Requests that wait for a reply.
        unfinished: Batches that are stored in several slices.
        in_order: Function that returns True if a group consumes in order now.
    """

    def __init__(
        self,
        engine: Engine,
        statistics: Statistics,
        requests: OpenRequests,
        unfinished: UnfinishedBatches,
        in_order: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._requests = requests
        self._unfinished = unfinished
        self._monotonic_ms = clock.monotonic_ms
        self._in_order = in_order
        self._statistics = statistics
        self._engine = engine
        self._send = engine.send
        self._trace_fields = engine.settings.trace_fields()
        self._frame = SendAnswerTemplate(self._trace_fields).frame

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.SEND_MESSAGE: self.send,
            RequestCode.SEND_MESSAGE_V2: self.send,
            RequestCode.SEND_BATCH_MESSAGE: self.send,
        }

    def send(self, request: Request) -> Reply | None:
        """Store one message or a batch; the answer is sent after the commit."""
        command = request.command
        code = command.code
        header = read_send(code, command.ext)
        peer = request.link.peer
        message = SendRequest(
            header.topic,
            command.body,
            header.properties or "",
            header.producer_group,
            header.queue_id,
            header.flag,
            header.sys_flag,
            header.born_timestamp,
            peer.ip,
            peer.port,
            header.reconsume_times or 0,
            header.max_reconsume_times,
            header.default_topic,
            header.default_topic_queue_nums,
        )
        if header.topic.startswith(names.RETRY_PREFIX):
            message.in_order = self._in_order(header.topic.removeprefix(names.RETRY_PREFIX))
        if code == _BATCH or header.batch is True:
            return self._send_batch(request, message)
        if REPLY_TO_CLIENT in message.properties:
            self._open_request(request, message)
        try:
            sent = self._send(message, request.access)
        except NoSuchTopic as exc:
            self._permit_creation(request, message, exc)
            sent = self._send(message, request.access)
        frame = self._frame(command.opaque, sent.message_id, sent.queue_id, sent.queue_offset, sent.unique_id)
        if sent.due and names.owner_of(message.topic) is None:
            return self._reply(sent, self._recall_handle(message.topic, sent))
        if not frame:
            return self._reply(sent)
        return Reply(stored=True, frame=frame)

    def _send_batch(self, request: Request, message: SendRequest) -> Reply | None:
        """Store a batch, or its first slice if it is too large for one iteration of the event loop."""
        self._unfinished.require_room(request)
        try:
            batch = self._engine.send_batch(message, time.perf_counter)
        except NoSuchTopic as exc:
            self._permit_creation(request, message, exc)
            batch = self._engine.send_batch(message, time.perf_counter)
        sent = batch.advance(time.perf_counter() + FIRST_SLICE_S)
        if sent is not None:
            return self._batch_reply(sent, message.topic, batch.count)
        topic, count = message.topic, batch.count
        self._unfinished.add(request, batch, lambda sent: self._batch_reply(sent, topic, count))
        return None

    def _batch_reply(self, sent: SendResult, topic: str, count: int) -> Reply:
        self._engine.group_commit.after(lambda: self._statistics.batch_sent(topic, sent.queue_id, count))
        return self._reply(sent)

    def _recall_handle(self, topic: str, sent: SendResult) -> dict[str, str]:
        handle = RecallHandle(topic, self._engine.settings.broker, str(sent.due), sent.unique_id)
        return {"recallHandle": recall_handle.encode(handle)}

    def _reply(self, sent: SendResult, more: Mapping[str, str] = MappingProxyType({})) -> Reply:
        ext = {
            "msgId": sent.message_id,
            "queueId": str(sent.queue_id),
            "queueOffset": str(sent.queue_offset),
            "transactionId": sent.unique_id,
            **more,
            **self._trace_fields,
        }
        return Reply(0, ext, b"", None, stored=True)

    def _open_request(self, request: Request, message: SendRequest) -> None:
        """Add a message that waits for a reply to the open requests.

        Raises:
            RequestRefused: There is no room for it, so no reply could be delivered.
        """
        if names.owner_of(message.topic) is not None:
            return
        pairs = properties.parse(message.properties)
        now, language = self._monotonic_ms(), request.command.language
        if not self._requests.add(pairs, message.topic, request.link, request.access, now, language):
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY, "too many requests wait for a reply: wait for replies before you send more"
            )

    def _permit_creation(self, request: Request, message: SendRequest, missing: NoSuchTopic) -> None:
        """Permit a message to create its missing topic, if `autoCreateTopicEnable` is on and the sender has Create."""
        if not self._engine.settings.auto_create_topic or names.owner_of(message.topic) is not None:
            raise missing
        try:
            request.access.require(ResourceType.TOPIC, message.topic, Action.CREATE)
        except Refused as exc:
            raise Refused(
                exc.reason,
                f"topic[{message.topic}] not exist, and creating it by a send needs the action Create: {exc.message}",
                exc.decision_id,
            ) from None
        message.may_create = True
        message.creator = request.access.creator


class RecallProcessor:
    """Handler that recalls messages which wait for a time.

    The guard has admitted the request by its topic. The engine recalls only messages of this topic, so a handle that a
    client invents reaches no message of another.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {RequestCode.RECALL_MESSAGE: self.recall}

    def recall(self, request: Request) -> Reply:
        """Recall a message; the answer is the same for one that is unknown, delivered or recalled already."""
        settings = self._engine.settings
        if not settings.recall:
            raise RequestRefused(ResponseCode.NO_PERMISSION, "recall failed, operation is forbidden")
        header = read(request.command.ext, RecallHeader)
        if self._engine.topics.get(header.topic) is None:
            raise RequestRefused(ResponseCode.TOPIC_NOT_EXIST, f"recall failed, the topic[{header.topic}] not exist")
        try:
            handle = recall_handle.decode(header.recall_handle)
        except RecallHandleInvalid as exc:
            raise RequestRefused(ResponseCode.ILLEGAL_OPERATION, str(exc)) from None
        # Messages in retry topics have no handle: their topic needs a right on a group only.
        if handle.topic != header.topic or names.owner_of(handle.topic) is not None:
            raise RequestRefused(ResponseCode.ILLEGAL_OPERATION, "recall failed, topic not match")
        if handle.broker != settings.broker:
            raise RequestRefused(ResponseCode.ILLEGAL_OPERATION, "recall failed, broker service not available")
        due = (
            int(handle.time)
            if handle.time.isascii() and handle.time.isdecimal() and len(handle.time) <= _MAX_DIGITS
            else -1
        )
        if not self._engine.recall(handle.topic, handle.unique_id, due):
            raise RequestRefused(ResponseCode.ILLEGAL_OPERATION, "recall failed, timestamp invalid")
        ext = {"msgId": handle.unique_id, properties.MSG_REGION: settings.region}
        return Reply(0, ext, b"", None, stored=True)
