"""Calls of consumers: ReceiveMessage, AckMessage, ChangeInvisibleDuration and ForwardMessageToDeadLetterQueue."""

from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message

from mqguard.model.process import Clock
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.proxy import messages, statuses
from mqguard.proxy.clients import GrpcClients
from mqguard.proxy.messages import MessageDelivery, message_of, milliseconds
from mqguard.proxy.ports import Backend, Route
from mqguard.proxy.receipts import NOT_OURS, Receipt, received
from mqguard.proxy.renewal import Renewals, change_command, changed_receipt
from mqguard.proxy.routes import ANY_QUEUE, require_group, require_topic
from mqguard.proxy.rpc_call import Rpc, RpcCall
from mqguard.proxy.settings import ProxySettings
from mqguard.proxy.statuses import OK, CallRefused
from mqguard.remoting.codes import RequestCode
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
_LANGUAGES: Final = {pb.TAG: "TAG", pb.SQL: "SQL92", pb.FILTER_TYPE_UNSPECIFIED: "TAG"}
_NOTHING: Final = pb.Status(code=pb.MESSAGE_NOT_FOUND, message="no new message")


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
            Rpc("ReceiveMessage", pb.ReceiveMessageRequest, pb.ReceiveMessageResponse, self.receive, True),  # noqa: FBT003
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
        invisible_ms, wait_ms = self._invisible_ms(request), self._wait_ms(call, request)
        count = max(1, min(request.batch_size, self._settings.receive_batch))
        expression = request.filter_expression
        language = _LANGUAGES.get(expression.type)
        if language is None:
            raise CallRefused(pb.ILLEGAL_FILTER_EXPRESSION, "the type of the filter is neither TAG nor SQL")

        def found(route: Route | None) -> None:
            broker = _broker_of(route, topic, request.message_queue.broker.name)

            def with_group(config: SubscriptionGroupConfig | None) -> None:
                in_order = config is not None and config.consume_orderly
                header = PopHeader(
                    consumer_group=group,
                    topic=topic,
                    # A client asks one queue after the other, and the broker has messages in others meanwhile.
                    queue_id=ANY_QUEUE,
                    max_msg_nums=count,
                    invisible_time=invisible_ms,
                    poll_time=wait_ms,
                    born_time=self._clock.now_ms(),
                    init_mode=1,
                    exp_type=language,
                    exp=expression.expression or "*",
                    order=in_order,
                    attempt_id=request.attempt_id or None,
                )
                command = Command(RequestCode.POP_MESSAGE, ext=write(header))

                def delivered(answer: Command) -> None:
                    self._deliver(call, request, config, broker, answer)

                waiting = self._backend.request(broker, command, call.peer, call.access, call.guarded(delivered))
                call.wait(waiting.cancel)

            self._backend.group(group, with_group)

        self._backend.route(topic, found)

    def _deliver(
        self,
        call: RpcCall,
        request: pb.ReceiveMessageRequest,
        config: SubscriptionGroupConfig | None,
        broker: str,
        answer: Command,
    ) -> None:
        """Answer a receive with the messages of a pop."""
        if answer.code != 0:
            status = statuses.of_answer(answer)
            if status.code == pb.MESSAGE_NOT_FOUND:
                status = _NOTHING
            call.reply_all([pb.ReceiveMessageResponse(status=status)])
            return
        topic, invisible_ms = request.message_queue.topic.name, int(answer.ext["invisibleTime"])
        popped_ms = int(answer.ext["popTime"])
        answers: list[Message] = []
        for message, handle, attempt in received(answer, broker):
            if config is not None and attempt > config.retry_max_times + 1 and not config.consume_orderly:
                self._give_up(call, request, handle)
                continue
            if request.auto_renew:
                self._renewals.add(call, request.group.name, topic, handle)
            delivery = MessageDelivery(topic, handle, invisible_ms, attempt)
            answers.append(pb.ReceiveMessageResponse(message=message_of(message, delivery)))
        status = OK if answers else _NOTHING
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

    def _wait_ms(self, call: RpcCall, request: pb.ReceiveMessageRequest) -> int:
        """Return the time to wait for messages: not longer than the client waits for the answer."""
        settings = self._settings
        left = call.call.timeout_s
        left_ms = None if left is None else max(0, int(left * 1000) - TIME_TO_ANSWER_MS)
        if request.HasField("long_polling_timeout"):
            wait = milliseconds(request.long_polling_timeout)
            wait = max(settings.min_polling_ms, min(wait, settings.max_polling_ms))
        else:
            wait = settings.max_polling_ms
        return wait if left_ms is None else min(wait, left_ms)

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

            def settled(answer: Command, result: pb.AckMessageResultEntry = result) -> None:
                settle(result, statuses.of_answer(answer))

            command = ack_command(group, topic, receipt)
            if entry.lite_topic:
                command.ext["liteTopic"] = entry.lite_topic
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
        if request.lite_topic:
            command.ext["liteTopic"] = request.lite_topic
        if request.suspend:
            command.ext["suspend"] = "true"

        def changed(answer: Command) -> None:
            status = statuses.of_answer(answer)
            handle = changed_receipt(receipt, answer).text if answer.code == 0 else request.receipt_handle
            call.reply(pb.ChangeInvisibleDurationResponse(status=status, receipt_handle=handle))

        self._backend.request(receipt.broker, command, call.peer, call.access, changed)

    def forward(self, call: RpcCall, request: pb.ForwardMessageToDeadLetterQueueRequest) -> None:
        """Move a message to the dead-letter topic of its group."""
        topic, group = require_topic(request.topic.name), require_group(request.group.name)
        receipt = self._receipt(call, group, request.receipt_handle)

        def moved(answer: Command) -> None:
            call.reply(pb.ForwardMessageToDeadLetterQueueResponse(status=statuses.of_answer(answer)))

        self._dead_letter(call, group, topic, receipt, call.guarded(moved))

    def _receipt(self, call: RpcCall, group: str, handle: str) -> Receipt:
        """Return the fields of the handle that a client has, or of that which has taken its place.

        Raises:
            CallRefused: It is not a receipt handle.
        """
        receipt = Receipt.parse(self._renewals.take(call, group, handle))
        if not self._backend.has_broker(receipt.broker):
            raise CallRefused(pb.INVALID_RECEIPT_HANDLE, NOT_OURS)
        return receipt

    def _dead_letter(
        self, call: RpcCall, group: str, topic: str, receipt: Receipt, done: Callable[[Command], None]
    ) -> None:
        """Store a message in the dead-letter topic of its group, then acknowledge it."""
        header = SendBackHeader(
            offset=receipt.physical, group=group, delay_level=DEAD_LETTER, origin_topic=receipt.topic(group, topic)
        )

        def stored(answer: Command) -> None:
            if answer.code != 0:
                done(answer)
                return
            command = ack_command(group, topic, receipt)
            self._backend.request(receipt.broker, command, call.peer, call.access, done)

        command = Command(RequestCode.CONSUMER_SEND_MSG_BACK, ext=write(header))
        self._backend.request(receipt.broker, command, call.peer, call.access, call.guarded(stored))


def ack_command(group: str, topic: str, receipt: Receipt) -> Command:
    """Return the request that acknowledges a message."""
    header = AckHeader(
        consumer_group=group,
        topic=receipt.topic(group, topic),
        queue_id=receipt.queue_id,
        extra_info=receipt.text,
        offset=receipt.offset,
    )
    return Command(RequestCode.ACK_MESSAGE, ext=write(header))


def _broker_of(route: Route | None, topic: str, broker: str) -> str:
    if route is None:
        raise CallRefused(pb.TOPIC_NOT_FOUND, f"the topic `{topic}` does not exist")
    if broker in route.brokers:
        return broker
    readable = route.readable
    if broker or not readable:
        raise CallRefused(pb.BAD_REQUEST, f"the topic `{topic}` has no readable queue on the broker `{broker[:64]}`")
    return readable[0][0]
