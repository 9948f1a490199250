"""Servers and driven clients for the interop tests."""

from __future__ import annotations

import itertools
import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from _pytest.mark import ParameterSet

from tests.fixtures.access import ADMIN
from tests.fixtures.server import Server, environment
from tests.fixtures.wire import User, Wire
from tests.interop.driver import Driver
from tests.interop.grpc_clients import COMMANDS, Access, GrpcClient, endpoint_of, started, super_client
from tests.interop.outsiders import OUTSIDERS, Outsider
from tests.interop.toolchain import (
    JAVA_CLIENTS,
    OLD_JAVA_CLIENT,
    cpp_driver,
    go_driver,
    go_grpc_driver,
    java_driver,
    node_driver,
    rust_driver,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory as an interop test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.interop)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


@dataclass
class DrivenClient:
    """A user of an official client at one server."""

    driver: Driver
    server: Server
    user: User | None = ADMIN

    def call(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step as this user, and return the answer, which may be a refusal."""
        who = {"user": self.user.name, "secret": self.user.secret} if self.user else {}
        named: dict[str, Any] = {"namesrv": self.server.namesrv, **who, **arguments}
        return self.driver.call(verb, **named)

    def do(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Do a step that must succeed, and return the answer."""
        answer = self.call(verb, **arguments)
        assert answer["ok"], answer
        return answer

    def received(self, handle: str, count: int) -> dict[str, Any]:
        """Return what a consumer got when it has this many messages and got no other for some seconds.

        A consumer may begin late: official Java clients stop pulling until their next heartbeat if their first share of
        the queues and a heartbeat come together, and wait three seconds after each failed pull.
        """
        self.do("received", handle=handle, count=count, timeout=60_000, wait=80)
        return self.do("received", handle=handle, count=count + 1, timeout=3000)

    def as_(self, user: User | None) -> DrivenClient:
        """Return the same client with other credentials, or none."""
        return DrivenClient(self.driver, self.server, user)

    def mqadmin(self, *words: str) -> Mqadmin:
        """Run the real mqadmin with this user's `conf/tools.yml`."""
        answer = self.do("mqadmin", arguments="\x1f".join(words))
        return Mqadmin(answer["out"], answer["err"])


@dataclass(frozen=True)
class Mqadmin:
    """The output of mqadmin, which always exits with 0."""

    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The printed lines, split into columns."""
        return [line.split() for line in self.out.splitlines() if line.strip()]


class Elsewhere(Server):
    """A RocketMQ server that runs already, for the same tests of another implementation."""

    def __init__(self, namesrv: str, broker: str, grpc: str = "") -> None:
        super().__init__(Path())
        self._ports = (int(namesrv.rpartition(":")[2]), int(broker.rpartition(":")[2]))
        self._grpc = grpc

    @property
    def grpc(self) -> str:
        return self._grpc

    def start(self) -> Self:
        return self

    def stop(self) -> int:
        pytest.skip("this server is not ours to stop")


class Drivers:
    """Driver processes, each started at its first use and kept for the session."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[str, Driver] = {}

    def get(self, which: str) -> Driver:
        """Return the driver of a Java client's version, or of another client."""
        if which not in self._open:
            directory = self._directory / which
            directory.mkdir(exist_ok=True)
            command = _driver(which, directory)
            self._open[which] = Driver(command, directory / "driver.log", environment(DRIVER_LOG_LEVEL="warn"))
        return self._open[which]

    def close_clients(self) -> None:
        """End all clients of all drivers, before their server goes."""
        for driver in self._open.values():
            driver.call("close")

    def close(self) -> None:
        for driver in self._open.values():
            driver.close()


def _driver(which: str, directory: Path) -> list[str]:
    match which:
        case "go":
            return go_driver()
        case "grpc-go":
            return go_grpc_driver(directory)
        case "grpc-node":
            return node_driver(directory)
        case "grpc-rust":
            return rust_driver()
        case "cpp":
            return cpp_driver(directory)
        case version:
            return java_driver(version, directory)


@pytest.fixture(scope="session")
def drivers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drivers]:
    """Return the drivers of this test process, and close them at the end."""
    opened = Drivers(tmp_path_factory.mktemp("drivers"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, drivers: Drivers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Start a server for the module, or use the one that `MQGUARD_INTEROP_SERVER=NAMESRV,BROKER[,GRPC]` names.

    The module may name settings of the server in `SERVER_SETTINGS`.
    """
    if there := os.environ.get("MQGUARD_INTEROP_SERVER"):
        yield Elsewhere(*there.split(","))
        drivers.close_clients()
        return
    settings: dict[str, str] = getattr(request.module, "SERVER_SETTINGS", {})
    with Server(tmp_path_factory.mktemp("server"), settings=settings) as started:
        yield started
        drivers.close_clients()


def is_readable(wire: Wire) -> bool:
    """Return True if a connection that waits for no answer has something to read, such as its end."""
    return bool(select.select([wire.socket], [], [], 0)[0])


class Connections:
    """The Super user's own connections to the module's server, opened again after a restart or when they were idle.

    They are kept open, since an authenticated connection is served while the guard slows down others of its address.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: dict[int, Wire] = {}
        self._process: int | None = None

    def to(self, port: int) -> Wire:
        """Return the connection to the broker's or the name server's port."""
        process = self._server.process_id
        if process != self._process:
            self.close()
            self._process = process
        if port in self._open and is_readable(self._open[port]):
            self._open.pop(port).close()  # the server ends idle connections after two minutes
        if port not in self._open:
            self._open[port] = Wire(port, ADMIN)
        return self._open[port]

    def close(self) -> None:
        for wire in self._open.values():
            wire.close()
        self._open.clear()


@pytest.fixture(scope="module")
def connections(server: Server) -> Iterator[Connections]:
    """Return the Super user's own connections, and close them at the end."""
    made = Connections(server)
    yield made
    made.close()


@pytest.fixture
def admin(server: Server, connections: Connections) -> Wire:
    """Return the Super user's own connection to the broker."""
    return connections.to(server.broker_port)


@pytest.fixture
def namesrv(server: Server, connections: Connections) -> Wire:
    """Return the Super user's own connection to the name server."""
    return connections.to(server.namesrv_port)


def _versions(*versions: str) -> list[ParameterSet]:
    return [pytest.param(version, marks=pytest.mark.xdist_group(f"java-{version}")) for version in versions]


@pytest.fixture(params=_versions(*JAVA_CLIENTS))
def java(request: pytest.FixtureRequest, drivers: Drivers, server: Server) -> DrivenClient:
    """Return the Super user at the module's server, with each official Java client that has a hook for ACLs."""
    return DrivenClient(drivers.get(request.param), server)


@pytest.fixture(params=_versions(*JAVA_CLIENTS, OLD_JAVA_CLIENT))
def any_java(request: pytest.FixtureRequest, drivers: Drivers, server: Server) -> DrivenClient:
    """Return the Super user at the module's server, with each official Java client, the oldest included."""
    return DrivenClient(drivers.get(request.param), server)


@pytest.fixture
def java5(drivers: Drivers, server: Server) -> DrivenClient:
    """Return the Super user at the module's server with the official Java client 5.5.0, which has mqadmin."""
    return DrivenClient(drivers.get("5.5.0"), server)


@pytest.fixture
def go(drivers: Drivers, server: Server) -> DrivenClient:
    """Return the Super user at the module's server with the official Go client."""
    return DrivenClient(drivers.get("go"), server)


@pytest.fixture
def cpp(drivers: Drivers, server: Server) -> DrivenClient:
    """Return the Super user at the module's server with the official C++ core."""
    return DrivenClient(drivers.get("cpp"), server)


@pytest.fixture(
    scope="module", params=[pytest.param(one, marks=pytest.mark.xdist_group(f"grpc-{one}")) for one in COMMANDS]
)
def grpc_driver(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    """Start the driver of each official gRPC client, whose clients end with the module."""
    with started(request.param, tmp_path_factory.mktemp(f"grpc-{request.param}")) as driver:
        yield driver
        driver.kill()


@pytest.fixture
def grpc(grpc_driver: Driver, server: Server) -> GrpcClient:
    """Return the Super user at the module's server, with each official gRPC client."""
    return super_client(grpc_driver, endpoint_of(server))


@pytest.fixture
def access(server: Server, admin: Wire) -> Access:
    """Return the means to create topics, groups and users at the module's server."""
    return Access(admin, endpoint_of(server))


@pytest.fixture(params=list(OUTSIDERS))
def outsider(request: pytest.FixtureRequest) -> Outsider:
    """Return each user that must be refused."""
    return OUTSIDERS[request.param]


@pytest.fixture
def name() -> Callable[[str], str]:
    """Return a function that creates names that no other test has."""
    return lambda what: f"{what}_{os.getpid()}_{next(_NUMBERS)}"


_NUMBERS = itertools.count(1)
