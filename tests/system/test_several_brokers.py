"""`mqguard standalone --brokers 2`: whole processes that share users and policies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fixtures.access import (
    ADMIN,
    acl_body,
    create_topic,
    create_user,
    disable_user,
    entry,
    expect,
    grant,
    send,
)
from tests.fixtures.command import run_as
from tests.fixtures.server import Broker, Server, TwoBrokers
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import CREATE_ACL, CREATE_USER, DELETE_ACL, GET_ACL, LIST_USERS, ROUTE, UPDATE_USER, User, Wire

DENIED, BUSY = 16, 2
RUNTIME_INFO = 28
MAX_AGE = 2
ALICE = User("alice", "alice-secret")


@contextlib.contextmanager
def wires(server: TwoBrokers, user: User) -> Iterator[list[Wire]]:
    """Connect a user with each broker."""
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(Wire(port, user)) for port in server.broker_ports]


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TwoBrokers]:
    """Start two brokers; a test may give the age at which they stop to serve, in seconds."""
    age = getattr(request, "param", MAX_AGE)
    with TwoBrokers(tmp_path, settings={"sharedAccessMaxAgeSeconds": str(age)}) as started:
        yield started


@pytest.fixture
def admins(server: TwoBrokers) -> Iterator[list[Wire]]:
    """Return the Super user's connections to the brokers, with a topic at both and a user that may send to it."""
    with wires(server, ADMIN) as opened:
        for admin in opened:
            create_topic(admin, "orders")
        create_user(opened[0], "alice", "alice-secret")
        grant(opened[0], "alice", entry("Topic:orders", "Pub"))
        yield opened


def users(admin: Wire) -> set[str]:
    return {user["username"] for user in expect(admin.call(LIST_USERS)).json()}


def set_status(admin: Wire, status: str) -> None:
    body = json.dumps({"username": "alice", "userStatus": status}).encode()
    expect(admin.call(UPDATE_USER, {"username": "alice"}, body))


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def routed(server: TwoBrokers) -> set[str]:
    """Return the brokers in the route of the topic."""
    with Wire(server.namesrv_port, ADMIN) as wire:
        answer = wire.call(ROUTE, {"topic": "orders"})
        return set() if answer.code else {found["brokerName"] for found in answer.json()["queueDatas"]}


@pytest.mark.parametrize("server", [30], indirect=True)  # a busy machine may stall for some seconds
def test_an_acknowledged_change_is_in_force_at_every_broker_for_the_next_request(
    server: TwoBrokers, admins: list[Wire]
) -> None:
    """Other clients send all the time, so that both brokers are busy."""
    ending = threading.Event()

    def load(port: int) -> None:
        with Wire(port, ADMIN) as wire:
            while not ending.is_set():
                expect(send(wire, "orders", b"load"))

    threads = [threading.Thread(target=load, args=(port,)) for port in server.broker_ports * 2]
    for thread in threads:
        thread.start()
    try:
        with wires(server, ALICE) as alices:
            for turn in range(40):
                admin = admins[turn % 2]
                set_status(admin, "disable")
                assert [send(alice, "orders", b"x").code for alice in alices] == [DENIED, DENIED]
                set_status(admin, "enable")
                assert [send(alice, "orders", b"x").code for alice in alices] == [0, 0]
    finally:
        ending.set()
        for thread in threads:
            thread.join(30)
    assert routed(server) == {"broker-a", "broker-b"}


def test_two_administrators_at_once_lose_no_change(server: TwoBrokers, admins: list[Wire]) -> None:
    codes: list[int] = []

    def add(number: int) -> None:
        with Wire(server.broker_ports[number % 2], ADMIN) as admin:
            for topic in range(25):
                body = acl_body("User:alice", [entry(f"Topic:t{number}-{topic}", "Pub")])
                codes.append(admin.call(CREATE_ACL, {"subject": "User:alice"}, body).code)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [0] * 100
    for admin in admins:
        (policy,) = expect(admin.call(GET_ACL, {"subject": "User:alice"})).json()["policies"]
        assert len(policy["entries"]) == 101


def test_a_tool_may_send_the_same_change_to_each_broker(server: TwoBrokers, admins: list[Wire]) -> None:
    """The second request of the same user changes nothing. Sent again to one broker, it is an error as before."""
    bob = json.dumps({"username": "bob", "password": "bob-secret"}).encode()
    assert [admin.call(CREATE_USER, {"username": "bob"}, bob).code for admin in (*admins, admins[0])] == [0, 0, DENIED]
    other = json.dumps({"username": "bob", "password": "other-secret"}).encode()
    assert [admin.call(CREATE_USER, {"username": "bob"}, other).code for admin in admins] == [DENIED, DENIED]
    assert [admin.call(DELETE_ACL, {"subject": "User:alice"}).code for admin in admins] == [0, 0]
    grant(admins[0], "alice", entry("Topic:orders", "Pub"))
    assert admins[1].call(DELETE_ACL, {"subject": "User:alice"}).code == 0
    with wires(server, ALICE) as alices:
        assert [send(alice, "orders", b"x").code for alice in alices] == [DENIED, DENIED]


