"""The settings of clients (Telemetry), their life (Heartbeat, NotifyClientTermination), and commands to them.

Brokers see a client as a connection with heartbeats. So lists of clients, checks of transactions and the end of
memberships are those of every other client.
"""

from typing import Final

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import DenialReason, Refused
from mqguard.model import properties, record
from mqguard.model.process import Clock
from mqguard.model.topic import SubscriptionGroupConfig
from mqguard.proxy import statuses
from mqguard.proxy.backoff import consumer_policy, producer_policy
from mqguard.proxy.clients import GrpcClient, GrpcClients
from mqguard.proxy.messages import MessageDelivery, duration, message_of
from mqguard.proxy.ports import Backend
from mqguard.proxy.producers import TransactionId
from mqguard.proxy.routes import require_group, require_topic
from mqguard.proxy.rpc_call import Rpc, RpcCall
from mqguard.proxy.settings import ProxySettings
from mqguard.proxy.statuses import OK, CallRefused
from mqguard.remoting.bodies.clients import (
    ConsumerData,
    ConsumeType,
    HeartbeatData,
    ProducerData,
    SubscriptionData,
)
from mqguard.remoting.bodies.codec import encode
from mqguard.remoting.codes import LanguageCode, RequestCode
from mqguard.remoting.command import Command
from mqguard.rpc.calls import GrpcCall, GrpcStatus
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_TOPICS: Final = 1_000
"""Maximum topics in the settings of a client."""
MAX_EXPRESSION: Final = 4_096
"""Maximum characters of a filter in the settings of a client."""
_LANGUAGES: Final = {
    "JAVA": LanguageCode.JAVA,
    "CPP": LanguageCode.CPP,
    "DOTNET": LanguageCode.DOTNET,
    "DOT_NET": LanguageCode.DOTNET,
    "PYTHON": LanguageCode.PYTHON,
    "GO": LanguageCode.GO,
    "GOLANG": LanguageCode.GO,
    "PHP": LanguageCode.PHP,
    "RUST": LanguageCode.RUST,
    "HTTP": LanguageCode.NODE_JS,
    "NODE_JS": LanguageCode.NODE_JS,
}
_PUSH: Final = frozenset({pb.PUSH_CONSUMER, pb.LITE_PUSH_CONSUMER})
_POLICY_DENIALS: Final = frozenset({DenialReason.DENIED, DenialReason.NO_MATCH})
_GRPC_STATUSES: Final[dict[int, GrpcStatus]] = {
    pb.UNAUTHORIZED: GrpcStatus.PERMISSION_DENIED,
    pb.TOO_MANY_REQUESTS: GrpcStatus.RESOURCE_EXHAUSTED,
    pb.INTERNAL_SERVER_ERROR: GrpcStatus.INTERNAL,
}


