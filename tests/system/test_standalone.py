"""`mqguard standalone` as a process: its first start, ports, data, signals and bad configuration."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.fixtures.command import MQGUARD, run
from tests.fixtures.server import FIRST_CERTIFICATE, Server, environment

FREE = ("--port", "0", "--namesrv-port", "0", "--grpc-port", "0")


def started(directory: Path, *words: str, **variables: str) -> tuple[subprocess.Popen[str], list[str]]:
    """Start a server, and return it once it is ready with the lines that it printed."""
    process = subprocess.Popen(
        [MQGUARD, "standalone", "--data", "data", *FREE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=environment(**variables),
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "serves" in line or '"ready"' in line:
            return process, lines
    raise AssertionError(process.communicate())


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
    """Send a signal and wait for the end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


def test_the_first_start_creates_a_super_user_and_logs_no_secret(tmp_path: Path) -> None:
    process, lines = started(tmp_path)
    assert end(process)[0] == 0
    file = tmp_path / "data" / "tools.yml"
    kept = dict(line.split(": ") for line in file.read_text().splitlines())
    assert kept["accessKey"] == "admin"
    assert len(kept["secretKey"]) == 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert "created the Super user `admin` with a random secret" in lines[0]
    assert kept["secretKey"] not in "".join(lines)

    process, lines = started(tmp_path)
    assert len(lines) == 1
    code, out, err = end(process)
    assert (code, out) == (0, "")
    assert kept["secretKey"] not in "".join(lines) + err


@pytest.mark.parametrize("as_json", [False, True])
def test_the_first_start_shows_the_secret_at_a_terminal(tmp_path: Path, as_json: bool) -> None:
    """Standard output is a terminal here; elsewhere it may be a log."""
    terminal, standard_output = pty.openpty()
    words = ["standalone", "--data", "data", *FREE, *(["--json"] if as_json else [])]
    with subprocess.Popen([str(MQGUARD), *words], cwd=tmp_path, stdout=standard_output) as process:
        os.close(standard_output)
        shown = b""
        try:
            while b"authorization" not in shown:
                shown += os.read(terminal, 4096)
        finally:
            process.terminate()
            os.close(terminal)
    kept = yaml.safe_load((tmp_path / "data" / "tools.yml").read_text())
    assert kept["secretKey"] in shown.decode()


def test_the_ready_line_describes_the_server_as_json(tmp_path: Path) -> None:
    process, lines = started(tmp_path, "--json", "--set", "brokerClusterName=C1")
    first, ready = map(json.loads, lines)
    assert (first["event"], first["accessKey"]) == ("first-start", "admin")
    assert (ready["event"], ready["cluster"], ready["pid"]) == ("ready", "C1", process.pid)
    assert ready["authentication"] is ready["authorization"] is True
    for name in ("namesrv", "broker"):
        host, port = ready[name].split(":")
        socket.create_connection((host, int(port)), 5).close()
    assert end(process)[0] == 0


def test_a_second_process_on_the_same_data_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    process, _ = started(tmp_path)
    second = run("standalone", "--data", "data", *FREE, directory=tmp_path)
    assert second.code == 1
    assert second.err == (
        f"mqguard: the data directory `data` is in use by process {process.pid}: stop it, or name another directory "
        "with --data\n"
    )
    assert process.poll() is None
    assert end(process)[0] == 0
    process, _ = started(tmp_path)
    assert end(process)[0] == 0


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process, _ = started(tmp_path)
    end(process, signal.SIGKILL)
    process, _ = started(tmp_path)
    assert end(process)[0] == 0


@pytest.mark.parametrize(("flag", "what"), [("--port", "broker"), ("--namesrv-port", "name server")])
def test_a_port_in_use_is_reported_with_a_remedy(tmp_path: Path, flag: str, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("standalone", "--data", "data", *FREE, flag, str(port), directory=tmp_path)
    assert ended.code == 1
    assert ended.err == (
        f"mqguard: the {what}'s port {port} on 127.0.0.1 is in use: stop the process that listens on it, or choose "
        f"another with {flag}\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_within_two_seconds_with_clients_connected(
    tmp_path: Path, number: signal.Signals
) -> None:
    process, lines = started(tmp_path, "--json")
    host, port = json.loads(lines[-1])["broker"].split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(b"\0\0")
        began = time.monotonic()
        code, _, err = end(process, number)
    assert code == 0
    assert re.fullmatch(FIRST_CERTIFICATE, err)
    assert time.monotonic() - began < 2


def test_a_malformed_value_stops_the_start_with_file_line_and_key(tmp_path: Path) -> None:
    (tmp_path / "broker.conf").write_text("# first\nlistenPort = many\n")
    ended = run("standalone", "--config", "broker.conf", "--data", "data", directory=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "mqguard: broker.conf:2: listenPort: `many` is not valid: write a whole number from 0 to 65535\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("authenticationEnabled=false", "would trust any name that a client sends"),
        ("tls.server.mode=enforcing\ntls.test.mode.enable=false", "`enforcing` needs `tls.server.certPath`"),
        ("tls.server.certPath=/no/such.pem\ntls.server.keyPath=/no/such.key", "/no/such"),
        (
            "auditPath=/dev/null/audit",
            "auditPath: the directory `/dev/null/audit` cannot be used: `/dev/null` is not a directory",
        ),
    ],
)
def test_settings_that_cannot_be_served_stop_the_start_in_one_line(tmp_path: Path, lines: str, why: str) -> None:
    (tmp_path / "broker.conf").write_text(lines + "\n")
    ended = run("standalone", "--config", "broker.conf", "--data", "data", *FREE, directory=tmp_path)
    assert ended.code in (1, 2)
    assert why in ended.err
    assert ended.err.count("\n") == 1


def test_an_unknown_key_is_a_warning_and_the_server_starts(tmp_path: Path) -> None:
    (tmp_path / "broker.conf").write_text("autoCreateTopicEnabled=true\nbrokerRole=ASYNC_MASTER\n")
    process, _ = started(tmp_path, "--config", "broker.conf")
    code, _, err = end(process)
    assert code == 0
    assert "broker.conf:1: unknown key `autoCreateTopicEnabled`: did you mean `autoCreateTopicEnable`?" in err
    assert "broker.conf: 1 key of Apache RocketMQ has no effect here: `brokerRole` (line 2)" in err


def test_a_configured_super_user_is_the_only_one(tmp_path: Path) -> None:
    """A start with a configured user creates no other Super user."""
    user = '{"username":"root","password":"12345678"}'
    process, lines = started(tmp_path, "--set", f"initAuthenticationUser={user}")
    assert end(process)[0] == 0
    assert len(lines) == 1
    assert not (tmp_path / "data" / "tools.yml").exists()


def test_it_starts_fast_and_small(tmp_path: Path) -> None:
    """It serves the first request soon after exec, and uses less than 120 MB when idle."""
    began = time.monotonic()
    with Server(tmp_path) as server:
        socket.create_connection(("127.0.0.1", server.broker_port), 5).close()
        took = time.monotonic() - began
        resident = psutil.Process(server.pid).memory_info().rss
    assert took < 5
    assert resident < 120 * 1024 * 1024


def test_no_secret_is_in_its_environment_or_arguments(tmp_path: Path) -> None:
    """A sealing key may come from the environment; otherwise the server creates a key file for its owner alone."""
    process, _ = started(tmp_path)
    assert end(process)[0] == 0
    assert stat.S_IMODE((tmp_path / "data" / "sealing.key").stat().st_mode) == 0o600