def test_acknowledged_changes_survive_the_death_of_their_owner(server: TwoBrokers, admins: list[Wire]) -> None:
    """Brokers serve meanwhile, and changes are possible again soon. No unacknowledged change is reported as made."""
    acknowledged: list[str] = []
    for death in range(3):
        owner = server.owner
        threading.Timer(0.2, owner.kill).start()
        number = 0
        while alive(owner) or number < 5:
            name = f"user-{death}-{number}"
            body = json.dumps({"username": name, "password": "some-secret"}).encode()
            answer = admins[number % 2].call(CREATE_USER, {"username": name}, body)
            number += 1
            if answer.code == 0:
                acknowledged.append(name)
            else:
                assert "the process that stores" in (answer.remark or "")
        with wires(server, ALICE) as alices:
            assert [send(alice, "orders", b"x").code for alice in alices] == [0, 0]
        assert eventually(lambda: users(admins[0]) >= set(acknowledged) and users(admins[0]) == users(admins[1]))
        assert eventually(lambda: _can_change(admins[0]) and _can_change(admins[1]))
        assert eventually(lambda: routed(server) == {"broker-a", "broker-b"})
    assert acknowledged


def _can_change(admin: Wire) -> bool:
    body = json.dumps({"username": "alice", "userStatus": "enable"}).encode()
    return admin.call(UPDATE_USER, {"username": "alice"}, body).code == 0


def test_a_broker_that_dies_is_started_again_and_follows_the_changes(server: TwoBrokers, admins: list[Wire]) -> None:
    """Changes do not wait for it, and it serves with the newest users and policies from its first request on."""
    server.brokers[1].kill()
    began = time.monotonic()
    disable_user(admins[0], "alice")
    assert time.monotonic() - began < MAX_AGE * 5
    assert eventually(lambda: "`broker-b` serves again" in server.log())
    with wires(server, ALICE) as alices:
        assert [send(alice, "orders", b"x").code for alice in alices] == [DENIED, DENIED]
    assert eventually(lambda: routed(server) == {"broker-a", "broker-b"})
    assert "`broker-b` has ended with signal 9" in server.log()


def test_a_change_waits_for_a_broker_that_hangs_and_then_it_may_not_serve(
    server: TwoBrokers, admins: list[Wire]
) -> None:
    """The stopped broker can read the request before it can read the change."""
    hung = server.brokers[1]
    with wires(server, ALICE) as alices:
        expect(send(alices[1], "orders", b"x"))
        hung.suspend()
        try:
            assert admins[0].call(LIST_USERS).code == 0
            disable_user(admins[0], "alice")
            threading.Timer(0.5, hung.resume).start()
            assert send(alices[1], "orders", b"x").code in {DENIED, BUSY}
        finally:
            hung.resume()
        assert send(alices[0], "orders", b"x").code == DENIED
        assert eventually(lambda: send(alices[1], "orders", b"x").code == DENIED)


def test_brokers_without_their_owner_refuse_changes_and_after_a_while_all_requests(
    server: TwoBrokers, admins: list[Wire]
) -> None:
    """Once the owner answers again, they serve again."""
    owner = server.owner
    with wires(server, ALICE) as alices:
        owner.suspend()
        try:
            assert [send(alice, "orders", b"x").code for alice in alices] == [0, 0]
            for alice in alices:
                assert eventually(lambda alice=alice: send(alice, "orders", b"x").code == BUSY)  # type: ignore[misc]
            refused = send(alices[0], "orders", b"x")
            assert "users and policies may be out of date" in (refused.remark or "")
        finally:
            owner.resume()
        for alice in alices:
            assert eventually(lambda alice=alice: send(alice, "orders", b"x").code == 0)  # type: ignore[misc]
    assert eventually(lambda: _can_change(admins[0]))
    assert "requests are served again" in server.log()


def test_no_process_outlives_the_parent(server: TwoBrokers, admins: list[Wire]) -> None:
    """A new start has all users, policies and messages."""
    expect(send(admins[0], "orders", b"kept"))
    children = [server.owner, *server.brokers]
    server.kill()
    assert eventually(lambda: not any(map(alive, children)))
    for admin in admins:
        admin.close()
    server.start()
    with wires(server, ADMIN) as opened, wires(server, ALICE) as alices:
        assert users(opened[1]) == {"rocketmq", "alice"}
        assert [send(alice, "orders", b"x").code for alice in alices] == [0, 0]


