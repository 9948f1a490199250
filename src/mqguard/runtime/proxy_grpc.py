"""The face for gRPC clients of `mqguard proxy`, put together from the cluster behind it."""

from collections.abc import Callable
from typing import Final

from mqguard.config.loader import Configuration
from mqguard.model.process import Clock
from mqguard.net.server import CallApplication
from mqguard.net.upstream import UpstreamSettings
from mqguard.proxy.cluster.connections import NameServers
from mqguard.proxy.cluster.directory import Directory
from mqguard.proxy.grpc import cluster
from mqguard.proxy.grpc.cluster import ClusterBackend
from mqguard.proxy.grpc.face import GrpcFace
from mqguard.runtime import settings
from mqguard.runtime.access_components import AccessComponents

MAX_CALLS: Final = 2 * cluster.MAX_CALLS
"""Maximum open requests on one connection: the backend has its own limit, of which users have fair shares."""
MAX_QUEUED_BYTES: Final = 2 * cluster.MAX_BYTES
"""Maximum bytes that one broker has not taken, for the same reason."""


def with_grpc_limits(upstream: UpstreamSettings) -> UpstreamSettings:
    """Return the settings of the guard's connections to brokers, with the limits that gRPC clients need."""
    return upstream._replace(max_calls=MAX_CALLS, max_queued_bytes=MAX_QUEUED_BYTES)


class GrpcProxy:
    """The gRPC face of `mqguard proxy`.

    Args:
        config: The configuration.
        access: Access control.
        clock: The clock.
        directory: The brokers; `backend.serve` must get their requests.
        name_servers: The name servers.
        end_iteration: Requests the end of an iteration without input.

    Attributes:
        backend: The brokers of the cluster.
        face: The face.
    """

    def __init__(
        self,
        config: Configuration,
        access: AccessComponents,
        clock: Clock,
        directory: Directory,
        name_servers: NameServers,
        end_iteration: Callable[[], None],
    ) -> None:
        self._follower = access.follower
        self.backend = ClusterBackend(directory, name_servers, end_iteration, self._is_valid)
        self.face = GrpcFace(
            access.rpc_admission,
            self.backend,
            settings.proxy_settings(config),
            clock,
            lambda: access.manager.snapshot.version,
            access.suspension,
        )

    def _is_valid(self) -> bool:
        """Return True if the users and policies of this moment are those that count."""
        return self._follower is None or self._follower.is_current

    @property
    def calls(self) -> CallApplication:
        """The server of gRPC calls, for a listener."""
        return self.face.server

    def start(self) -> None:
        """Begin to register clients with the brokers."""
        self.backend.start()

    def tick(self) -> None:
        """Do the work that is due by the clock."""
        if self._is_valid():
            self.face.tick()

    def close(self) -> None:
        """Stop registering clients."""
        self.backend.close()
