"""TLS on the port of the plain protocol."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization as ser

from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from mqguard.net.tls import TlsSession, client_context, server_context
from tests.fixtures.waiting import eventually
from tests.unit.net.serving import BIG, Echo, asking, proxy_v2, serving


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`server.pem`, `client.pem` (certificates with keys), `ca.pem` and `other-ca.pem`."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = authority.issue_cert("alice@example.org", common_name="alice", organization_name="Orders")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    return folder


def tls(mode: TlsMode = TlsMode.PERMISSIVE, **changes: object) -> NetSettings:
    return NetSettings(tls=TlsSettings(mode=mode, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_plain_and_tls_clients_share_the_port(with_uvloop: bool) -> None:
    with serving(Echo(), tls(), with_uvloop=with_uvloop) as running, running.connect() as plain:
        encrypted = running.connect(tls=client_context())
        assert encrypted.call(1, body=b"x").ext["tls"] == "True"
        assert plain.call(2).ext["tls"] == "False"
        encrypted.send(b"".join(asking(n, body=bytes(1000)) for n in range(2_000)))
        assert [answer.opaque for answer in encrypted.read(2_000)] == list(range(2_000))
        encrypted.send(b"".join(asking(n, BIG) for n in range(100)))
        assert sum(len(answer.body) for answer in encrypted.read(100)) == 10_000_000


def test_records_of_one_byte_are_decrypted_a_few_at_a_time() -> None:
    context = server_context(TlsSettings())
    assert context is not None
    ours, theirs = TlsSession(context), TlsSession(client_context(), server_side=False)
    data = b""
    while not (ours.established and theirs.established):
        theirs.receive(data)
        ours.receive(theirs.outgoing())
        data = ours.outgoing()
    found = ours.receive(b"".join(theirs.encrypt(b"x") for _ in range(1_000)))
    calls = 1
    while ours.is_left:
        assert ours.pending > 0 or calls > 10
        found += ours.receive(b"")
        calls += 1
    assert found == b"x" * 1_000
    assert calls > 10
    assert ours.pending == 0


@pytest.mark.parametrize("with_uvloop", [True, False], ids=["uvloop", "asyncio"])
def test_frames_in_records_of_one_byte_are_answered(with_uvloop: bool) -> None:
    with serving(Echo(), tls(), with_uvloop=with_uvloop) as running:
        client = running.connect(tls=client_context())
        for byte in b"".join(asking(n) for n in range(30)):
            client.send(bytes([byte]))
        client.send(b"".join(asking(n) for n in range(30, 60)))
        assert [answer.opaque for answer in client.read(60)] == list(range(60))
        assert running.server.held == 0


def test_enforcing_refuses_plain_peers(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), tls(TlsMode.ENFORCING)) as running:
        with running.connect() as plain:
            plain.ask(1)
            assert plain.is_dropped()
        with running.connect(tls=client_context()) as encrypted:
            assert encrypted.call(1)
    assert "it did not use TLS, and `tls.server.mode` is enforcing" in caplog.text


def test_disabled_refuses_encrypted_peers(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), tls(TlsMode.DISABLED)) as running:
        with pytest.raises(OSError, match=r"EOF|reset"):
            running.connect(tls=client_context())
        assert server_context(running.server.settings.tls) is None
    assert "it sent a TLS handshake, and `tls.server.mode` is disabled" in caplog.text


def test_a_broken_handshake_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Echo(), tls()) as running, running.connect() as good, running.connect() as bad:
        bad.send(b"\x16\x03\x01\x00\x05hello")
        assert bad.socket.recv(100)[:1] == b"\x15"  # an alert
        assert bad.is_dropped()
        assert good.call(1)
    assert "dropped: TLS failed" in caplog.text


def test_a_handshake_that_never_ends_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    settings = NetSettings(handshake_seconds=0.3)
    with serving(Echo(), settings) as running, running.connect() as slow:
        slow.send(b"\x16\x03\x01")
        assert slow.is_dropped(3)
    assert "a handshake took too long" in caplog.text


def test_a_configured_certificate_is_used(files: Path) -> None:
    own = tls(certificate=str(files / "server.pem"), key=str(files / "server.pem"))
    with serving(Echo(), own) as running:
        trusting = client_context(str(files / "ca.pem"))
        with trusting.wrap_socket(running.connect().socket, server_hostname="127.0.0.1") as encrypted:
            assert encrypted.version() in ("TLSv1.2", "TLSv1.3")
        wary = client_context(str(files / "other-ca.pem"))
        with pytest.raises(ssl.SSLCertVerificationError):
            wary.wrap_socket(running.connect().socket, server_hostname="127.0.0.1")


def test_new_files_are_used_by_new_connections(files: Path, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes((files / "server.pem").read_bytes())
    with serving(Echo(), tls(certificate=str(pem), key=str(pem))) as running:
        before = running.connect(tls=client_context())
        trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
        running.server.reload_tls()
        after = running.connect(tls=client_context())
        assert isinstance(before.socket, ssl.SSLSocket)
        assert isinstance(after.socket, ssl.SSLSocket)
        assert before.socket.getpeercert(binary_form=True) != after.socket.getpeercert(binary_form=True)
        assert before.call(1)
        assert after.call(1)
        pem.write_text("hello")
        with pytest.raises(NetSettingsInvalid):
            running.server.reload_tls()
        assert running.connect(tls=client_context()).call(1)


def test_a_client_certificate_is_optional_by_default(files: Path) -> None:
    own = tls(certificate=str(files / "server.pem"), key=str(files / "server.pem"), client_ca=str(files / "ca.pem"))
    with serving(Echo(), own) as running:
        named = client_context(certificate=str(files / "client.pem"))
        with running.connect(tls=named) as alice, running.connect(tls=client_context()) as anonymous:
            assert alice.call(1)
            assert anonymous.call(1)


def test_a_client_certificate_can_be_demanded(files: Path) -> None:
    own = tls(
        certificate=str(files / "server.pem"),
        key=str(files / "server.pem"),
        client_ca=str(files / "ca.pem"),
        require_client_certificate=True,
    )
    with serving(Echo(), own) as running:
        with running.connect(tls=client_context(certificate=str(files / "client.pem"))) as alice:
            assert alice.call(1)
        try:
            with running.connect(tls=client_context()) as nobody:
                assert nobody.is_dropped()
        except ssl.SSLError:
            pass  # TLS 1.2 reports it during the handshake, 1.3 afterwards


def test_a_proxy_header_may_precede_tls() -> None:
    settings = NetSettings(proxy_protocol_peers=("127.0.0.0/8",))
    with serving(Echo(), settings) as running:
        client = running.connect(tls=client_context(), first=proxy_v2("10.9.8.7", 55))
        assert client.call(1).ext == {"ip": "10.9.8.7", "tls": "True"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TlsSettings(certificate="a.pem"), "needs its key: set both files or neither"),
        (TlsSettings(key="a.pem"), "needs its key: set both files or neither"),
        (
            TlsSettings(certificate="/nowhere/a.pem", key="/nowhere/b.pem"),
            "the TLS file `/nowhere/a.pem` does not exist",
        ),
        (TlsSettings(client_ca="/nowhere/ca.pem"), "the file of authorities `/nowhere/ca.pem` does not exist"),
        (TlsSettings(require_client_certificate=True), "no file of their authorities is set"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: TlsSettings, message: str) -> None:
    with pytest.raises(NetSettingsInvalid, match=message):
        server_context(settings)


def test_invalid_files_are_refused(tmp_path: Path, files: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello")
    server = str(files / "server.pem")
    with pytest.raises(NetSettingsInvalid, match="are not a PEM certificate and its key"):
        server_context(TlsSettings(certificate=str(text), key=str(text)))
    with pytest.raises(NetSettingsInvalid, match=r"are not a PEM certificate and its key \(KEY_VALUES_MISMATCH\)"):
        server_context(TlsSettings(certificate=server, key=str(files / "client.pem")))
    with pytest.raises(NetSettingsInvalid, match="the TLS file `/nowhere` does not exist"):
        server_context(TlsSettings(certificate=server, key="/nowhere"))
    with pytest.raises(NetSettingsInvalid, match="is not a PEM file of certificates"):
        server_context(TlsSettings(client_ca=str(text)))


def test_a_key_password_is_used_and_never_shown(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    key = ser.load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.BestAvailableEncryption(b"open sesame"))
    (tmp_path / "key.pem").write_bytes(locked)
    (tmp_path / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    paths = {"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}
    settings = TlsSettings(**paths, key_password="open sesame")
    assert server_context(settings) is not None
    assert "sesame" not in repr(settings)
    with pytest.raises(NetSettingsInvalid) as caught:
        server_context(TlsSettings(**paths, key_password="open simsim"))
    assert "simsim" not in str(caught.value)
    with pytest.raises(NetSettingsInvalid):
        server_context(TlsSettings(**paths))


def shake_hands(server: TlsSession, client: TlsSession) -> None:
    client.receive(b"")
    for _ in range(3):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    assert server.established
    assert client.established


def test_a_session_carries_bytes_both_ways_and_closes() -> None:
    context = server_context(TlsSettings())
    assert context is not None
    server, client = TlsSession(context), TlsSession(client_context(), server_side=False)
    shake_hands(server, client)
    large = bytes(range(256)) * 4_000
    assert server.receive(client.encrypt(large)) == large
    assert client.receive(server.encrypt(b"answer")) == b"answer"
    assert not server.ended
    last = client.encrypt(b"last")
    assert server.receive(last + client.close_notify()) == b"last"
    assert server.ended


def test_a_close_within_tls_ends_the_connection() -> None:
    app = Echo()
    with serving(app, tls()) as running:
        client = running.connect(tls=client_context())
        assert client.call(1)
        assert isinstance(client.socket, ssl.SSLSocket)
        client.socket.unwrap().close()
        assert eventually(lambda: not running.server.links)
        assert len(app.gone) == 1


def test_every_process_has_its_own_temporary_certificate() -> None:
    shown = set()
    for _ in range(2):
        with serving(Echo(), tls()) as running, running.connect(tls=client_context()) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            certificate = x509.load_der_x509_certificate(client.socket.getpeercert(binary_form=True) or b"")
        assert certificate.not_valid_before_utc < dt.datetime.now(dt.UTC) < certificate.not_valid_after_utc
        shown.add(certificate.serial_number)
    assert len(shown) == 2
