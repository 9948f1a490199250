"""Several brokers behind one name server, as processes of one command: `mqguard standalone --brokers N`.

The parent serves nothing. It starts the processes by `fork`, so their settings need no file and no arguments. It starts
a process that has ended again, and ends all when it is stopped.

Rule 1: the parent has no threads and no event loop, so that it can fork at any time.
Rule 2: no process outlives the parent: each can read the end of a pipe that only the parent holds open.
Rule 3: the lock of the data directory is inherited. It ends with the last process, so no second parent begins earlier.
"""

import json
import logging
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn

from mqguard.config import access_options, management_options, server_options
from mqguard.config.loader import Configuration
from mqguard.errors import MqguardError
from mqguard.runtime import settings
from mqguard.runtime.components import Role
from mqguard.runtime.data_directory import BROKERS_DIRECTORY, DataLock, warn_of_unserved
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.first_start import read_credentials
from mqguard.runtime.server import CreatedAdmin, Parent, Ready, Server, log_notices
from mqguard.telemetry import log

_LOG = logging.getLogger(__name__)

PORT_STEP: Final = 10
"""Distance between the ports of two brokers: it leaves room for the VIP channel, two below each port."""
MAX_BROKERS: Final = 16
NAMESRV: Final = "namesrv"
START_S: Final = 120.0
"""Maximum seconds until a process is ready at the first start."""
STOP_S: Final = 20.0
"""Maximum seconds until a process has ended after SIGTERM."""
MIN_RESTART_S: Final = 0.2
MAX_RESTART_S: Final = 30.0
"""Seconds until a process is started again; each failure doubles them."""
GOOD_RUN_S: Final = 60.0
"""Seconds after which the next failure counts as the first again."""
_FAILED_EXIT: Final = 70


class Planned(NamedTuple):
    """A process to be started.

    Attributes:
        name: Its name in logs.
        role: The parts that it has.
        config: Its configuration.
        has_lock: True if its data directory is that of the parent.
    """

    name: str
    role: Role
    config: Configuration
    has_lock: bool


def broker_names(first: str, count: int) -> list[str]:
    """Return the names of brokers: `broker-a`, `broker-b` and so on, or `x`, `x-2` and so on for another first name."""
    if first.endswith("-a"):
        return [f"{first[:-1]}{chr(ord('a') + number)}" for number in range(count)]
    return [first, *(f"{first}-{number}" for number in range(2, count + 1))]


def plan(config: Configuration, brokers: int) -> list[Planned]:
    """Return the processes for a configuration: the name server, and then the brokers.

    Raises:
        ConfigInvalid: Users and policies are in a store in the network.
    """
    provider = access_options.AUTHENTICATION_METADATA_PROVIDER
    if config.get(provider) in {"etcd", "brokers"}:
        raise config.refusal(
            provider,
            "several brokers of one command share one process's users and policies: start each with `mqguard broker`",
        )
    data, audit = config.get(server_options.STORE_PATH), config.get(server_options.AUDIT_PATH)
    audit = data / "audit" if audit is None else audit
    source = f"--brokers {brokers}"
    first_port = config.get(server_options.LISTEN_PORT)
    management = config.get(management_options.PORT)
    config = config.replaced({server_options.SHARED_ACCESS_PROCESSES: brokers + 1}, source)
    namesrv = config.replaced({server_options.AUDIT_PATH: audit / NAMESRV}, source)
    found = [Planned(NAMESRV, Role.NAMESRV, namesrv, has_lock=True)]
    for number, name in enumerate(broker_names(config.get(server_options.BROKER_NAME), brokers)):
        values: dict[Any, object] = {
            server_options.BROKER_NAME: name,
            server_options.SHARED_ACCESS_PATH: data.absolute(),
            server_options.LISTEN_PORT: first_port and first_port + number * PORT_STEP,
            management_options.PORT: management and management + number + 1,
            # Only the owner of users and policies uses a plugin for their store.
            access_options.AUTHENTICATION_METADATA_PROVIDER: "local",
            access_options.AUTHORIZATION_METADATA_PROVIDER: "local",
        }
        if number:
            values[server_options.STORE_PATH] = data / BROKERS_DIRECTORY / name
            values[server_options.AUDIT_PATH] = audit / name
        found.append(Planned(name, Role.BROKER, config.replaced(values, source), has_lock=not number))
    return found


