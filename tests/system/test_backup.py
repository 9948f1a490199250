"""Backups of a running server: complete, usable, and never mistaken if the command is killed."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.fixtures.access import ADMIN, create_topic, create_user, read_all, send_fields
from tests.fixtures.command import MQGUARD, run, run_as
from tests.fixtures.server import SUPER, SUPER_SECRET, Server, environment
from tests.fixtures.wire import LIST_USERS, SEND, Wire

pytestmark = pytest.mark.timeout(120)

TOPIC, GROUP = "kept", "reader"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def started_on(backup: Path, server: Server, directory: Path) -> Server:
    """Return a server, not started, on a copy of a backup, with the sealing key of another server."""
    copy = Server(directory)
    shutil.copytree(backup, copy.data)
    shutil.copy2(server.data / "sealing.key", copy.data)
    return copy


def send(wire: Wire, text: str) -> None:
    assert wire.call(SEND, send_fields(TOPIC, 0), text.encode()).code == 0


def test_a_server_starts_on_a_copy_of_a_backup(server: Server, tmp_path: Path) -> None:
    """Messages, users, secrets and policies of the moment of the backup are in it, and nothing later."""
    with server:
        admin = run_as(server, directory=tmp_path)
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, 1)
            create_user(wire, "alice", "alice-secret-1")
            send(wire, "before")
            taken = admin("backup", "first", "--json")
            assert (taken.code, taken.err) == (0, "")
            send(wire, "after")
            create_user(wire, "later", "later-secret-1")
        assert list((server.data / "snapshots").iterdir()) == []
        assert admin("backup", "first", "--check").code == 0
        assert not list((tmp_path / "first").rglob("*key*")) + list((tmp_path / "first").rglob("tools.yml"))

        copy = started_on(tmp_path / "first", server, tmp_path / "copy")
        with copy, Wire(copy.broker_port, ADMIN) as wire:
            assert read_all(wire, TOPIC, GROUP, 0) == [b"before"]
            names = {user["username"] for user in json.loads(wire.call(LIST_USERS, {"filter": ""}).body)}
            assert names == {SUPER, "alice"}
            assert run_as(copy, "alice", "alice-secret-1")("topic", "list").err.count("check signature failed") == 0


def test_everything_acknowledged_before_is_in_a_backup_under_load(server: Server, tmp_path: Path) -> None:
    with server:
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, 1)
        acknowledged: list[str] = []
        stop = threading.Event()

        def load() -> None:
            with Wire(server.broker_port, ADMIN) as wire:
                while not stop.is_set():
                    text = f"{len(acknowledged)} {'x' * 4000}"
                    send(wire, text)
                    acknowledged.append(text)

        sender = threading.Thread(target=load)
        sender.start()
        time.sleep(1.0)
        before = len(acknowledged)
        assert run_as(server, directory=tmp_path)("backup", "loaded").code == 0
        stop.set()
        sender.join(20)
        copy = started_on(tmp_path / "loaded", server, tmp_path / "copy")
        with copy, Wire(copy.broker_port, ADMIN) as wire:
            stored = [body.decode() for body in read_all(wire, TOPIC, GROUP, 0)]
    assert before > 0
    assert stored[:before] == acknowledged[:before]
    assert stored == acknowledged[: len(stored)]


def test_a_killed_backup_is_never_taken_for_a_complete_one(server: Server, tmp_path: Path) -> None:
    """At any moment of the kill: the directory is complete, or it has another name and no server starts on it."""
    random_ = random.Random(time.time_ns())
    outcomes: set[bool] = set()
    variables = {"MQGUARD_NAMESRV": server.namesrv, "MQGUARD_ACCESS_KEY": SUPER, "MQGUARD_SECRET_KEY": SUPER_SECRET}
    with server:
        variables["MQGUARD_NAMESRV"] = server.namesrv
        with Wire(server.broker_port, ADMIN) as wire:
            create_topic(wire, TOPIC, 1)
            for number in range(2000):
                send(wire, f"{number} {'x' * 8000}")
        for round_ in range(6):
            out = tmp_path / f"round{round_}"
            words = [MQGUARD, "backup", str(out)]
            with subprocess.Popen(
                words, env=environment(**variables), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as command:
                partial = tmp_path / f"round{round_}.partial"
                while command.poll() is None and not partial.exists():
                    time.sleep(0.005)
                time.sleep(random_.uniform(0, 0.25))
                command.send_signal(signal.SIGKILL)
            outcomes.add(out.exists())
            if out.exists():
                assert run("backup", str(out), "--check", directory=tmp_path).code == 0
                continue
            if (partial / "access").exists():
                shutil.copy2(server.data / "sealing.key", partial)
                refused = run(
                    "config", "--data", str(partial), "--port", "0", "--namesrv-port", "0", "--grpc-port", "0"
                )
                assert refused.code == 2
                assert "is an incomplete backup" in refused.err
            # The snapshots of killed commands stay until the next start, and are limited.
            if round_ == 3:
                server.kill()
                server.start()
                assert not (server.data / "snapshots").exists()
                variables["MQGUARD_NAMESRV"] = server.namesrv
        server.kill()
        server.start()
        last = tmp_path / "last"
        assert run_as(server, directory=tmp_path)("backup", str(last)).code == 0
        assert run("backup", str(last), "--check", directory=tmp_path).code == 0
        assert not (tmp_path / "last.partial").exists()


def test_snapshots_are_limited(server: Server, tmp_path: Path) -> None:
    with server, Wire(server.broker_port, ADMIN) as wire:
        taken = [wire.call(7_700_002) for _ in range(5)]
        assert [one.code for one in taken] == [0, 0, 0, 0, 2]
        assert "4 snapshots exist, the maximum" in taken[-1].remark
        ids = [json.loads(one.body)["snapshotId"] for one in taken[:4]]
        assert [wire.call(7_700_003, {"snapshotId": one}).code for one in ids] == [0] * 4
        assert wire.call(7_700_003, {"snapshotId": ids[0]}).code == 22
        assert wire.call(7_700_003, {"snapshotId": "../access"}).code == 22
        assert wire.call(7_700_003).code == 29
        assert (server.data / "access").is_dir()
        assert run_as(server, directory=tmp_path)("backup", "again").code == 0


def test_only_a_super_user_may_take_a_backup(server: Server, tmp_path: Path) -> None:
    with server:
        admin = run_as(server, directory=tmp_path)
        everything = ("-r", "*", "-a", "All")
        assert admin("user", "create", "eve", "--secret", "env:EVE", EVE="eve-secret-123").code == 0
        assert admin("acl", "add", "User:eve", *everything).code == 0
        refused = run_as(server, "eve", "eve-secret-123", tmp_path)("backup", "stolen")
        assert refused.code == 1
        assert "no permission" in refused.err
        assert not (server.data / "snapshots").exists()
        assert not (tmp_path / "stolen").exists()


def test_a_backup_that_was_changed_is_reported(server: Server, tmp_path: Path) -> None:
    with server:
        admin = run_as(server, directory=tmp_path)
        assert admin("backup", "one").code == 0
        again = admin("backup", "one")
        assert (again.code, again.err) == (2, "mqguard: `one` exists: name a directory that does not exist yet\n")
    current = tmp_path / "one" / "messages" / "CURRENT"
    current.write_bytes(current.read_bytes() + b"x")
    assert "the file `messages/CURRENT` has another content" in run("backup", "one", "--check", directory=tmp_path).err
    current.unlink()
    assert "the file `messages/CURRENT` is missing" in run("backup", "one", "--check", directory=tmp_path).err
    (tmp_path / "other").mkdir()
    assert "it has no file `backup.json`" in run("backup", "other", "--check", directory=tmp_path).err