class TelemetryHandlers:
    """Handlers for settings and the life of clients.

    Args:
        backend: The brokers.
        clients: The clients.
        settings: Limits.
        clock: Clock.
    """

    def __init__(self, backend: Backend, clients: GrpcClients, settings: ProxySettings, clock: Clock) -> None:
        self._backend = backend
        self._clients = clients
        self._settings = settings
        self._clock = clock

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc("Telemetry", pb.TelemetryCommand, pb.TelemetryCommand, self.telemetry, True),  # noqa: FBT003
            Rpc("Heartbeat", pb.HeartbeatRequest, pb.HeartbeatResponse, self.heartbeat),
            Rpc(
                "NotifyClientTermination",
                pb.NotifyClientTerminationRequest,
                pb.NotifyClientTerminationResponse,
                self.terminate,
            ),
        ]

    def telemetry(self, call: RpcCall, command: pb.TelemetryCommand) -> None:
        """Take the settings of a client and answer with the server's."""
        call.access.pending = False  # a client id is that of the sender
        if not command.HasField("settings"):
            return
        settings = command.settings
        _check(settings)
        client = self._clients.register(call.client_id, call.access, call.peer)
        client.access = call.access
        call.access.hold()
        self._clients.open_stream(client, call.call)
        client.language = _LANGUAGES.get(call.call.field("x-mq-language").upper(), LanguageCode.OTHER)

        def with_group(config: SubscriptionGroupConfig | None) -> None:
            client.settings = self._answered(settings, config)
            self._beat(client, call.access)
            call.call.send(pb.TelemetryCommand(status=OK, settings=client.settings).SerializeToString())

        if settings.HasField("subscription"):
            self._backend.group(settings.subscription.group.name, with_group)
        else:
            with_group(None)

    def heartbeat(self, call: RpcCall, request: pb.HeartbeatRequest) -> None:
        """Note that a client lives."""
        call.access.pending = False  # a client id is that of the sender
        client = self._clients.find(call.access.owner, call.client_id)
        if client is None or client.settings is None:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the client has not sent its settings yet")
        client.seen_ms = self._clock.monotonic_ms()
        if request.group.name and client.settings.subscription.group.name != request.group.name:
            raise CallRefused(pb.ILLEGAL_CONSUMER_GROUP, "the group is not that of the client's settings")
        self._beat(client, call.access)
        call.reply(pb.HeartbeatResponse(status=OK))

    def terminate(self, call: RpcCall, request: pb.NotifyClientTerminationRequest) -> None:  # noqa: ARG002
        """Forget a client."""
        call.access.pending = False  # a client id is that of the sender
        client = self._clients.find(call.access.owner, call.client_id)
        if client is not None:
            self._clients.remove(client)
        call.reply(pb.NotifyClientTerminationResponse(status=OK))

    def refused(self, stream: GrpcCall, command: pb.TelemetryCommand | None, error: Exception) -> None:
        """Answer a command that was denied or that is not valid.

        Users of clients read nothing of a stream that has ended; the client for Java does not open it again when it
        starts. So a client without a permission gets default settings with the reason. It is not registered, its calls
        are denied, and its user reads why. A listener calls nothing that its user sees: its start fails.

        Args:
            stream: The stream.
            command: The command, None if it could not be read.
            error: The reason.
        """
        status = statuses.of_error("Telemetry", error)
        settings = self._clients.settings_on(stream)
        if settings is None and command is not None and _may_go_on(command.settings, error):
            settings = self._answered(command.settings, None)
        if settings is None:
            # The client for Node reads the reason in a command only, others in the end of the stream.
            stream.send(pb.TelemetryCommand(status=status).SerializeToString())
            stream.fail(_GRPC_STATUSES.get(status.code, GrpcStatus.INVALID_ARGUMENT), f"{status.code} {status.message}")
        else:
            stream.send(pb.TelemetryCommand(status=status, settings=settings).SerializeToString())

    def is_known(self, stream: GrpcCall) -> bool:
        """Return True if settings on the stream were admitted."""
        return self._clients.settings_on(stream) is not None

    def streams(self) -> list[GrpcCall]:
        """Return the streams with admitted commands."""
        return self._clients.streams()

    def stream_ended(self, stream: GrpcCall) -> None:
        """Forget a stream that has ended."""
        self._clients.end_stream(stream)

    def _beat(self, client: GrpcClient, access: AdmittedRequest) -> None:
        """Send a heartbeat of a client to the brokers."""
        settings = client.settings
        if settings is None:
            return
        command = Command(RequestCode.HEART_BEAT, language=client.language, body=encode(_heartbeat(client, settings)))
        self._backend.request_of(client, command, access, lambda _answer: None)

    def _answered(self, settings: pb.Settings, config: SubscriptionGroupConfig | None) -> pb.Settings:
        """Return the settings of a client with what the server decides."""
        answered = pb.Settings()
        answered.CopyFrom(settings)
        answered.metric.on = False
        if settings.HasField("publishing"):
            answered.publishing.max_body_size = self._settings.max_body
            answered.publishing.validate_message_type = True
            answered.backoff_policy.CopyFrom(producer_policy())
            return answered
        group = config or SubscriptionGroupConfig(settings.subscription.group.name)
        answered.backoff_policy.CopyFrom(consumer_policy(group))
        subscription = answered.subscription
        subscription.fifo = group.consume_orderly
        subscription.receive_batch_size = self._settings.receive_batch
        subscription.long_polling_timeout.CopyFrom(duration(self._settings.max_polling_ms))
        return answered

    # Commands of brokers

    def command(self, client: GrpcClient, command: Command) -> None:
        """Pass a request of a broker on to a client, if it has a form for gRPC clients."""
        if command.code == RequestCode.CHECK_TRANSACTION_STATE:
            self._check_transaction(client, command)

    def _check_transaction(self, client: GrpcClient, command: Command) -> None:
        half = record.decode(command.body)
        ext = command.ext
        place = TransactionId(int(ext["commitLogOffset"]), int(ext["tranStateTableOffset"]), ext.get("bname", ""))
        pairs = properties.parse(half.properties.decode(errors="replace"))
        message = message_of(half, MessageDelivery(ext.get("topic") or pairs.get(properties.REAL_TOPIC, half.topic)))
        client.tell(
            pb.TelemetryCommand(
                recover_orphaned_transaction_command=pb.RecoverOrphanedTransactionCommand(
                    message=message, transaction_id=place.text
                )
            )
        )


