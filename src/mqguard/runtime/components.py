"""All parts of a server except its sockets: opened in order, closed in reverse order."""

import asyncio
import contextlib
import enum
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mqguard.broker.processors.assignment import Queues
from mqguard.broker.registration import Registrations
from mqguard.broker.server import Announcer, BrokerPorts, BrokerServer
from mqguard.broker.settings import ExposedConfiguration
from mqguard.broker.topic_routes import TopicRoutes
from mqguard.config import loader, server_options
from mqguard.config.loader import Configuration
from mqguard.dispatch.access_requests import CHANGE_CODES, AccessProcessor, DenialProcessor
from mqguard.dispatch.request import Handler, error_reply
from mqguard.dispatch.router import Router
from mqguard.engine.engine import Engine
from mqguard.model.process import Clock
from mqguard.model.topic import PERM_READ, TopicConfig
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.route_table import RouteTable
from mqguard.namesrv.server import NameServer
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import Application, CallApplication, RemotingServer
from mqguard.net.upstream import Upstream
from mqguard.proxy.grpc.embedded import EmbeddedBackend
from mqguard.proxy.grpc.face import GrpcFace
from mqguard.runtime import metrics, plugins, settings
from mqguard.runtime.access import OnAdminCreated
from mqguard.runtime.access_components import AccessComponents
from mqguard.runtime.background import BackgroundThread
from mqguard.runtime.changeable_options import changeable_options, fixed_options
from mqguard.runtime.data_directory import KvFile
from mqguard.runtime.sharing.member import AccessMember, monotonic_ms
from mqguard.runtime.sharing.owner import AccessOwner
from mqguard.runtime.sharing.validity import CallValidityCheck, ValidityCheck
from mqguard.runtime.snapshots import DataSnapshots
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.telemetry.prometheus import PrometheusCollector


class Role(enum.Enum):
    """The parts of a server that a process has."""

    STANDALONE = "standalone"
    NAMESRV = "namesrv"
    BROKER = "broker"
    PROXY = "proxy"

    @property
    def has_broker(self) -> bool:
        """True if the process has a broker."""
        return self in {Role.STANDALONE, Role.BROKER}

    @property
    def has_namesrv(self) -> bool:
        """True if the process has a name server."""
        return self in {Role.STANDALONE, Role.NAMESRV}


