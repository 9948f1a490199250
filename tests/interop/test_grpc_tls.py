"""TLS and signatures of another time, with the official gRPC clients for Java and Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.fixtures.server import Server
from tests.fixtures.wire import Wire
from tests.interop.driver import bodies
from tests.interop.grpc_clients import COMMANDS, Access, GrpcClient, client_log, reader, sender, started, unique

ZONES = {
    "local time of Nepal": {"TZ": "XXX-5:45", "JAVA_TOOL_OPTIONS": "-Duser.timezone=GMT+05:45"},
    "a time of no zone": {"TZ": "XXX-17", "JAVA_TOOL_OPTIONS": "-Duser.timezone=GMT+17:00"},
}
"""Settings of a process that make its clock differ from the server's. Clients sign their local time."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return the authority that issues the server's certificate."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with a certificate for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("server")
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    settings = {"tls.server.certPath": str(directory / "cert.pem"), "tls.server.keyPath": str(directory / "key.pem")}
    settings["signatureMaxAge"] = "600"
    with Server(directory, settings=settings) as running:
        yield running


@pytest.mark.parametrize("which", [pytest.param(one, marks=pytest.mark.xdist_group(f"grpc-{one}")) for one in COMMANDS])
def test_encrypted_and_plain_clients_share_one_port(
    which: str, authority: trustme.CA, access: Access, tmp_path: Path
) -> None:
    """The client for Python checks the certificate; that for Java accepts any."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with started(which, tmp_path, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=str(tmp_path / "ca.pem")) as driver:
        client, topic = GrpcClient(driver, access.endpoint, None), access.topic()
        consumer, group = reader(client, access, topic, tls=True)
        for tls in (True, False):
            producer, handle = sender(client, access, topic, tls=tls)
            producer.do("send", handle=handle, topic=topic, body=f"tls {tls}")
        messages = consumer.receive(group, 2)
        assert sorted(bodies({"messages": messages})) == ["tls False-0", "tls True-0"]


@pytest.mark.xdist_group("grpc-python")
def test_the_client_for_python_refuses_a_certificate_of_an_unknown_authority(access: Access, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    with started("python", tmp_path, GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=str(tmp_path / "ca.pem")) as driver:
        client, handle, topic = GrpcClient(driver, access.endpoint, None), unique("producer"), access.topic()
        producer = client.as_(access.user((f"Topic:{topic}", "Pub")))
        producer.do("produce", handle=handle, tls=True)
        assert not producer.call("send", handle=handle, topic=topic, body="m")["ok"]


@pytest.mark.parametrize("which", [pytest.param(one, marks=pytest.mark.xdist_group(f"grpc-{one}")) for one in COMMANDS])
@pytest.mark.parametrize("zone", list(ZONES))
def test_a_signature_of_another_time_is_refused(
    which: str, zone: str, access: Access, admin: Wire, tmp_path: Path
) -> None:
    with started(which, tmp_path, **ZONES[zone]) as driver:
        topic, handle = access.topic(), unique("producer")
        producer = GrpcClient(driver, access.endpoint, access.user((f"Topic:{topic}", "Pub")))
        answer = producer.call("produce", handle=handle, topics=topic)
        if answer["ok"]:
            answer = producer.call("send", handle=handle, topic=topic, body="m")
        assert answer["ok"] == (zone == "local time of Nepal"), answer
        if not answer["ok"]:
            assert "is not that of now: set the client's clock" in answer["message"] + client_log(driver)
