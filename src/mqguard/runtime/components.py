"""All parts of a standalone server except its sockets: opened in order, closed in reverse order."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mqguard.auth.manager import MetadataManager
from mqguard.auth.ports import MetadataStore
from mqguard.auth.seal import SealingKey
from mqguard.broker.server import BrokerPorts, BrokerServer
from mqguard.broker.settings import ExposedConfiguration
from mqguard.config import access_options, loader, server_options
from mqguard.config.loader import Configuration
from mqguard.dispatch.admission import RemotingAdmission
from mqguard.dispatch.request import error_reply
from mqguard.dispatch.router import Router
from mqguard.dispatch.suspended import SuspendedRequests
from mqguard.engine.engine import Engine
from mqguard.guard.guard import Guard
from mqguard.guard.plugin_adapters import InstalledPlugins
from mqguard.guard.plugin_api import RecordSink
from mqguard.guard.plugin_guard import PluginGuard
from mqguard.guard.ports import GuardPorts
from mqguard.model.process import Clock
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.route_table import RouteTable
from mqguard.namesrv.server import NameServer
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import Application, RemotingServer
from mqguard.runtime import metrics, plugins, settings
from mqguard.runtime.access import OnAdminCreated, new_incarnation, prepare_users
from mqguard.runtime.audit_log import AuditLog
from mqguard.runtime.data_directory import KvFile
from mqguard.runtime.plugin_store import ChangeJournal, PluginStore
from mqguard.runtime.plugin_threads import PluginThreads
from mqguard.runtime.sealing_key import server_sealing_key
from mqguard.store.metadata.rocksdb import RocksMetadataStore
from mqguard.store.rocksdb import RocksMessageStore
from mqguard.telemetry.metrics import Metrics
from mqguard.telemetry.prometheus import PrometheusCollector


class Components:
    """The parts of a standalone server.

    Args:
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
        broker: The application of the broker's listener.
        namesrv: The application of the name server's listener.
    """

    broker: Application
    namesrv: Application
    _threads: PluginThreads | None
    _users: MetadataStore

    def __init__(
        self,
        config: Configuration,
        loaded: plugins.LoadedPlugins,
        data: Path,
        clock: Clock,
        first_start: OnAdminCreated,
    ) -> None:
        with contextlib.ExitStack() as opened:
            key = server_sealing_key(data)
            self._users = users = _metadata_store(loaded.store, config, data, key)
            opened.callback(users.close)
            manager = MetadataManager(users, new_incarnation)
            self._audit = audit_log = _audit_log(manager, loaded.sinks, config, data, first_start, clock)
            opened.callback(audit_log.close)
            audit = audit_log.trail
            self._metrics = Metrics()
            metrics.observe_users(self._metrics, manager)
            metrics.observe_audit(self._metrics, audit_log)
            ports = GuardPorts(
                metadata=manager, clock=clock, ticks=time.perf_counter_ns, new_id=_decision_id, audit=audit,
                metrics=self._metrics,
            )  # fmt: skip
            guard, admission, suspension = self._guard(loaded.guard, config, ports, opened)
            store = RocksMessageStore(data / "messages", settings.sync_interval_ms(config))
            opened.callback(store.close)
            self._engine = Engine(store, settings.engine_settings(config), clock)
            opened.callback(self._engine.group_commit.commit)
            routes = RouteTable()
            exposed = {option.name: config.text(option) for option in loader.OPTIONS}
            self._broker = BrokerServer(
                self._engine,
                settings.broker_settings(config),
                BrokerPorts(
                    guard=admission,
                    clock=clock,
                    manager=manager,
                    audit=audit,
                    configuration=ExposedConfiguration(exposed),
                    denials=guard.denials,
                    sealing_key=key,
                    announcer=routes,
                    suspension=suspension,
                    at_iteration_end=[audit_log.end_iteration],
                    metrics=PrometheusCollector(self._metrics).samples,
                ),
            )
            self._namesrv = NameServer(routes, KvTable(KvFile(data / "namesrv-kv.json")), clock, exposed)
            self.broker = self._broker.application
            self.namesrv = Router(
                admission,
                self._namesrv.handlers(),
                error_reply,
                suspension=suspension,
                at_close=[self._namesrv.closed],
                at_iteration_end=[audit_log.end_iteration],
            )
            self._host = config.get(server_options.BROKER_IP)
            self._ip = settings.resolve(self._host, config.source(server_options.BROKER_IP))
            self._opened = opened.pop_all()

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> None:
        """Set the event loop of the requests.

        Args:
            loop: The event loop.
            end_iteration: Requests the end of an iteration without input.
        """
        if self._threads is not None:
            self._threads.attach(loop, end_iteration)
        if isinstance(self._users, PluginStore):
            self._users.attach(loop)

    def observe(self, scheduler: Scheduler, servers: Mapping[str, RemotingServer]) -> None:
        """Add what the listeners and the engine do to the metrics.

        Args:
            scheduler: The scheduler that they share.
            servers: The listeners, by name.
        """
        metrics.observe_engine(self._metrics, self._engine)
        metrics.observe_servers(self._metrics, scheduler, servers)

    def advertise(self, port: int) -> None:
        """Set the port that clients read in routes and message ids."""
        self._engine.advertise(self._ip, port)
        self._broker.advertise(f"[{self._host}]:{port}" if ":" in self._host else f"{self._host}:{port}")

    def _guard(
        self, extensions: InstalledPlugins, config: Configuration, ports: GuardPorts, opened: contextlib.ExitStack
    ) -> tuple[Guard, RemotingAdmission, SuspendedRequests | None]:
        guard_settings = settings.guard_settings(config)
        if not extensions:
            self._threads = None
            guard = Guard(guard_settings, ports)
            return guard, RemotingAdmission(guard, guard_settings.cluster), None
        plugin_guard = PluginGuard(guard_settings, ports, extensions)
        admission = RemotingAdmission(plugin_guard, guard_settings.cluster, plugin_guard.resume)
        self._threads = PluginThreads(extensions.limit_ms, config.get(access_options.PLUGIN_THREADS))
        opened.callback(self._threads.close)
        return plugin_guard, admission, SuspendedRequests(self._threads, admission.resume)

    def reopen_logs(self) -> None:
        """Open the files of the audit log anew before the next write."""
        self._audit.writer.reopen()

    def tick(self) -> None:
        """Do the work that is due by the clock; the caller must end the iteration afterwards."""
        try:
            self._broker.tick()
            self._namesrv.tick()
        finally:
            # Denials are logged even if something fails.
            self._audit.tick()

    @property
    def is_behind(self) -> bool:
        """True if the next iteration has work without new input."""
        return self._broker.is_behind

    def close(self) -> None:
        """Commit the staged changes and close all files."""
        self._opened.close()


def _metadata_store(plugin: MetadataStore | None, config: Configuration, data: Path, key: SealingKey) -> MetadataStore:
    if plugin is None:
        return RocksMetadataStore(data / "access", key)
    journal = ChangeJournal(data / "access-changes.json")
    return PluginStore(plugin, config.get(access_options.PLUGIN_TIMEOUT), journal)


def _audit_log(
    manager: MetadataManager,
    sinks: Sequence[tuple[str, RecordSink]],
    config: Configuration,
    data: Path,
    first_start: OnAdminCreated,
    clock: Clock,
) -> AuditLog:
    """Create the users of a start, and return the audit log with the changes that were missing."""
    leftover = frozenset(record.id for record in manager.unwritten_records())
    prepare_users(manager, config, data, first_start, clock)
    log = AuditLog(config, data, manager, clock, sinks)
    try:
        log.recover(leftover)
    except BaseException:
        log.close()
        raise
    return log


def _decision_id() -> str:
    """Return twelve hex digits: short enough to read out, too many to guess."""
    return secrets.token_hex(6)
