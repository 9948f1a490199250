"""Calls of producers: SendMessage, EndTransaction and RecallMessage."""

import itertools
import re
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from mqguard.model import properties, recall_handle
from mqguard.model.process import Clock
from mqguard.model.recall_handle import RecallHandleInvalid
from mqguard.proxy.grpc import messages, statuses
from mqguard.proxy.grpc.ports import Backend, Route
from mqguard.proxy.grpc.routes import message_types, require_topic
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.send import COMMIT, ROLLBACK, EndTransactionHeader
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_MESSAGES: Final = 1_024
"""Maximum messages of one call."""
NOT_OURS: Final = "the transaction id is not one of this server"
_PRODUCER_GROUP: Final = "PROXY_PRODUCER"
_TRANSACTION: Final = re.compile(r"([0-9A-F]{16})-([0-9]{1,18})-(.*)", re.ASCII | re.DOTALL)
_NO_TRANSACTION: Final = frozenset(
    {
        "Find prepared transaction message failed",
        "The producer group wrong",
        "The transaction state table offset wrong",
        "The commit log offset wrong",
    }
)
"""Remarks of brokers for a transaction id without a transaction; their code is that of any error."""
_NUMBERS: Final = {pb.COMMIT: COMMIT, pb.ROLLBACK: ROLLBACK}


class TransactionId(NamedTuple):
    """The content of a transaction id: the place of the half message.

    Clients send it back as it is. A client that invents one reaches no transaction of others. The broker compares it
    with the half message, and the guard decides about the topic of that message.

    Attributes:
        offset: Physical offset of the half message.
        number: Its number among the half messages.
        broker: The broker that has it.
    """

    offset: int
    number: int
    broker: str

    @property
    def text(self) -> str:
        """The id as clients get it."""
        return f"{self.offset:016X}-{self.number}-{self.broker}"

    @classmethod
    def parse(cls, text: str) -> "TransactionId":
        """Parse an id.

        Raises:
            CallRefused: The text is not a transaction id.
        """
        found = _TRANSACTION.fullmatch(text)
        if found is None:
            raise CallRefused(pb.INVALID_TRANSACTION_ID, NOT_OURS)
        return cls(int(found[1], 16), int(found[2]), found[3])


