"""Official clients, fetched and built once into a cache outside the tree.

The cache is `$XDG_CACHE_HOME/mqguard-interop` (default `~/.cache/mqguard-interop`). Each part has a stamp made of its
sources. If Java, Maven, Go, Node or Rust is missing, the tests skip with that reason; with `MQGUARD_INTEROP=required` they
fail. `MQGUARD_INTEROP_WITHOUT` names clients whose tests are left out even then.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
JAVA_CLIENTS = ("5.5.0", "4.9.8")
OLD_JAVA_CLIENT = "4.2.0"
"""The first release of Apache. It has no hook that signs, and sends to the VIP channel."""
_OF_ALL_CLIENTS = ("Broker", "Consumers", "Failure", "Json", "Loop", "Producers", "Step")
JAVA_FLAGS = (
    "-Xmx256m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # many short-lived steps: start-up counts, peak speed does not
    "-Djava.security.manager=allow",  # mqadmin calls System.exit, which the driver must survive
)
_FLAGS_OF = {OLD_JAVA_CLIENT: ("--add-opens=java.base/java.nio=ALL-UNNAMED",)}  # of its Netty, made for Java 8
FETCH_SECONDS = 600
BUILD_SECONDS = FETCH_SECONDS
"""Maximum seconds to fetch and build a client. With empty caches, that for Rust takes minutes."""


def cache() -> Path:
    """Return the directory of fetched clients and built drivers."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mqguard-interop"


def unavailable(why: str) -> None:
    """Skip the test with a reason, or fail if the interop tests are required."""
    if os.environ.get("MQGUARD_INTEROP") == "required":
        pytest.fail(f"the interop tests are required: {why}", pytrace=False)
    pytest.skip(f"no interop test: {why}")


def need(*tools: str) -> None:
    """Skip or fail unless these commands are on the path."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        unavailable(f"{', '.join(missing)} not found")


def leave_out(client: str) -> None:
    """Skip the test if the user leaves out this client."""
    if client in os.environ.get("MQGUARD_INTEROP_WITHOUT", "").split():
        pytest.skip(f"no interop test: MQGUARD_INTEROP_WITHOUT names {client}")


def run(command: Sequence[str], *, where: Path) -> None:
    """Run a tool; a failure has its output."""
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS)
    if done.returncode != 0:
        unavailable(f"`{' '.join(command[:3])} …` failed: {(done.stderr or done.stdout).strip()[-1500:]}")


@contextmanager
def alone(name: str) -> Iterator[Path]:
    """Return the cache directory of a part, locked against other test processes."""
    directory = cache() / name
    directory.mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def fingerprint(files: Sequence[Path]) -> str:
    """Return a fingerprint of the files."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sorted(files))).hexdigest()


def build_once(directory: Path, stamp_name: str, files: Sequence[Path], build: Callable[[], object]) -> None:
    """Build a part again only if its source files have changed."""
    stamp = directory / stamp_name
    wanted = fingerprint(files)
    if not stamp.exists() or stamp.read_text() != wanted:
        build()
        stamp.write_text(wanted)


def java_driver(version: str, home: Path) -> list[str]:
    """Return the command that starts the driver on the official Java client of a version."""
    sources = (HERE / "java" / "src").glob("*.java")
    if version == OLD_JAVA_CLIENT:
        own = (HERE / "java" / "v4_2").glob("*.java")
        sources = itertools.chain(own, (path for path in sources if path.stem in _OF_ALL_CLIENTS))
    places = java_classes(version, "classes", sources)
    return ["java", *JAVA_FLAGS, *_FLAGS_OF.get(version, ()), *java_places(home, places), "Driver"]


def java_auth_module(home: Path) -> list[str]:
    """Return the command that starts Apache's auth module, a part of `mqadmin`; its stores are in `home`."""
    sources = [*(HERE / "java" / "auth").glob("*.java"), HERE / "java" / "src" / "Json.java"]
    places = java_classes(JAVA_CLIENTS[0], "auth-classes", sources)
    nowhere = f"-Djdk.net.hosts.file={os.devnull}"  # Java would look up a text that is not an address as a host name.
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", nowhere, *java_places(home, places), "AuthModule"]


