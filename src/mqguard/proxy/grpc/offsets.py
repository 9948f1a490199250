"""Calls of pull consumers: PullMessage, UpdateOffset, GetOffset and QueryOffset.

Pull consumers choose queues and offsets themselves. Apache's proxy does not serve these calls.
"""

from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from mqguard.model import record
from mqguard.proxy.grpc import statuses
from mqguard.proxy.grpc.consumers import NO_NEW_MESSAGE, filter_language, polling_ms
from mqguard.proxy.grpc.messages import MessageDelivery, is_valid, message_of, milliseconds
from mqguard.proxy.grpc.ports import Backend, Route
from mqguard.proxy.grpc.routes import require_broker, require_group, require_topic
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import Header, write
from mqguard.remoting.headers.pull import SUBSCRIPTION, SUSPEND, PullHeader
from mqguard.remoting.headers.topics import (
    MaxOffsetHeader,
    QueryOffsetHeader,
    QueueHeader,
    SearchOffsetHeader,
    UpdateOffsetHeader,
)
from mqguard.rpc.protocol import messages_pb2 as pb

NEXT_OFFSET: Final = "nextBeginOffset"


class OffsetHandlers:
    """Handlers for pull consumers.

    Args:
        backend: The brokers.
        settings: Limits.
    """

    def __init__(self, backend: Backend, settings: ProxySettings) -> None:
        self._backend = backend
        self._settings = settings

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc("PullMessage", pb.PullMessageRequest, pb.PullMessageResponse, self.pull, streams_answer=True),
            Rpc("UpdateOffset", pb.UpdateOffsetRequest, pb.UpdateOffsetResponse, self.update),
            Rpc("GetOffset", pb.GetOffsetRequest, pb.GetOffsetResponse, self.get),
            Rpc("QueryOffset", pb.QueryOffsetRequest, pb.QueryOffsetResponse, self.query),
        ]

    def pull(self, call: RpcCall, request: pb.PullMessageRequest) -> None:
        """Return the messages of a queue from an offset on, and wait for some if there are none."""
        topic, group = require_topic(request.message_queue.topic.name), require_group(request.group.name)
        language = filter_language(request.filter_expression)
        header = PullHeader(
            consumer_group=group,
            topic=topic,
            queue_id=request.message_queue.id,
            queue_offset=_require_offset(request.offset),
            max_msg_nums=max(1, min(request.batch_size, self._settings.receive_batch)),
            sys_flag=SUSPEND | SUBSCRIPTION,
            commit_offset=0,
            suspend_timeout_millis=polling_ms(call, request, self._settings),
            sub_version=0,
            subscription=request.filter_expression.expression or "*",
            expression_type=language,
        )

        def pulled(answer: Command) -> None:
            call.reply_all(_pulled(topic, answer))

        self._request(call, request.message_queue, RequestCode.PULL_MESSAGE, header, pulled, waits=True)

    def update(self, call: RpcCall, request: pb.UpdateOffsetRequest) -> None:
        """Store the offset of a group."""
        topic, group = require_topic(request.message_queue.topic.name), require_group(request.group.name)
        header = UpdateOffsetHeader(
            consumer_group=group,
            topic=topic,
            queue_id=request.message_queue.id,
            commit_offset=_require_offset(request.offset),
        )

        def updated(answer: Command) -> None:
            call.reply(pb.UpdateOffsetResponse(status=statuses.of_answer(answer)))

        self._request(call, request.message_queue, RequestCode.UPDATE_CONSUMER_OFFSET, header, updated)

    def get(self, call: RpcCall, request: pb.GetOffsetRequest) -> None:
        """Return the stored offset of a group."""
        topic, group = require_topic(request.message_queue.topic.name), require_group(request.group.name)
        header = QueryOffsetHeader(
            consumer_group=group, topic=topic, queue_id=request.message_queue.id, set_zero_if_not_found=False
        )

        def found(answer: Command) -> None:
            call.reply(pb.GetOffsetResponse(status=statuses.of_answer(answer), offset=_offset(answer)))

        self._request(call, request.message_queue, RequestCode.QUERY_CONSUMER_OFFSET, header, found)

    def query(self, call: RpcCall, request: pb.QueryOffsetRequest) -> None:
        """Return the first offset of a queue, the one after its last message, or that of a time."""
        code, header = _query(request)

        def found(answer: Command) -> None:
            call.reply(pb.QueryOffsetResponse(status=statuses.of_answer(answer), offset=_offset(answer)))

        self._request(call, request.message_queue, code, header, found)

    def _request(
        self,
        call: RpcCall,
        queue: pb.MessageQueue,
        code: RequestCode,
        header: Header,
        on_answer: Callable[[Command], None],
        *,
        waits: bool = False,
    ) -> None:
        """Send a request to the broker of a queue; `waits` says that its answer may follow later."""

        def routed(route: Route | None) -> None:
            broker = require_broker(route, queue.topic.name, queue.broker.name)
            command = Command(code, ext=write(header))
            pending = self._backend.request(broker, command, call.peer, call.access, call.then(on_answer))
            if waits:
                call.wait(pending.cancel)

        self._backend.route(queue.topic.name, call.access, call.then(routed))


def _query(request: pb.QueryOffsetRequest) -> tuple[RequestCode, Header]:
    topic, queue = require_topic(request.message_queue.topic.name), request.message_queue.id
    policy = request.query_offset_policy
    if policy == pb.BEGINNING:
        return RequestCode.GET_MIN_OFFSET, QueueHeader(topic=topic, queue_id=queue)
    if policy == pb.END:
        return RequestCode.GET_MAX_OFFSET, MaxOffsetHeader(topic=topic, queue_id=queue)
    if policy != pb.TIMESTAMP:
        raise CallRefused(pb.BAD_REQUEST, "`query_offset_policy` is neither BEGINNING, END nor TIMESTAMP")
    if not request.HasField("timestamp") or not is_valid(request.timestamp):
        raise CallRefused(pb.BAD_REQUEST, "`timestamp` is missing, or not a time from 1970 to 9999")
    header = SearchOffsetHeader(topic=topic, queue_id=queue, timestamp=milliseconds(request.timestamp))
    return RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, header


def _pulled(topic: str, answer: Command) -> list[Message]:
    """Return the answers to a pull."""
    status = statuses.of_answer(answer)
    if status.code == pb.MESSAGE_NOT_FOUND:
        status = NO_NEW_MESSAGE
    answers: list[Message] = [pb.PullMessageResponse(status=status)]
    if answer.code == 0:
        for one in record.decode_all(answer.body):
            delivery = MessageDelivery(topic, attempt=one.reconsume_times + 1)
            answers.append(pb.PullMessageResponse(message=message_of(one, delivery)))
    if NEXT_OFFSET in answer.ext:
        answers.append(pb.PullMessageResponse(next_offset=int(answer.ext[NEXT_OFFSET])))
    return answers


def _require_offset(offset: int) -> int:
    if offset < 0:
        raise CallRefused(pb.ILLEGAL_OFFSET, f"the offset is {offset}, and the minimum is 0")
    return offset


def _offset(answer: Command) -> int:
    return int(answer.ext["offset"]) if answer.code == 0 else 0
