"""A broker with the face for gRPC clients, without sockets: real guard, engine, HTTP/2 and messages."""

import datetime as dt
import hashlib
import hmac
from urllib.parse import unquote

import pytest

from mqguard.auth.user import Secret
from mqguard.dispatch.rpc_admission import SERVICE, RpcAdmission
from mqguard.model.topic import SubscriptionGroupConfig, TopicConfig
from mqguard.proxy.grpc.embedded import EmbeddedBackend
from mqguard.proxy.grpc.face import GrpcFace
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.rpc.calls import GrpcConnection
from mqguard.rpc.protocol import messages_pb2 as pb
from tests.fixtures.grpc_client import GrpcWire, prefixed
from tests.unit.broker.conftest import SECRET, House, _no_time_limits, acl

__all__ = ["SECRET", "_no_time_limits", "acl"]

BROKER = "broker-a"
ENDPOINTS = pb.Endpoints(scheme=pb.IPv4, addresses=[pb.Address(host="10.1.2.3", port=8081)])


class GrpcHouse(House):
    """A broker and its gRPC clients."""

    def __init__(self, *, proxy=None, **more):
        super().__init__(**more)
        self.backend = EmbeddedBackend(BROKER, self.engine, self.app, self.engine.group_commit.defer)
        self.face = GrpcFace(
            RpcAdmission(self.guard),
            self.backend,
            ProxySettings(**(proxy or {})),
            self.clock,
            lambda: self.manager.snapshot.version,
            self.suspension,
        )
        self.rpcs = self.face.server.rpcs

    def topic(self, name="t", queues=4, **attributes):
        named = {key.replace("_", "."): value for key, value in attributes.items()}
        self.engine.topics.put(TopicConfig(name, queues, queues, attributes=named))
        self.engine.group_commit.commit()

    def group(self, name="g", **fields):
        self.engine.groups.put(SubscriptionGroupConfig(name, **fields))
        self.engine.group_commit.commit()

    def client(self, user="root", client_id="c1", ip="127.0.0.1", **fields):
        return ProxyClient(self, user, client_id, ip, fields)

    def tick(self, ms=0):
        super().tick(ms)
        self.face.tick()
        self.app.end_of_iteration()


