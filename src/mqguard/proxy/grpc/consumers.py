"""Calls of consumers: ReceiveMessage, AckMessage, ChangeInvisibleDuration and ForwardMessageToDeadLetterQueue."""

from collections.abc import Callable, Iterator
from typing import Final

from google.protobuf.message import Message

from mqguard.model.process import Clock
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.proxy.grpc import messages, statuses
from mqguard.proxy.grpc.clients import GrpcClients
from mqguard.proxy.grpc.messages import MessageDelivery, message_of, milliseconds
from mqguard.proxy.grpc.ports import Backend, OnAnswer, Route
from mqguard.proxy.grpc.receipts import NOT_OURS, Receipt, ReceivedMessage, received, received_lite
from mqguard.proxy.grpc.renewal import Renewals, change_command, changed_receipt
from mqguard.proxy.grpc.routes import ANY_QUEUE, require_broker, require_group, require_topic
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import OK, CallRefused
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.pull import AckHeader, PopHeader
from mqguard.remoting.headers.send import SendBackHeader
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_ENTRIES: Final = 1_024
"""Maximum acknowledgements of one call."""
TIME_TO_ANSWER_MS: Final = 500
"""Time that is left of a client's deadline when a receive without messages is answered."""
DEAD_LETTER: Final = -1
"""Level of a message that is not delivered again."""
_NOT_LITE: Final = frozenset({ResponseCode.INVALID_PARAMETER, ResponseCode.REQUEST_CODE_NOT_SUPPORTED})
"""Codes of brokers for a lite topic in a handle whose group consumes none."""
_LANGUAGES: Final = {pb.TAG: "TAG", pb.SQL: "SQL92", pb.FILTER_TYPE_UNSPECIFIED: "TAG"}
NO_NEW_MESSAGE: Final = pb.Status(code=pb.MESSAGE_NOT_FOUND, message="no new message")


