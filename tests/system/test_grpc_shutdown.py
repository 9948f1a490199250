"""SIGTERM ends the calls of gRPC clients with answers: receives without messages, streams with OK."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc

from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.access import ADMIN, create_topic
from tests.fixtures.server import Server
from tests.fixtures.wire import Wire

SERVICE = "/apache.rocketmq.v2.MessagingService/"
TOPIC, GROUP = "orders", "billing"


def metadata() -> list[tuple[str, str]]:
    """Return the signed fields of a call of the administrator."""
    date = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    signature = hmac.new(ADMIN.secret.encode(), date.encode(), hashlib.sha1).hexdigest()
    credentials = f"MQv2-HMAC-SHA1 Credential={ADMIN.name}, SignedHeaders=x-mq-date-time, Signature={signature}"
    return [
        ("x-mq-client-id", "host@1@0@abc"),
        ("x-mq-language", "PYTHON"),
        ("x-mq-date-time", date),
        ("authorization", credentials),
    ]


def settings_command() -> pb.TelemetryCommand:
    subscription = pb.Subscription(group=pb.Resource(name=GROUP))
    subscription.subscriptions.add(topic=pb.Resource(name=TOPIC)).expression.expression = "*"
    return pb.TelemetryCommand(settings=pb.Settings(client_type=pb.SIMPLE_CONSUMER, subscription=subscription))


def receive_request() -> pb.ReceiveMessageRequest:
    request = pb.ReceiveMessageRequest(group=pb.Resource(name=GROUP), batch_size=8)
    request.message_queue.topic.name = TOPIC
    request.filter_expression.expression = "*"
    request.filter_expression.type = pb.TAG
    request.invisible_duration.seconds = 30
    request.long_polling_timeout.seconds = 20
    return request


def test_open_calls_are_answered_before_the_server_ends(tmp_path: Path) -> None:
    over = threading.Event()

    def commands() -> Iterator[bytes]:
        yield settings_command().SerializeToString()
        over.wait(30)

    with Server(tmp_path / "server") as server:
        with Wire(server.broker_port, ADMIN) as admin:
            create_topic(admin, TOPIC)
        with grpc.insecure_channel(f"127.0.0.1:{server.broker_port}") as channel:
            telemetry = channel.stream_stream(f"{SERVICE}Telemetry")(commands(), timeout=60, metadata=metadata())
            answered = pb.TelemetryCommand.FromString(next(telemetry))
            assert answered.status.code == pb.OK
            receive = channel.unary_stream(f"{SERVICE}ReceiveMessage")
            receiving = receive(receive_request().SerializeToString(), timeout=60, metadata=metadata())
            threading.Event().wait(1)
            server.terminate()
            answers = [pb.ReceiveMessageResponse.FromString(one) for one in receiving]
            assert [one.status.code for one in answers] == [pb.MESSAGE_NOT_FOUND]
            assert list(telemetry) == []
            assert telemetry.code() is grpc.StatusCode.OK
            over.set()
        assert server.wait() == 0
