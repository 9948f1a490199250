"""The server of `mqguard proxy`: a guard in front of a cluster."""

import asyncio
import contextlib
import dataclasses
import gc
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mqguard.config import grpc_options, proxy_options, server_options
from mqguard.config.loader import Configuration
from mqguard.errors import MqguardError
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import RemotingServer, check_port
from mqguard.net.settings import NetSettings
from mqguard.runtime import metrics, plugins, settings
from mqguard.runtime.broker_listeners import BrokerListeners, BrokerTarget
from mqguard.runtime.broker_ports import PORTS_FILE, PortAssignment
from mqguard.runtime.components import Role
from mqguard.runtime.data_directory import DataLock
from mqguard.runtime.first_start import read_credentials
from mqguard.runtime.management import Management
from mqguard.runtime.process import StallWatch, SystemClock
from mqguard.runtime.proxy_components import ProxyComponents
from mqguard.runtime.server import (
    GRACE_SECONDS,
    TICK_SECONDS,
    CreatedAdmin,
    Listener,
    Ready,
    check_certificate_daily,
    listen,
    log_notices,
    on_admin_created,
    port_error,
    request_stop,
    run_loop,
)
from mqguard.runtime.tls_certificate import with_certificate

_LOG = logging.getLogger(__name__)

FIRST_POLL_S: Final = 5.0
"""Maximum seconds that a start waits for the brokers of the cluster. They may also come later."""
_WAIT_S: Final = 0.02
_NAMESRV = Listener("namesrv", "name server's port", "choose another with --port")
_GRPC = Listener("grpc", "gRPC port", "choose another with --grpc-port")


class _Ports(NamedTuple):
    """The ports that clients use first."""

    namesrv: int
    grpc: int


class ProxyServer:
    """The server of `mqguard proxy`.

    Args:
        config: The configuration.

    Raises:
        ConfigInvalid: Settings cannot be used. Nothing was created then.
    """

    def __init__(self, config: Configuration) -> None:
        settings.check(config, needs_namesrv=True)
        self._config = config
        self._data = config.get(server_options.STORE_PATH)
        self._net = dataclasses.replace(settings.net_settings(config), keeps_frames=True)
        self._guard = settings.guard_settings(config)

    def run(self, *, first_start: Callable[[CreatedAdmin], None], ready: Callable[[Ready], None]) -> None:
        """Serve until SIGTERM or SIGINT. SIGHUP reads the TLS files again, and opens the files of the audit log anew.

        Args:
            first_start: Called with the Super user, if this start has created one.
            ready: Called once the server is ready.

        Raises:
            StartFailed: A port or the data directory is in use.
            ConfigInvalid: A setting cannot be used, such as an invalid certificate.
        """
        log_notices(self._config, registers=None)
        loaded = plugins.load(self._config)
        host = settings.bind_address(self._config)
        for listener, option in ((_NAMESRV, server_options.NAMESRV_LISTEN_PORT), (_GRPC, grpc_options.GRPC_PORT)):
            port = self._config.get(option)
            try:
                check_port(host, port)
            except OSError as exc:
                raise port_error(exc, host, port, listener) from None
        with contextlib.ExitStack() as locked:
            locked.callback(DataLock(self._data).release)
            self._net = dataclasses.replace(self._net, tls=with_certificate(self._net.tls, self._config))
            parts = ProxyComponents(self._config, loaded, self._data, SystemClock(), on_admin_created(first_start))
            try:
                run_loop(self._serve(parts, ready))
            finally:
                parts.close()

    async def _serve(self, parts: ProxyComponents, ready: Callable[[Ready], None]) -> None:
        loop = asyncio.get_running_loop()
        watch = StallWatch()
        stop, stopping = asyncio.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, request_stop, stop, stopping)
        scheduler = Scheduler()
        running = _RunningProxy(self._config, self._net, parts, scheduler, loop)
        management = Management(self._config, Role.PROXY.value, parts.access)
        management.add_directory(parts.directory)
        loop.add_signal_handler(signal.SIGHUP, running.reload)
        try:
            management_address = management.start(loop)
            ports = await running.start()
            watch.start()
            check_certificate_daily(loop, self._config)
            running.tick(watch)
            await running.wait_for_brokers()
            # The objects of the start stay until the end, so the collector need not check them again.
            gc.collect()
            gc.freeze()
            management.serving()
            ready(self._ready(ports, running)._replace(management=management_address))
            await stop.wait()
            await management.stopping()
        finally:
            watch.close()
            await running.stop()
            management.close()

    def _ready(self, ports: "_Ports", running: "_RunningProxy") -> Ready:
        ip = self._config.get(server_options.BROKER_IP)
        host = f"[{ip}]" if ":" in ip else ip
        return Ready(
            cluster=self._config.get(server_options.CLUSTER_NAME),
            role=Role.PROXY,
            namesrv=f"{host}:{ports.namesrv}",
            grpc=f"{host}:{ports.grpc}",
            broker="",
            bind=settings.bind_address(self._config),
            data=self._data,
            authentication=self._guard.authentication_enabled,
            authorization=self._guard.authorization_enabled,
            administrator=read_credentials(self._data),
            brokers=tuple(f"{host}:{one.port}" for one in running.listeners.targets.values() if one.port),
        )