class ConsumerHandlers:
    """Handlers for consumers.

    Args:
        backend: The brokers.
        clients: The clients, whose settings say how messages are delivered.
        renewals: The messages whose invisible time the server extends.
        settings: Limits.
        clock: Clock.
    """

    def __init__(
        self, backend: Backend, clients: GrpcClients, renewals: Renewals, settings: ProxySettings, clock: Clock
    ) -> None:
        self._backend = backend
        self._clients = clients
        self._renewals = renewals
        self._settings = settings
        self._clock = clock

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc(
                "ReceiveMessage", pb.ReceiveMessageRequest, pb.ReceiveMessageResponse, self.receive, streams_answer=True
            ),
            Rpc("AckMessage", pb.AckMessageRequest, pb.AckMessageResponse, self.acknowledge),
            Rpc(
                "ChangeInvisibleDuration",
                pb.ChangeInvisibleDurationRequest,
                pb.ChangeInvisibleDurationResponse,
                self.change_invisible,
            ),
            Rpc(
                "ForwardMessageToDeadLetterQueue",
                pb.ForwardMessageToDeadLetterQueueRequest,
                pb.ForwardMessageToDeadLetterQueueResponse,
                self.forward,
            ),
        ]

    def receive(self, call: RpcCall, request: pb.ReceiveMessageRequest) -> None:
        """Deliver messages, and wait for some if there are none."""
        topic, group = require_topic(request.message_queue.topic.name), require_group(request.group.name)
        invisible_ms, wait_ms = self._invisible_ms(request), polling_ms(call, request, self._settings)
        filter_language(request.filter_expression)
        client = self._clients.find(call.access.owner, call.client_id)
        is_lite = client is not None and client.is_lite

        def found(route: Route | None) -> None:
            broker = require_broker(route, topic, request.message_queue.broker.name)

            def with_group(config: SubscriptionGroupConfig | None) -> None:
                if is_lite:
                    command = self._lite_pop(call, request, invisible_ms, wait_ms)
                else:
                    is_ordered = config is not None and config.consume_orderly
                    command = self._pop(request, invisible_ms, wait_ms, is_ordered=is_ordered)

                def delivered(answer: Command) -> None:
                    self._deliver(call, request, config, answer, received_lite if is_lite else received, broker)

                waiting = self._backend.request(broker, command, call.peer, call.access, call.then(delivered))
                call.wait(waiting.cancel)

            self._backend.group(group, call.access, call.then(with_group))

        self._backend.route(topic, call.access, call.then(found))

    def _pop(self, request: pb.ReceiveMessageRequest, invisible_ms: int, wait_ms: int, *, is_ordered: bool) -> Command:
        header = PopHeader(
            consumer_group=request.group.name,
            topic=request.message_queue.topic.name,
            # A client asks one queue after the other, and the broker has messages in others meanwhile.
            queue_id=ANY_QUEUE,
            max_msg_nums=self._count(request),
            invisible_time=invisible_ms,
            poll_time=wait_ms,
            born_time=self._clock.now_ms(),
            init_mode=1,
            exp_type=filter_language(request.filter_expression),
            exp=request.filter_expression.expression or "*",
            order=is_ordered,
            attempt_id=request.attempt_id or None,
        )
        return Command(RequestCode.POP_MESSAGE, ext=write(header))

    def _lite_pop(self, call: RpcCall, request: pb.ReceiveMessageRequest, invisible_ms: int, wait_ms: int) -> Command:
        """Return a pop of the lite topics to which the client has subscribed."""
        ext = {
            "clientId": call.client_id,
            "consumerGroup": request.group.name,
            "topic": request.message_queue.topic.name,
            "maxMsgNum": str(self._count(request)),
            "invisibleTime": str(invisible_ms),
            "pollTime": str(wait_ms),
            "bornTime": str(self._clock.now_ms()),
        }
        if request.attempt_id:
            ext["attemptId"] = request.attempt_id
        return Command(RequestCode.POP_LITE_MESSAGE, ext=ext)

    def _count(self, request: pb.ReceiveMessageRequest) -> int:
        return max(1, min(request.batch_size, self._settings.receive_batch))

    def _deliver(
        self,
        call: RpcCall,
        request: pb.ReceiveMessageRequest,
        config: SubscriptionGroupConfig | None,
        answer: Command,
        read: Callable[[Command, str], Iterator[ReceivedMessage]],
        broker: str,
    ) -> None:
        """Answer a receive with the messages of a pop."""
        if answer.code != 0:
            status = statuses.of_answer(answer)
            if status.code == pb.MESSAGE_NOT_FOUND:
                status = NO_NEW_MESSAGE
            call.reply_all([pb.ReceiveMessageResponse(status=status)])
            return
        topic, invisible_ms = request.message_queue.topic.name, int(answer.ext["invisibleTime"])
        popped_ms = int(answer.ext["popTime"])
        answers: list[Message] = []
        for message, handle, attempt in read(answer, broker):
            if config is not None and attempt > config.retry_max_times + 1 and not config.consume_orderly:
                self._give_up(call, request, handle)
                continue
            if request.auto_renew:
                self._renewals.add(call, request.group.name, topic, handle)
            delivery = MessageDelivery(topic, handle, invisible_ms, attempt)
            answers.append(pb.ReceiveMessageResponse(message=message_of(message, delivery)))
        status = OK if answers else NO_NEW_MESSAGE
        answers.insert(0, pb.ReceiveMessageResponse(status=status))
        answers.append(pb.ReceiveMessageResponse(delivery_timestamp=messages.timestamp(popped_ms)))
        call.reply_all(answers)

    def _give_up(self, call: RpcCall, request: pb.ReceiveMessageRequest, handle: str) -> None:
        """Move a message to the dead-letter topic, because its deliveries have failed too often."""
        group, topic = request.group.name, request.message_queue.topic.name
        self._dead_letter(call, group, topic, Receipt.parse(handle), lambda _answer: None)

    def _invisible_ms(self, request: pb.ReceiveMessageRequest) -> int:
        if request.auto_renew:
            return self._settings.default_invisible_ms
        wanted = milliseconds(request.invisible_duration)
        low, high = self._settings.min_invisible_ms, self._settings.max_invisible_ms
        if not low <= wanted <= high:
            raise CallRefused(
                pb.ILLEGAL_INVISIBLE_TIME, f"the invisible time is {wanted} ms; it must be {low} to {high} ms"
            )
        return wanted

    def acknowledge(self, call: RpcCall, request: pb.AckMessageRequest) -> None:
        """Acknowledge messages."""
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        if not 1 <= len(request.entries) <= MAX_ENTRIES:
            raise CallRefused(
                pb.BAD_REQUEST, f"the call has {len(request.entries)} entries; it must have 1 to {MAX_ENTRIES}"
            )
        results = [
            pb.AckMessageResultEntry(message_id=entry.message_id, receipt_handle=entry.receipt_handle)
            for entry in request.entries
        ]
        left = len(results)

        def settle(result: pb.AckMessageResultEntry, status: pb.Status) -> None:
            nonlocal left
            result.status.CopyFrom(status)
            left -= 1
            if not left:
                status = statuses.of_all([one.status for one in results])
                call.reply(pb.AckMessageResponse(status=status, entries=results))

        for entry, result in zip(request.entries, results, strict=True):
            try:
                receipt = self._receipt(call, group, entry.receipt_handle)
            except CallRefused as refused:
                settle(result, pb.Status(code=refused.code, message=str(refused)))
                continue

            def settled(
                answer: Command | Exception, result: pb.AckMessageResultEntry = result, receipt: Receipt = receipt
            ) -> None:
                self._renewals.end(call, group, result.receipt_handle, answer)
                if isinstance(answer, Exception):
                    settle(result, statuses.of_error("AckMessage", answer))
                else:
                    settle(result, status_of(receipt, answer))

            command = ack_command(group, topic, receipt)
            self._backend.request(receipt.broker, command, call.peer, call.access, settled)

    def change_invisible(self, call: RpcCall, request: pb.ChangeInvisibleDurationRequest) -> None:
        """Change the time until a message is delivered again."""
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        invisible_ms = milliseconds(request.invisible_duration)
        if not 0 <= invisible_ms <= self._settings.max_invisible_ms:
            raise CallRefused(
                pb.ILLEGAL_INVISIBLE_TIME,
                f"the invisible time is {invisible_ms} ms; the maximum is {self._settings.max_invisible_ms} ms",
            )
        receipt = self._receipt(call, group, request.receipt_handle)
        command = change_command(group, topic, receipt, invisible_ms)
        if request.suspend:
            command.ext["suspend"] = "true"

        def changed(answer: Command | Exception) -> None:
            self._renewals.end(call, group, request.receipt_handle, answer)
            if isinstance(answer, Exception):
                raise answer
            status = status_of(receipt, answer)
            handle = changed_receipt(receipt, answer).text if answer.code == 0 else request.receipt_handle
            call.reply(pb.ChangeInvisibleDurationResponse(status=status, receipt_handle=handle))

        self._backend.request(receipt.broker, command, call.peer, call.access, call.guarded(changed))

    def forward(self, call: RpcCall, request: pb.ForwardMessageToDeadLetterQueueRequest) -> None:
        """Move a message to the dead-letter topic of its group, if it is still in flight with the handle."""
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        receipt = self._receipt(call, group, request.receipt_handle)

        def moved(answer: Command | Exception) -> None:
            self._renewals.end(call, group, request.receipt_handle, answer)
            if isinstance(answer, Exception):
                raise answer
            call.reply(pb.ForwardMessageToDeadLetterQueueResponse(status=status_of(receipt, answer)))

        def in_flight(answer: Command | Exception) -> None:
            if isinstance(answer, Exception) or answer.code != 0:
                moved(answer)
                return
            self._dead_letter(call, group, topic, changed_receipt(receipt, answer), call.guarded(moved))

        command = change_command(group, topic, receipt, self._settings.default_invisible_ms)
        self._backend.request(receipt.broker, command, call.peer, call.access, call.guarded(in_flight))

    def _receipt(self, call: RpcCall, group: str, handle: str) -> Receipt:
        """Return the fields of the handle that a client has, or of that which has taken its place.

        Raises:
            CallRefused: It is not a receipt handle.
        """
        receipt = Receipt.parse(self._renewals.begin(call, group, handle))
        if not self._backend.has_broker(receipt.broker):
            raise CallRefused(pb.INVALID_RECEIPT_HANDLE, NOT_OURS)
        return receipt

    def _dead_letter(self, call: RpcCall, group: str, topic: str, receipt: Receipt, done: OnAnswer) -> None:
        """Store a message in the dead-letter topic of its group, then acknowledge it."""
        header = SendBackHeader(
            offset=receipt.physical, group=group, delay_level=DEAD_LETTER, origin_topic=receipt.topic(group, topic)
        )

        def stored(answer: Command | Exception) -> None:
            if isinstance(answer, Exception) or answer.code != 0:
                done(answer)
                return
            command = ack_command(group, topic, receipt)
            self._backend.request(receipt.broker, command, call.peer, call.access, done)

        command = Command(RequestCode.CONSUMER_SEND_MSG_BACK, ext=write(header))
        self._backend.request(receipt.broker, command, call.peer, call.access, stored)


