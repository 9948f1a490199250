"""TLS of a server: together with unencrypted connections, alone, and with files that change."""

from __future__ import annotations

import hashlib
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fixtures.command import run_as
from tests.fixtures.server import Server
from tests.fixtures.waiting import eventually


@pytest.fixture
def ca(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


def issue(ca: trustme.CA, directory: Path) -> None:
    """Put a new certificate in place of the old one."""
    made = ca.issue_cert("127.0.0.1")
    made.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")


@pytest.fixture
def server(ca: trustme.CA, tmp_path: Path) -> Iterator[Server]:
    issue(ca, tmp_path)
    path = str(tmp_path / "server.pem")
    settings = {"tls.server.mode": "enforcing", "tls.server.certPath": path, "tls.server.keyPath": path}
    with Server(tmp_path / "server", settings=settings) as started:
        yield started


def fingerprint(server: Server) -> str:
    pem = ssl.get_server_certificate(("127.0.0.1", server.namesrv_port), timeout=5)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_the_enforcing_mode_serves_only_encrypted_connections(server: Server, tmp_path: Path) -> None:
    assert run_as(server)("topic", "list", "--tls").code == 0
    assert run_as(server)("topic", "list", "--tls-ca", str(tmp_path / "ca.pem")).code == 0
    plain = run_as(server)("topic", "list")
    assert plain.code == 3
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    foreign = run_as(server)("topic", "list", "--tls-ca", str(tmp_path / "other.pem"))
    assert foreign.code == 3
    assert "no TLS with" in foreign.err


def test_sighup_reads_certificates_again_and_ignores_bad_ones(server: Server, ca: trustme.CA, tmp_path: Path) -> None:
    first = fingerprint(server)
    issue(ca, tmp_path)
    assert fingerprint(server) == first
    os.kill(server.pid, signal.SIGHUP)
    assert eventually(lambda: "the TLS files were read again" in server.log()), server.log()
    second = fingerprint(server)
    assert second != first

    (tmp_path / "server.pem").write_text("no certificate")
    os.kill(server.pid, signal.SIGHUP)
    assert eventually(lambda: "the TLS files could not be read again, so the old ones stay in use" in server.log()), (
        server.log()
    )
    assert fingerprint(server) == second


def test_the_self_signed_certificate_stays_the_same_after_a_restart(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        first = fingerprint(server)
        own = str(server.data / "tls-certificate.pem")
        assert run_as(server)("topic", "list", "--tls-ca", own).code == 0
        assert run_as(server)("topic", "list").code == 0
        os.kill(server.pid, signal.SIGHUP)
        assert eventually(lambda: "the TLS files were read again" in server.log()), server.log()
        server.stop()
        server.start()
        assert fingerprint(server) == first