class _RunningProxy:
    """The listeners of a proxy, and the work that is due by the clock."""

    def __init__(
        self,
        config: Configuration,
        net: NetSettings,
        parts: ProxyComponents,
        scheduler: Scheduler,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._config = config
        self._net = net
        self._parts = parts
        self._scheduler = scheduler
        self._loop = loop
        self._host = settings.bind_address(config)
        self._directory = parts.attach(loop, self._end_iterations)
        self._name_server = RemotingServer(parts.name_server_sessions(), net, scheduler)
        self._grpc = RemotingServer(parts.grpc_sessions(), net, scheduler, parts.calls)
        ports = PortAssignment(
            config.get(server_options.STORE_PATH) / PORTS_FILE, config.get(proxy_options.BROKER_PORTS)
        )
        self.listeners = BrokerListeners(
            loop, self._host, settings.vip_distance(config), ports, self._create, parts.addresses
        )
        metrics.observe_servers(parts.access.metrics, scheduler, {"namesrv": self._name_server, "grpc": self._grpc})
        metrics.observe_cluster(parts.access.metrics, self._directory, self._broker_servers)

    def _broker_servers(self) -> Iterable[RemotingServer]:
        return self.listeners.servers.values()

    def _create(self, target: BrokerTarget) -> RemotingServer:
        return RemotingServer(self._parts.broker_sessions(target), self._net, self._scheduler)

    async def start(self) -> _Ports:
        """Listen for clients of the name servers and of gRPC, and follow the brokers; return the ports.

        Raises:
            StartFailed: A port is in use.
        """
        port = self._config.get(server_options.NAMESRV_LISTEN_PORT)
        namesrv = await listen(self._name_server, self._host, port, _NAMESRV)
        self._parts.serves_name_servers(namesrv)
        grpc = await listen(self._grpc, self._host, self._config.get(grpc_options.GRPC_PORT), _GRPC)
        self._directory.add_listener(self.listeners.changed)
        self._directory.start()
        self._parts.grpc.start()
        return _Ports(namesrv, grpc)

    async def wait_for_brokers(self) -> None:
        """Wait until the brokers that the name servers know are served, for a limited time."""
        end = self._loop.time() + FIRST_POLL_S
        while self._loop.time() < end:
            if self._directory.age_s is not None and not self.listeners.is_starting:
                return
            await asyncio.sleep(_WAIT_S)
        _LOG.warning("no name server has named the brokers yet: clients reach them once one does")

    def tick(self, watch: StallWatch) -> None:
        """Do the work that is due by the clock, now and from then on."""
        watch.tick()
        try:
            self._parts.tick()
        except Exception:  # noqa: BLE001 - the next tick must follow
            _LOG.exception("work that was due by the clock failed: internal error")
        self._end_iterations()
        self._loop.call_later(TICK_SECONDS, self.tick, watch)

    def _end_iterations(self) -> None:
        for server in self._servers():
            server.end_iteration_soon()

    def _servers(self) -> list[RemotingServer]:
        return [self._name_server, self._grpc, *self.listeners.servers.values()]

    def reload(self) -> None:
        """Read the TLS files again, and open the files of the audit log anew."""
        self._parts.access.audit.writer.reopen()
        try:
            for server in self._servers():
                server.reload_tls()
        except MqguardError as exc:
            _LOG.error("the TLS files could not be read again, so the old ones stay in use: %s", exc)
        else:
            _LOG.info("the TLS files were read again")

    async def stop(self) -> None:
        """Stop all listeners."""
        self._directory.close()
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self.listeners.stop(GRACE_SECONDS))
            ends.create_task(self._name_server.stop(GRACE_SECONDS))
            ends.create_task(self._grpc.stop(GRACE_SECONDS))
