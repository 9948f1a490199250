"""The self-signed certificate: created once, kept, private, and renewed."""

import ssl
import threading
from pathlib import Path

import pytest

from mqguard.config import server_options
from mqguard.config.loader import Configuration, load
from mqguard.net.settings import NetSettings, TlsMode, TlsSettings
from mqguard.net.tls import client_context
from mqguard.runtime import tls_certificate
from mqguard.runtime.errors import StartFailed
from mqguard.runtime.tls_certificate import CERTIFICATE_FILE, KEY_FILE, with_certificate
from tests.unit.net.serving import Echo, asking, serving

NAMES = ("127.0.0.1", "localhost")


@pytest.fixture
def config(tmp_path: Path) -> Configuration:
    return load(environ={}).replaced({server_options.STORE_PATH: tmp_path}, "a test")


def contents(directory: Path) -> tuple[bytes, bytes]:
    return (directory / CERTIFICATE_FILE).read_bytes(), (directory / KEY_FILE).read_bytes()


def test_it_is_created_once_and_only_its_owner_reads_the_key(tmp_path: Path, config: Configuration) -> None:
    settings = with_certificate(TlsSettings(), config)
    first = contents(tmp_path)
    assert (settings.certificate, settings.key) == (str(tmp_path / CERTIFICATE_FILE), str(tmp_path / KEY_FILE))
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert with_certificate(TlsSettings(), config) == settings
    assert contents(tmp_path) == first
    assert {path.name for path in tmp_path.iterdir()} == {CERTIFICATE_FILE, KEY_FILE}


@pytest.mark.parametrize("name", NAMES)
def test_clients_can_check_it(config: Configuration, name: str) -> None:
    settings = with_certificate(TlsSettings(mode=TlsMode.ENFORCING), config)
    trusting = client_context(settings.certificate)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    with serving(Echo(), NetSettings(tls=settings)) as running:
        with trusting.wrap_socket(running.connect().socket, server_hostname=name) as peer:
            peer.sendall(asking(1))
            assert peer.recv(100)
        with pytest.raises(ssl.SSLCertVerificationError):
            trusting.wrap_socket(running.connect().socket, server_hostname="other.example")


@pytest.mark.parametrize("removed", [CERTIFICATE_FILE, KEY_FILE])
def test_both_files_are_created_again_if_one_is_missing(tmp_path: Path, config: Configuration, removed: str) -> None:
    with_certificate(TlsSettings(), config)
    before = contents(tmp_path)
    (tmp_path / removed).unlink()
    with_certificate(TlsSettings(), config)
    after = contents(tmp_path)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_it_is_renewed_before_its_end(tmp_path: Path, config: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    with_certificate(TlsSettings(), config)
    before = contents(tmp_path)
    monkeypatch.setattr(tls_certificate, "RENEWAL_DAYS", 3_651)
    with_certificate(TlsSettings(), config)
    assert contents(tmp_path) != before


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, config: Configuration) -> None:
    with_certificate(TlsSettings(), config)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(StartFailed, match=r"other users can read the TLS key `.*` \(mode 0640\)"):
        with_certificate(TlsSettings(), config)


@pytest.mark.parametrize("damaged", [CERTIFICATE_FILE, KEY_FILE])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, config: Configuration, damaged: str) -> None:
    with_certificate(TlsSettings(), config)
    (tmp_path / damaged).write_text("hello")
    with pytest.raises(StartFailed, match="remove both files"):
        with_certificate(TlsSettings(), config)
    assert (tmp_path / damaged).read_text() == "hello"


@pytest.mark.parametrize(
    "settings", [TlsSettings(mode=TlsMode.DISABLED), TlsSettings(certificate="own.pem", key="own.key")]
)
def test_none_is_created_if_none_is_needed(tmp_path: Path, config: Configuration, settings: TlsSettings) -> None:
    assert with_certificate(settings, config) == settings
    assert list(tmp_path.iterdir()) == []


def test_servers_that_share_a_directory_share_the_certificate(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    values = {server_options.STORE_PATH: tmp_path, server_options.SHARED_ACCESS_PATH: shared}
    config = load(environ={}).replaced(values, "a test")
    found: list[TlsSettings] = []
    threads = [threading.Thread(target=lambda: found.append(with_certificate(TlsSettings(), config))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {TlsSettings(certificate=str(shared / CERTIFICATE_FILE), key=str(shared / KEY_FILE))}
    assert not (tmp_path / KEY_FILE).exists()
