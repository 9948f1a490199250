"""The two servers that the benchmarks compare: mqguard, and Apache RocketMQ 5.5.0 (needs Java 17 and Maven)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mqguard-bench"
OPENS = [
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
]
AUTH = "org.apache.rocketmq.auth"
ACCESS_KEY, SECRET_KEY = "rocketmq", "12345678"
COMMAND = Path(sys.executable).with_name("mqguard")


def configuration(*, acl: bool, extra: str = "") -> str:
    """Return a `broker.conf` for free ports."""
    on = str(acl).lower()
    return f"""listenPort = 0
namesrvListenPort = 0
grpcServerPort = 0
brokerIP1 = 127.0.0.1
authenticationEnabled = {on}
authorizationEnabled = {on}
initAuthenticationUser = {{"username":"{ACCESS_KEY}","password":"{SECRET_KEY}"}}
{extra}"""


def port_of(address: str) -> int:
    """Return the port of `host:port`."""
    return int(address.rpartition(":")[2])


class Running(NamedTuple):
    """The ports and the process id of `mqguard standalone`."""

    broker: int
    namesrv: int
    grpc: int
    pid: int


@contextlib.contextmanager
def standalone(*, acl: bool = True, extra: str = "") -> Iterator[tuple[int, int, int]]:
    """Run `mqguard standalone` with a fresh directory; yield broker port, name server port and process id."""
    with running(acl=acl, extra=extra) as found:
        yield found.broker, found.namesrv, found.pid


@contextlib.contextmanager
def running(*, acl: bool = True, extra: str = "") -> Iterator[Running]:
    """Run `mqguard standalone` with a fresh directory."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory:
        conf = Path(directory) / "broker.conf"
        conf.write_text(configuration(acl=acl, extra=extra))
        command = [str(COMMAND), "standalone", "--config", str(conf), "--data", f"{directory}/data", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                ready: dict[str, str] = {}
                while ready.get("event") != "ready":
                    ready = json.loads(process.stdout.readline())
                ports = [port_of(ready[name]) for name in ("broker", "namesrv", "grpc")]
                yield Running(*ports, process.pid)
            finally:
                process.terminate()
                process.wait(20)


@contextlib.contextmanager
def several_brokers(count: int) -> Iterator[tuple[list[int], int]]:
    """Run `mqguard standalone --brokers N` in a fresh directory; yield all ports and the process id of the parent."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory:
        conf = Path(directory) / "broker.conf"
        conf.write_text(configuration(acl=True).replace("listenPort = 0", f"listenPort = {free_port()}", 1))
        command = [str(COMMAND), "standalone", "--brokers", str(count), "--config", str(conf), "--json"]
        with subprocess.Popen([*command, "--data", f"{directory}/data"], stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                ready: dict[str, object] = {}
                while ready.get("event") != "ready":
                    ready = json.loads(process.stdout.readline())
                addresses = ready["brokers"]
                assert isinstance(addresses, list)
                yield [port_of(str(address)) for address in addresses], process.pid
            finally:
                process.terminate()
                process.wait(20)


@contextlib.contextmanager
def guard_proxy(namesrv: int) -> Iterator[tuple[int, int]]:
    """Run `mqguard proxy` in front of a name server; yield its port for gRPC and its process id."""
    with tempfile.TemporaryDirectory(prefix="mqguard-") as directory:
        conf = Path(directory) / "rmq-proxy.json"
        inner = json.dumps({"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY})
        values = {
            "namesrvAddr": f"127.0.0.1:{namesrv}",
            "grpcServerPort": 0,
            "namesrvListenPort": 0,
            "proxyBrokerPorts": "0",
            "initAuthenticationUser": json.dumps({"username": ACCESS_KEY, "password": SECRET_KEY}),
            "innerClientAuthenticationCredentials": inner,
        }
        conf.write_text(json.dumps(values))
        command = [str(COMMAND), "proxy", "--config", str(conf), "--data", f"{directory}/data", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                ready: dict[str, str] = {}
                while ready.get("event") != "ready":
                    ready = json.loads(process.stdout.readline())
                yield port_of(ready["grpc"]), process.pid
            finally:
                process.terminate()
                process.wait(20)


def libraries() -> Path:
    """Return the directory of Apache's jars; the first call fetches them from Maven Central."""
    lib = CACHE / "lib-with-proxy"
    if not (lib / ".complete").exists():
        if shutil.which("mvn") is None or shutil.which("java") is None:
            raise SystemExit("the peer needs Java 17 and Maven (Debian: apt-get install openjdk-17-jdk-headless maven)")
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
        subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "peer" / "pom.xml"), *goal], check=True)
        (lib / ".complete").touch()
    return lib