class _Child:
    """One process, and its restarts."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.pid = 0
        self.status = -1
        self.text = b""
        self.ready: dict[str, str] | None = None
        self.failure: dict[str, str] | None = None
        self.started_s = 0.0
        self.restart_s: float | None = None
        self.failures = 0


class Supervisor:
    """The parent process.

    Args:
        config: The configuration.
        brokers: Number of brokers.

    Raises:
        ConfigInvalid: Settings cannot be used. Nothing was created then.
    """

    def __init__(self, config: Configuration, brokers: int) -> None:
        settings.check(config)
        self._config = config
        self._data = config.get(server_options.STORE_PATH)
        planned = plan(config, brokers)
        for one in planned:
            settings.check(one.config, needs_namesrv=one.role is Role.BROKER)
        self._children = [_Child(one) for one in planned]
        self._selector = selectors.DefaultSelector()
        self._wake = (-1, -1)
        self._life = (-1, -1)
        self._stopping = False
        self._on_first_start: Callable[[CreatedAdmin], None] = lambda _found: None

    def run(self, *, first_start: Callable[[CreatedAdmin], None], ready: Callable[[Ready], None]) -> None:
        """Run all processes until SIGTERM or SIGINT. SIGHUP is passed on to each.

        Args:
            first_start: Called with the Super user, if this start has created one.
            ready: Called once all processes are ready.

        Raises:
            StartFailed: A process could not be started.
        """
        log_notices(self._config, registers=False)
        self._on_first_start = first_start
        lock = DataLock(self._data)
        try:
            warn_of_unserved(self._data, [child.planned.name for child in self._children])
            self._prepare()
            self._start_all()
            ready(self._ready())
            while not self._stopping:
                self._wait(self._next_restart())
                self._restart()
        finally:
            self._stop_all()
            lock.release()

    # The start

    def _prepare(self) -> None:
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._life = os.pipe2(os.O_CLOEXEC)
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _start_all(self) -> None:
        """Start the name server, and then all brokers.

        Raises:
            StartFailed: A process has ended before it was ready.
        """
        for group in (self._children[:1], self._children[1:]):
            for child in group:
                self._fork(child)
            end = time.monotonic() + START_S
            while not self._stopping and any(child.ready is None for child in group):
                self._wait(0.5)
                for child in group:
                    if child.pid == 0:
                        raise _start_error(child)
                    if child.ready is None and time.monotonic() > end:
                        raise StartFailed(f"`{child.planned.name}` was not ready in {START_S:.0f} s")

    def _ready(self) -> Ready:
        addresses = [(child.ready or {}).get("address", "") for child in self._children]
        return Ready(
            cluster=self._config.get(server_options.CLUSTER_NAME),
            role=Role.STANDALONE,
            namesrv=addresses[0],
            broker=addresses[1],
            bind=settings.bind_address(self._config),
            data=self._data,
            authentication=self._config.get(access_options.AUTHENTICATION_ENABLED),
            authorization=self._config.get(access_options.AUTHORIZATION_ENABLED),
            administrator=None,
            brokers=tuple(addresses[1:]),
        )

    def _fork(self, child: _Child) -> None:
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become(child, status_write)
        os.close(status_write)
        child.pid, child.status, child.text = pid, status_read, b""
        child.ready, child.failure, child.restart_s = None, None, None
        child.started_s = time.monotonic()
        self._selector.register(status_read, selectors.EVENT_READ, child)

    def _become(self, child: _Child, status: int) -> NoReturn:
        """Become the process of a child; this never returns."""
        code = _FAILED_EXIT
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for file in (*self._wake, self._life[1], *(one.status for one in self._children if one.status >= 0)):
                os.close(file)
            code = _serve(child.planned, Parent(self._life[0], child.planned.has_lock), status)
        except BaseException:  # noqa: BLE001 - the process must end here
            _LOG.exception("the process ended with an error")
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    # The time after

    def _wait(self, seconds: float) -> None:
        """Wait for signals, messages and ends of processes."""
        for key, _events in self._selector.select(seconds):
            if key.data is None:
                os.read(self._wake[0], 4096)
            else:
                self._read_status(key.data)
        self._reap()

    def _read_status(self, child: _Child) -> None:
        data = os.read(child.status, 65536)
        if not data:
            self._selector.unregister(child.status)
            os.close(child.status)
            child.status = -1
            return
        *lines, child.text = (child.text + data).split(b"\n")
        for line in lines:
            self._take_status(child, json.loads(line))

    def _take_status(self, child: _Child, found: dict[str, str]) -> None:
        match found["event"]:
            case "first-start":
                credentials = read_credentials(self._data)
                if credentials is not None:
                    self._on_first_start(CreatedAdmin(credentials, Path(found["path"])))
            case "ready":
                if child.failures:
                    _LOG.warning("`%s` serves again as process %d", child.planned.name, child.pid)
                child.ready = found
                self._keep_port(child, int(found["address"].rpartition(":")[2]))
            case "failed":
                child.failure = found

    def _keep_port(self, child: _Child, port: int) -> None:
        """Use the same port after a restart, even if any free port was wanted."""
        planned = child.planned
        option = server_options.NAMESRV_LISTEN_PORT if planned.role is Role.NAMESRV else server_options.LISTEN_PORT
        child.planned = planned._replace(config=planned.config.replaced({option: port}, "an earlier start"))

    def _reap(self) -> None:
        for child in self._children:
            if child.pid == 0:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            while child.status >= 0:
                self._read_status(child)
            child.pid = 0
            if not self._stopping and child.ready is not None:
                self._plan_restart(child, status)

    def _plan_restart(self, child: _Child, status: int) -> None:
        now = time.monotonic()
        if now - child.started_s >= GOOD_RUN_S:
            child.failures = 0
        delay = min(MIN_RESTART_S * 2**child.failures, MAX_RESTART_S)
        child.failures = min(child.failures + 1, 16)
        child.restart_s = now + delay
        how = (
            f"signal {os.WTERMSIG(status)}"
            if os.WIFSIGNALED(status)
            else f"exit code {os.waitstatus_to_exitcode(status)}"
        )
        why = f": {child.failure['message']}" if child.failure else ""
        _LOG.error("`%s` has ended with %s%s; it is started again in %.1f s", child.planned.name, how, why, delay)

    def _next_restart(self) -> float:
        due = [child.restart_s for child in self._children if child.restart_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    def _restart(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.restart_s is not None and child.restart_s <= now and not self._stopping:
                self._fork(child)
                # A process that ends again before it is ready is started again too.
                child.ready = {}

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        for child in self._children:
            if child.pid:
                os.kill(child.pid, number)

    def _stop_all(self) -> None:
        """End all processes, the name server last: brokers leave the routes."""
        self._stopping = True
        for group in (self._children[1:], self._children[:1]):
            for child in group:
                if child.pid:
                    os.kill(child.pid, signal.SIGTERM)
            end = time.monotonic() + STOP_S + self._config.get(management_options.SHUTDOWN_DELAY) / 1000
            while any(child.pid for child in group):
                self._wait(0.2)
                if time.monotonic() > end:
                    self._kill(group)
                    end += STOP_S

    def _kill(self, group: Sequence[_Child]) -> None:
        for child in group:
            if child.pid:
                _LOG.error("`%s` did not end in %.0f s and is killed", child.planned.name, STOP_S)
                os.kill(child.pid, signal.SIGKILL)


def _start_error(child: _Child) -> StartFailed:
    why = child.failure["message"] if child.failure else "it ended before it was ready: see the lines above"
    return StartFailed(f"`{child.planned.name}` could not be started: {why}")


def _serve(planned: Planned, parent: Parent, status: int) -> int:
    """Serve as a child, and return the exit code of the process."""

    def report(event: str, **values: str) -> None:
        os.write(status, json.dumps({"event": event, **values}).encode() + b"\n")

    config = planned.config
    log.configure(
        config.get(server_options.LOG_LEVEL).upper(), as_json=config.get(server_options.LOG_JSON), process=planned.name
    )
    try:
        Server(config, planned.role).run(
            first_start=lambda found: report("first-start", path=str(found.path)),
            ready=lambda found: report("ready", address=found.namesrv or found.broker),
            parent=parent,
        )
    except MqguardError as exc:
        report("failed", message=str(exc))
        return 1
    return 0
