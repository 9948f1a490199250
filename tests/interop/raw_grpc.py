"""Calls as the official clients for C++ (5.1.0) and C# (5.2.1) make them, by grpcio.

Facts are from the sources of the clients in apache/rocketmq-clients: `Signature.cpp`, `ProducerImpl.cpp` and
`SimpleConsumerImpl.cpp`; `Signature.cs`, `PublishingMessage.cs` and `Consumer.cs`.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import hmac
import itertools
import queue
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc

from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.wire import User

SERVICE = "/apache.rocketmq.v2.MessagingService/"
SECONDS = 30.0
COMPRESSED_FROM = 4_096
"""Size from which the client for C++ packs a body."""
_NUMBERS = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How the client of one language writes.

    Attributes:
        fields: Returns the header fields of a client with an id and a user.
        pack: Returns a body as it is sent.
        settings: Fields of the settings of a producer, besides its topics.
        is_marked: True if a message has its delivery time a second time, as the number of an attempt.
    """

    fields: Callable[[str, User | None], list[tuple[str, str]]]
    pack: Callable[[bytes], tuple[bytes, pb.Encoding]]
    settings: pb.Settings
    is_marked: bool = False


def _signature(secret: str, date: str) -> str:
    return hmac.new(secret.encode(), date.encode(), hashlib.sha1).hexdigest().upper()


def _cpp_fields(client_id: str, user: User | None) -> list[tuple[str, str]]:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    fields = [("x-mq-language", "CPP"), ("x-mq-client-id", client_id), ("x-mq-namespace", "")]
    fields += [("x-mq-client-version", "5.1.0"), ("x-mq-protocol-version", "v2"), ("x-mq-date-time", date)]
    if user is not None:
        credential = f"Credential={user.name}/cn-hangzhou/RocketMQ"
        signature = f"Signature={_signature(user.secret, date)}"
        fields.append(("authorization", f"MQv2-HMAC-SHA1 {credential}, SignedHeaders=x-mq-date-time, {signature}"))
    return fields


def _csharp_fields(client_id: str, user: User | None) -> list[tuple[str, str]]:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.localtime())
    fields = [("x-mq-language", "DOTNET"), ("x-mq-client-version", "5.2.1"), ("x-mq-request-id", str(uuid.uuid4()))]
    fields += [("x-mq-client-id", client_id), ("x-mq-namespace", ""), ("x-mq-date-time", date)]
    if user is not None:
        signature = f"Signature={_signature(user.secret, date)}"
        rest = f"SignedHeaders=x-mq-date-time, {signature}"
        fields.append(("authorization", f"MQv2-HMAC-SHA1 Credential={user.name}, {rest}"))
    return fields


def _cpp_body(body: bytes) -> tuple[bytes, pb.Encoding]:
    return (zlib.compress(body), pb.GZIP) if len(body) >= COMPRESSED_FROM else (body, pb.IDENTITY)


DIALECTS = {
    "C++": Dialect(
        _cpp_fields,
        _cpp_body,
        pb.Settings(
            client_type=pb.PRODUCER,
            publishing=pb.Publishing(max_body_size=4 * 1024 * 1024, validate_message_type=False),
            user_agent=pb.UA(language=pb.CPP, version="5.1.0", platform="Linux", hostname="host"),
        ),
        is_marked=True,
    ),
    "C#": Dialect(
        _csharp_fields,
        lambda body: (body, pb.IDENTITY),
        pb.Settings(
            client_type=pb.PRODUCER,
            publishing=pb.Publishing(validate_message_type=True),
            user_agent=pb.UA(version="5.2.1", platform="Linux", hostname="host"),
        ),
    ),
    "gzip": Dialect(_cpp_fields, lambda body: (gzip.compress(body), pb.GZIP), pb.Settings(client_type=pb.PRODUCER)),
}
"""The languages, and one that packs bodies in gzip's own form."""