def _may_go_on(settings: pb.Settings, error: Exception) -> bool:
    """Return True if a client can do without its settings: it has authenticated, and its own calls will be denied."""
    if not isinstance(error, Refused) or error.reason not in _POLICY_DENIALS or settings.client_type in _PUSH:
        return False
    try:
        _check(settings)
    except CallRefused:
        return False
    return True


def _check(settings: pb.Settings) -> None:
    """Check the settings of a client, which are kept as long as it lives.

    Raises:
        CallRefused: They are not valid.
    """
    if settings.HasField("publishing"):
        if settings.client_type not in {pb.PRODUCER, pb.CLIENT_TYPE_UNSPECIFIED}:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the settings of a consumer have no `publishing`")
        topics = [topic.name for topic in settings.publishing.topics]
    else:
        if settings.client_type == pb.PRODUCER:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the settings of a producer have no `subscription`")
        require_group(settings.subscription.group.name)
        topics = [entry.topic.name for entry in settings.subscription.subscriptions]
        if any(len(entry.expression.expression) > MAX_EXPRESSION for entry in settings.subscription.subscriptions):
            raise CallRefused(
                pb.ILLEGAL_FILTER_EXPRESSION, f"a filter has more than {MAX_EXPRESSION} characters: use a shorter one"
            )
    if len(topics) > MAX_TOPICS:
        raise CallRefused(pb.BAD_REQUEST, f"the settings have {len(topics)} topics, and the maximum is {MAX_TOPICS}")
    for topic in topics:
        require_topic(topic)


def _heartbeat(client: GrpcClient, settings: pb.Settings) -> HeartbeatData:
    if settings.HasField("publishing"):
        groups = dict.fromkeys(topic.name for topic in settings.publishing.topics)
        return HeartbeatData(client.client_id, [ProducerData(group) for group in groups])
    subscription = settings.subscription
    kind = "CONSUME_PASSIVELY" if settings.client_type in _PUSH else "CONSUME_ACTIVELY"
    consumer = ConsumerData(
        subscription.group.name,
        ConsumeType(kind),
        subscription_data_set=[
            SubscriptionData(
                entry.topic.name,
                entry.expression.expression or "*",
                expression_type="SQL92" if entry.expression.type == pb.SQL else "TAG",
            )
            for entry in subscription.subscriptions
        ],
    )
    return HeartbeatData(client.client_id, consumer_data_set=[consumer])
