"""The commands of README.md and of the first page run against a real server, with the output on the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment

ROOT = Path(__file__).resolve().parents[2]
MQGUARD = Path(sys.executable).with_name("mqguard")

pytestmark = pytest.mark.system


@pytest.fixture
def directory(tmp_path):
    """Return a directory in which commands find the credentials of the administrator, as after a first start."""
    data = tmp_path / "mqguard-data"
    data.mkdir()
    (data / "tools.yml").write_text(f"accessKey: {SUPER}\nsecretKey: {SUPER_SECRET}\n")
    (data / "tools.yml").chmod(0o600)
    return tmp_path


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path / "server").start()
    yield server
    server.stop()


def block(page: str, first: str) -> list[str]:
    """Return the lines of the block of a page that begins with a line."""
    for found in re.findall(r"^```\w*\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE):
        if found.startswith(first):
            return [line.split("   #")[0].rstrip() for line in found.splitlines() if line]
    raise AssertionError(f"{page}: no block begins with `{first}`")


def run(command: str, directory: Path, server: Server, extra: dict[str, str]) -> tuple[int, str]:
    """Run a command of a page, and return its exit code and its output."""
    env = environment() | {"MQGUARD_NAMESRV": server.namesrv, "PATH": f"{MQGUARD.parent}:{os.environ['PATH']}"} | extra
    words = command.replace("./dev run", "mqguard").split()
    done = subprocess.run(words, cwd=directory, env=env, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).rstrip("\n")


def masked(text: str) -> str:
    """Return a text without its random parts: secrets and ids of decisions."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", re.sub(r"\b\w{32}\b", "SECRET", text))


def test_the_first_guarded_message_of_the_readme(directory: Path, server: Server) -> None:
    """Each command prints what the README shows; secrets and ids are others."""
    env: dict[str, str] = {}
    shown: list[tuple[str, list[str]]] = []
    for line in block("README.md", "$ ./dev run topic create"):
        if line.startswith("$ "):
            shown.append((line[2:], []))
        else:
            shown[-1][1].append(line)
    secret = ""
    for command, expected in shown:
        name, *words = command.split()
        if name == "export":
            env = dict(word.split("=") for word in words) | {"MQGUARD_SECRET_KEY": secret}
        elif name == "unset":
            env = {}
        else:
            _, output = run(command, directory, server, env)
            assert masked(output) == masked("\n".join(expected)), command
            secret = "".join(re.findall(r"\b\w{32}\b", output)) or secret


def test_the_users_and_policies_of_the_first_page(directory: Path, server: Server) -> None:
    """Each command ends with success."""
    for command in block("docs/getting-started.md", "mqguard topic create orders"):
        code, output = run(command, directory, server, {})
        assert code == 0, (command, output)
