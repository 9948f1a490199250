"""Requests of brokers to clients, as commands on the clients' Telemetry streams, and the answers of clients."""

import logging
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from mqguard.model import properties, record
from mqguard.model.process import Clock
from mqguard.model.record import RecordInvalid
from mqguard.proxy.grpc.clients import GrpcClient, GrpcClients, Question
from mqguard.proxy.grpc.messages import MessageDelivery, message_of
from mqguard.proxy.grpc.ports import Backend
from mqguard.proxy.grpc.producers import TransactionId
from mqguard.proxy.grpc.rpc_call import RpcCall
from mqguard.remoting.codes import FLAG_RESPONSE, RequestCode, ResponseCode
from mqguard.remoting.command import Command
from mqguard.rpc.protocol import messages_pb2 as pb

_LOG = logging.getLogger(__name__)

MAX_QUESTIONS: Final = 256
"""Maximum questions to one client without an answer; a further one takes the place of the oldest."""
MAX_TRACE: Final = 1024 * 1024
"""Maximum characters of the threads of a client that are passed on."""
_RESULTS: Final = {
    pb.OK: "CR_SUCCESS",
    pb.FAILED_TO_CONSUME_MESSAGE: "CR_LATER",
    pb.MESSAGE_CORRUPTED: "CR_RETURN_NULL",
}
"""The results of a consumed message by the client's status (Apache: `ClientActivity`)."""


class ClientCommands:
    """Commands to clients.

    Args:
        backend: The brokers, which get the answers.
        clients: The clients.
        clock: Clock for the duration of answers.
    """

    def __init__(self, backend: Backend, clients: GrpcClients, clock: Clock) -> None:
        self._backend = backend
        self._clients = clients
        self._clock = clock
        self._commands: dict[int, Callable[[GrpcClient, Command], None]] = {
            RequestCode.CHECK_TRANSACTION_STATE: self._check_transaction,
            RequestCode.GET_CONSUMER_RUNNING_INFO: self._print_threads,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: self._verify_message,
            RequestCode.NOTIFY_UNSUBSCRIBE_LITE: self._unsubscribe_lite,
        }

    def command(self, client: GrpcClient, command: Command) -> None:
        """Pass a request of a broker on to a client, or answer it if there is no form for gRPC clients."""
        handle = self._commands.get(command.code)
        try:
            if handle is not None:
                handle(client, command)
            else:
                self._refuse(client, command, ResponseCode.REQUEST_CODE_NOT_SUPPORTED, "gRPC clients cannot answer it")
        except (KeyError, ValueError, RecordInvalid):
            _LOG.exception("a request of a broker with the code %d cannot be passed on to a client", command.code)
            self._refuse(client, command, ResponseCode.SYSTEM_ERROR, "the request is malformed")

    def take_answer(self, call: RpcCall, command: pb.TelemetryCommand) -> None:
        """Pass the answer of a client on to the broker that has asked. One that was not asked for has no effect."""
        kind = command.WhichOneof("command")
        client = self._clients.find(call.access.owner, call.client_id)
        if client is None or kind not in {"thread_stack_trace", "verify_message_result"}:
            return
        question = client.questions.get(getattr(command, kind).nonce)
        if question is None or question.kind != kind:
            return
        del client.questions[question.nonce]
        if kind == "thread_stack_trace":
            answer = self._threads(question, command)
        else:
            answer = self._consumed(question, command.status)
        self._backend.answer(client, answer)

    def _check_transaction(self, client: GrpcClient, command: Command) -> None:
        half, ext = record.decode(command.body), command.ext
        place = TransactionId(int(ext["commitLogOffset"]), int(ext["tranStateTableOffset"]), ext.get("bname", ""))
        pairs = properties.parse(half.properties.decode(errors="replace"))
        topic = ext.get("topic") or pairs.get(properties.REAL_TOPIC, half.topic)
        found = pb.RecoverOrphanedTransactionCommand(
            message=message_of(half, MessageDelivery(topic)), transaction_id=place.text
        )
        client.tell(pb.TelemetryCommand(recover_orphaned_transaction_command=found))

    def _unsubscribe_lite(self, client: GrpcClient, command: Command) -> None:
        found = pb.NotifyUnsubscribeLiteCommand(lite_topic=command.ext["liteTopic"])
        client.tell(pb.TelemetryCommand(notify_unsubscribe_lite_command=found))

    def _print_threads(self, client: GrpcClient, command: Command) -> None:
        question = self._ask(client, command, "thread_stack_trace")
        found = pb.PrintThreadStackTraceCommand(nonce=question.nonce)
        self._send(client, command, question, pb.TelemetryCommand(print_thread_stack_trace_command=found))

    def _verify_message(self, client: GrpcClient, command: Command) -> None:
        stored = record.decode(command.body)
        pairs = properties.parse(stored.properties.decode(errors="replace"))
        topic = pairs.get(properties.RETRY_TOPIC, stored.topic)
        message = message_of(stored, MessageDelivery(topic, attempt=stored.reconsume_times + 1))
        question = self._ask(client, command, "verify_message_result")
        found = pb.VerifyMessageCommand(nonce=question.nonce, message=message)
        self._send(client, command, question, pb.TelemetryCommand(verify_message_command=found))

    def _ask(self, client: GrpcClient, command: Command, kind: str) -> Question:
        """Note a question. Its nonce is one of this client, so that no other client answers it."""
        if len(client.questions) >= MAX_QUESTIONS:
            del client.questions[next(iter(client.questions))]
        nonce = secrets.token_hex(16)
        question = Question(nonce, kind, command.opaque, self._clock.monotonic_ms())
        client.questions[nonce] = question
        return question

    def _send(self, client: GrpcClient, command: Command, question: Question, told: pb.TelemetryCommand) -> None:
        if not client.tell(told):
            del client.questions[question.nonce]
            self._refuse(client, command, ResponseCode.CONSUMER_NOT_ONLINE, "the client has no open Telemetry stream")

    def _refuse(self, client: GrpcClient, command: Command, code: ResponseCode, remark: str) -> None:
        if not command.is_oneway:
            self._backend.answer(client, Command(code, command.opaque, FLAG_RESPONSE, remark=remark))

    def _threads(self, question: Question, command: pb.TelemetryCommand) -> Command:
        if command.status.code not in {pb.OK, pb.CODE_UNSPECIFIED}:
            return _failed(question, command.status)
        trace = command.thread_stack_trace.thread_stack_trace[:MAX_TRACE]
        return _answer(question, {"jstack": trace, "properties": {}, "subscriptionSet": [], "mqTable": {}})

    def _consumed(self, question: Question, status: pb.Status) -> Command:
        result = _RESULTS.get(status.code)
        if result is None:
            return _failed(question, status)
        spent = self._clock.monotonic_ms() - question.asked_ms
        body = {"order": False, "autoCommit": True, "consumeResult": result, "spentTimeMills": spent}
        return _answer(question, {**body, "remark": "from gRPC client"})


def _answer(question: Question, body: dict[str, object]) -> Command:
    return Command(0, question.opaque, FLAG_RESPONSE, body=msgspec.json.encode(body))


def _failed(question: Question, status: pb.Status) -> Command:
    """Return the answer for a client that cannot do what it was asked for."""
    code = ResponseCode.SYSTEM_ERROR
    if status.code == pb.VERIFY_FIFO_MESSAGE_UNSUPPORTED:
        code = ResponseCode.NO_PERMISSION
    known = pb.Code.Name(status.code) if status.code in pb.Code.values() else str(status.code)
    return Command(code, question.opaque, FLAG_RESPONSE, remark=f"the client has answered {known}")