def java_acl_v1(version: str, home: Path) -> list[str]:
    """Return the command that asks Apache's ACL 1.0 of a version; it reads its files from `home`."""
    places = java_classes(version, "acl-v1-classes", (HERE / "java" / "acl_v1").glob("*.java"))
    return ["java", "-Xmx256m", "-XX:+UseSerialGC", *java_places(home, places), "org.apache.rocketmq.acl.plain.AclV1"]


def java_filter_module() -> list[str]:
    """Return the command that starts Apache's filter module, which evaluates SQL92 expressions."""
    places = java_classes(f"filter-{JAVA_CLIENTS[0]}", "classes", (HERE / "java" / "sql92").glob("*.java"))
    return ["java", "-Xmx256m", "-Xss1m", "-XX:+UseSerialGC", "-cp", places, "FilterModule"]


def java_servers(home: Path, main: str, *arguments: str) -> list[str]:
    """Return the command that starts Apache's broker or name server, with its data in `home`.

    Args:
        home: Directory of its data.
        main: Main class, such as `org.apache.rocketmq.namesrv.NamesrvStartup`.
        *arguments: Arguments of the class.
    """
    need("java", "mvn")
    pom = HERE / "java" / f"rocketmq-servers-{JAVA_CLIENTS[0]}.xml"
    with alone(f"java-servers-{JAVA_CLIENTS[0]}") as directory:
        jars = directory / "jars"

        def fetch() -> None:
            shutil.rmtree(jars, ignore_errors=True)
            copy = ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
            run(["mvn", "-q", "-B", "-f", str(pom), *copy], where=directory)

        build_once(directory, "jars.stamp", [pom], fetch)
    packages = ("java.nio", "sun.nio.ch", "java.lang")
    opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in packages]
    return ["java", "-Xmx512m", "-XX:+UseSerialGC", *opens, *java_places(home, f"{jars}/*"), main, *arguments]


def java_pop_driver(home: Path) -> list[str]:
    """Return the command that starts the driver of pop consumers on the newest official Java client."""
    sources = [HERE / "java" / "pop" / "PopDriver.java"]
    sources += [
        HERE / "java" / "src" / f"{name}.java" for name in ("Consumers", "Failure", "Json", "Loop", "Step", "Version")
    ]
    places = java_classes(JAVA_CLIENTS[0], "pop-classes", sources)
    return ["java", *JAVA_FLAGS, *java_places(home, places), "PopDriver"]


def java_proxy(home: Path) -> list[str]:
    """Return the command that starts Apache's proxy 5.5.0, without its options."""
    places = java_places(home, java_classes("proxy-5.5.0", "proxy-classes", [HERE / "java" / "src" / "Json.java"]))
    opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("java.nio", "sun.nio.ch", "java.lang")]
    opens += [f"--add-exports=java.base/{name}=ALL-UNNAMED" for name in ("sun.nio.ch", "jdk.internal.ref")]
    return ["java", "-Xmx512m", "-XX:+UseSerialGC", *opens, *places, "org.apache.rocketmq.proxy.ProxyStartup"]


def java_grpc_driver(home: Path) -> list[str]:
    """Return the command that starts the driver of the official gRPC client for Java."""
    sources = [*(HERE / "java" / "grpc").glob("*.java")]
    sources += [HERE / "java" / "src" / f"{name}.java" for name in ("Json", "Loop", "Step", "Version")]
    return ["java", *JAVA_FLAGS, *java_places(home, java_classes("grpc-5.2.0", "grpc-classes", sources)), "GrpcDriver"]


def java_places(home: Path, classes: str) -> list[str]:
    """Return the options of a Java process for its directory and its classes."""
    return [f"-Duser.home={home}", f"-Drocketmq.home.dir={home}", "-cp", classes]


def java_classes(version: str, name: str, sources: Iterable[Path]) -> str:
    """Return the class path of programs that are compiled against the official Java client of a version."""
    need("java", "javac", "mvn")
    pom = HERE / "java" / f"rocketmq-{version}.xml"
    files = sorted(sources)
    with alone(f"java-{version}") as directory:
        jars, classes = directory / "jars", directory / name

        def fetch() -> None:
            shutil.rmtree(jars, ignore_errors=True)
            run(
                ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
                where=directory,
            )

        def compile_all() -> None:
            shutil.rmtree(classes, ignore_errors=True)
            run(["javac", "-nowarn", "-d", str(classes), "-cp", f"{jars}/*", *map(str, files)], where=directory)

        build_once(directory, "jars.stamp", [pom], fetch)
        build_once(directory, f"{name}.stamp", [pom, *files], compile_all)
    return f"{classes}:{jars}/*"


