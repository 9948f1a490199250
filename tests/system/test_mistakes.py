"""Every command of `mistakes.md` prints on a real server what the page says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.command import run_as
from tests.fixtures.server import Server, environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mistakes.md"
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"in\s+`(\w+\.conf)`.*?^```properties\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CHANGING = re.compile(r"(?<=\[decision )\w+(?=\])|(?<=: )[A-Za-z0-9]{32}$", re.MULTILINE)
"""Ids of decisions and random secrets."""
ADMIN, ADMIN_SECRET = "admin", "a-secret-of-admin-1"

pytestmark = pytest.mark.system


def examples() -> list[tuple[str, str]]:
    """Return each command of the page with the output that the page has."""
    found = []
    for language, block in BLOCK.findall(PAGE.read_text()):
        for part in [] if language else re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a server with the administrator, users and topic of the page, and the files that its commands name."""
    data = tmp_path / "mqguard-data"
    data.mkdir()
    tools = data / "tools.yml"
    tools.write_text(f"accessKey: {ADMIN}\nsecretKey: {ADMIN_SECRET}\n")
    tools.chmod(0o600)
    for name, text in FILE.findall(PAGE.read_text()):
        (tmp_path / name).write_text(text)
    server = Server(tmp_path / "server").start()
    root = run_as(server)
    assert root("user", "create", ADMIN, "--secret", ADMIN_SECRET, "--type", "Super").code == 0
    for name in ("alice", "bob"):
        assert root("user", "create", name, "--secret", f"a-secret-of-{name}").code == 0
    assert root("topic", "create", "orders").code == 0
    yield server
    server.stop()


@pytest.mark.timeout(180)
def test_each_mistake_has_the_message_of_the_page(server: Server, tmp_path: Path) -> None:
    env = environment(MQGUARD_NAMESRV=server.namesrv, HOME=str(tmp_path)) | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    page, seen = examples(), []
    for command, _ in page:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        seen.append((command, CHANGING.sub("*", done.stdout + done.stderr)))
    assert len(page) == 14
    assert seen == [(command, CHANGING.sub("*", output)) for command, output in page]
