"""Warnings about the end of the server's certificate."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mqguard.config.loader import Flag, load
from mqguard.runtime.settings import certificate_warnings, startup_warnings

END = dt.datetime(2027, 3, 1, 12, tzinfo=dt.UTC)


def certificate(path: Path, end: dt.datetime) -> str:
    """Write a certificate that ends then, and return its path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(end - dt.timedelta(days=365))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    return str(path)


@pytest.mark.parametrize(
    ("before_end", "warning"),
    [
        (dt.timedelta(days=30), None),
        (dt.timedelta(days=29, hours=23), "expires on 2027-03-01, in 29 days"),
        (dt.timedelta(hours=1), "expires on 2027-03-01, in 0 days"),
        (dt.timedelta(hours=-1), "has expired on 2027-03-01"),
    ],
)
def test_a_certificate_that_ends_soon_is_reported(
    tmp_path: Path, before_end: dt.timedelta, warning: str | None
) -> None:
    path = certificate(tmp_path / "server.pem", END)
    config = load(flags=[Flag("--set", "tls.server.certPath", path)])
    found = certificate_warnings(config, END - before_end)
    assert [text for text in found if warning is None or f"`{path}` {warning}: " not in text] == []
    assert len(found) == (warning is not None)


def test_a_start_without_a_certificate_has_no_warning() -> None:
    assert certificate_warnings(load(), END) == []


def test_the_warnings_of_a_start_have_an_expired_certificate(tmp_path: Path) -> None:
    path = certificate(tmp_path / "server.pem", dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
    found = startup_warnings(load(flags=[Flag("--set", "tls.server.certPath", path)]))
    assert any("has expired on 2020-01-01" in text for text in found)


def test_a_file_that_is_not_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_text("no certificate")
    config = load(flags=[Flag("--set", "tls.server.certPath", str(tmp_path / "server.pem"))])
    assert certificate_warnings(config, END) == [
        f"the TLS file `{tmp_path / 'server.pem'}` has no certificate that can be read"
    ]
