"""Every `mqguard` command in the blocks of `getting-started.md` and in the examples of `cli.md` runs as it is written."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment

DOCS = Path(__file__).resolve().parents[2] / "docs"
BIN = Path(sys.executable).parent
COMMAND = re.compile(r"^ *(mqguard [a-z].*?)(?: {2,}#.*)?$", re.MULTILINE)
EXAMPLES = re.compile(r"^ +Examples:\n((?: +mqguard .*\n)+)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FIRST, LAST = {"create", "set"}, {"delete", "remove", "unpin"}
ELSEWHERE = re.compile(r"10\.1\.2\.3|127\.0\.0\.1:19876|--context|--data /")
"""Parts of commands that name a server which the test does not have."""
POLICY = """\
version: 1
users:
  alice: {}
policies:
  User:alice:
    custom:
      - {resource: Topic:orders, actions: Pub, decision: Allow}
tests:
  - {user: alice, action: Pub, resource: Topic:orders, must: allow}
"""
ACL_V1 = "accounts:\n  - accessKey: RocketMQ\n    secretKey: '12345678'\n    defaultTopicPerm: PUB\n"

pytestmark = pytest.mark.system
SERVER = re.compile(r"mqguard (standalone|namesrv|broker|proxy|sealing-key)\b(?! pin)")
"""Commands that run until they are stopped, or that need a stopped server, as the runbooks have it."""


def examples() -> list[str]:
    """Return the examples of `cli.md`: those that create objects first, and those that delete them last."""
    found = [line.strip() for block in EXAMPLES.findall((DOCS / "cli.md").read_text()) for line in block.splitlines()]

    def place(command: str) -> int:
        verb = command.split()[2:3]
        return -1 if FIRST & set(verb) else 1 if LAST & set(verb) else 0

    return sorted((one for one in found if not SERVER.match(one)), key=place)


def first_steps() -> list[str]:
    """Return the commands of `getting-started.md`; other tests start servers."""
    found = BLOCK.findall((DOCS / "getting-started.md").read_text())
    blocks = "".join(text for language, text in found if not language)
    return [one for one in COMMAND.findall(blocks) if not SERVER.match(one)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with the files that the commands name."""
    for name in ("backups", "mqguard-data", "opt/rocketmq/conf", "run/secrets", "var/log/mqguard"):
        (tmp_path / name).mkdir(parents=True)
    files = {
        "mqguard-data/tools.yml": f"accessKey: {SUPER}\nsecretKey: {SUPER_SECRET}\n",
        "broker.conf": "brokerName = broker-a\n",
        "carol.secret": "a-secret-of-carol-1",
        "new.secret": "a-secret-of-alice-1",
        "run/secrets/ops": "a-secret-of-ops-1",
        "message.json": "{}",
        "plain_acl.yml": ACL_V1,
        "opt/rocketmq/conf/plain_acl.yml": ACL_V1,
        "var/log/mqguard/audit.jsonl": "",
        **dict.fromkeys(("policy.yaml", "old.yaml", "new.yaml"), POLICY),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "mqguard-data" / "tools.yml").chmod(0o600)
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a server whose audit log is where the commands look for it."""
    server = Server(tmp_path / "server", settings={"auditPath": str(tmp_path / "mqguard-data" / "audit")}).start()
    yield server
    server.stop()


def completed(
    commands: list[str], directory: Path, server: Server
) -> Iterator[tuple[str, subprocess.CompletedProcess[str]]]:
    """Run commands one after the other, and yield each with its result."""
    where = {"MQGUARD_NAMESRV": server.namesrv, "HOME": str(directory), "OPS_SECRET": "a-secret-of-ops-1"}
    env = environment() | where | {"PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in commands:
        here = re.sub(r"(?<![\w.])/(opt|run|var)/", rf"{directory}/\1/", command)
        yield (
            command,
            subprocess.run(
                ["bash", "-c", here],
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            ),
        )


def failures(commands: list[str], directory: Path, server: Server) -> list[str]:
    """Run commands, and return those that are not valid or do not reach the server."""
    wrong = []
    for command, done in completed(commands, directory, server):
        allowed = {0, 1, 4} | ({3} if ELSEWHERE.search(command) else set())
        if done.returncode not in allowed or "Traceback" in done.stderr or "internal error" in done.stderr:
            wrong.append(f"{command}: {done.returncode}: {done.stderr}")
    return wrong


@pytest.mark.timeout(300)
def test_the_examples_of_the_command_line(directory: Path, server: Server) -> None:
    commands = examples()
    assert len(commands) > 50
    assert failures(commands, directory, server) == []


FOREIGN = {
    "config": "options",
    "context": "options",
    "receive": "properties",
    "status": "values",
    "topic": "attributes",
}
"""Commands with a member whose keys are names of options, of Apache or of users."""


def keys_of(value: object, command: str) -> Iterator[str]:
    """Yield all keys in the JSON of a command, except those that are not its own."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if FOREIGN.get(command.split()[1]) != key:
                yield from keys_of(inner, command)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, command)


@pytest.mark.timeout(300)
def test_all_json_keys_are_in_camel_case_and_users_have_one_name(directory: Path, server: Server) -> None:
    """The records of `audit` have the names of the log, which is read again and does not change."""
    takes_json = {
        page.partition("\n")[0]
        for page in (DOCS / "cli.md").read_text().split("\n## ")
        if re.search(r"^ +--json ", page, re.MULTILINE)
    }
    commands = [
        f"{one} --json"
        for one in examples()
        if {" ".join(one.split()[:2]), " ".join(one.split()[:3])} & takes_json
        and not re.match(r"mqguard (audit|demo|namesrv|broker|proxy) ?|.*(--json|[|>])", one)
    ]
    keys: dict[str, str] = {}
    for command, done in completed(commands, directory, server):
        for line in done.stdout.splitlines() + [line for line in done.stderr.splitlines() if line.startswith("{")]:
            keys |= dict.fromkeys(keys_of(json.loads(line), command), command)
    wrong = {key: command for key, command in keys.items() if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", key)}
    assert wrong == {}
    assert keys.keys() & {"username", "userName", "userType"} == set()
    assert {"user", "error", "queueOffset", "keepOldSecretMs", "liveSecrets"} <= keys.keys()


@pytest.mark.timeout(120)
def test_the_commands_of_the_first_page(directory: Path, server: Server) -> None:
    commands = first_steps()
    assert len(commands) > 10
    assert failures(commands, directory, server) == []
