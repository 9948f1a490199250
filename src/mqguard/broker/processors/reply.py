"""Replies of request-reply (324, 325), which the broker sends to the connection that sent the request (326).

The broker stores each request when it is sent (see `open_requests`). A user who may read the topic of the request may
reply once, on the cluster's reply topic. The reply goes only to the connection of the request, and is not stored.
If a reply matches no open request, its sender gets one error for all reasons, which does not say who is connected.
"""

from collections.abc import Callable

from mqguard.auth.policy import Action
from mqguard.auth.resource import ResourceType
from mqguard.broker.settings import BrokerSettings
from mqguard.dispatch.client_calls import ClientCalls
from mqguard.dispatch.open_requests import CORRELATION_ID, REPLY_TO_CLIENT, OpenRequest, OpenRequests
from mqguard.dispatch.request import Handler, Request, RequestRefused
from mqguard.engine.engine import Engine
from mqguard.engine.errors import MessageIllegal
from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import Refused
from mqguard.model import properties
from mqguard.model.process import Clock
from mqguard.remoting.codes import RequestCode, ResponseCode
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.headers.codec import write
from mqguard.remoting.headers.send import PushReplyHeader, SendHeader, read_send
from mqguard.remoting.link import Link

PUSH_REPLY_TIME = "PUSH_REPLY_TIME"


class ReplyProcessor:
    """Handlers that deliver replies.

    Args:
        engine: Engine, which has the topics.
        requests: Requests that wait for a reply.
        client_calls: Open calls to clients.
        address: Function that returns the `host:port` at which clients reach this broker.
        settings: See `BrokerSettings`.
        clock: Clock.
    """

    def __init__(
        self,
        engine: Engine,
        requests: OpenRequests,
        client_calls: ClientCalls,
        address: Callable[[], str],
        settings: BrokerSettings,
        clock: Clock,
    ) -> None:
        self._address = address
        self._engine = engine
        self._requests = requests
        self._client_calls = client_calls
        self._settings = settings
        self._trace_fields = engine.settings.trace_fields()
        self._clock = clock

    def handlers(self) -> dict[int, Handler]:
        """Return the handlers by request code."""
        return {RequestCode.SEND_REPLY_MESSAGE: self.reply, RequestCode.SEND_REPLY_MESSAGE_V2: self.reply}

    def reply(self, request: Request) -> None:
        """Send a reply to the client that waits for it, and answer the sender when the client has accepted it."""
        command = request.command
        header = read_send(command.code, command.ext)
        if header.topic != f"{self._settings.cluster}_REPLY_TOPIC":
            raise RequestRefused(
                ResponseCode.NO_PERMISSION,
                f"the topic `{header.topic}` is not for replies: send them to `{self._settings.cluster}_REPLY_TOPIC`",
            )
        self._engine.topics.writable(header.topic)
        limit = self._engine.settings.max_message_bytes
        if len(command.body) > limit:
            # The client could not read a much larger frame, and would close its connection.
            raise MessageIllegal(f"message body size exceeded, max: {limit}, is: {len(command.body)}")
        pairs = properties.parse(header.properties or "")
        now, monotonic = self._clock.now_ms(), self._clock.monotonic_ms()
        open_request = self._find(
            request.access, pairs.get(REPLY_TO_CLIENT, ""), pairs.get(CORRELATION_ID, ""), monotonic
        )
        pairs[PUSH_REPLY_TIME] = str(now)
        push = self._push(header, properties.text_of(pairs), request.link, now)
        answer = _ReplyResult(request.without_body(), header.queue_id, open_request, self._requests, self._trace_fields)
        is_sent = self._client_calls.call(
            open_request.link.peer.channel,
            RequestCode.PUSH_REPLY_MESSAGE_TO_CLIENT,
            write(push),
            command.body,
            monotonic + self._settings.client_call_timeout_ms,
            answer.take,
            request.access.owner,
        )
        if not is_sent:
            raise RequestRefused(
                ResponseCode.SYSTEM_BUSY,
                "push reply message fail: the client accepts its replies too slowly, try again",
            )
        self._requests.close(open_request)

    def _find(self, access: AdmittedRequest, client_id: str, correlation_id: str, now_ms: int) -> OpenRequest:
        """Return the open request for a reply.

        Raises:
            RequestRefused: There is none, or the sender may not read its topic. The error is the same for both.
        """
        open_request = self._requests.find(client_id, correlation_id, now_ms)
        if open_request is not None:
            try:
                access.require(ResourceType.TOPIC, open_request.topic, Action.SUB)
            except Refused:
                open_request = None
        if open_request is None:
            raise RequestRefused(
                ResponseCode.SYSTEM_ERROR,
                f"push reply message fail: no open request has these properties {REPLY_TO_CLIENT} and {CORRELATION_ID}",
            )
        return open_request

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


class _ReplyResult:
    """Answer to the sender of a reply, once its client has accepted it or not."""

    def __init__(
        self, request: Request, queue_id: int, open_request: OpenRequest, requests: OpenRequests, ext: dict[str, str]
    ) -> None:
        self._request = request
        self._queue_id = queue_id
        self._open_request = open_request
        self._requests = requests
        self._ext = ext

    def take(self, answer: Command | None) -> None:
        if answer is not None and answer.code == 0:
            ext = {**self._ext, "msgId": "0", "queueId": str(max(0, self._queue_id)), "queueOffset": "0"}
            self._request.respond(Reply(ext=ext))
            return
        self._requests.reopen(self._open_request)
        reason = "did not answer in time" if answer is None else f"refused it with code {answer.code}"
        remark = f"push reply message to {self._open_request.id[0]} fail: the client {reason}"
        self._request.respond(Reply(ResponseCode.SYSTEM_ERROR, self._ext, remark=remark))
