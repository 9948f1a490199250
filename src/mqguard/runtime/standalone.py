"""A name server and a broker in one process."""

import asyncio
import errno
import gc
import logging
import signal
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from mqguard.config import access_options, server_options
from mqguard.config.loader import Configuration, Level
from mqguard.config.secret import Credentials
from mqguard.errors import MqguardError
from mqguard.net.scheduler import Scheduler
from mqguard.net.server import RemotingServer, check_port
from mqguard.runtime import plugins, settings
from mqguard.runtime.components import Components
from mqguard.runtime.data_directory import DataLock
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import read_credentials
from mqguard.runtime.process import StallWatch, SystemClock

_LOG = logging.getLogger(__name__)

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
        namesrv: `host:port` of the name server.
        broker: `host:port` of the broker.
        bind: The address that both listen on.
        data: The data directory.
        authentication: True if requests must be signed.
        authorization: True if policies must allow requests.
        administrator: A Super user with a known secret: the configured one, or that of the first start.
    """

    cluster: str
    namesrv: str
    broker: str
    bind: str
    data: Path
    authentication: bool
    authorization: bool
    administrator: Credentials | None


class _Listener(NamedTuple):
    """One of the listeners, as error messages name it.

    Attributes:
        name: Its name.
        remedy: An instruction for a port that cannot be used.
    """

    name: str
    remedy: str


_BROKER = _Listener("broker's port", "choose another with --port")
_NAMESRV = _Listener("name server's port", "choose another with --namesrv-port")
_VIP = _Listener("VIP channel's port", "choose another broker's port with --port, or set `vipChannelEnable = false`")


Companion = Callable[[Ready, threading.Event], None]
"""Function that runs in a thread while the server runs; the event is set when the server is about to stop."""


class Standalone:
    """The server of `mqguard standalone`.

    Args:
        config: The configuration.

    Raises:
        ConfigInvalid: Settings cannot be used. Nothing was created then.
    """

    def __init__(self, config: Configuration) -> None:
        settings.check(config)
        self._config = config
        self._data = config.get(server_options.STORE_PATH)
        self._net = settings.net_settings(config)
        self._guard = settings.guard_settings(config)

    def run(
        self,
        *,
        first_start: Callable[[CreatedAdmin], None],
        ready: Callable[[Ready], None],
        then: Companion | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT. SIGHUP reads the TLS files again, and opens the files of the audit log anew.

        Args:
            first_start: Called with the Super user, if this start has created one.
            ready: Called once the server is ready.
            then: Run in a thread once the server is ready; it must end soon after its event is set.

        Raises:
            StartFailed: A port or the data directory is in use.
            ConfigInvalid: A setting cannot be used, such as an invalid certificate.
        """
        for notice in self._config.notices:
            _LOG.log(logging.WARNING if notice.level is Level.WARNING else logging.INFO, "%s", notice.text)
        for warning in settings.startup_warnings(self._config):
            _LOG.warning("%s", warning)
        loaded = plugins.load(self._config)
        self._check_ports()
        lock = DataLock(self._data)
        try:
            parts = Components(self._config, loaded, self._data, SystemClock(), _on_admin_created(first_start))
            try:
                _run(self._serve(parts, ready, then))
            finally:
                parts.close()
        finally:
            lock.release()

    def _check_ports(self) -> None:
        """Check that the ports are free, before anything is created.

        Raises:
            StartFailed: A port is in use, or cannot be used.
        """
        host, port = settings.bind_address(self._config), self._config.get(server_options.LISTEN_PORT)
        used = {_BROKER: port, _NAMESRV: self._config.get(server_options.NAMESRV_LISTEN_PORT)}
        vip = settings.vip_distance(self._config)
        if vip is not None and port != 0:
            used[_VIP] = port + vip
        for listener, number in used.items():
            try:
                check_port(host, number)
            except OSError as exc:
                raise _port_error(exc, host, number, listener) from None

    async def _serve(self, parts: Components, ready: Callable[[Ready], None], then: Companion | None) -> None:
        loop = asyncio.get_running_loop()
        watch = StallWatch()
        stop, stopping = asyncio.Event(), threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stop, stopping)
        host = settings.bind_address(self._config)
        scheduler = Scheduler()
        broker = RemotingServer(parts.broker, self._net, scheduler)
        namesrv = RemotingServer(parts.namesrv, self._net, scheduler)
        parts.observe(scheduler, {"broker": broker, "namesrv": namesrv})
        loop.add_signal_handler(signal.SIGHUP, _reload, parts, (broker, namesrv))
        parts.attach(loop, lambda: _end_iterations(broker, namesrv))
        try:
            wanted, vip = self._config.get(server_options.LISTEN_PORT), settings.vip_distance(self._config)
            port = await _listen(broker, host, wanted, _BROKER, second=vip)
            parts.advertise(port)
            namesrv_port = await _listen(namesrv, host, self._config.get(server_options.NAMESRV_LISTEN_PORT), _NAMESRV)
            watch.start()
            _Ticker(loop, parts, (broker, namesrv), watch).start()
            found = self._ready(port, namesrv_port)
            # The objects of the start stay until the end, so the collector need not check them again.
            gc.collect()
            gc.freeze()
            ready(found)
            companion = None if then is None else loop.run_in_executor(None, then, found, stopping)
            await stop.wait()
            if companion is not None:
                await companion
        finally:
            watch.close()
            async with asyncio.TaskGroup() as ends:
                for server in (namesrv, broker):
                    ends.create_task(server.stop(GRACE_SECONDS))

    def _ready(self, port: int, namesrv_port: int) -> Ready:
        ip = self._config.get(server_options.BROKER_IP)
        host = f"[{ip}]" if ":" in ip else ip
        return Ready(
            cluster=self._config.get(server_options.CLUSTER_NAME),
            namesrv=f"{host}:{namesrv_port}",
            broker=f"{host}:{port}",
            bind=settings.bind_address(self._config),
            data=self._data,
            authentication=self._guard.authentication_enabled,
            authorization=self._guard.authorization_enabled,
            administrator=self._config.get(access_options.INIT_AUTHENTICATION_USER) or read_credentials(self._data),
        )


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


async def _listen(
    server: RemotingServer, host: str, port: int, listener: _Listener, *, second: int | None = None
) -> int:
    try:
        return await server.start(host, port, second=second)
    except OSError as exc:
        raise _port_error(exc, host, port, listener) from None


def _port_error(exc: OSError, host: str, port: int, listener: _Listener) -> StartFailed:
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


def _stop(stop: asyncio.Event, stopping: threading.Event) -> None:
    stopping.set()
    stop.set()


def _on_admin_created(first_start: Callable[[CreatedAdmin], None]) -> Callable[[Credentials, Path], None]:
    return lambda credentials, path: first_start(CreatedAdmin(credentials, path))


def _run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)