def free_port() -> int:
    """Return a free port. The broker also uses the port two below it, which is free as a rule."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def broker_conf(store: Path, namesrv: int, port: int, *, acl: bool) -> str:
    """Return the configuration of Apache's broker, with ACL 2.0 switched on as its documentation does it."""
    on = str(acl).lower()
    return f"""brokerClusterName = DefaultCluster
brokerName = broker-a
brokerId = 0
brokerIP1 = 127.0.0.1
namesrvAddr = 127.0.0.1:{namesrv}
listenPort = {port}
haListenPort = {free_port()}
storePathRootDir = {store}
authenticationEnabled = {on}
authenticationProvider = {AUTH}.authentication.provider.DefaultAuthenticationProvider
initAuthenticationUser = {{"username":"{ACCESS_KEY}","password":"{SECRET_KEY}"}}
innerClientAuthenticationCredentials = {{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}
authenticationMetadataProvider = {AUTH}.authentication.provider.LocalAuthenticationMetadataProvider
authorizationEnabled = {on}
authorizationProvider = {AUTH}.authorization.provider.DefaultAuthorizationProvider
authorizationMetadataProvider = {AUTH}.authorization.provider.LocalAuthorizationMetadataProvider
"""


@contextlib.contextmanager
def java(
    home: Path, name: str, heap: str, *args: str, started: bytes = b"boot success"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server class until the block ends; wait until its output shows that it has started."""
    lib = libraries()
    (home / "conf").mkdir(parents=True, exist_ok=True)
    log = home / f"{name}.log"
    command = ["java", f"-Xmx{heap}", f"-Xms{heap}", f"-Duser.home={home}", f"-Drocketmq.home.dir={home}"]
    with (
        log.open("wb") as out,
        subprocess.Popen([*command, *OPENS, "-cp", f"{lib}/*", *args], stdout=out, stderr=out) as p,
    ):
        try:
            deadline = time.monotonic() + 60
            while started not in log.read_bytes():
                if p.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"Apache's {name} did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield p
        finally:
            p.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                p.wait(20)
            p.kill()


@contextlib.contextmanager
def apache_broker(*, acl: bool, extra: str = "") -> Iterator[tuple[int, int]]:
    """Run Apache's name server and broker; yield the broker's port and process id."""
    with tempfile.TemporaryDirectory(prefix="apache-") as directory:
        home, namesrv, port = Path(directory), free_port(), free_port()
        (home / "namesrv.conf").write_text(f"listenPort={namesrv}\n")
        (home / "broker.conf").write_text(broker_conf(home / "store", namesrv, port, acl=acl) + extra)
        start = "org.apache.rocketmq"
        with (
            java(home, "namesrv", "512m", f"{start}.namesrv.NamesrvStartup", "-c", str(home / "namesrv.conf")),
            java(home, "broker", "2g", f"{start}.broker.BrokerStartup", "-c", str(home / "broker.conf")) as process,
        ):
            time.sleep(3)
            yield port, process.pid


def proxy_conf(namesrv: int, grpc: int) -> str:
    """Return the configuration of Apache's proxy for the separated deployment, with ACL 2.0 switched on."""
    provider = AUTH + ".{0}.provider.Default{1}Provider"
    values = {
        "rocketMQClusterName": "DefaultCluster",
        "namesrvAddr": f"127.0.0.1:{namesrv}",
        "proxyMode": "cluster",
        "enableAclRpcHookForClusterMode": True,
        "remotingListenPort": free_port(),
        "grpcServerPort": grpc,
        "authenticationEnabled": True,
        "authenticationProvider": provider.format("authentication", "Authentication"),
        "authenticationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider",
        "innerClientAuthenticationCredentials": json.dumps({"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}),
        "authorizationEnabled": True,
        "authorizationProvider": provider.format("authorization", "Authorization"),
        "authorizationMetadataProvider": "org.apache.rocketmq.proxy.auth.ProxyAuthorizationMetadataProvider",
    }
    return json.dumps(values)


@contextlib.contextmanager
def apache_proxy() -> Iterator[tuple[int, int, int, tuple[int, int]]]:
    """Run Apache's name server, broker and proxy; yield broker port, name server port, gRPC port and process ids."""
    with tempfile.TemporaryDirectory(prefix="apache-") as directory:
        home, namesrv, port, grpc = Path(directory), free_port(), free_port(), free_port()
        (home / "namesrv.conf").write_text(f"listenPort={namesrv}\n")
        (home / "broker.conf").write_text(broker_conf(home / "store", namesrv, port, acl=True))
        (home / "rmq-proxy.json").write_text(proxy_conf(namesrv, grpc))
        start = "org.apache.rocketmq"
        proxy = (f"{start}.proxy.ProxyStartup", "-pc", str(home / "rmq-proxy.json"))
        with (
            java(home, "namesrv", "512m", f"{start}.namesrv.NamesrvStartup", "-c", str(home / "namesrv.conf")),
            java(home, "broker", "2g", f"{start}.broker.BrokerStartup", "-c", str(home / "broker.conf")) as broker,
        ):
            time.sleep(3)
            with java(home, "proxy", "1g", *proxy, started=b"startup successfully") as process:
                yield port, namesrv, grpc, (process.pid, broker.pid)
