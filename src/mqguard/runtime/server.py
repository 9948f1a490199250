"""The process of a server: a name server and a broker together, or one of them alone."""

import asyncio
import contextlib
import dataclasses
import datetime as dt
import errno
import gc
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from mqguard.config import access_options, grpc_options, server_options
from mqguard.config.loader import Configuration, Level
from mqguard.config.secret import Credentials
from mqguard.errors import MqguardError
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import RemotingServer, check_port
from mqguard.runtime import plugins, settings
from mqguard.runtime.components import Components, Role
from mqguard.runtime.data_directory import DataLock, warn_of_unserved
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import read_credentials
from mqguard.runtime.management import Management
from mqguard.runtime.process import StallWatch, SystemClock
from mqguard.runtime.tls_certificate import with_certificate

_LOG = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
TICK_SECONDS = 0.05
"""Interval of work that is due by the clock: delayed messages, pulls that time out, clients without heartbeats."""
CATCH_UP_SECONDS = 0.005
"""Interval of iterations while suspended pulls have to be answered."""
GRACE_SECONDS = 1.0
"""Time for peers to read their answers when the server stops."""


class CreatedAdmin(NamedTuple):
    """The Super user that a first start has created.

    Attributes:
        credentials: Its name and secret.
        path: The file that contains them.
    """

    credentials: Credentials
    path: Path


class Ready(NamedTuple):
    """A server that is ready.

    Attributes:
        cluster: The name of the cluster.
        role: The parts that the process has.
        namesrv: `host:port` of the name server; empty without one.
        broker: `host:port` of the broker; empty without one. The first one if there are several.
        grpc: `host:port` for gRPC clients; empty without one.
        brokers: The addresses of several brokers; empty if there is at most one.
        management: `host:port` for metrics and health over HTTP; empty without it.
        bind: The address that both listen on.
        data: The data directory.
        authentication: True if requests must be signed.
        authorization: True if policies must allow requests.
        administrator: A Super user with a known secret: the configured one, or that of the first start.
    """

    cluster: str
    role: Role
    namesrv: str
    broker: str
    bind: str
    data: Path
    authentication: bool
    authorization: bool
    administrator: Credentials | None
    grpc: str = ""
    brokers: tuple[str, ...] = ()
    management: str = ""


class Listener(NamedTuple):
    """One of the listeners, as metrics and error messages name it.

    Attributes:
        key: Its name in metrics.
        name: Its name in messages.
        remedy: An instruction for a port that cannot be used.
    """

    key: str
    name: str
    remedy: str


_BROKER = Listener("broker", "broker's port", "choose another with --port")
_NAMESRV = Listener("namesrv", "name server's port", "choose another with --namesrv-port")
_GRPC = Listener("grpc", "gRPC port", "choose another with --grpc-port")
_VIP = Listener(
    "vip", "VIP channel's port", "choose another broker's port with --port, or set `vipChannelEnable = false`"
)


class Parent(NamedTuple):
    """The process that has started this one (`runtime.supervisor`).

    Attributes:
        life: A descriptor that can be read once the parent has ended.
        has_lock: True if the parent has locked the data directory.
    """

    life: int
    has_lock: bool


Companion = Callable[[Ready, threading.Event], None]
"""Function that runs in a thread while the server runs; the event is set when the server is about to stop."""