def cpp_driver(home: Path) -> list[str]:
    """Return the command that starts the driver on the C++ core, which a package for Python contains."""
    return python_driver("cpp", home)


def python_grpc_driver(home: Path) -> list[str]:
    """Return the command that starts the driver of the official gRPC client for Python."""
    return python_driver("python", home)


def python_driver(name: str, home: Path) -> list[str]:
    """Return the command that starts `driver.py` of a directory with the packages that it locks, and no others."""
    locked = HERE / name / "requirements.txt"
    with alone(name) as directory:
        packages = directory / "packages"

        def fetch() -> None:
            shutil.rmtree(packages, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
            run([*pip, "--target", str(packages), "--require-hashes", "-r", str(locked)], where=directory)

        build_once(directory, "packages.stamp", [locked], fetch)
    # The libraries write their logs below the home directory.
    return ["env", f"PYTHONPATH={packages}", f"HOME={home}", sys.executable, str(HERE / name / "driver.py")]


def go_driver() -> list[str]:
    """Return the command that starts the driver on the official Go client."""
    need("go")
    sources = sorted((HERE / "go").iterdir())
    with alone("go") as directory:
        binary = directory / "driver"
        build_once(
            directory,
            "driver.stamp",
            sources,
            lambda: run(["go", "build", "-mod=readonly", "-o", str(binary), "."], where=HERE / "go"),
        )
    return [str(binary)]


def go_grpc_driver(home: Path) -> list[str]:
    """Return the command that starts the driver on the official Go client of gRPC, with its log in `home`."""
    leave_out("grpc-go")
    need("go")
    sources = sorted((HERE / "go_grpc").iterdir())
    with alone("go-grpc") as directory:
        binary = directory / "driver"
        build = ["go", "build", "-mod=readonly", "-o", str(binary), "."]
        build_once(directory, "driver.stamp", sources, lambda: run(build, where=HERE / "go_grpc"))
    return ["env", f"HOME={home}", str(binary)]


def node_driver(home: Path) -> list[str]:
    """Return the command that starts the driver on the official Node client, with its log in `home`."""
    leave_out("grpc-node")
    need("node", "npm")
    named = [HERE / "node" / name for name in (".npmrc", "package.json", "package-lock.json")]
    driver = HERE / "node" / "driver.js"
    with alone("node") as directory:

        def fetch() -> None:
            for path in named:
                shutil.copy(path, directory)
            run(["npm", "ci"], where=directory)

        build_once(directory, "packages.stamp", named, fetch)
        # Node searches for packages in the directory of the program.
        build_once(directory, "driver.stamp", [driver], lambda: shutil.copy(driver, directory))
    return ["env", f"HOME={home}", "node", str(directory / driver.name)]


def rust_driver() -> list[str]:
    """Return the command that starts the driver on the official Rust client."""
    leave_out("grpc-rust")
    need("cargo")
    sources = sorted(path for path in (HERE / "rust").rglob("*") if path.is_file())
    with alone("rust") as directory:
        build = ["cargo", "build", "--quiet", "--locked", "--target-dir", str(directory / "target")]
        build_once(directory, "driver.stamp", sources, lambda: run(build, where=HERE / "rust"))
    return [str(directory / "target" / "debug" / "mqguard-interop")]


def h2spec() -> Path:
    """Return the program with the conformance tests of HTTP/2."""
    need("go")
    sources = sorted((HERE / "h2spec").iterdir())
    with alone("h2spec") as directory:
        binary = directory / "h2spec"
        build = ["go", "build", "-mod=readonly", "-o", str(binary), "github.com/summerwind/h2spec/cmd/h2spec"]
        build_once(directory, "h2spec.stamp", sources, lambda: run(build, where=HERE / "h2spec"))
    return binary
