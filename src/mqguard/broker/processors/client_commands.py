"""Requests of administrators that only consumers can answer (223, 307, 309).

The broker sends each request on to the consumer and returns its answer. It makes the request anew from the typed
header: the consumer must not get the administrator's AccessKey and Signature, which it could replay.
"""

from collections.abc import Callable

from mqguard.auth.policy import Action
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.clients import Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import NoSuchMessage
from mqguard.engine.group_members import ConnectedClient
from mqguard.guard.message_authorization import require_message, topics_of
from mqguard.model.process import Clock
from mqguard.model.record import parse_offset_id
from mqguard.remoting.bodies.codec import MessageQueue, decode_table, encode
from mqguard.remoting.bodies.groups import ConsumerStatus
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import BodyInvalid, Command, Reply
from mqguard.remoting.headers.codec import Header, read, write
from mqguard.remoting.headers.groups import ConsumeDirectlyHeader, RunningInfoHeader
from mqguard.remoting.headers.topics import ConsumerStatusHeader


class ClientCommandProcessor:
    """Handlers that send requests of administrators on to consumers.

    Args:
        engine: Engine, which has the messages.
        clients: The connected consumers.
        client_calls: Open calls to clients.
        settings: See `BrokerSettings`.
        clock: Clock for timeouts.
    """

    def __init__(
        self, engine: Engine, clients: Clients, client_calls: ClientCalls, settings: BrokerSettings, clock: Clock
    ) -> None:
        self._engine = engine
        self._clients = clients
        self._client_calls = client_calls
        self._broker = settings.name
        self._timeout_ms = settings.client_call_timeout_ms
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {
            RequestCode.GET_CONSUMER_RUNNING_INFO: self.running_info,
            RequestCode.CONSUME_MESSAGE_DIRECTLY: self.consume_directly,
            RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS: self.status,
        }

    def running_info(self, request: Request) -> None:
        """Return the running info of a consumer (307)."""
        header = read(request.command.ext, RunningInfoHeader)
        self._send_on(request, header.consumer_group, header.client_id, header, b"")

    def consume_directly(self, request: Request) -> None:
        """Have a consumer process one stored message now (309)."""
        header = read(request.command.ext, ConsumeDirectlyHeader)
        place = parse_offset_id(header.msg_id or "")
        if place is None:
            raise RequestRefused(
                ResponseCode.INVALID_PARAMETER,
                f"`{header.msg_id or ''}` is not a valid `msgId`: use the 32 or 56 hexadecimal digits of an offset id",
            )
        data = self._engine.record_at(place.physical_offset)
        if data is None:
            raise NoSuchMessage(f"can not find message by the offset, {place.physical_offset}")
        message = require_message(request.access, data, Action.SUB)
        header.broker_name = self._broker
        self._send_on(request, header.consumer_group, header.client_id or "", header, data, topics_of(message))

    def status(self, request: Request) -> None:
        """Return the offsets of a group's clients in a topic, as the clients report them (223)."""
        header = read(request.command.ext, ConsumerStatusHeader)
        group = self._clients.group(header.group)
        consumers = [
            member.client
            for member in (group.members.values() if group else ())
            if not header.client_addr or header.client_addr == member.client.client_id
        ]
        if not consumers:
            raise RequestRefused(
                ResponseCode.CONSUMER_NOT_ONLINE, f"No Any Consumer online in the consumer group: [{header.group}]"
            )
        answers = _CollectedAnswers(request.without_body(), len(consumers))
        deadline = self._clock.monotonic_ms() + self._timeout_ms
        for client in consumers:
            take = answers.receiver(client)
            if not self._client_calls.call(
                client.peer.channel,
                RequestCode.GET_CONSUMER_STATUS_FROM_CLIENT,
                write(header),
                b"",
                deadline,
                take,
                request.access.owner,
            ):
                take(None)

    def _send_on(
        self, request: Request, group: str, client_id: str, header: Header, body: bytes, topics: tuple[str, ...] = ()
    ) -> None:
        found = self._clients.group(group)
        client = found.find(client_id, request.access.user or None) if found else None
        if client is None:
            raise RequestRefused(ResponseCode.SYSTEM_ERROR, f"The Consumer <{group}> <{client_id}> not online")
        if not client.may_consume(group, topics, otherwise=False):
            raise RequestRefused(
                ResponseCode.NO_PERMISSION,
                f"the user of the consumer <{group}> <{client_id}> has no permission to consume this as the group",
            )
        waiting = request.without_body()
        is_sent = self._client_calls.call(
            client.peer.channel,
            request.command.code,
            write(header),
            body,
            self._clock.monotonic_ms() + self._timeout_ms,
            lambda answer: _return_answer(waiting, answer, f"consumer <{group}> <{client_id}> Timeout"),
            request.access.owner,
        )
        if not is_sent:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR,
                f"The Consumer <{group}> <{client_id}> has too many open requests: try again later",
            )


RIGHTS_CHANGED = "the rights of the sender changed while the consumer was asked: send the request again"


def _return_answer(request: Request, answer: Command | None, late: str) -> None:
    if not request.access.still_allowed():
        request.respond(Reply(ResponseCode.NO_PERMISSION, remark=RIGHTS_CHANGED))
    elif answer is None:
        request.respond(Reply(ResponseCode.CONSUME_MSG_TIMEOUT, remark=late))
    else:
        request.respond(Reply(answer.code, answer.ext or None, answer.body, answer.remark))


class _CollectedAnswers:
    """Answers of several clients, which become one answer."""

    def __init__(self, request: Request, missing: int) -> None:
        self._request = request
        self._missing = missing
        self._found: dict[str, dict[MessageQueue, int]] = {}

    def receiver(self, client: ConnectedClient) -> Callable[[Command | None], None]:
        """Return the receiver of one client's answer."""
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
