"""Servers that share users and policies in a real etcd."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, disable_user, entry, expect, grant, send
from tests.fixtures.etcd import Etcd
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("etcd")]

ROOT, ALICE = User(SUPER, SUPER_SECRET), User("alice", "alice-secret")
CREATE_USER, GET_ACL = 3001, 3009
SYSTEM_BUSY = 2
KEY = "c2VhbGluZyBrZXkgb2YgdGhlIHRlc3RzLCAzMiBieXQ="
WAIT_S = 60.0


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    with Etcd(tmp_path / "etcd") as etcd:
        yield etcd


@contextlib.contextmanager
def servers(tmp_path: Path, etcd: Etcd, count: int = 2, **more: str) -> Iterator[list[Server]]:
    settings = {
        "authenticationMetadataProvider": "etcd",
        "authorizationMetadataProvider": "etcd",
        "etcdEndpoints": f"127.0.0.1:{etcd.port}",
        "etcdTimeoutMs": "1000",
        "remoteAccessIntervalMs": "200",
        **more,
    }
    with contextlib.ExitStack() as opened:
        found = []
        for number in range(count):
            directory = tmp_path / f"server-{number}"
            key = directory / "data" / "sealing.key"
            key.parent.mkdir(parents=True)
            key.touch(0o600)
            key.write_text(KEY)
            found.append(opened.enter_context(Server(directory, settings=settings)))
        yield found


def metric(admin: Wire, name: str) -> float:
    return float(admin.call(28).json()["table"][name])


def test_a_change_of_one_server_is_in_force_on_the_other(tmp_path: Path, etcd: Etcd) -> None:
    with servers(tmp_path, etcd) as (first, second), contextlib.ExitStack() as opened:
        one, two = (opened.enter_context(Wire(server.broker_port, ROOT)) for server in (first, second))
        create_topic(two, "orders")
        create_user(one, "alice", "alice-secret")
        # The other server decides this change by everything that etcd has, so it knows the user.
        grant(two, "alice", entry("Topic:orders", "Pub"))
        alice = opened.enter_context(Wire(second.broker_port, ALICE))
        assert eventually(lambda: send(alice, "orders", b"x").code == 0, WAIT_S)
        disable_user(one, "alice")
        assert eventually(lambda: send(alice, "orders", b"x").code != 0, WAIT_S)
        assert metric(two, "mqguard_remote_access_reloads_total") == 0


def test_two_administrators_lose_no_update(tmp_path: Path, etcd: Etcd) -> None:
    with servers(tmp_path, etcd) as found:
        with Wire(found[0].broker_port, ROOT) as admin:
            create_user(admin, "alice", "alice-secret")
        codes: list[int] = []
        wanted: set[str] = set()

        def add(server: Server, name: str) -> None:
            with Wire(server.broker_port, ROOT) as admin:
                for number in range(25):
                    topic = f"Topic:{name}{number}"
                    policies = [{"policyType": "Custom", "entries": [entry(topic, "Pub")]}]
                    body = json.dumps({"subject": "User:alice", "policies": policies}).encode()
                    code = SYSTEM_BUSY
                    while code == SYSTEM_BUSY:
                        code = admin.call(3006, {"subject": "User:alice"}, body).code
                    codes.append(code)
                    wanted.add(topic)

        threads = [threading.Thread(target=add, args=pair) for pair in zip(found, "ab", strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
        assert codes == [0] * 50

        def resources(server: Server) -> set[str]:
            with Wire(server.broker_port, ROOT) as admin:
                answer = expect(admin.call(GET_ACL, {"subject": "User:alice"}))
            policies = json.loads(answer.body)["policies"]
            return {one["resource"] for policy in policies for one in policy["entries"]}

        for server in found:
            assert eventually(lambda server=server: resources(server) == wanted, WAIT_S)  # type: ignore[misc]


def test_the_last_users_and_policies_serve_until_they_are_too_old(tmp_path: Path, etcd: Etcd) -> None:
    with (
        servers(tmp_path, etcd, 1, remoteAccessMaxAgeSeconds="4") as (server,),
        Wire(server.broker_port, ROOT) as admin,
    ):
        create_topic(admin, "orders")
        assert etcd.process is not None
        etcd.process.send_signal(signal.SIGSTOP)
        answer = admin.call(CREATE_USER, {"username": "bob"}, b'{"username":"bob","password":"bob-secret"}')
        assert answer.code != 0, "a change is never acknowledged without etcd"
        assert eventually(lambda: send(admin, "orders", b"x").code == SYSTEM_BUSY, WAIT_S), "the age is limited"
        etcd.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: send(admin, "orders", b"x").code == 0, WAIT_S)
        assert metric(admin, "mqguard_remote_access_refused_total") > 0
        log = server.log()
    assert "requests are decided by users and policies of" in log
    assert "no request is served" in log


def test_a_server_comes_back_after_etcd_was_killed(tmp_path: Path, etcd: Etcd) -> None:
    with servers(tmp_path, etcd) as (first, second):
        etcd.stop()
        with Wire(first.broker_port, ROOT) as admin:
            create_topic(admin, "orders")
            assert send(admin, "orders", b"x").code == 0
        etcd.start()
        with Wire(first.broker_port, ROOT) as one, Wire(second.broker_port, ROOT) as two:
            body = b'{"username":"alice","password":"alice-secret"}'
            assert eventually(lambda: one.call(CREATE_USER, {"username": "alice"}, body).code == 0, WAIT_S)
            create_topic(two, "orders")
            grant(two, "alice", entry("Topic:orders", "Pub"))
            with Wire(second.broker_port, ALICE) as alice:
                assert eventually(lambda: send(alice, "orders", b"x").code == 0, WAIT_S)
