"""The parts of the face for gRPC clients, put together."""

from collections.abc import Callable

from mqguard.dispatch.rpc_admission import RpcAdmission
from mqguard.dispatch.suspended import Suspension
from mqguard.model.process import Clock
from mqguard.proxy.grpc.client_commands import ClientCommands
from mqguard.proxy.grpc.clients import GrpcClient, GrpcClients
from mqguard.proxy.grpc.consumers import ConsumerHandlers
from mqguard.proxy.grpc.lite import LiteHandlers
from mqguard.proxy.grpc.offsets import OffsetHandlers
from mqguard.proxy.grpc.ports import Backend
from mqguard.proxy.grpc.producers import ProducerHandlers
from mqguard.proxy.grpc.renewal import Renewals
from mqguard.proxy.grpc.routes import RouteHandlers
from mqguard.proxy.grpc.server import RpcServer
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.telemetry import TelemetryHandlers
from mqguard.remoting.command import Command

EXPIRY_INTERVAL_MS = 5_000


class GrpcFace:
    """The face for gRPC clients.

    Args:
        admission: Admission of calls.
        backend: The brokers.
        settings: Limits.
        clock: Clock.
        version: Returns the version of users and policies.
        suspension: Store of calls that wait for plugins, None without plugins.

    Attributes:
        server: Serves the calls of the listeners.
        clients: The clients.
    """

    def __init__(
        self,
        admission: RpcAdmission,
        backend: Backend,
        settings: ProxySettings,
        clock: Clock,
        version: Callable[[], int],
        suspension: Suspension | None = None,
    ) -> None:
        self._clock = clock
        self._version = version
        self._expired_ms = 0
        self.clients = GrpcClients(backend, settings, clock, self._command)
        self._renewals = Renewals(backend, self.clients, settings, clock)
        self._commands = ClientCommands(backend, self.clients, clock)
        lite = LiteHandlers(backend, self.clients, settings)
        self._telemetry = TelemetryHandlers(backend, self.clients, self._commands, lite, settings, clock)
        rpcs = [
            *RouteHandlers(backend).rpcs(),
            *ProducerHandlers(backend, settings, clock).rpcs(),
            *ConsumerHandlers(backend, self.clients, self._renewals, settings, clock).rpcs(),
            *OffsetHandlers(backend, settings).rpcs(),
            *lite.rpcs(),
            *self._telemetry.rpcs(),
        ]
        self.server = RpcServer(admission, rpcs, self._telemetry, suspension)

    @property
    def renewed(self) -> int:
        """Return the number of messages whose invisible time is extended."""
        return len(self._renewals)

    def tick(self) -> None:
        """Do the work that is due by the clock."""
        self._renewals.tick()
        self.clients.review(self._version())
        now = self._clock.monotonic_ms()
        if now - self._expired_ms >= EXPIRY_INTERVAL_MS:
            self._expired_ms = now
            self.clients.expire()

    def _command(self, client: GrpcClient, command: Command) -> None:
        self._commands.command(client, command)
