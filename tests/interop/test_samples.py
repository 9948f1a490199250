"""The samples of Java and Go in `clients.md` run as they are on the page."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.server import Server
from tests.interop.conftest import Connections
from tests.interop.toolchain import HERE, JAVA_CLIENTS, java_classes, need

PAGE = HERE.parents[1] / "docs" / "clients.md"
SECRET = "a-secret-of-alice-1"
RECEIVE_SECONDS = 60.0


def sample(name: str, server: Server, directory: Path) -> Path:
    """Write a sample of the page into a directory, with the address of a server."""
    found = re.search(rf"^```\w+ file={re.escape(name)}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    path = directory / name
    path.write_text(found[1].replace("127.0.0.1:9876", server.namesrv))
    return path


def received(command: list[str], directory: Path) -> str:
    """Run a sample until it has received its message, and return its output."""
    out = directory / "out"
    with out.open("wb") as file:
        env = os.environ | {"ALICE_SECRET": SECRET, "HOME": str(directory)}
        process = subprocess.Popen(command, cwd=directory, env=env, stdout=file, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + RECEIVE_SECONDS
        while "received hello" not in out.read_text() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    return out.read_text()


@pytest.fixture
def shop(server: Server, connections: Connections) -> Server:
    """Return a server with the topic and the user of the page."""
    admin = connections.to(server.broker_port)
    create_topic(admin, "orders")
    create_user(admin, "alice", SECRET)
    grant(admin, "alice", entry("Topic:orders", "Pub,Sub"), entry("Group:billing", "Sub"))
    return server


@pytest.mark.parametrize("version", JAVA_CLIENTS)
def test_the_java_sample(shop: Server, tmp_path: Path, version: str) -> None:
    source = sample("Orders.java", shop, tmp_path)
    jars = java_classes(version, "classes", (HERE / "java" / "src").glob("*.java")).rpartition(":")[2]
    subprocess.run(["javac", "-d", str(tmp_path), "-cp", jars, str(source)], check=True, capture_output=True)
    command = ["java", f"-Duser.home={tmp_path}", "-cp", f"{tmp_path}:{jars}", "Orders"]
    assert "received hello" in received(command, tmp_path)


def test_the_hook_of_old_clients_is_the_tested_one(shop: Server, tmp_path: Path) -> None:
    tested = HERE / "java" / "v4_2" / "SigningHook.java"
    assert sample("SigningHook.java", shop, tmp_path).read_text() == tested.read_text()


def test_the_go_sample(shop: Server, tmp_path: Path) -> None:
    need("go")
    for name in ("go.mod", "go.sum"):
        (tmp_path / name).write_bytes((HERE / "go" / name).read_bytes())
    sample("main.go", shop, tmp_path)
    subprocess.run(["go", "build", "-mod=readonly", "-o", "orders", "."], cwd=tmp_path, check=True, capture_output=True)
    assert "received hello" in received([str(tmp_path / "orders")], tmp_path)
