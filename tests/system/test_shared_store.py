"""Two servers that share one store of users and policies, a plugin that uses a file of SQLite."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, disable_user, entry, expect, grant, send
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire

ROOT, ALICE = User(SUPER, SUPER_SECRET), User("alice", "alice-secret")
GET_ACL = 3009

STORE = '''
import sqlite3
import threading
import time

from mqguard.auth.ports import DeleteUser, Metadata, MetadataUpdate, PutAcl, PutUser, check_revision
from mqguard.auth.seal import SealingKey
from mqguard.store.metadata import records

KEY = SealingKey(bytes(32))


class SqliteStore:
    """Users and policies in a table of SQLite, with the revision in a row of its own."""

    def __init__(self, settings):
        self.path = settings["file"]
        self.poll = float(settings["poll"])
        self.own = set()
        with self.connect() as db:
            db.execute("CREATE TABLE IF NOT EXISTS records (at BLOB PRIMARY KEY, value BLOB)")
            db.execute("CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER)")
            db.execute("INSERT OR IGNORE INTO revision VALUES (1, 0)")

    def connect(self):
        return sqlite3.connect(self.path, timeout=10)

    def revision(self, db):
        return db.execute("SELECT number FROM revision").fetchone()[0]

    def load(self):
        with self.connect() as db:
            db.execute("BEGIN")
            revision = self.revision(db)
            rows = db.execute("SELECT at, value FROM records").fetchall()
        users = [records.read_user(at, value, KEY) for at, value in rows if at.startswith(records.USER)]
        return Metadata(users, [records.read_acl(at, value) for at, value in rows if at.startswith(records.ACL)], revision)

    def apply(self, changes, expected_revision):
        with self.connect() as db:
            db.execute("BEGIN IMMEDIATE")
            check_revision(expected_revision, self.revision(db))
            if not changes:
                return expected_revision
            for change in changes:
                if isinstance(change, PutUser):
                    self.put(db, records.user_key(change.user.name), records.write_user(change.user, KEY))
                elif isinstance(change, PutAcl):
                    self.put(db, records.acl_key(change.acl.subject), records.write_acl(change.acl))
                elif isinstance(change, DeleteUser):
                    db.execute("DELETE FROM records WHERE at = ?", (records.user_key(change.name),))
                else:
                    db.execute("DELETE FROM records WHERE at = ?", (records.acl_key(change.subject),))
            db.execute("UPDATE revision SET number = number + 1")
            self.own.add(expected_revision + 1)
        return expected_revision + 1

    def put(self, db, at, value):
        db.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (at, value))

    def watch(self, on_update):
        if self.poll:
            threading.Thread(target=self.follow, args=(on_update,), daemon=True).start()

    def follow(self, on_update):
        with self.connect() as db:
            seen = self.revision(db)
            while True:
                time.sleep(self.poll)
                found = self.revision(db)
                for number in range(seen + 1, found + 1):
                    if number not in self.own:
                        on_update(MetadataUpdate(number, number - 1, None))
                seen = found

    def close(self):
        pass
'''


@contextlib.contextmanager
def two_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poll: float) -> Iterator[tuple[Server, Server]]:
    """Start two servers on one store; `poll` is the period in which each looks for changes, 0 for never."""
    directory = tmp_path / "plugin"
    directory.mkdir()
    (directory / "sqlite_store.py").write_text(STORE)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    settings = {
        "authenticationMetadataProvider": "sqlite_store:SqliteStore",
        "authorizationMetadataProvider": "sqlite_store:SqliteStore",
        "plugin.file": str(tmp_path / "users.db"),
        "plugin.poll": str(poll),
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with Server(tmp_path / "a", settings=settings) as first, Server(tmp_path / "b", settings=settings) as second:
        yield first, second


def resources(admin: Wire) -> set[str]:
    answer = expect(admin.call(GET_ACL, {"subject": "User:alice"}))
    return {entry["resource"] for policy in json.loads(answer.body)["policies"] for entry in policy["entries"]}


def test_a_change_of_one_server_is_in_force_on_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test covers a new user, its policy, and its later status."""
    with two_servers(tmp_path, monkeypatch, 0.05) as servers, contextlib.ExitStack() as open_wires:
        first, second = (open_wires.enter_context(Wire(server.broker_port, ROOT)) for server in servers)
        create_topic(second, "orders")
        create_user(first, "alice", "alice-secret")
        grant(first, "alice", entry("Topic:orders", "Pub"))
        alice = open_wires.enter_context(Wire(servers[1].broker_port, ALICE))
        assert eventually(lambda: send(alice, "orders", b"x").code == 0)
        disable_user(first, "alice")
        assert eventually(lambda: send(alice, "orders", b"x").code != 0)


@pytest.mark.parametrize("poll", [0, 0.05], ids=["unheard", "heard"])
def test_no_change_is_lost_if_both_servers_change_one_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poll: float
) -> None:
    """This holds whether or not the servers get reports of each other's changes."""
    with two_servers(tmp_path, monkeypatch, poll) as servers:
        with Wire(servers[0].broker_port, ROOT) as admin, Wire(servers[1].broker_port, ROOT) as other:
            create_user(admin, "alice", "alice-secret")
            create_user(other, "bob", "bob-secret")  # A server without reports loads Alice when it writes.
        codes: list[int] = []
        wanted: set[str] = set()

        def add(server: Server, name: str) -> None:
            with Wire(server.broker_port, ROOT) as admin:
                for number in range(25):
                    topic = f"Topic:{name}{number}"
                    body = {
                        "subject": "User:alice",
                        "policies": [{"policyType": "Custom", "entries": [entry(topic, "Pub")]}],
                    }
                    code = 2
                    while code == 2:  # SYSTEM_BUSY: the other server was faster several times.
                        code = admin.call(3006, {"subject": "User:alice"}, json.dumps(body).encode()).code
                    codes.append(code)
                    wanted.add(topic)

        threads = [threading.Thread(target=add, args=pair) for pair in zip(servers, "ab", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert codes == [0] * 50
        # A write makes a server load the changes of the other.
        for server in servers:
            with Wire(server.broker_port, ROOT) as admin:
                grant(admin, "alice", entry("Topic:last", "Pub"))
                assert resources(admin) == wanted | {"Topic:last"}
                conflicts = admin.call(28).json()["table"]["mqguard_metadata_conflicts_total"]
                assert int(conflicts) > 0 or poll, "the servers have met"