class ProxyClient:
    """A gRPC client on a connection of its own.

    Attributes:
        wire: The connection.
        fields: Fields of each of its calls, beyond its credentials.
        secret: The secret with which it signs.
    """

    def __init__(self, house, user, client_id, ip, fields):
        self.house = house
        self.user = user
        self.secret = SECRET
        self.fields = {"x-mq-language": "JAVA", **({"x-mq-client-id": client_id} if client_id else {}), **fields}
        self.link = house.connect(ip)
        self.wire = GrpcWire(lambda event: house.face.server.calls(self.link, [event]))
        self.wire.server = GrpcConnection(house.face.server.methods, lambda: None)

    def headers(self, **more):
        fields = {**self.fields, **{key.replace("_", "-"): value for key, value in more.items()}}
        if self.user:
            date = dt.datetime.fromtimestamp(self.house.clock.now / 1000, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
            fields.setdefault("x-mq-date-time", date)
            fields.setdefault("authorization", authorization(self.user, self.secret, fields["x-mq-date-time"]))
        return fields

    def start(self, name, message, **more):
        """Start a call without waiting for its answer."""
        rpc = self.house.rpcs[name]
        path = SERVICE + name
        stream = self.wire.call(message.SerializeToString(), path, **self.headers(**more))
        self.wire.run()
        return StartedCall(self, stream, rpc)

    def call(self, name, message, **more):
        """Return the answer of a call, of a stream all answers; the iteration of the event loop ends before it."""
        call = self.start(name, message, **more)
        self.end_iteration()
        return call.answers if self.house.rpcs[name].streams_answer else call.answer

    def stream(self, *commands, **more):
        """Open a Telemetry stream."""
        first, *rest = commands
        stream = self.wire.client.get_next_available_stream_id()
        fields = {":method": "POST", ":scheme": "http", ":path": f"{SERVICE}Telemetry", ":authority": "localhost"}
        fields |= {"content-type": "application/grpc", "te": "trailers", **self.headers(**more)}
        self.wire.client.send_headers(stream, list(fields.items()))
        call = StartedCall(self, stream, self.house.rpcs["Telemetry"])
        for command in (first, *rest):
            call.send(command)
        return call

    def end_iteration(self):
        self.house.app.end_of_iteration()
        self.wire.run()

    # Short forms

    def register(self, group=None, topics=("t",), kind=None, **more):
        """Send the settings of a producer, or of a consumer of a group; return the stream."""
        return self.stream(settings_command(group, topics, kind), **more)

    def send(self, *sent, **more):
        return self.call("SendMessage", pb.SendMessageRequest(messages=sent), **more)

    def receive(self, group="g", topic="t", **more):
        """Return the status, the messages and the other answers of a receive."""
        fields = {key: more.pop(key) for key in ("timeout", "user") if key in more}
        return Received(self.call("ReceiveMessage", receiving(group, topic, **more), **grpc_fields(fields)))

    def ack(self, *messages, group="g", topic="t"):
        entries = [
            pb.AckMessageEntry(
                message_id=one.system_properties.message_id, receipt_handle=one.system_properties.receipt_handle
            )
            for one in messages
        ]
        return self.call(
            "AckMessage", pb.AckMessageRequest(group=resource(group), topic=resource(topic), entries=entries)
        )


class StartedCall:
    """A call that was started."""

    def __init__(self, client, stream, rpc):
        self.client = client
        self.stream = stream
        self.rpc = rpc

    def send(self, message, *, is_end=False):
        self.client.wire.send(self.stream, prefixed(message.SerializeToString()), is_end=is_end)
        self.client.wire.run()
        self.client.end_iteration()

    def end(self):
        self.client.wire.client.end_stream(self.stream)
        self.client.wire.run()

    def cancel(self):
        self.client.wire.client.reset_stream(self.stream, 8)
        self.client.wire.run()

    @property
    def answers(self):
        self.client.wire.run()
        data, found = self.client.wire.answers.get(self.stream, b""), []
        while data:
            size = int.from_bytes(data[1:5], "big")
            found.append(self.rpc.answer.FromString(data[5 : 5 + size]))
            data = data[5 + size :]
        return found

    @property
    def answer(self):
        found = self.answers
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def result(self):
        """The status in the last answer, or that for which a stream has ended."""
        if self.answers:
            return self.answers[-1].status
        code, _, text = unquote(self.client.wire.trailers[self.stream]["grpc-message"]).partition(" ")
        return pb.Status(code=int(code), message=text)

    @property
    def status(self):
        """The status of gRPC, None while the call is open."""
        return self.client.wire.trailers.get(self.stream, {}).get("grpc-status")


class Received:
    """The answers of a receive."""

    def __init__(self, answers):
        self.answers = answers
        statuses = [one.status for one in answers if one.HasField("status")]
        assert len(statuses) <= 1
        self.status = statuses[0] if statuses else None
        self.code = self.status.code if self.status else None
        self.messages = [one.message for one in answers if one.HasField("message")]

    @property
    def bodies(self):
        return [one.body for one in self.messages]


def authorization(user, secret, date):
    """Return the field `authorization` as official clients make it."""
    key = Secret(secret).reveal().encode()
    signature = hmac.new(key, date.encode(), hashlib.sha1).hexdigest().upper()
    return f"MQv2-HMAC-SHA1 Credential={user}, SignedHeaders=x-mq-date-time, Signature={signature}"


def grpc_fields(fields):
    timeout = fields.pop("timeout", None)
    return fields if timeout is None else {"grpc_timeout": f"{timeout}m", **fields}


def resource(name):
    return pb.Resource(name=name)


def message(body=b"x", topic="t", *, user=None, **system):
    """Return a message; `user` are its user properties."""
    system = {"message_id": "0102030405060708090A0B0C0D0E0F", "message_type": pb.NORMAL, **system}
    return pb.Message(
        topic=resource(topic), body=body, user_properties=user, system_properties=pb.SystemProperties(**system)
    )


def receiving(group="g", topic="t", *, count=32, invisible_s=30, filter=None, wait_s=None, broker=BROKER, **more):  # noqa: A002
    request = pb.ReceiveMessageRequest(
        group=resource(group),
        message_queue=pb.MessageQueue(topic=resource(topic), id=-1, broker=pb.Broker(name=broker)),
        filter_expression=pb.FilterExpression(type=pb.TAG, expression="*") if filter is None else filter,
        batch_size=count,
        **more,
    )
    if invisible_s is not None:
        request.invisible_duration.seconds = invisible_s
    if wait_s is not None:
        request.long_polling_timeout.seconds = wait_s
    return request


def settings_command(group=None, topics=("t",), kind=None, filters=None):
    """Return the command with which a client begins."""
    settings = pb.Settings()
    if group is None:
        settings.client_type = pb.PRODUCER if kind is None else kind
        settings.publishing.SetInParent()
        settings.publishing.topics.extend(resource(name) for name in topics)
    else:
        settings.client_type = pb.SIMPLE_CONSUMER if kind is None else kind
        settings.subscription.group.name = group
        for name in topics:
            entry = settings.subscription.subscriptions.add()
            entry.topic.name = name
            entry.expression.CopyFrom((filters or {}).get(name, pb.FilterExpression(type=pb.TAG, expression="*")))
    return pb.TelemetryCommand(settings=settings)


@pytest.fixture
def house():
    """Return a broker with the topic `t` of four queues and the group `g`."""
    house = GrpcHouse()
    house.topic()
    house.group()
    return house