class RawClient:
    """One client with a connection and a stream of its own.

    Args:
        endpoint: Address of the server, `host:port`.
        dialect: Its language.
        user: Its user.
    """

    def __init__(self, endpoint: str, dialect: Dialect, user: User | None) -> None:
        self._dialect = dialect
        self._user = user
        self._id = f"host@{next(_NUMBERS)}#raw"
        self._endpoint = endpoint
        self._channel = grpc.insecure_channel(endpoint)
        self._sent: queue.Queue[pb.TelemetryCommand | None] = queue.Queue()
        self._stream: Any = None

    @property
    def endpoints(self) -> pb.Endpoints:
        """The access point, as clients name it in their requests."""
        host, _, port = self._endpoint.rpartition(":")
        return pb.Endpoints(scheme=pb.IPv4, addresses=[pb.Address(host=host, port=int(port))])

    def call(self, rpc: str, request: Any, answer: type[Any]) -> Any:
        """Make a call with one answer."""
        method = self._channel.unary_unary(
            f"{SERVICE}{rpc}", lambda message: message.SerializeToString(), answer.FromString
        )
        return method(request, timeout=SECONDS, metadata=self._dialect.fields(self._id, self._user))

    def set_id(self, client_id: str) -> None:
        """Choose the client id of the next calls."""
        self._id = client_id

    def cancel(self, rpc: str, request: Any, *, seconds: float) -> None:
        """Make a call with several answers, and cancel it after a time."""
        method = self._channel.unary_stream(f"{SERVICE}{rpc}", lambda message: message.SerializeToString())
        waiting = method(request, timeout=SECONDS, metadata=self._dialect.fields(self._id, self._user))
        time.sleep(seconds)
        waiting.cancel()

    def answers(self, rpc: str, request: Any, answer: type[Any]) -> list[Any]:
        """Make a call with several answers."""
        method = self._channel.unary_stream(
            f"{SERVICE}{rpc}", lambda message: message.SerializeToString(), answer.FromString
        )
        return list(method(request, timeout=SECONDS, metadata=self._dialect.fields(self._id, self._user)))

    def send_settings(self, settings: pb.Settings) -> pb.TelemetryCommand:
        """Send settings on the stream, and return the server's next command."""
        if self._stream is None:
            method = self._channel.stream_stream(
                f"{SERVICE}Telemetry",
                lambda command: command.SerializeToString(),
                pb.TelemetryCommand.FromString,
            )
            self._stream = method(self._commands(), metadata=self._dialect.fields(self._id, self._user))
        settings.access_point.CopyFrom(self.endpoints)
        self._sent.put(pb.TelemetryCommand(settings=settings))
        return self.next_command()

    def next_command(self) -> pb.TelemetryCommand:
        """Return the next command of the server."""
        command: pb.TelemetryCommand = next(self._stream)
        return command

    def _commands(self) -> Iterator[pb.TelemetryCommand]:
        while (command := self._sent.get()) is not None:
            yield command

    def as_producer(self, *topics: str) -> pb.TelemetryCommand:
        """Send the settings of a producer."""
        settings = pb.Settings()
        settings.CopyFrom(self._dialect.settings)
        settings.request_timeout.seconds = 3
        settings.publishing.topics.extend(pb.Resource(name=topic) for topic in topics)
        return self.send_settings(settings)

    def as_consumer(self, topic: str, group: str, kind: pb.ClientType = pb.SIMPLE_CONSUMER) -> pb.TelemetryCommand:
        """Send the settings of a consumer."""
        settings = pb.Settings(client_type=kind)
        settings.request_timeout.seconds = 3
        settings.subscription.group.name = group
        settings.subscription.long_polling_timeout.seconds = 5
        wanted = settings.subscription.subscriptions.add()
        wanted.topic.name = topic
        wanted.expression.type, wanted.expression.expression = pb.TAG, "*"
        return self.send_settings(settings)

    def route(self, topic: str) -> Any:
        """Return the route of a topic."""
        request = pb.QueryRouteRequest(topic=pb.Resource(name=topic), endpoints=self.endpoints)
        return self.call("QueryRoute", request, pb.QueryRouteResponse)

    def message(self, topic: str, body: bytes, kind: pb.MessageType = pb.NORMAL) -> pb.Message:
        """Return a message as the client of the language writes it."""
        packed, encoding = self._dialect.pack(body)
        message = pb.Message(topic=pb.Resource(name=topic), body=packed, user_properties={"a": "b"})
        system = message.system_properties
        system.message_id = f"01{uuid.uuid4().hex[:32].upper()}"
        system.tag, system.message_type, system.body_encoding = "T", kind, encoding
        system.keys.append("K")
        system.born_host = "host"
        system.born_timestamp.GetCurrentTime()
        system.queue_id = 0
        return message

    def delayed(self, topic: str, body: bytes, seconds: int) -> pb.Message:
        """Return a message for a time."""
        message = self.message(topic, body, pb.DELAY)
        due = time.time() + seconds
        message.system_properties.delivery_timestamp.FromMilliseconds(int(due * 1000))
        if self._dialect.is_marked:
            # The client for C++ writes the milliseconds into 32 bits.
            message.system_properties.delivery_attempt = (int(due * 1000) + 2**31) % 2**32 - 2**31
        return message

    def send(self, message: pb.Message) -> Any:
        """Send a message, and return the whole answer."""
        return self.call("SendMessage", pb.SendMessageRequest(messages=[message]), pb.SendMessageResponse)

    def receive(self, mq: pb.MessageQueue, group: str, *, push: bool = False) -> tuple[pb.Status, list[pb.Message]]:
        """Receive messages of a queue."""
        request = pb.ReceiveMessageRequest(message_queue=mq, batch_size=32, auto_renew=push)
        request.group.name = group
        request.filter_expression.type, request.filter_expression.expression = pb.TAG, "*"
        request.long_polling_timeout.seconds = 5
        if push:
            request.attempt_id = str(uuid.uuid4())
        else:
            request.invisible_duration.seconds = 10
        found = self.answers("ReceiveMessage", request, pb.ReceiveMessageResponse)
        (status,) = (one.status for one in found if one.HasField("status"))
        return status, [one.message for one in found if one.HasField("message")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sent.put(None)
        self._channel.close()
