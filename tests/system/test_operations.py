"""The runbooks in `operations.md` run against a real server, each command as it is on the page."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
BIN = Path(sys.executable).parent
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(sh|yaml file=(\S+))\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECTIONS = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))
SECRET = "a-secret-of-alice-1"
START_SECONDS = 30.0
NEW_CERTIFICATE = """
openssl req -newkey rsa:2048 -nodes -subj /CN=broker -keyout server.key.new -out server.csr
printf 'subjectAltName=IP:127.0.0.1\\n' > san.cnf
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 -extfile san.cnf -out server.pem.new
"""
CERTIFICATES = f"""
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=ca -keyout ca.key -out ca.pem
{NEW_CERTIFICATE}
mv server.key.new server.key
mv server.pem.new server.pem
printf 'tls.server.certPath = server.pem\\ntls.server.keyPath = server.key\\n' >> broker.conf
{NEW_CERTIFICATE}
"""

pytestmark = pytest.mark.system


class Machine:
    """Directory in which an operator works, with a configuration and the servers that were started there.

    Args:
        directory: An empty directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = [free_port(), free_port(), free_port()]
        self.servers: list[subprocess.Popen[bytes]] = []
        listen, namesrv, _ = self.ports
        (directory / "broker.conf").write_text(
            f"listenPort = {listen}\nnamesrvListenPort = {namesrv}\ngrpcServerPort = 0\n"
        )

    @property
    def _environment(self) -> dict[str, str]:
        where = {"MQGUARD_NAMESRV": f"127.0.0.1:{self.ports[1]}", "PATH": f"{BIN}:{os.environ['PATH']}"}
        return environment() | where | {"HOME": str(self.directory)}

    def shell(self, script: str) -> str:
        """Run a script, and return its output. Every command of it must succeed."""
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: str) -> None:
        """Start a server, and wait until it is ready."""
        out, log = self.directory / "out", self.directory / "log"
        with out.open("wb") as stdout, log.open("ab") as stderr:
            server = subprocess.Popen(
                [*command.split(), "--json"],
                cwd=self.directory,
                env=self._environment,
                executable=BIN / "mqguard",
                stdout=stdout,
                stderr=stderr,
            )
        self.servers.append(server)
        end = time.monotonic() + START_SECONDS
        while '"ready"' not in out.read_text():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)

    def run(self, section: str) -> None:
        """Write the files of a section, and run its commands."""
        for kind, name, text in BLOCK.findall(SECTIONS[section]):
            if kind != "sh":
                (self.directory / name).write_text(text)
                continue
            script = ""
            here = text.replace("127.0.0.1:10911", f"127.0.0.1:{self.ports[0]}").replace("9090", str(self.ports[2]))
            for line in here.splitlines():
                if line.startswith("mqguard standalone"):
                    self.shell(script)
                    self.start(line)
                    script = ""
                else:
                    script += f"{line}\n"
            self.shell(script)

    def close(self) -> None:
        """End the servers."""
        for server in self.servers:
            server.kill()
            server.wait()


def free_port() -> int:
    """Return a port that no process uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return a machine with a server that has the user `alice` and one message."""
    machine = Machine(tmp_path)
    try:
        machine.start("mqguard standalone --config broker.conf")
        (tmp_path / "alice.secret").write_text(SECRET)
        machine.shell(
            "mqguard topic create orders\n"
            "mqguard user create alice --secret file:alice.secret --producer orders --consumer orders --group billing\n"
            "mqguard send orders hello\n"
        )
        yield machine
    finally:
        machine.close()


RECEIVE = "mqguard receive orders --group billing"
AS_ALICE = "--access-key alice --secret-key file:alice.secret"


def test_stop_and_start(machine: Machine) -> None:
    machine.run("Stop and start")
    assert machine.shell(RECEIVE) == "hello\n"


def test_a_server_is_watched(machine: Machine) -> None:
    machine.run("Watch a server")


def test_an_administrator_who_has_lost_the_secret(machine: Machine) -> None:
    """The steps need no secret, and leave the messages as they are."""
    (machine.directory / "mqguard-data" / "tools.yml").unlink()
    machine.run("Locked out")
    assert machine.shell(f"{RECEIVE} {AS_ALICE}") == "hello\n"


def test_a_backup_that_is_restored(machine: Machine) -> None:
    """After a restore there is everything that was there at the backup: messages, offsets, users and secrets."""
    machine.run("Back up")
    machine.shell(f"{RECEIVE}\nmqguard user rotate alice --keep 0\nmqguard user create bob")
    machine.run("Restore")
    assert machine.shell(f"{RECEIVE} {AS_ALICE}") == "hello\n"
    assert "bob" not in machine.shell("mqguard user list")


def test_a_lost_sealing_key(machine: Machine) -> None:
    """Policies and messages stay; users have new secrets."""
    machine.run("Lost sealing key")
    assert "Topic:orders" in machine.shell("mqguard can alice")
    assert machine.shell(f"{RECEIVE} --access-key alice --secret-key file:new-secrets/002-alice") == "hello\n"
    assert "User:alice" in (machine.directory / "policy.yaml").read_text()
    denied = machine.shell(f"mqguard topic list {AS_ALICE} 2>&1 || true")
    assert "check signature failed" in denied, denied


def test_a_new_sealing_key(machine: Machine) -> None:
    """Users keep their secrets, and the old key does not fit any more."""
    machine.run("New sealing key")
    assert machine.shell(f"{RECEIVE} {AS_ALICE}") == "hello\n"
    assert (machine.directory / "sealing.key.old").read_text() != (machine.directory / "sealing.key.backup").read_text()


def test_a_full_disk(machine: Machine) -> None:
    machine.run("Full disk")
    assert machine.shell(RECEIVE) == "hello\n"


def test_a_new_certificate(machine: Machine) -> None:
    """New connections get the new certificate, and an old one that clients refuse is not used any more."""
    machine.run("Stop and start")
    machine.shell(CERTIFICATES)
    machine.run("Stop and start")
    serial = (
        f"openssl s_client -connect 127.0.0.1:{machine.ports[0]} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    )
    before = machine.shell(serial)
    machine.run("Certificates")
    assert machine.shell(serial) != before
    assert "the TLS files were read again" in (machine.directory / "log").read_text()


def test_an_upgrade(machine: Machine) -> None:
    machine.run("Upgrade")


def test_every_section_of_the_page_is_run() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [title for title in SECTIONS if f'machine.run("{title}")' not in text] == []


def test_every_block_of_the_page_is_run() -> None:
    """The page has no block of a form that the tests do not run."""
    assert len(BLOCK.findall(PAGE.read_text())) * 2 == PAGE.read_text().count("\n```")
