"""TLS: contexts, temporary certificates, and the session of one connection."""

import contextlib
import datetime as dt
import ipaddress
import pathlib
import ssl
import tempfile
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.settings import TlsMode, TlsSettings

HANDSHAKE_BYTE = 0x16
"""First byte of every TLS connection. No frame begins with it: such a frame would have over 369 MB."""

_CHUNK = 64 * 1024
_MAX_RECORDS = 64
"""Records that are decrypted at a time. A record with one byte costs as much as a large one."""


def server_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """Return the context of a listener, None if TLS is disabled.

    Raises:
        NetSettingsInvalid: A file cannot be read or is not valid.
    """
    if settings.mode is TlsMode.DISABLED:
        return None
    if (settings.certificate is None) != (settings.key is None):
        raise NetSettingsInvalid("a TLS certificate needs its key: set both files or neither")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # gRPC clients do not connect without it. The first bytes show the protocol, so clients without ALPN are served too.
    context.set_alpn_protocols(["h2"])
    # Clients keep their connections, and tickets take a fifth of the time of a handshake.
    context.num_tickets = 0
    if settings.certificate is None or settings.key is None:
        _load_temporary(context)
    else:
        _load(context, settings.certificate, settings.key, settings.key_password)
    if settings.client_ca is not None:
        _trust(context, settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    elif settings.require_client_certificate:
        raise NetSettingsInvalid("client certificates are required, and no file of their authorities is set")
    return context


def certificate_end(path: str) -> dt.datetime:
    """Return the time after which clients reject the certificate in a PEM file.

    Raises:
        NetSettingsInvalid: The file cannot be read or is not valid.
    """
    try:
        return x509.load_pem_x509_certificate(pathlib.Path(path).read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        raise NetSettingsInvalid(f"the TLS file `{path}` has no certificate that can be read") from None


def client_context(ca: str | None = None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Return the context of a client.

    Args:
        ca: PEM file of the authorities that may sign the server's certificate; None accepts any certificate, as
            RocketMQ's own clients do by default.
        certificate: PEM file of our certificate, if the server requests one.
        key: PEM file of its key.

    Raises:
        NetSettingsInvalid: A file cannot be read or is not valid.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, ca)
    if certificate is not None:
        _load(context, certificate, key or certificate, None)
    return context


class TlsSession:
    """One encrypted connection without a socket: converts between encrypted and plain bytes.

    Attributes:
        established: True once the handshake is done.
        ended: True once the peer has closed its side.
        is_left: True if the peer's bytes may hold more than `receive` has returned; call it again without new bytes.
    """

    __slots__ = ("_in", "_out", "_ssl", "ended", "established", "is_left")

    def __init__(self, context: ssl.SSLContext, *, server_side: bool = True) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._in, self._out, server_side=server_side)
        self.established = False
        self.ended = False
        self.is_left = False

    def receive(self, data: bytes) -> bytes:
        """Return the plain bytes of encrypted ones. Afterwards `outgoing` may return bytes to be sent.

        Raises:
            ssl.SSLError: The TLS version, the cipher or the certificate of the peer is not accepted.
        """
        self._in.write(data)
        self.is_left = False
        parts: list[bytes] = []
        try:
            if not self.established:
                self._ssl.do_handshake()
                self.established = True
            while part := self._ssl.read(_CHUNK):
                parts.append(part)
                if len(parts) >= _MAX_RECORDS:
                    self.is_left = True
                    return b"".join(parts)
        except ssl.SSLWantReadError:
            return b"".join(parts)
        except ssl.SSLZeroReturnError:
            pass
        self.ended = True
        return b"".join(parts)

    @property
    def pending(self) -> int:
        """Encrypted bytes that were not decrypted yet."""
        return self._in.pending

    def encrypt(self, data: bytes) -> bytes:
        """Return the encrypted bytes of plain ones; only after the handshake."""
        view = memoryview(data)
        at = 0
        while at < len(view):
            at += self._ssl.write(view[at:])
        return self._out.read()

    def outgoing(self) -> bytes:
        """Return bytes of the handshake and of alerts that must be sent."""
        return self._out.read()

    def close_notify(self) -> bytes:
        """Return the bytes that close our side."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):  # it waits for the peer's close, which we do not need
                self._ssl.unwrap()
        return self._out.read()


def _load(context: ssl.SSLContext, certificate: str, key: str, password: str | None) -> None:
    try:
        # Without a callback OpenSSL would ask for the password on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password or "")
    except FileNotFoundError:
        missing = certificate if not pathlib.Path(certificate).exists() else key
        raise NetSettingsInvalid(f"the TLS file `{missing}` does not exist") from None
    except PermissionError:
        raise NetSettingsInvalid(f"the TLS files `{certificate}` and `{key}` may not be read by this user") from None
    except (ssl.SSLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or "unreadable"
        raise NetSettingsInvalid(
            f"the TLS files `{certificate}` and `{key}` are not a PEM certificate and its key ({reason})"
        ) from None


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except FileNotFoundError:
        raise NetSettingsInvalid(f"the file of authorities `{ca}` does not exist") from None
    except (ssl.SSLError, OSError):
        raise NetSettingsInvalid(f"`{ca}` is not a PEM file of certificates") from None


class Certificate(NamedTuple):
    """A certificate and its key, PEM.

    Attributes:
        certificate: The certificate.
        key: Its private key, without a password.
    """

    certificate: bytes
    key: bytes


def self_signed_certificate(names: Iterable[str]) -> Certificate:
    """Return a new certificate of a server that is its own authority, valid for ten years.

    Args:
        names: Host names and addresses of the server.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mqguard")])
    now = dt.datetime.now(dt.UTC)
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in names]), critical=False)
        # Clients that check the certificate trust it as an authority, so it needs the marks of one.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(own, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _load_temporary(context: ssl.SSLContext) -> None:
    """Load a self-signed certificate for this process: it encrypts, and clients cannot verify it."""
    made = self_signed_certificate(["localhost", "127.0.0.1"])
    # The ssl module reads keys only from files. The directory is readable only by us and deleted at once.
    with tempfile.TemporaryDirectory(prefix="mqguard-") as folder:
        path = pathlib.Path(folder) / "temporary.pem"
        path.touch(mode=0o600)
        path.write_bytes(made.certificate + made.key)
        context.load_cert_chain(path)