class Components:
    """The parts of a server.

    Args:
        role: The parts that the process has.
        config: The configuration.
        loaded: The plugins of the configuration.
        data: The data directory, locked by this process.
        clock: The clock.
        first_start: Called if a Super user was created.

    Raises:
        ConfigInvalid: A setting cannot be used.
        StartFailed: A file cannot be written.
        StoreError: The messages cannot be opened.
        MetadataStoreFailed: Users and policies cannot be opened.

    Attributes:
        access: Access control.
    """

    def __init__(
        self,
        role: Role,
        config: Configuration,
        loaded: plugins.LoadedPlugins,
        data: Path,
        clock: Clock,
        first_start: OnAdminCreated,
    ) -> None:
        self._config = config
        self._clock = clock
        self._owner: AccessOwner | None = None
        self._broker: _BrokerParts | None = None
        self._namesrv: _NameServerParts | None = None
        with contextlib.ExitStack() as opened:
            shared = config.get(server_options.SHARED_ACCESS_PATH) if role is Role.BROKER else None
            self.access = access = AccessComponents(config, loaded, data, clock, first_start, opened, shared)
            routes = RouteTable() if role.has_namesrv else None
            if role.has_broker:
                self._broker = _BrokerParts(config, access, data, clock, routes, opened)
            handlers: dict[int, Handler] = {}
            if role is Role.NAMESRV and routes is not None:
                handlers = self._share(config, access, data, clock, routes, opened)
            if routes is not None:
                self._namesrv = _NameServerParts(config, access, data, clock, routes, handlers)
            self._opened = opened.pop_all()

    def _share(
        self,
        config: Configuration,
        access: AccessComponents,
        data: Path,
        clock: Clock,
        routes: RouteTable,
        opened: contextlib.ExitStack,
    ) -> dict[int, Handler]:
        """Offer the users and policies to brokers on this machine.

        Returns:
            The handlers with which tools change and read them at the name server's port.
        """
        settings_of_broker = settings.broker_settings(config)
        processor = AccessProcessor(
            access.manager,
            access.audit.trail,
            access.key,
            settings_of_broker.secret_exposure,
            clock,
            anonymous_administers=settings_of_broker.anonymous_administers,
        )
        handlers = processor.handlers()
        denials = DenialProcessor(access.guard.denials, access.manager).handlers()
        if access.remote is not None:
            # Brokers use the remote store too, so this process does not offer it to them.
            return {**handlers, **denials, **dict.fromkeys(CHANGE_CODES, access.remote.forward)}
        changes: dict[int, Handler] = {code: handlers[code] for code in CHANGE_CODES}
        max_age_ms = config.get(server_options.SHARED_ACCESS_MAX_AGE) * 1000
        self._owner = AccessOwner(data, access.manager, access.store, access.key, changes, routes, max_age_ms)
        opened.callback(self._owner.close)
        return {**handlers, **denials, **self._owner.handlers()}

    @property
    def broker(self) -> Application | None:
        """The application of the broker's listener, None without a broker."""
        return None if self._broker is None else self._broker.application

    @property
    def calls(self) -> CallApplication | None:
        """The server of gRPC calls, None without a broker."""
        return None if self._broker is None else self._broker.calls

    @property
    def namesrv(self) -> Application | None:
        """The application of the name server's listener, None without a name server."""
        return None if self._namesrv is None else self._namesrv.application

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Set the event loop of the requests.

        Args:
            loop: The event loop.
            end_iteration: Requests the end of an iteration without input.
        """
        self.access.attach(loop, end_iteration)
        if self._owner is not None:
            self._owner.attach(loop, end_iteration)
        if self._broker is not None:
            self._broker.attach(loop, end_iteration)

    def observe(self, scheduler: Scheduler, servers: Mapping[str, RemotingServer]) -> None:
        """Add what the listeners and the engine do to the metrics.

        Args:
            scheduler: The scheduler that they share.
            servers: The listeners, by name.
        """
        if self._broker is not None:
            metrics.observe_engine(self.access.metrics, self._broker.engine)
        metrics.observe_servers(self.access.metrics, scheduler, servers)

    def advertise(self, port: int) -> None:
        """Set the port of the broker that clients read in routes and message ids."""
        if self._broker is not None:
            self._broker.advertise(port)

    def reopen_logs(self) -> None:
        """Open the files of the audit log anew before the next write."""
        self.access.audit.writer.reopen()

    def tick(self) -> None:
        """Do the work that is due by the clock; the caller must end the iteration afterwards."""
        try:
            if self._broker is not None:
                self._broker.tick()
            if self._namesrv is not None:
                self._namesrv.server.tick()
            if self._owner is not None:
                self._owner.tick()
        finally:
            # Denials are logged even if something fails.
            self.access.audit.tick()

    @property
    def is_behind(self) -> bool:
        """True if the next iteration has work without new input."""
        return self._broker is not None and self._broker.server.is_behind

    def leave(self, done: Callable[[], None]) -> None:
        """Remove the broker from the name servers, so that clients do not look for it; `done` is called afterwards."""
        if self._broker is None:
            done()
        else:
            self._broker.registrations.leave(done)

    def close(self) -> None:
        """Commit the staged changes and close all files."""
        self._opened.close()


class _BrokerParts:
    """A broker with its messages, and its registration with name servers in other processes."""

    def __init__(
        self,
        config: Configuration,
        access: AccessComponents,
        data: Path,
        clock: Clock,
        routes: RouteTable | None,
        opened: contextlib.ExitStack,
    ) -> None:
        self._config = config
        self._host = config.get(server_options.BROKER_IP)
        self._ip = settings.resolve(self._host, config.source(server_options.BROKER_IP))
        store = RocksMessageStore(data / "messages", settings.sync_interval_ms(config))
        opened.callback(store.close)
        self.engine = engine = Engine(store, settings.engine_settings(config), clock)
        opened.callback(engine.group_commit.commit)
        self._background = BackgroundThread()
        opened.callback(self._background.close)
        self.registrations = Registrations(engine.topics, config.get(server_options.REGISTER_PERIOD))
        self._upstreams: list[Upstream] = []
        self._topic_routes = TopicRoutes(clock) if routes is None else None
        self.server = BrokerServer(
            engine,
            settings.broker_settings(config),
            BrokerPorts(
                guard=access.admission,
                clock=clock,
                manager=access.manager,
                audit=access.audit.trail,
                configuration=ExposedConfiguration(
                    _exposed(config),
                    options=changeable_options(config, engine, lambda: self.server),
                    reasons=fixed_options(),
                ),
                denials=access.guard.denials,
                sealing_key=access.key,
                announcer=_announcer(routes, access.member, self.registrations),
                change_access=None if access.follower is None else access.follower.forward,
                queues=None if routes is None else _queues_in(routes),
                routes=self._topic_routes,
                suspension=access.suspension,
                at_iteration_end=[access.audit.end_iteration],
                metrics=PrometheusCollector(access.metrics).samples,
                background=self._background,
                snapshots=DataSnapshots(data, store, access.users, clock),
            ),
        )
        self._validity = (
            None
            if access.follower is None
            else ValidityCheck(self.server.application, access.follower, self.engine.group_commit.refuse)
        )
        self._grpc = _grpc_face(config, access, engine, self.server, clock)

    @property
    def application(self) -> Application:
        """The application of the broker's listener."""
        return self._validity or self.server.application

    @property
    def calls(self) -> CallApplication:
        """The server of gRPC calls."""
        server = self._grpc.server
        return server if self._validity is None else CallValidityCheck(server, self._validity)

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Create the connections to name servers in other processes; they open at the first request."""
        self._background.attach(loop, end_iteration)
        if self._topic_routes is None:
            return
        upstream_settings = settings.upstream_settings(self._config)
        for host, port in self._config.get(server_options.NAMESRV_ADDR).pairs:
            server = Upstream(host, port, upstream_settings, loop, on_lost=self._lost)
            self._upstreams.append(server)
        self.registrations.connect(self._upstreams)
        self._topic_routes.connect(self._upstreams, end_iteration)

    def _lost(self) -> None:
        for server in self._upstreams:
            if not server.is_connected:
                self.registrations.lost(server)

    def advertise(self, port: int) -> None:
        """Set the port that clients read in routes and message ids."""
        self.engine.advertise(self._ip, port)
        self.server.advertise(f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}")

    def tick(self) -> None:
        """Do the work that is due by the clock."""
        if self._validity is not None and not self._validity.is_valid:
            # No message becomes due meanwhile: it could reach a consumer that has lost its rights.
            return
        self.registrations.tick(monotonic_ms())
        self.server.tick()
        self._grpc.tick()


class _NameServerParts:
    """A name server."""

    def __init__(
        self,
        config: Configuration,
        access: AccessComponents,
        data: Path,
        clock: Clock,
        routes: RouteTable,
        more: Mapping[int, Handler],
    ) -> None:
        kv = KvTable(KvFile(data / "namesrv-kv.json"))
        self.server = NameServer(routes, kv, clock, _exposed(config))
        router = Router(
            access.admission,
            {**self.server.handlers(), **more},
            error_reply,
            suspension=access.suspension,
            at_close=[self.server.closed],
            at_iteration_end=[access.audit.end_iteration],
        )
        self.application: Application = (
            router if access.remote is None else ValidityCheck(router, access.remote, lambda _reason: None)
        )


def _announcer(routes: RouteTable | None, member: AccessMember | None, registrations: Registrations) -> Announcer:
    """Return what the broker announces its topics to."""
    if routes is not None:
        return routes
    return registrations if member is None else _Announcers((member, registrations))


class _Announcers:
    """Several announcers as one."""

    def __init__(self, each: tuple[Announcer, ...]) -> None:
        self._each = each

    def announce(self, cluster: str, broker: str, address: str, topics: Iterable[TopicConfig]) -> None:
        """Replace all topics of the broker."""
        held = list(topics)
        for announcer in self._each:
            announcer.announce(cluster, broker, address, held)

    def announce_topic(self, broker: str, name: str, topic: TopicConfig | None) -> None:
        """Update one topic."""
        for announcer in self._each:
            announcer.announce_topic(broker, name, topic)


def _exposed(config: Configuration) -> dict[str, str]:
    return {option.name: config.text(option) for option in loader.OPTIONS}


def _queues_in(routes: RouteTable) -> Queues:
    """Return a function for the readable queues of a topic at all brokers of a name server in this process."""

    def queues(topic: str) -> dict[str, int]:
        route = routes.route(topic)
        offers = {} if route is None else route.queues
        return {broker: layout.read_queues for broker, layout in offers.items() if layout.perm & PERM_READ}

    return queues


def _grpc_face(
    config: Configuration, access: AccessComponents, engine: Engine, server: BrokerServer, clock: Clock
) -> GrpcFace:
    """Return the face for gRPC clients of a broker."""
    name = config.get(server_options.BROKER_NAME)
    return GrpcFace(
        access.rpc_admission,
        EmbeddedBackend(name, engine, server.application, engine.group_commit.defer),
        settings.proxy_settings(config),
        clock,
        lambda: access.manager.snapshot.version,
        access.suspension,
    )
