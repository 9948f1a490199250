"""The blocking client against a real listener."""

import socket
import threading
import time
from pathlib import Path

import pytest
import trustme

from mqguard.auth.user import Secret
from mqguard.config.secret import Credentials
from mqguard.net.client import RemotingClient
from mqguard.net.errors import LinkClosed, LinkRefused, LinkTimeout
from mqguard.net.settings import NetSettings, TlsSettings
from mqguard.net.tls import client_context
from mqguard.remoting.codes import SERVER_VERSION
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.frame import encode_reply, encode_request
from mqguard.remoting.link import Link
from tests.fixtures.waiting import eventually
from tests.unit.net.serving import ECHO, FAIL, ONEWAY, Echo, serving


class Recorder(Echo):
    """Keeps what it was sent; code 20 first asks something of the client."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Command] = []

    def commands(self, link: Link, commands: list[Command]) -> None:
        self.seen += commands
        for command in commands:
            if command.code == 20:
                link.send(encode_request(Command(307, 99, ext={"clientId": "c"})))
        super().commands(link, [command for command in commands if not command.is_response])


def test_requests_are_answered() -> None:
    app = Recorder()
    with serving(app) as running, RemotingClient("127.0.0.1", running.port) as client:
        answers = [client.call(Command(ECHO, 1000, body=b"%d" % n)) for n in range(5)]
        assert [answer.body for answer in answers] == [b"0", b"1", b"2", b"3", b"4"]
        assert {command.version for command in app.seen} == {SERVER_VERSION}


def test_requests_are_signed() -> None:
    app = Recorder()
    credentials = Credentials("rocketmq2", Secret("12345678"))
    body = b'{"password":"Al1ce-Pw","userType":"Normal","username":"alice"}'
    with serving(app) as running, RemotingClient("127.0.0.1", running.port, credentials) as client:
        client.call(Command(ONEWAY + 1, ext={"username": "alice", "Signature": "stale"}, body=body))
    assert app.seen[0].ext == {
        "username": "alice",
        "AccessKey": "rocketmq2",
        "Signature": "fhsozVk+WplI64XhD22L53LnHEA=",
    }


def test_requests_of_the_server_are_served() -> None:
    app = Recorder()
    asked: list[Command] = []

    def handler(command: Command) -> Reply:
        asked.append(command)
        return Reply(0, body=b"fine")

    with serving(app) as running, RemotingClient("127.0.0.1", running.port, handler=handler) as client:
        assert client.call(Command(20, body=b"x")).body == b"x"
        assert [command.code for command in asked] == [307]
        assert eventually(lambda: any(command.is_response and command.opaque == 99 for command in app.seen))
    with serving(Recorder()) as running, RemotingClient("127.0.0.1", running.port) as client:
        client.call(Command(20))
        client.call(Command(ECHO))
        (refusal,) = [command for command in running.app.seen if command.is_response]  # type: ignore[attr-defined]
        assert (refusal.code, refusal.remark) == (3, " request type 307 not supported")


def test_wait_serves_requests_of_the_server() -> None:
    app, asked = Recorder(), []
    with serving(app) as running, RemotingClient("127.0.0.1", running.port, handler=asked.append) as client:
        client.call(Command(ECHO))
        (link,) = app.open.values()
        notice = encode_request(Command(40, 5, flag=2))
        threading.Timer(0.1, lambda: running.loop.call_soon_threadsafe(link.send, notice)).start()
        begun = time.monotonic()
        client.wait(0.5)
        assert 0.4 < time.monotonic() - begun < 2
        assert [command.code for command in asked] == [40]


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    own = TlsSettings(certificate=str(tmp_path / "server.pem"), key=str(tmp_path / "server.pem"))
    with serving(Echo(), NetSettings(tls=own)) as running:
        for ca in (None, str(tmp_path / "ca.pem")):
            with RemotingClient("127.0.0.1", running.port, tls=client_context(ca)) as client:
                assert client.call(Command(ECHO)).ext["tls"] == "True"
        with pytest.raises(LinkRefused, match=r"no TLS with `127.0.0.1:\d+` \(.*certificate"):
            RemotingClient("127.0.0.1", running.port, tls=client_context(str(tmp_path / "other.pem")))


def test_an_answer_that_is_late_is_not_mistaken_for_the_next() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RemotingClient(*listener.getsockname(), timeout=0.2) as client,
    ):
        server, _ = listener.accept()
        with server:
            with pytest.raises(LinkTimeout, match="did not answer in time"):
                client.call(Command(ECHO))
            server.sendall(encode_reply(1, 0, body=b"late") + encode_reply(2, 0, body=b"in time"))
            assert client.call(Command(ECHO)).body == b"in time"


def test_a_connection_that_ends_is_an_error() -> None:
    with serving(Echo()) as running, RemotingClient("127.0.0.1", running.port) as client:
        with pytest.raises(LinkClosed, match="has closed the connection"):
            client.call(Command(FAIL))
        with pytest.raises(LinkClosed):
            client.call(Command(ECHO))
        client.close()
        client.close()


def test_a_server_of_another_kind_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, RemotingClient(*listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            server.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            with pytest.raises(
                LinkClosed, match="sent bytes that are not valid in the remoting protocol: the frame's length"
            ):
                client.call(Command(ECHO))


def test_a_server_that_does_not_read_is_an_error() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RemotingClient(*listener.getsockname(), timeout=0.3) as client,
    ):
        with pytest.raises(LinkTimeout, match="does not read the request"):
            client.call(Command(ECHO, body=bytes(30_000_000)))
        with pytest.raises(LinkClosed):
            client.call(Command(ECHO))


def test_an_address_without_a_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LinkRefused, match=rf"`127.0.0.1:{port}` cannot be reached \(connection refused\)"):
        RemotingClient("127.0.0.1", port)
    with pytest.raises(LinkRefused, match="no TLS with"), socket.create_server(("127.0.0.1", 0)) as silent:
        RemotingClient(*silent.getsockname(), tls=client_context(), timeout=0.2)
