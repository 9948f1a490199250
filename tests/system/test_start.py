"""Starts of a real server: a configuration that is not valid creates nothing, and surprising settings are reported."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.fixtures.command import run
from tests.fixtures.server import SUPER, SUPER_SECRET, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import ROUTE, Wire

INVALID = """\
listenPort = abc
# a comment
storePathRootDir = ${user.home}/store
initAuthenticationUser = {"username":"root","password":"${DB_PASSWORD}"}
maxMessageSize = 64X
"""
PROBLEMS = [
    "broker.conf:1: listenPort: `abc` is not valid: write a whole number from 0 to 65535",
    (
        "broker.conf:3: storePathRootDir: `${user.home}` was not replaced: write the value itself, or `env:NAME` for a "
        "secret"
    ),
    (
        "broker.conf:4: initAuthenticationUser: a placeholder was not replaced: write the value itself, or `env:NAME` "
        "for a secret"
    ),
    "broker.conf:5: maxMessageSize: `64X` is not valid: ",
]
UNUSABLE = """\
maxMessageSize = 16M
brokerId = 3
tls.server.certPath = missing.pem
tls.server.keyPath = missing.key
initAuthenticationUser = {"username":"root","password":"one-Secret-1"}
innerClientAuthenticationCredentials = {"accessKey":"root","secretKey":"other-Secret-2"}
"""
REASONS = [
    "broker.conf:1: maxMessageSize: the maximum is `15M`, since a frame of the protocol has 16 MiB",
    "broker.conf:2: brokerId: mqguard cannot be a slave: write 0, the id of a master",
    "broker.conf:3: tls.server.certPath: the TLS file `missing.pem` does not exist",
    (
        "broker.conf:6: innerClientAuthenticationCredentials: the user `root` has another secret in "
        "`initAuthenticationUser`: write the same one in both"
    ),
]

MIXED = """\
listenPort = abc
brokerId = 3
maxMessageSize = 16M
"""
BOTH = [
    "broker.conf:1: listenPort: `abc` is not valid: write a whole number from 0 to 65535",
    "broker.conf:3: maxMessageSize: the maximum is `15M`, since a frame of the protocol has 16 MiB",
    "broker.conf:2: brokerId: mqguard cannot be a slave: write 0, the id of a master",
]


@pytest.mark.parametrize(("content", "problems"), [(INVALID, PROBLEMS), (UNUSABLE, REASONS), (MIXED, BOTH)])
def test_a_start_reports_all_problems_and_creates_nothing(tmp_path: Path, content: str, problems: list[str]) -> None:
    (tmp_path / "broker.conf").write_text(content)
    for words in (("standalone", "--data", "data"), ("config", "--data", "data")):
        ended = run(*words, "--config", "broker.conf", directory=tmp_path)
        lines = ended.err.removeprefix("mqguard: ").splitlines()
        assert ended.code == 2
        assert [line[: len(problem)] for line, problem in zip(lines, problems, strict=True)] == problems
        assert "Secret-" not in ended.err
        assert "DB_PASSWORD" not in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["broker.conf"]


def test_a_strict_start_refuses_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "broker.conf").write_text("authenticationEnable = false\nbrokerRole = ASYNC_MASTER\n")
    expected = "broker.conf:1: unknown key `authenticationEnable`: did you mean `authenticationEnabled`?"
    for words in (("standalone", "--data", "data"), ("config",)):
        ended = run(*words, "--config", "broker.conf", "--strict", directory=tmp_path)
        assert (ended.code, ended.err) == (2, f"mqguard: {expected}\n")
    ended = run("config", "--config", "broker.conf", directory=tmp_path)
    assert ended.code == 0
    assert f"warning: {expected}\n" in ended.err


def test_keys_without_effect_are_reported_with_their_consequence(tmp_path: Path) -> None:
    settings = {
        "aclEnable": "false",
        "namesrvAddr": "10.0.0.1:9876",
        "brokerRole": "SYNC_MASTER",
        "deleteWhen": "04",
        "flushCommitLogLeastPages": "4",
    }
    with Server(tmp_path, settings=settings):
        log = (tmp_path / "stderr").read_text()
    for key, consequence in (
        ("aclEnable = false", "requests must still be signed and allowed"),
        ("namesrvAddr = 10.0.0.1:9876", "registers with no other name server"),
        ("brokerRole = SYNC_MASTER", "stored only on this machine"),
    ):
        (line,) = [line for line in log.splitlines() if f"`{key}` has no effect" in line]
        assert consequence in line
        assert "WARNING" in line
    assert "2 keys of Apache RocketMQ have no effect here: `deleteWhen` (line " in log


def test_a_missing_sealing_key_is_not_replaced(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with server:
        pass
    key = server.data / "sealing.key"
    content = key.read_bytes()
    key.unlink()
    words = ("--config", str(tmp_path / "broker.conf"), "--data", str(server.data))
    for command in ("standalone", "config"):
        ended = run(command, *words)
        assert ended.code == 2
        assert f"the data directory `{server.data}` has users and no `sealing.key`: restore this file" in ended.err
    assert not key.exists()
    key.write_bytes(content)
    key.chmod(0o600)
    with server:
        assert server.running


def test_another_secret_for_an_existing_user_is_reported(tmp_path: Path) -> None:
    with Server(tmp_path):
        pass
    user = json.dumps({"username": SUPER, "password": f"another-{SUPER_SECRET}"})
    with Server(tmp_path, settings={"initAuthenticationUser": user}):
        log = (tmp_path / "stderr").read_text()
    assert f"`initAuthenticationUser` has another secret for the user `{SUPER}`, which exists and keeps its own" in log
    assert f"another-{SUPER_SECRET}" not in log


def test_a_plugin_that_cannot_be_loaded_stops_a_start_before_anything_is_created(tmp_path: Path) -> None:
    ended = run(
        "standalone", "--data", "data", "--port", "0", "--namesrv-port", "0", "--set", "auditSinks=no.such.module:Sink",
        directory=tmp_path,
    )  # fmt: skip
    assert ended.code == 2
    assert "the module `no.such.module` of the plugin `no.such.module:Sink` cannot be imported" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--port", "70000"), "flag --port: listenPort: `70000` is not valid"),
        (("--set", "brokerId=2"), "mqguard cannot be a slave"),
        (("--set", "auditSinks=no.such.module:Sink"), "the module `no.such.module`"),
        (("--bind", "not an address"), "flag --bind: bindAddress: "),
    ],
)
def test_config_takes_the_options_of_a_start_and_finds_the_same_problems(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    checked = run("config", *words, directory=tmp_path)
    started = run("standalone", *words, directory=tmp_path)
    assert (checked.code, started.code) == (2, 2)
    assert message in checked.err
    assert checked.err == started.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--port", "--namesrv-port", "--grpc-port"])
def test_a_port_in_use_stops_a_start_before_anything_is_created(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {"--port": "0", "--namesrv-port": "0", "--grpc-port": "0", option: str(port)}
        given = [text for name_and_value in ports.items() for text in name_and_value]
        ended = run("standalone", "--data", "data", *given, directory=tmp_path)
    assert ended.code == 1
    assert f"port {port} on 127.0.0.1 is in use" in ended.err
    assert f"or choose another with {option}" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_a_broker_that_a_controller_would_give_is_explained(tmp_path: Path) -> None:
    ended = run("standalone", "--set", "brokerId=-1", directory=tmp_path)
    assert ended.code == 2
    assert "there is no controller here: write 0" in ended.err


@pytest.mark.parametrize(
    ("port", "first"),
    [
        ("broker_port", b"GET / HTTP/1.1\r\n\r\n"),
        ("namesrv_port", b"GET / HTTP/1.1\r\n\r\n"),
        ("namesrv_port", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ],
)
def test_http_at_a_port_is_named_in_the_log(tmp_path: Path, port: str, first: bytes) -> None:
    with Server(tmp_path) as server:
        with socket.create_connection(("127.0.0.1", getattr(server, port)), 10) as client:
            client.sendall(first)
            assert client.recv(100) == b""
        assert eventually(
            lambda: (
                "it sent an HTTP request, and this port serves only the remoting" in (tmp_path / "stderr").read_text()
            )
        )


def test_an_address_that_is_not_a_machine_is_reported_with_both_addresses(tmp_path: Path) -> None:
    (tmp_path / "broker.conf").write_text("brokerIP1 = 0.0.0.0\n")
    ended = run("config", "--config", "broker.conf", directory=tmp_path)
    assert ended.code == 0
    assert "warning: routes send clients to 0.0.0.0, which is not the address of a machine: set brokerIP1" in ended.err
    with Server(tmp_path / "server", settings={"bindAddress": "127.0.0.1", "brokerIP1": "10.1.2.3"}) as server:
        ready = [json.loads(line) for line in (tmp_path / "server" / "stdout").read_text().splitlines()][-1]
        log = (tmp_path / "server" / "stderr").read_text()
        assert server.running
    assert (ready["bind"], ready["broker"].rpartition(":")[0]) == ("127.0.0.1", "10.1.2.3")
    assert (
        "only this machine can connect, since mqguard listens on 127.0.0.1, but routes send clients to 10.1.2.3" in log
    )


def test_sighup_opens_the_audit_files_anew(tmp_path: Path) -> None:
    """A program that rotates logs renames them first."""
    with Server(tmp_path) as server:
        audit = tmp_path / "data" / "audit"

        def deny() -> str:
            with Wire(server.broker_port, None) as stranger:
                return stranger.call(ROUTE, {"topic": "orders"}).remark or ""

        moved = audit / "moved"
        denied = deny()
        path = audit / "audit.jsonl.unauthenticated"
        assert eventually(lambda: path.exists() and path.stat().st_size > 0)
        path.rename(moved)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: "the TLS files were read again" in (tmp_path / "stderr").read_text())
        size = moved.stat().st_size
        assert denied
        assert deny()
        assert eventually(lambda: path.exists() and path.stat().st_size > 0)
        assert moved.stat().st_size == size