def test_a_stop_ends_all_processes_in_order(server: TwoBrokers) -> None:
    children = [server.owner, *server.brokers]
    assert server.stop() == 0
    assert not any(map(alive, children))
    assert not (server.data / "access.sock").exists()
    assert "Traceback" not in server.log()


def test_one_broker_serves_the_messages_of_the_first_of_several(server: TwoBrokers, admins: list[Wire]) -> None:
    """The log names the messages that are not served then."""
    expect(send(admins[0], "orders", b"kept"))
    server.stop()
    alone = Server(server.directory)
    with alone, Wire(alone.broker_port, ALICE) as alice:
        assert expect(send(alice, "orders", b"next")).ext["queueOffset"] == "1"
        assert "the messages of `broker-b`" in alone.log()


def test_only_the_user_of_the_server_can_use_the_socket(server: TwoBrokers) -> None:
    mode = (server.data / "access.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((server.data / "access-members").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "data", [b"\xff" * 64, b"\0\0\0\4junk", b"\0\0\0\1\xc0", b""], ids=["long", "junk", "nil", "empty"]
)
def test_bytes_that_are_not_messages_end_only_their_connection(
    server: TwoBrokers, admins: list[Wire], data: bytes
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.connect(str(server.data / "access.sock"))
        peer.settimeout(20)
        peer.sendall(data)
        if data:
            assert peer.recv(1) == b""
    set_status(admins[0], "disable")
    with wires(server, ALICE) as alices:
        assert [send(alice, "orders", b"x").code for alice in alices] == [DENIED, DENIED]


def test_a_port_in_use_stops_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="is in use"):
            TwoBrokers(tmp_path, settings={"namesrvListenPort": str(port)}).start()


def test_hangup_reaches_every_process(server: TwoBrokers) -> None:
    os.kill(server.pid, signal.SIGHUP)
    for name in ("namesrv", "broker-a", "broker-b"):
        assert eventually(
            lambda name=name: f"{name} mqguard.runtime.server the TLS files were read again" in server.log()
        )  # type: ignore[misc]


def test_a_broker_started_by_hand_can_share_the_users_of_a_name_server(server: TwoBrokers, tmp_path: Path) -> None:
    """It is in the routes without credentials. A second broker of the same name is refused."""
    settings = {"sharedAccessPath": str(server.data), "innerClientAuthenticationCredentials": ""}
    with Broker(tmp_path / "c", "broker-c", "", settings=settings) as third:
        with wires(server, ADMIN) as admins:
            create_user(admins[0], "alice", "alice-secret")
            grant(admins[0], "alice", entry("Topic:orders", "Pub"))
        with Wire(third.broker_port, ADMIN) as admin, Wire(third.broker_port, ALICE) as alice:
            create_topic(admin, "orders")
            expect(send(alice, "orders", b"x"))
            disable_user(admin, "alice")
            assert send(alice, "orders", b"x").code == DENIED
        assert eventually(lambda: routed(server) == {"broker-c"})
        with pytest.raises(AssertionError, match="another broker `broker-c` is connected"):
            Broker(tmp_path / "d", "broker-c", "", settings=settings).start()
    assert routed(server) == set()


def test_commands_read_the_audit_logs_of_all_processes(server: TwoBrokers, admins: list[Wire]) -> None:
    """They work at a running server, and with the files of a stopped one."""
    admin = run_as(server, MQGUARD_DATA=str(server.data))
    with wires(server, ALICE) as alices:
        decisions = [_decision(send(alice, "forbidden", b"x").remark) for alice in alices]
    for decision in decisions:
        assert "User:alice" in admin("why", decision).out
    server.stop()
    for decision in decisions:
        found = admin("why", decision, "--log", str(server.data / "audit" / "audit.jsonl"))
        assert "User:alice" in found.out
    denied = admin("audit", "--denied", "--since", "1h").out
    assert all(decision in denied for decision in decisions)
    assert "create-user User:alice" in admin("audit", "--changes", "--since", "1h").out
    counted = admin("denials", "--since", "1h", "--json").lines[0]["denials"]
    assert sum(line["count"] for line in counted if line["user"] == "alice") == 2


def test_wrong_secrets_are_limited_for_all_processes_together(server: TwoBrokers, admins: list[Wire]) -> None:
    """Each of the three processes verifies a third of the attempts that one process would verify."""
    with Wire(server.broker_ports[0], User("alice", "guess")) as guesser:
        for _ in range(40):
            assert guesser.call(LIST_USERS).code == DENIED
    refused = admins[0].call(RUNTIME_INFO).json()["table"]
    assert int(refused['mqguard_requests_refused_total{stage="authentication",reason="throttled"}']) > 0


def _decision(remark: str | None) -> str:
    return (remark or "").rpartition("[decision ")[2].partition("]")[0]
