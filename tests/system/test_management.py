"""The HTTP listener of a running server: metrics, health, and its limits."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.fixtures.command import run
from tests.fixtures.server import SUPER, SUPER_SECRET, GuardProxy, NameServer, Server
from tests.fixtures.waiting import eventually
from tests.fixtures.wire import User, Wire

MAX_CONNECTIONS = 32


def get(address: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Return the status and the body of an answer."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


def test_metrics_and_health_of_a_standalone_server(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"managementPort": "0"}) as server:
        address = server.management
        with Wire(server.broker_port, User(SUPER, SUPER_SECRET)) as admin:
            admin.call(28)
        status, text = get(address, "/metrics")
        assert status == 200
        found = {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}
        assert found["mqguard_requests_admitted_total"] >= 1
        assert found["mqguard_ready"] == 1
        assert get(address, "/livez") == (200, "ok\n")
        status, body = get(address, "/readyz")
        assert status == 200
        ready = json.loads(body)
        assert (ready["problems"], ready["role"], ready["state"]) == ({}, "standalone", "serving")
        assert SUPER_SECRET not in text + body
        assert get(address, "/")[0] == 404
        assert get(address, "/livez", {"Host": "attacker.example"})[0] == 421, "a web page cannot rebind its name"
    assert SUPER_SECRET not in server.log()


def test_a_name_server_and_a_proxy_have_the_listener_too(tmp_path: Path) -> None:
    """A proxy without a cluster is live, and not ready: it names the reason."""
    with NameServer(tmp_path / "namesrv", settings={"managementPort": "0"}) as names:
        assert get(names.management, "/readyz")[0] == 200
    with GuardProxy(tmp_path / "proxy", "127.0.0.1:1", settings={"managementPort": "0"}) as proxy:
        assert get(proxy.management, "/livez")[0] == 200
        status, body = get(proxy.management, "/readyz")
        assert status == 503
        assert json.loads(body)["problems"] == {"cluster": "no name server of the cluster has answered yet"}
        assert 'mqguard_health{check="cluster"} 0.0' in get(proxy.management, "/metrics")[1]


def test_other_machines_need_credentials(tmp_path: Path) -> None:
    open_to_all = {"managementPort": "0", "managementAddress": "0.0.0.0"}
    refused = run("config", "--set", "managementPort=0", "--set", "managementAddress=0.0.0.0")
    assert refused.code != 0
    assert "managementCredentials" in refused.err
    secret = "vUe7-watch-the-guard"
    credentials = json.dumps({"username": "scraper", "password": secret})
    with Server(tmp_path, settings={**open_to_all, "managementCredentials": credentials}) as server:
        address = server.management.replace("0.0.0.0", "127.0.0.1")
        for path in ("/metrics", "/livez", "/readyz", "/", "/nowhere"):
            assert get(address, path)[0] == 401
        right = basic("scraper", secret)
        assert get(address, "/metrics", right)[0] == 200
        assert get(address, "/metrics", basic("scraper", "wrong"))[0] == 401
        assert get(address, "/metrics", basic(SUPER, SUPER_SECRET))[0] == 401, "users of the broker have no access"
        statuses = [get(address, "/metrics", basic("scraper", f"guess-{n}"))[0] for n in range(20)]
        assert 429 in statuses, "guesses are throttled"
        assert eventually(lambda: get(address, "/metrics", right)[0] == 200, pause=0.2)
    assert secret not in server.log()


def test_silent_connections_keep_no_scraper_away(tmp_path: Path) -> None:
    """Peers that open connections and send nothing lose them to a peer that asks."""
    with Server(tmp_path, settings={"managementPort": "0"}) as server:
        host, _, port = server.management.rpartition(":")
        silent = [socket.create_connection((host, int(port)), 30) for _ in range(MAX_CONNECTIONS + 5)]
        try:
            assert get(server.management, "/livez")[0] == 200
            silent[0].settimeout(30)
            assert _is_closed(silent[0]), "the oldest was dropped"
        finally:
            for one in silent:
                one.close()


def _is_closed(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_long_head_and_a_flood_end(tmp_path: Path) -> None:
    with Server(tmp_path, settings={"managementPort": "0"}) as server:
        host, _, port = server.management.rpartition(":")
        with socket.create_connection((host, int(port)), 30) as peer:
            peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000)
            try:
                answer = peer.recv(1000)
            except ConnectionResetError:
                answer = b""
            assert answer == b"" or b" 400 " in answer or b" 431 " in answer
        dropped = 0
        for _ in range(400):
            try:
                get(server.management, "/livez")
            except (OSError, http.client.HTTPException):
                dropped += 1
        assert dropped > 0, "one address has a limited rate"
        with Wire(server.broker_port, User(SUPER, SUPER_SECRET)) as admin:
            assert admin.call(28).code == 0
        assert eventually(lambda: _is_served(server.management))


def _is_served(address: str) -> bool:
    try:
        return get(address, "/livez")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_readiness_ends_before_the_server_stops(tmp_path: Path) -> None:
    """After SIGTERM `/readyz` answers 503, and clients are still served until the delay is over."""
    settings = {"managementPort": "0", "shutdownDelayMillis": "4000"}
    with Server(tmp_path, settings=settings) as server, Wire(server.broker_port, User(SUPER, SUPER_SECRET)) as admin:
        server.terminate()
        states: list[dict[str, Any]] = []

        def is_stopping() -> bool:
            status, body = get(server.management, "/readyz")
            states.append(json.loads(body))
            return status == 503

        assert eventually(is_stopping)
        assert states[-1]["problems"] == {"state": "the server is stopping"}
        assert admin.call(28).code == 0, "clients are served until the end of the delay"
        assert server.wait() == 0


def test_a_broken_certificate_keeps_the_old_one(tmp_path: Path) -> None:
    """SIGHUP reads files again; a broken one is logged, and the server still serves."""
    with Server(tmp_path, settings={"managementPort": "0"}) as server:
        certificate = server.data / "tls-certificate.pem"
        good = certificate.read_bytes()
        certificate.write_text("broken")
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: "the old ones stay in use" in server.log())
        assert get(server.management, "/readyz")[0] == 200
        certificate.write_bytes(good)
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: "the TLS files were read again" in server.log())
