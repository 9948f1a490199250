"""The audit log of a real process is complete after `kill -9` and under a flood, and it is bounded."""

from __future__ import annotations

import collections
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, entry, grant, send_fields
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_USER, DELETE_USER, SEND, User, Wire, request

pytestmark = pytest.mark.timeout(300)


def lines_in(server: Server, name: str = "audit.jsonl*") -> list[dict[str, object]]:
    """Return the JSON lines of some files of the audit log, without a line that is being written."""
    paths = sorted((server.data / "audit").glob(name))
    lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def changes_in(server: Server) -> list[dict[str, object]]:
    return [line for line in lines_in(server) if line["event"] == "change"]


def test_an_acknowledged_change_is_in_the_audit_log_after_kill_9(tmp_path: Path) -> None:
    """Each acknowledged change has exactly one line, however soon the process ended."""
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
    assert {(change["user"], change["source"], change["code"], change["authenticated_by"]) for change in created} == {
        (SUPER, "127.0.0.1", CREATE_USER, "signature")
    }
    assert b"secret-of-it" not in b"".join(path.read_bytes() for path in (server.data / "audit").iterdir())


def test_users_that_the_first_start_creates_are_in_the_audit_log(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert eventually(lambda: changes_in(server))
        server.stop()
        server.start()
        server.stop()

    (change,) = changes_in(server)
    assert (change["operation"], change["subject"], change["user"]) == ("initial-user", f"User:{SUPER}", "")
    assert SUPER_SECRET not in json.dumps(change)


def flood(port: int, requests: list[bytes], *, links: int = 4, at_once: int = 200) -> None:
    """Send requests over several connections, and read every answer."""
    wires = [Wire(port, timeout=60) for _ in range(links)]
    try:
        for start in range(0, len(requests), links * at_once):
            share = requests[start : start + links * at_once]
            parts = [share[number::links] for number in range(links)]
            for wire, part in zip(wires, parts, strict=True):
                wire.socket.sendall(b"".join(part))
            for wire, part in zip(wires, parts, strict=True):
                for _ in part:
                    wire.read()
    finally:
        for wire in wires:
            wire.close()


def counted(lines: list[dict[str, object]]) -> int:
    """Return the number of decisions that lines represent: one each, or their count."""
    return sum(int(str(line.get("count", 1))) for line in lines)


def size(server: Server, name: str) -> int:
    return sum(path.stat().st_size for path in (server.data / "audit").glob(name))


def sends(user: User | None, topics: list[str], claimed: str = "") -> list[bytes]:
    found = []
    for number, topic in enumerate(topics):
        fields = send_fields(topic)
        if user is None and claimed:
            fields["AccessKey"] = f"{claimed}{number}"
        found.append(request(SEND, fields, b"x", user=user, opaque=number))
    return found


@pytest.fixture
def server(tmp_path: Path):
    with Server(tmp_path) as started, Wire(started.broker_port, ADMIN) as admin:
        create_user(admin, "alice", "secret-of-alice")
        create_user(admin, "mallory", "secret-of-mallory")
        create_topic(admin, "orders")
        grant(admin, "alice", entry("Topic:orders", "Pub"))
        yield started


ALICE, MALLORY = User("alice", "secret-of-alice"), User("mallory", "secret-of-mallory")
BAD_NAME = "\x01" * 250


def test_a_flood_without_credentials_loses_and_displaces_no_record(server: Server) -> None:
    """The flood has some lines in files of its own, which count every request; a change during it is audited."""
    with Wire(server.broker_port, ALICE) as alice:
        refused = alice.call(SEND, send_fields("secret"))
        assert refused.code == 16
    several = sends(None, ["orders"] * 20_000, BAD_NAME)
    same = sends(None, ["orders"] * 20_000)
    flood(server.broker_port, several)
    with Wire(server.broker_port, ADMIN) as admin:
        create_user(admin, "beside", "secret-of-beside")
    flood(server.broker_port, same)
    server.stop()

    found = lines_in(server, "audit.jsonl.unauthenticated*")
    assert counted(found) == len(several) + len(same)
    assert size(server, "*.unauthenticated*") < 512 * 1024
    kept = lines_in(server, "audit.jsonl")
    assert [line["event"] for line in lines_in(server) if line["event"] == "lost"] == []
    assert any(line.get("decision") and f"[decision {line['decision']}]" in str(refused.remark) for line in kept)
    assert any(line["event"] == "change" and line["subject"] == "User:beside" for line in kept)
    assert not [line for line in kept if line["event"] != "change" and not line["authenticated_by"]]


def test_a_user_without_permissions_displaces_no_record(server: Server) -> None:
    """Requests with ever new names use up the budget of lines of their user, and further ones are counted."""
    with Wire(server.broker_port, ALICE) as alice:
        assert alice.call(SEND, send_fields("secret")).code == 16
    before = size(server, "au*")
    denied = sends(MALLORY, [f"{number:x<250}" for number in range(8_000)])
    flood(server.broker_port, denied)
    server.stop()

    kept = lines_in(server, "audit.jsonl")
    assert counted([line for line in kept if line.get("user") == "mallory" and line.get("verdict") == "deny"]) == 8_000
    assert any(line.get("user") == "alice" and line.get("reason") == "no-match" for line in kept)
    assert size(server, "au*") - before < 1_000_000


def test_denials_outlive_admissions(tmp_path: Path) -> None:
    """A rotation of the files of admissions removes no denial and no change."""
    server = Server(tmp_path, settings={"auditMaxFileSize": "64K", "auditMaxFiles": "1"})
    with server, Wire(server.broker_port, ADMIN) as admin:
        create_user(admin, "alice", "secret-of-alice")
        create_topic(admin, "orders")
        grant(admin, "alice", entry("Topic:orders", "Pub"))
        with Wire(server.broker_port, ALICE) as alice:
            refused = alice.call(SEND, send_fields("secret"))
        flood(server.broker_port, sends(ALICE, ["orders"] * 3_000))
        server.stop()

    admitted = lines_in(server, "audit.jsonl.admitted*")
    assert {line["code"] for line in admitted} == {SEND}, "older admissions have made room"
    kept = lines_in(server, "audit.jsonl")
    (denial,) = [line for line in kept if line.get("verdict") == "deny"]
    assert f"[decision {denial['decision']}]" in str(refused.remark)
    assert [line["subject"] for line in kept if line.get("operation") == "create-user"] == ["User:alice"]
    why = subprocess.run(
        [Path(sys.executable).with_name("mqguard"), "why", str(denial["decision"]), "--data", str(server.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no-match" in why.stdout, why.stderr


def test_the_id_of_every_repeated_denial_is_found_in_the_audit_log(server: Server) -> None:
    """The id that a peer gets for the hundredth time is the one in the log."""
    told = set()
    with Wire(server.broker_port, MALLORY) as mallory:
        for _ in range(100):
            told.add(str(mallory.call(SEND, send_fields("orders")).remark))
    server.stop()

    lines = [line for line in lines_in(server, "audit.jsonl") if line.get("user") == "mallory"]
    assert [len(told), len(lines), counted(lines)] == [1, 2, 100]
    assert {f"[decision {line['decision']}]" in next(iter(told)) for line in lines} == {True}


def test_the_audit_log_keeps_no_memory_for_closed_connections(tmp_path: Path) -> None:
    """Long signatures and names, each on a connection of its own, leave the memory again."""
    settings = {"authenticationWhitelist": "105", "authorizationWhitelist": "105"}
    with Server(tmp_path, settings=settings) as server:

        def ask(count: int) -> None:
            for number in range(count):
                with Wire(server.namesrv_port) as wire:
                    fields = {"topic": "TBW102", "AccessKey": f"x{number}", "Signature": "A" * 60_000}
                    wire.socket.sendall(request(105, fields))
                    wire.read()

        ask(50)
        before = server.resident_bytes()
        ask(1_000)
        assert server.resident_bytes() - before < 20 << 20
