"""The settings of clients (Telemetry), their life (Heartbeat, NotifyClientTermination), and commands to them.

Brokers see a client as a connection with heartbeats. So lists of clients, checks of transactions and the end of
memberships are those of every other client.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.guard.errors import DenialReason, Refused
from mqguard.model import names
from mqguard.model.process import Clock
from mqguard.model.topic import LiteSettings, SubscriptionGroupConfig
from mqguard.proxy.grpc import statuses
from mqguard.proxy.grpc.backoff import consumer_policy, producer_policy
from mqguard.proxy.grpc.client_commands import ClientCommands
from mqguard.proxy.grpc.clients import GrpcClient, GrpcClients
from mqguard.proxy.grpc.consumers import filter_language
from mqguard.proxy.grpc.lite import LiteHandlers
from mqguard.proxy.grpc.messages import duration
from mqguard.proxy.grpc.ports import Backend, OnAnswer
from mqguard.proxy.grpc.routes import require_group, require_topic
from mqguard.proxy.grpc.rpc_call import Rpc, RpcCall
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import OK, CallRefused
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

T = TypeVar("T")

MAX_TOPICS: Final = 1_000
"""Maximum topics in the settings of a client."""
MAX_EXPRESSION: Final = 4_096
"""Maximum characters of a filter in the settings of a client."""
LITE_QUOTA: Final = 2_000
"""Maximum lite topics of a client of a group without parent; brokers refuse its subscriptions."""
MAX_SETTINGS: Final = 512 * 1024
"""Maximum bytes of the settings of a client."""
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
        commands: The commands to clients, whose answers are on the same streams.
        lite: The subscriptions of clients to lite topics, which end with them.
        settings: Limits.
        clock: Clock.
    """

    def __init__(
        self,
        backend: Backend,
        clients: GrpcClients,
        commands: ClientCommands,
        lite: LiteHandlers,
        settings: ProxySettings,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._clients = clients
        self._commands = commands
        self._lite = lite
        self._settings = settings
        self._clock = clock

    def rpcs(self) -> list[Rpc]:
        """Return the RPCs."""
        return [
            Rpc("Telemetry", pb.TelemetryCommand, pb.TelemetryCommand, self.telemetry, streams_answer=True),
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
            self._commands.take_answer(call, command)
            return
        settings = command.settings
        settings.DiscardUnknownFields()
        _check(settings)
        kept = _kept(settings)
        client = self._clients.register(call.client_id, call.access, call.peer)
        try:
            self._clients.require_room(client, kept.ByteSize())
            self._clients.open_stream(client, call.call)
        except CallRefused:
            self._remove_new(client)
            raise
        client.access = call.access
        call.access.hold()
        client.language = _LANGUAGES.get(call.call.field("x-mq-language").upper(), LanguageCode.OTHER)

        def with_group(config: SubscriptionGroupConfig | None) -> None:
            answered = self._answered(settings, config)

            def beaten(answer: Command) -> None:
                if answer.code != 0:
                    self._remove_new(client)
                    raise CallRefused(statuses.of_answer(answer).code, answer.remark or "")
                self._clients.configure(client, kept)
                _send_settings(call.call, OK, answered)

            self._beat(client, settings, call.access, self._guarded(call, command, beaten))

        if settings.HasField("subscription"):
            self._backend.group(settings.subscription.group.name, call.access, self._guarded(call, command, with_group))
        else:
            with_group(None)

    def _guarded(
        self, call: RpcCall, command: pb.TelemetryCommand, part: Callable[[T], None]
    ) -> Callable[[T | Exception], None]:
        """Return a receiver for a result of the brokers, whose errors are answered on the stream."""

        def run(value: T | Exception) -> None:
            try:
                if isinstance(value, Exception):
                    raise value  # noqa: TRY301 - both ways end below
                part(value)
            except Exception as error:  # noqa: BLE001 - the outermost stage of a later event
                self.refused(call.call, command, error)

        return run

    def _remove_new(self, client: GrpcClient) -> None:
        """Forget a client whose first settings are refused."""
        if client.settings is None:
            self._clients.remove(client)

    def heartbeat(self, call: RpcCall, request: pb.HeartbeatRequest) -> None:
        """Note that a client lives."""
        call.access.pending = False  # a client id is that of the sender
        client = self._clients.find(call.access.owner, call.client_id)
        if client is None or client.settings is None:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the client has not sent its settings yet")
        client.seen_ms = self._clock.monotonic_ms()
        if request.group.name and client.settings.subscription.group.name != request.group.name:
            raise CallRefused(pb.ILLEGAL_CONSUMER_GROUP, "the group is not that of the client's settings")

        def beaten(answer: Command) -> None:
            call.reply(pb.HeartbeatResponse(status=statuses.of_answer(answer)))

        self._beat(client, client.settings, call.access, call.then(beaten))

    def terminate(self, call: RpcCall, request: pb.NotifyClientTerminationRequest) -> None:  # noqa: ARG002
        """Forget a client."""
        call.access.pending = False  # a client id is that of the sender
        client = self._clients.find(call.access.owner, call.client_id)
        if client is not None:
            self._lite.leave(client, call.access)
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
        known = self._clients.settings_on(stream)
        if known is not None:
            # The client goes on with the settings that it has.
            def with_group(config: SubscriptionGroupConfig | Exception | None) -> None:
                found = None if isinstance(config, Exception) else config
                _send_settings(stream, status, self._answered(known, found))

            access = self._clients.access_on(stream)
            if access is not None and known.HasField("subscription"):
                self._backend.group(known.subscription.group.name, access, with_group)
            else:
                with_group(None)
        elif command is not None and _may_go_on(command.settings, error):
            _send_settings(stream, status, self._answered(command.settings, None))
        else:
            # The client for Node reads the reason in a command only, others in the end of the stream. An error after
            # a command can end the process of Node, because the client has removed its handler of errors then.
            stream.send(pb.TelemetryCommand(status=status).SerializeToString())
            if stream.field("x-mq-language").upper() == "HTTP":
                stream.end()
                return
            stream.fail(_GRPC_STATUSES.get(status.code, GrpcStatus.INVALID_ARGUMENT), f"{status.code} {status.message}")

    def is_known(self, stream: GrpcCall) -> bool:
        """Return True if settings on the stream were admitted."""
        return self._clients.settings_on(stream) is not None

    def streams(self) -> list[GrpcCall]:
        """Return the streams with admitted commands."""
        return self._clients.streams()

    def stream_ended(self, stream: GrpcCall) -> None:
        """Forget a stream that has ended."""
        self._clients.end_stream(stream)

    def _beat(self, client: GrpcClient, settings: pb.Settings, access: AdmittedRequest, on_answer: OnAnswer) -> None:
        """Send a heartbeat of a client to the brokers."""
        command = Command(RequestCode.HEART_BEAT, language=client.language, body=encode(_heartbeat(client, settings)))
        self._backend.request_of(client, command, access, on_answer)

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
        lite = LiteSettings.of(group.attributes)
        subscription.lite_subscription_quota = LITE_QUOTA if lite is None else lite.quota
        subscription.max_lite_topic_size = names.MAX_LITE_TOPIC_CHARS
        return answered


def _send_settings(stream: GrpcCall, status: pb.Status, settings: pb.Settings) -> None:
    stream.send(pb.TelemetryCommand(status=status, settings=settings).SerializeToString())


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
    if settings.ByteSize() > MAX_SETTINGS:
        raise CallRefused(pb.PAYLOAD_TOO_LARGE, f"the settings have more than {MAX_SETTINGS} bytes")
    if settings.HasField("publishing"):
        if settings.client_type not in {pb.PRODUCER, pb.CLIENT_TYPE_UNSPECIFIED}:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the settings of a consumer have no `publishing`")
        topics = [topic.name for topic in settings.publishing.topics]
    else:
        if settings.client_type == pb.PRODUCER:
            raise CallRefused(pb.UNRECOGNIZED_CLIENT_TYPE, "the settings of a producer have no `subscription`")
        require_group(settings.subscription.group.name)
        topics = [entry.topic.name for entry in settings.subscription.subscriptions]
        for entry in settings.subscription.subscriptions:
            _check_filter(entry.expression)
    if len(topics) > MAX_TOPICS:
        raise CallRefused(pb.BAD_REQUEST, f"the settings have {len(topics)} topics, and the maximum is {MAX_TOPICS}")
    for topic in topics:
        require_topic(topic)


def _check_filter(expression: pb.FilterExpression) -> None:
    if len(expression.expression) > MAX_EXPRESSION:
        raise CallRefused(
            pb.ILLEGAL_FILTER_EXPRESSION, f"a filter has more than {MAX_EXPRESSION} characters: use a shorter one"
        )
    # Only the type is checked here: users of clients read the error of a receive, and not that of a start.
    filter_language(expression)


def _kept(settings: pb.Settings) -> pb.Settings:
    """Return the parts of a client's settings that the server needs later."""
    kept = pb.Settings(client_type=settings.client_type)
    if settings.HasField("request_timeout"):
        kept.request_timeout.CopyFrom(settings.request_timeout)
    if settings.HasField("publishing"):
        kept.publishing.topics.extend(pb.Resource(name=topic.name) for topic in settings.publishing.topics)
    else:
        kept.subscription.group.name = settings.subscription.group.name
        for entry in settings.subscription.subscriptions:
            kept.subscription.subscriptions.add(
                topic=pb.Resource(name=entry.topic.name),
                expression=pb.FilterExpression(type=entry.expression.type, expression=entry.expression.expression),
            )
    return kept


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
