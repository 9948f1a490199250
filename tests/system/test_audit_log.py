"""The audit log of a real process: whole after `kill -9`, whole under a flood, and bounded."""

from __future__ import annotations

import collections
import json
import time
from pathlib import Path

import pytest

from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.wire import CREATE_USER, DELETE_USER, User, Wire

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

ADMIN = User(SUPER, SUPER_SECRET)


def lines_in(server: Server, name: str = "audit.jsonl*") -> list[dict[str, object]]:
    """The JSON lines of some files of the audit log; a line that is being written is left out."""
    paths = sorted((server.data / "audit").glob(name))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def changes_in(server: Server) -> list[dict[str, object]]:
    return [line for line in lines_in(server) if line["event"] == "change"]


def eventually(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited for {seconds} s"
        time.sleep(0.05)


def test_a_change_that_was_acknowledged_is_on_record_after_kill_9(tmp_path: Path) -> None:
    """Each change that was answered with success has exactly one line, however soon the process ended."""
    server = Server(tmp_path).start()
    made = []
    for round_ in range(5):
        with Wire(server.broker_port, ADMIN) as wire:
            for number in range(round_ + 1):
                name = f"u{round_}x{number}"
                body = json.dumps({"username": name, "password": "secret-of-it", "userType": "Super"}).encode()
                wire.post(CREATE_USER, {"username": name}, body)
                answer = wire.read()
                server.kill() if number == round_ else None
                assert answer.code == 0
                made.append(name)
        server.start()
    with Wire(server.broker_port, ADMIN) as wire:
        assert wire.call(DELETE_USER, {"username": made[0]}).code == 0
    server.stop()

    changes = changes_in(server)
    told = collections.Counter(str(change["subject"]) for change in changes if change["operation"] == "create-user")
    assert told == {f"User:{name}": 1 for name in made}
    assert len({change["id"] for change in changes}) == len(changes)
    created = [change for change in changes if change["operation"] == "create-user"]
    assert {(change["user"], change["source"], change["code"], change["proven_by"]) for change in created} == {
        (SUPER, "127.0.0.1", CREATE_USER, "signature")
    }
    assert b"secret-of-it" not in b"".join(path.read_bytes() for path in (server.data / "audit").iterdir())


def test_what_the_first_start_makes_is_on_record(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        eventually(lambda: changes_in(server))
        server.stop()
        server.start()
        server.stop()

    (change,) = changes_in(server)
    assert (change["operation"], change["subject"], change["user"]) == ("initial-user", f"User:{SUPER}", "")
    assert SUPER_SECRET not in json.dumps(change)