class Server:
    """The server of `mqguard standalone`, `mqguard namesrv` or `mqguard broker`.

    Args:
        config: The configuration.
        role: The parts that the process has.

    Raises:
        ConfigInvalid: Settings cannot be used. Nothing was created then.
    """

    def __init__(self, config: Configuration, role: Role) -> None:
        settings.check(config, needs_namesrv=role is Role.BROKER)
        self._config = config
        self._role = role
        self._data = config.get(server_options.STORE_PATH)
        self._net = settings.net_settings(config)
        self._guard = settings.guard_settings(config)

    def run(
        self,
        *,
        first_start: Callable[[CreatedAdmin], None],
        ready: Callable[[Ready], None],
        then: Companion | None = None,
        parent: Parent | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT. SIGHUP reads the TLS files again, and opens the files of the audit log anew.

        Args:
            first_start: Called with the Super user, if this start has created one.
            ready: Called once the server is ready.
            then: Run in a thread once the server is ready; it must end soon after its event is set.
            parent: The process that has started this one, None if an operator has.

        Raises:
            StartFailed: A port or the data directory is in use.
            ConfigInvalid: A setting cannot be used, such as an invalid certificate.
        """
        if parent is None:
            log_notices(self._config, registers=self._role is Role.BROKER)
        loaded = plugins.load(self._config)
        self._check_ports()
        with contextlib.ExitStack() as locked:
            if parent is None or not parent.has_lock:
                locked.callback(DataLock(self._data).release)
                warn_of_unserved(self._data)
            self._net = dataclasses.replace(self._net, tls=with_certificate(self._net.tls, self._config))
            parts = Components(
                self._role, self._config, loaded, self._data, SystemClock(), on_admin_created(first_start)
            )
            try:
                run_loop(self._serve(parts, ready, then, parent))
            finally:
                parts.close()

    def _check_ports(self) -> None:
        """Check that the ports are free, before anything is created.

        Raises:
            StartFailed: A port is in use, or cannot be used.
        """
        host, used = settings.bind_address(self._config), self._ports()
        vip = settings.vip_distance(self._config)
        if vip is not None and used.get(_BROKER):
            used[_VIP] = used[_BROKER] + vip
        for listener, number in used.items():
            try:
                check_port(host, number)
            except OSError as exc:
                raise port_error(exc, host, number, listener) from None

    def _ports(self) -> dict[Listener, int]:
        """Return the configured port of each listener, 0 for any free one."""
        ports = {}
        if self._role.has_broker:
            ports[_BROKER] = self._config.get(server_options.LISTEN_PORT)
        if self._role.has_namesrv:
            ports[_NAMESRV] = self._config.get(server_options.NAMESRV_LISTEN_PORT)
        if self._role is Role.STANDALONE:
            ports[_GRPC] = self._config.get(grpc_options.GRPC_PORT)
        return ports

    async def _serve(
        self, parts: Components, ready: Callable[[Ready], None], then: Companion | None, parent: Parent | None
    ) -> None:
        loop = asyncio.get_running_loop()
        watch = StallWatch()
        stop, stopping = asyncio.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, request_stop, stop, stopping)
        if parent is not None:
            loop.add_reader(parent.life, _parent_ended, loop, parent.life, stop, stopping)
        host = settings.bind_address(self._config)
        scheduler = Scheduler()
        servers = {
            listener: RemotingServer(app, self._net, scheduler, calls)
            for listener, app, calls in (
                (_BROKER, parts.broker, parts.calls),
                (_NAMESRV, parts.namesrv, None),
                (_GRPC, parts.broker, parts.calls),
            )
            if app is not None and listener in self._ports()
        }
        listening = tuple(servers.values())
        parts.observe(scheduler, {listener.key: server for listener, server in servers.items()})
        management = Management(self._config, self._role.value, parts.access)
        loop.add_signal_handler(signal.SIGHUP, _reload, parts, listening)
        parts.attach(loop, lambda: _end_iterations(*listening))
        ports: dict[Listener, int] = {}
        try:
            management_address = management.start(loop)
            vip = settings.vip_distance(self._config)
            for listener, wanted in self._ports().items():
                second = vip if listener is _BROKER else None
                ports[listener] = await listen(servers[listener], host, wanted, listener, second=second)
                if listener is _BROKER:
                    parts.advertise(ports[listener])
            watch.start()
            check_certificate_daily(loop, self._config)
            _Ticker(loop, parts, listening, watch).start()
            found = self._ready(ports)._replace(management=management_address)
            # The objects of the start stay until the end, so the collector need not check them again.
            gc.collect()
            gc.freeze()
            management.serving()
            ready(found)
            companion = None if then is None else loop.run_in_executor(None, then, found, stopping)
            await stop.wait()
            await management.stopping()
            if companion is not None:
                await companion
        finally:
            watch.close()
            await _leave(parts)
            async with asyncio.TaskGroup() as ends:
                for server in reversed(listening):
                    ends.create_task(server.stop(GRACE_SECONDS))
            management.close()

    def _ready(self, ports: Mapping[Listener, int]) -> Ready:
        ip = self._config.get(server_options.BROKER_IP)
        host = f"[{ip}]" if ":" in ip else ip
        return Ready(
            cluster=self._config.get(server_options.CLUSTER_NAME),
            role=self._role,
            namesrv=f"{host}:{ports[_NAMESRV]}" if _NAMESRV in ports else "",
            broker=f"{host}:{ports[_BROKER]}" if _BROKER in ports else "",
            grpc=f"{host}:{ports[_GRPC]}" if _GRPC in ports else "",
            bind=settings.bind_address(self._config),
            data=self._data,
            authentication=self._guard.authentication_enabled,
            authorization=self._guard.authorization_enabled,
            administrator=self._config.get(access_options.INIT_AUTHENTICATION_USER) or read_credentials(self._data),
        )


def log_notices(config: Configuration, *, registers: bool | None) -> None:
    """Log what the operator should know about a configuration.

    Args:
        config: The configuration.
        registers: True if the server registers with name servers in other processes, None if it only asks them.
    """
    for notice in config.notices:
        _LOG.log(logging.WARNING if notice.level is Level.WARNING else logging.INFO, "%s", notice.text)
    for warning in settings.startup_warnings(config, registers=registers):
        _LOG.warning("%s", warning)


def check_certificate_daily(loop: asyncio.AbstractEventLoop, config: Configuration) -> None:
    """Log once a day that the certificate ends soon."""

    def check() -> None:
        for warning in settings.certificate_warnings(config, dt.datetime.now(dt.UTC)):
            _LOG.warning("%s", warning)
        loop.call_later(DAY_SECONDS, check)

    loop.call_later(DAY_SECONDS, check)


class _Ticker:
    """Does the work that is due by the clock, and ends the iteration."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, parts: Components, servers: tuple[RemotingServer, ...], watch: StallWatch
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._parts = parts
        self._servers = servers
        self._catching_up = False

    def start(self) -> None:
        """Start; it ends with the event loop."""
        self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._watch.tick()
        try:
            self._parts.tick()
        except Exception:  # noqa: BLE001 - the next tick must follow
            _LOG.exception("work that was due by the clock failed: internal error")
        _end_iterations(*self._servers)
        self._loop.call_later(TICK_SECONDS, self._tick)
        if self._parts.is_behind and not self._catching_up:
            self._catching_up = True
            self._loop.call_later(CATCH_UP_SECONDS, self._catch_up)

    def _catch_up(self) -> None:
        """End iterations more often while work is left."""
        self._catching_up = self._parts.is_behind
        if self._catching_up:
            _end_iterations(*self._servers)
            self._loop.call_later(CATCH_UP_SECONDS, self._catch_up)


def _end_iterations(*servers: RemotingServer) -> None:
    for server in servers:
        server.end_iteration_soon()


async def _leave(parts: Components) -> None:
    """Remove the broker from the name servers, if they answer in time."""
    left = asyncio.Event()
    parts.leave(left.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await left.wait()


async def listen(server: RemotingServer, host: str, port: int, listener: Listener, *, second: int | None = None) -> int:
    """Start a listener, and return its port.

    Raises:
        StartFailed: The port cannot be used.
    """
    try:
        return await server.start(host, port, second=second)
    except OSError as exc:
        raise port_error(exc, host, port, listener) from None


def port_error(exc: OSError, host: str, port: int, listener: Listener) -> StartFailed:
    """Return the error for a port that cannot be used."""
    reasons = {
        errno.EADDRINUSE: "is in use: stop the process that listens on it",
        errno.EACCES: "needs privileges that this process does not have: use one above 1023",
        errno.EADDRNOTAVAIL: f"cannot be used: `{host}` is not an address of this machine; name one with --bind",
    }
    why = reasons.get(exc.errno or 0, f"cannot be used: {exc.strerror or exc}")
    return StartFailed(f"the {listener.name} {port} on {host} {why}, or {listener.remedy}")


def _reload(parts: Components, servers: tuple[RemotingServer, ...]) -> None:
    parts.reopen_logs()
    try:
        for server in servers:
            server.reload_tls()
    except MqguardError as exc:
        _LOG.error("the TLS files could not be read again, so the old ones stay in use: %s", exc)
    else:
        _LOG.info("the TLS files were read again")


def _parent_ended(loop: asyncio.AbstractEventLoop, life: int, stop: asyncio.Event, stopping: threading.Event) -> None:
    loop.remove_reader(life)
    _LOG.error("the process that has started this one has ended, so this one ends too")
    request_stop(stop, stopping)


def request_stop(stop: asyncio.Event, stopping: threading.Event) -> None:
    """Have the server stop."""
    stopping.set()
    stop.set()


def on_admin_created(first_start: Callable[[CreatedAdmin], None]) -> Callable[[Credentials, Path], None]:
    """Return a receiver of the Super user that a first start creates."""
    return lambda credentials, path: first_start(CreatedAdmin(credentials, path))


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a server in the event loop."""
    uvloop.run(main)