class ProducerHandlers:
    """Handlers for producers.

    Args:
        backend: The brokers.
        settings: Limits.
        clock: Clock for the limit of delivery times.
    """

    def __init__(self, backend: Backend, settings: ProxySettings, clock: Clock) -> None:
        self._backend = backend
        self._settings = settings
        self._clock = clock
        self._turns = itertools.count()

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc("SendMessage", pb.SendMessageRequest, pb.SendMessageResponse, self.send),
            Rpc("EndTransaction", pb.EndTransactionRequest, pb.EndTransactionResponse, self.end_transaction),
            Rpc("RecallMessage", pb.RecallMessageRequest, pb.RecallMessageResponse, self.recall),
        ]

    def send(self, call: RpcCall, request: pb.SendMessageRequest) -> None:
        """Store the messages of a call, which have one topic."""
        if not request.messages:
            raise CallRefused(pb.MESSAGE_CORRUPTED, "the call has no message")
        topic = require_topic(request.messages[0].topic.name)
        if len(request.messages) > MAX_MESSAGES:
            raise CallRefused(
                pb.BAD_REQUEST, f"the call has {len(request.messages)} messages, and the maximum is {MAX_MESSAGES}"
            )
        if any(message.topic.name != topic for message in request.messages):
            raise CallRefused(pb.BAD_REQUEST, "topic in message is not same")
        now = self._clock.now_ms()
        kinds = [messages.require_type(message) for message in request.messages]
        commands = [self._command(message, topic, now) for message in request.messages]
        sending = _Sending(call, request.messages)

        def found(route: Route | None) -> None:
            for index, (command, message) in enumerate(zip(commands, request.messages, strict=True)):
                broker, queue = self._place(route, topic, message, kinds[index])
                command.ext["queueId"] = str(queue)

                def stored(answer: Command | Exception, index: int = index, broker: str = broker) -> None:
                    sending.stored(index, broker, answer)

                self._backend.request(broker, command, call.peer, call.access, call.guarded(stored))

        self._backend.route(topic, call.access, call.then(found, is_repeatable=sending.is_single))

    def _command(self, message: pb.Message, topic: str, now_ms: int) -> Command:
        pairs = messages.properties_of(message, now_ms, self._settings)
        body = messages.body_of(message, self._settings)
        text = properties.text_of(pairs)
        if len(text.encode()) > properties.MAX_BYTES:
            raise CallRefused(pb.MESSAGE_PROPERTIES_TOO_LARGE, "the properties of the message are too large")
        ext = {
            "producerGroup": topic if properties.PGROUP in pairs else _PRODUCER_GROUP,
            "topic": topic,
            "defaultTopic": "",
            "defaultTopicQueueNums": "4",
            "queueId": "0",
            "sysFlag": str(messages.system_flag(message)),
            "bornTimestamp": pairs.get(messages.BORN_TIMESTAMP, str(now_ms)),
            "flag": "0",
            "properties": text,
            "reconsumeTimes": "0",
            "unitMode": "false",
            "batch": "false",
        }
        return Command(RequestCode.SEND_MESSAGE, ext=ext, body=body)

    def _place(self, route: Route | None, topic: str, message: pb.Message, kind: pb.MessageType) -> tuple[str, int]:
        """Return the broker and the queue for a message: the same for a message group, else each one in rotation."""
        if route is None:
            raise CallRefused(pb.TOPIC_NOT_FOUND, f"the topic `{topic}` does not exist")
        writable = route.writable
        if not writable:
            raise CallRefused(pb.FORBIDDEN, f"the topic `{topic}` is not writable")
        if kind not in message_types(writable[0][1]):
            raise CallRefused(
                pb.MESSAGE_PROPERTY_CONFLICT_WITH_TYPE,
                f"the topic `{topic}` does not accept messages of the type {pb.MessageType.Name(kind)}",
            )
        system = message.system_properties
        group = system.message_group or system.lite_topic
        number = zlib.crc32(group.encode()) if group else next(self._turns)
        number %= sum(config.write_queues for _, config in writable)
        for broker, config in writable:
            if number < config.write_queues:
                return broker, number
            number -= config.write_queues
        raise AssertionError(number)  # pragma: no cover - the number is less than the sum

    def end_transaction(self, call: RpcCall, request: pb.EndTransactionRequest) -> None:
        """Commit a transaction, or roll it back."""
        topic = require_topic(request.topic.name)
        place = TransactionId.parse(request.transaction_id)
        if not self._backend.has_broker(place.broker):
            raise CallRefused(pb.INVALID_TRANSACTION_ID, NOT_OURS)
        result = _NUMBERS.get(request.resolution)
        if result is None:
            raise CallRefused(pb.BAD_REQUEST, "`resolution` is neither COMMIT nor ROLLBACK")
        header = EndTransactionHeader(
            producer_group=topic,
            tran_state_table_offset=place.number,
            commit_log_offset=place.offset,
            commit_or_rollback=result,
            from_transaction_check=request.source == pb.SOURCE_SERVER_CHECK,
            msg_id=request.message_id,
            transaction_id=request.message_id,
            topic=topic,
        )

        def ended(answer: Command) -> None:
            status = statuses.of_answer(answer)
            if answer.code == ResponseCode.SYSTEM_ERROR and answer.remark in _NO_TRANSACTION:
                status = pb.Status(code=pb.INVALID_TRANSACTION_ID, message=answer.remark)
            call.reply(pb.EndTransactionResponse(status=status))

        command = Command(RequestCode.END_TRANSACTION, ext=write(header))
        self._backend.request(place.broker, command, call.peer, call.access, call.then(ended))

    def recall(self, call: RpcCall, request: pb.RecallMessageRequest) -> None:
        """Recall a message that waits for its time."""
        topic = require_topic(request.topic.name)
        named = _broker_of(request.recall_handle)

        def recalled(answer: Command) -> None:
            call.reply(
                pb.RecallMessageResponse(status=statuses.of_answer(answer), message_id=answer.ext.get("msgId", ""))
            )

        def found(route: Route | None) -> None:
            if route is None:
                raise CallRefused(pb.TOPIC_NOT_FOUND, f"the topic `{topic}` does not exist")
            ext = {"topic": topic, "recallHandle": request.recall_handle, "producerGroup": _PRODUCER_GROUP}
            command = Command(RequestCode.RECALL_MESSAGE, ext=ext)
            # A broker refuses the handle of another one, and says how a handle must be.
            broker = named if named in route.brokers else next(iter(route.brokers))
            self._backend.request(broker, command, call.peer, call.access, call.then(recalled))

        self._backend.route(topic, call.access, call.then(found))


class _Sending:
    """The messages of one call, until each has its answer."""

    __slots__ = ("_call", "_entries", "_left", "_messages")

    def __init__(self, call: RpcCall, sent: Sequence[pb.Message]) -> None:
        self._call = call
        self._messages = sent
        self._entries: list[pb.SendResultEntry] = [pb.SendResultEntry() for _ in sent]
        self._left = len(sent)

    @property
    def is_single(self) -> bool:
        """True if the call has one message, so that it can be served again from its beginning."""
        return len(self._messages) == 1

    def stored(self, index: int, broker: str, answer: Command | Exception) -> None:
        """Note the answer for a message; the last one answers the call."""
        self._entries[index] = _entry(self._messages[index], broker, answer)
        self._left -= 1
        if not self._left:
            status = statuses.of_all([entry.status for entry in self._entries])
            self._call.reply(pb.SendMessageResponse(status=status, entries=self._entries))


def _broker_of(handle: str) -> str:
    """Return the broker in a recall handle, an empty text if it is not one."""
    try:
        return recall_handle.decode(handle).broker
    except RecallHandleInvalid:
        return ""


def _entry(message: pb.Message, broker: str, answer: Command | Exception) -> pb.SendResultEntry:
    if isinstance(answer, Exception):
        return pb.SendResultEntry(status=statuses.of_error("SendMessage", answer))
    status = statuses.of_answer(answer)
    if answer.code != 0:
        return pb.SendResultEntry(status=status)
    ext = answer.ext
    offset = int(ext["queueOffset"])
    transaction_id = ""
    if message.system_properties.message_type == pb.TRANSACTION:
        transaction_id = TransactionId(int(ext["msgId"][-16:], 16), offset, broker).text
    return pb.SendResultEntry(
        status=status,
        message_id=message.system_properties.message_id,
        transaction_id=transaction_id,
        offset=offset,
        recall_handle=ext.get("recallHandle", ""),
    )
