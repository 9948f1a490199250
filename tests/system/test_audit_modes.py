"""The records of admissions in each mode of `auditAdmissions`, at a real process, and the age of audit files."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant, send_fields
from tests.fixtures.command import run_as
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import SEND, User, Wire

pytestmark = pytest.mark.timeout(300)

ALICE = User("alice", "secret-of-alice")
DAY_S = 86_400


def started(directory: Path, **settings: str) -> Server:
    """Return a running server with a user who may send to one topic."""
    server = Server(directory, settings=settings).start()
    with Wire(server.broker_port, ADMIN) as admin:
        create_user(admin, ALICE.name, ALICE.secret)
        create_topic(admin, "orders")
        grant(admin, ALICE.name, entry("Topic:orders", "Pub"))
    return server


def send(server: Server, number: int) -> None:
    with Wire(server.broker_port, ALICE) as alice:
        for _ in range(number):
            assert alice.call(SEND, send_fields("orders")).code == 0
        assert alice.call(SEND, send_fields("secret")).code == 16


def lines_in(server: Server, name: str) -> list[dict[str, object]]:
    """Return the complete JSON lines of a file of the audit log."""
    path = server.data / "audit" / name
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def sends_in(server: Server, name: str = "audit.jsonl.admitted") -> list[dict[str, object]]:
    return [line for line in lines_in(server, name) if line.get("user") == "alice" and line.get("code") == SEND]


def counted(lines: list[dict[str, object]]) -> int:
    """Return the number of requests that lines represent."""
    return sum(int(str(line.get("count", 1))) for line in lines)


def replayed(server: Server, tmp_path: Path) -> dict[str, Any]:
    """Return the result of a replay by policies that allow nothing."""
    policies = tmp_path / "policy.yaml"
    policies.write_text("version: 1\nusers: {alice: {}}\n")
    run = run_as(server, directory=tmp_path)
    (value,) = run("replay", str(server.data / "audit"), "-f", str(policies), "--json").lines
    return value


@pytest.mark.parametrize(("mode", "most"), [("full", 50), ("summary", 2), ("off", 0)])
def test_admissions_have_the_records_of_the_mode(tmp_path: Path, mode: str, most: int) -> None:
    """The denial has its record in every mode, and commands read all forms."""
    server = started(tmp_path, auditAdmissions=mode)
    send(server, 50)
    server.stop()

    admitted = sends_in(server)
    assert counted(admitted) == (0 if mode == "off" else 50)
    assert len(admitted) <= most
    assert len([line for line in sends_in(server, "audit.jsonl") if line["verdict"] == "deny"]) == 1
    notes = [line for line in lines_in(server, "audit.jsonl.admitted") if line["event"] == "not-recorded"]
    assert [bool(line["count"]) for line in notes] == ([False, True] if mode == "off" else [])
    value = replayed(server, tmp_path)
    assert value["withoutAdmissions"] == (mode == "off")
    times = [change["times"] for change in value["changes"] if change["user"] == "alice"]
    assert times == ([] if mode == "off" else [50])
    shown = run_as(server, directory=tmp_path)("audit", "--data", str(server.data), "--user", "alice").out
    assert ("allow 50 times SEND_MESSAGE Pub on Topic:orders (" in shown) == (mode == "summary" and len(admitted) == 1)
    assert shown.count("allow SEND_MESSAGE Pub on Topic:orders (") == (50 if mode == "full" else 0)


def test_kill_9_loses_only_the_counts_of_the_open_minute(tmp_path: Path) -> None:
    """Counts of a minute that is over are in the file, and denials of the open minute too."""
    server = started(tmp_path, auditAdmissions="summary")
    try:
        send(server, 20)
        assert sends_in(server) == [] or counted(sends_in(server)) <= 20
        assert eventually(lambda: counted(sends_in(server)) == 20, seconds=90, pause=0.2)
        send(server, 7)
        denied = "audit.jsonl"
        assert eventually(lambda: counted([one for one in sends_in(server, denied) if one["verdict"] == "deny"]) >= 1)
        server.kill()
        assert 20 <= counted(sends_in(server)) <= 27
        server.start()
        send(server, 3)
    finally:
        server.stop()
    assert 23 <= counted(sends_in(server)) <= 30


def test_old_files_are_removed_at_a_start_and_at_a_rotation(tmp_path: Path) -> None:
    """Young parts and the current file stay, however old it is."""
    server = started(tmp_path, auditKeepDays="2", auditMaxFileSize="32K")
    server.stop()
    audit = server.data / "audit"
    old = time.time() - 3 * DAY_S
    for name, when in [("audit.jsonl.7", old), ("audit.jsonl.admitted.3", old), ("audit.jsonl.8", time.time())]:
        (audit / name).write_bytes(b"{}\n")
        os.utime(audit / name, (when, when))
    os.utime(audit / "audit.jsonl", (old, old))
    before = (audit / "audit.jsonl").read_bytes()

    server.start()
    try:
        names = {path.name for path in audit.iterdir()}
        assert {"audit.jsonl.7", "audit.jsonl.admitted.3"}.isdisjoint(names)
        assert {"audit.jsonl", "audit.jsonl.8"} <= names
        assert (audit / "audit.jsonl").read_bytes().startswith(before)
        aged = audit / "audit.jsonl.admitted.9"
        aged.write_bytes(b"{}\n")
        os.utime(aged, (old, old))
        send(server, 200)
        assert eventually((audit / "audit.jsonl.admitted.1").exists)
        assert eventually(lambda: not aged.exists())
    finally:
        server.stop()
