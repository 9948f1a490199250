"""Request and reply (324, 325): an answer is handed to the very client that asked (326).

The asker's message says which client it is (`REPLY_TO_CLIENT`); whoever consumed the message sends the answer with
that name. It goes to the connection that registered the client id, and nowhere else; it is not kept.
"""

from collections.abc import Callable

from mqguard.broker.errors import RequestRefused
from mqguard.broker.questions import Questions
from mqguard.broker.request import Handler, Request
from mqguard.broker.settings import BrokerSettings
from mqguard.engine.clients import Client, Clients
from mqguard.engine.engine import Engine
from mqguard.engine.errors import MessageIllegal
from mqguard.model import properties
from mqguard.model.clock import Clock
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.send import PushReplyHeader, SendHeader, read_send
from mqguard.remoting.link import Link

REPLY_TO_CLIENT = "REPLY_TO_CLIENT"
PUSH_REPLY_TIME = "PUSH_REPLY_TIME"


class Replying:
    """Hands replies on.

    Args:
        engine: Knows the topics.
        clients: Finds the asker's connection.
        questions: Open requests of ours to clients.
        address: Says at which `host:port` this broker is reached.
        settings: See `BrokerSettings`.
        clock: Tells the time.
    """

    def __init__(
        self,
        engine: Engine,
        clients: Clients,
        questions: Questions,
        address: Callable[[], str],
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._address = address
        self._engine = engine
        self._clients = clients
        self._questions = questions
        self._settings = settings
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """What is served here."""
        return {RequestCode.SEND_REPLY_MESSAGE: self.reply, RequestCode.SEND_REPLY_MESSAGE_V2: self.reply}

    def reply(self, request: Request) -> None:
        """Hand a reply to the client that waits for it, and answer when it has taken it."""
        command = request.command
        header = read_send(command.code, command.ext)
        self._engine.topics.writable(header.topic)
        most = self._engine.settings.max_message_bytes
        if len(command.body) > most:
            # The asker could not read a frame much larger, and would lose its connection.
            raise MessageIllegal(f"message body size exceeded, max: {most}, is: {len(command.body)}")
        pairs = properties.parse(header.properties or "")
        client = self._asker(pairs.get(REPLY_TO_CLIENT))
        now = self._clock.now_ms()
        pairs[PUSH_REPLY_TIME] = str(now)
        push = self._push(header, properties.text_of(pairs), request.link, now)
        answer = _Answer(request.kept(), header.queue_id, client.client_id, self._ext())
        asked = self._questions.ask(
            client.link,
            RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
            write(push),
            command.body,
            now + self._settings.question_ms,
            answer.take,
        )
        if not asked:
            raise _gone(client.client_id)

    def _asker(self, client_id: str | None) -> Client:
        if not client_id:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR, f"reply message properties[{REPLY_TO_CLIENT}] is null: nobody to reply to"
            )
        found = self._clients.find_producer(client_id)
        if found is None:
            raise _gone(client_id)
        return found

    def _push(self, header: SendHeader, text: str, link: Link, now_ms: int) -> PushReplyHeader:
        return PushReplyHeader(
            producer_group=header.producer_group,
            topic=header.topic,
            default_topic=header.default_topic,
            default_topic_queue_nums=header.default_topic_queue_nums,
            queue_id=header.queue_id,
            sys_flag=header.sys_flag,
            born_timestamp=header.born_timestamp,
            flag=header.flag,
            born_host=link.peer.address,
            store_host=self._address(),
            store_timestamp=now_ms,
            properties=text,
            reconsume_times=header.reconsume_times,
            unit_mode=bool(header.unit_mode),
        )

    def _ext(self) -> dict[str, str]:
        return {
            "MSG_REGION": self._settings.region,
            "TRACE_ON": "true" if self._settings.trace_on else "false",
        }


class _Answer:
    """What the sender of a reply hears when the asker has taken it, or has not."""

    def __init__(self, request: Request, queue_id: int, client_id: str, ext: dict[str, str]) -> None:
        self._request = request
        self._queue_id = queue_id
        self._client_id = client_id
        self._ext = ext

    def take(self, answer: Command | None) -> None:
        if answer is not None and answer.code == 0:
            ext = {**self._ext, "msgId": "0", "queueId": str(max(0, self._queue_id)), "queueOffset": "0"}
            self._request.respond(Reply(ext=ext))
            return
        why = "does not answer" if answer is None else f"answers {answer.code}"
        remark = f"push reply message to {self._client_id} fail: the client {why}"
        self._request.respond(Reply(ResponseCode.SYSTEM_ERROR, self._ext, remark=remark))


def _gone(client_id: str) -> RequestRefused:
    return RequestRefused(
        ResponseCode.SYSTEM_ERROR, f"push reply message fail, channel of <{client_id}> not found: it is not connected"
    )