def status_of(receipt: Receipt, answer: Command) -> pb.Status:
    """Return the status for the answer to a request about a received message."""
    if receipt.lite and answer.code in _NOT_LITE:
        return pb.Status(code=pb.INVALID_RECEIPT_HANDLE, message=NOT_OURS)
    return statuses.of_answer(answer)


def ack_command(group: str, topic: str, receipt: Receipt) -> Command:
    """Return the request that acknowledges a message."""
    header = AckHeader(
        consumer_group=group,
        topic=receipt.topic(group, topic),
        queue_id=receipt.queue_id,
        extra_info=receipt.text,
        offset=receipt.offset,
        lite_topic=receipt.lite or None,
    )
    return Command(RequestCode.ACK_MESSAGE, ext=write(header))


def polling_ms(
    call: RpcCall, request: pb.ReceiveMessageRequest | pb.PullMessageRequest, settings: ProxySettings
) -> int:
    """Return the time to wait for messages: not longer than the client waits for the answer."""
    left = call.call.timeout_s
    wait = settings.max_polling_ms
    if request.HasField("long_polling_timeout"):
        wait = max(settings.min_polling_ms, min(milliseconds(request.long_polling_timeout), wait))
    return wait if left is None else min(wait, max(0, int(left * 1000) - TIME_TO_ANSWER_MS))


def filter_language(expression: pb.FilterExpression) -> str:
    """Return the language of a filter.

    Raises:
        CallRefused: The type is unknown.
    """
    language = _LANGUAGES.get(expression.type)
    if language is None:
        raise CallRefused(pb.ILLEGAL_FILTER_EXPRESSION, "the type of the filter is neither TAG nor SQL")
    return language
