"""The official Java clients over TLS, on the same port as unencrypted connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.access import create_topic, create_user, entry, grant
from tests.fixtures.server import Server
from tests.fixtures.wire import User, Wire
from tests.interop.conftest import DrivenClient, Drivers

ALICE = User("alice", "alice-secret")


@pytest.fixture(scope="module")
def server(drivers: Drivers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with a temporary certificate; the clients trust any, as they do by default."""
    with Server(tmp_path_factory.mktemp("server"), settings={"tls.test.mode.enable": "true"}) as started:
        yield started
        drivers.close_clients()


@pytest.fixture
def alice(java: DrivenClient, admin: Wire) -> DrivenClient:
    create_topic(admin, "secured", 1)
    create_user(admin, ALICE.name, ALICE.secret)
    grant(admin, ALICE.name, entry("Topic:secured", "Pub,Sub"), entry("Group:secured_*", "Sub"))
    return java.as_(ALICE)


def test_plain_and_tls_share_the_ports(alice: DrivenClient) -> None:
    for tls in (True, False):
        assert alice.do("send", topic="secured", body=f"tls {tls}", tls=tls)["results"][0]["status"] == "SEND_OK"
    alice.do("consume", handle="tls", topic="secured", group="secured_group", tls=True)
    messages = alice.do("received", handle="tls", count=2)["messages"]
    alice.do("stop", handle="tls")

    assert {"tls True-0", "tls False-0"} <= {message["body"] for message in messages}


def test_the_guard_also_checks_requests_over_tls(alice: DrivenClient) -> None:
    answer = alice.as_(User(ALICE.name, "wrong")).call("send", topic="secured", body="no", tls=True)

    assert not answer["ok"]


def test_enforced_tls_refuses_an_unencrypted_client(java: DrivenClient, tmp_path: Path) -> None:
    settings = {"tls.test.mode.enable": "true", "tls.server.mode": "enforcing"}
    with Server(tmp_path, settings=settings) as strict:
        client = DrivenClient(java.driver, strict)
        assert not client.call("send", topic="any", body="plain")["ok"]
        assert client.do("send", topic="any", body="secured", tls=True)["results"][0]["status"] == "SEND_OK"
        java.do("close")
