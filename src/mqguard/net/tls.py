"""TLS inside a connection that began as plain bytes: contexts, throw-away certificates and the session."""

import contextlib
import datetime as dt
import ipaddress
import pathlib
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.settings import TlsMode, TlsSettings

HANDSHAKE_BYTE = 0x16
"""First byte of every TLS connection. No frame begins so: as the top byte of a length it is over 369 MB."""

_CHUNK = 64 * 1024
_MAX_RECORDS = 64
"""Records that are decrypted at a time. Each may hold one byte, and costs as much as a large one."""


def server_context(settings: TlsSettings) -> ssl.SSLContext | None:
    """The context of a listener, None where TLS is off.

    Raises:
        NetSettingsInvalid: A file cannot be read or is none of its kind.
    """
    if settings.mode is TlsMode.DISABLED:
        return None
    if (settings.certificate is None) != (settings.key is None):
        raise NetSettingsInvalid("a TLS certificate and its key go together: give both files or none")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Clients keep their connections, and making tickets is a fifth of the time of a handshake.
    context.num_tickets = 0
    if settings.certificate is None or settings.key is None:
        _load_throw_away(context)
    else:
        _load(context, settings.certificate, settings.key, settings.key_password)
    if settings.client_ca is not None:
        _trust(context, settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED if settings.require_client_certificate else ssl.CERT_OPTIONAL
    elif settings.require_client_certificate:
        raise NetSettingsInvalid("client certificates are required but there is no file of their authorities")
    return context


def client_context(ca: str | None = None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """The context of a client.

    Args:
        ca: PEM file of the authorities that may vouch for the server; None trusts whatever it shows, as RocketMQ's
            own clients do by default.
        certificate: PEM file of our certificate, where the server asks for one.
        key: PEM file of its key.

    Raises:
        NetSettingsInvalid: A file cannot be read or is none of its kind.
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
    """One encrypted connection, without a socket: bytes of the wire in, plain bytes out, and back.

    Attributes:
        established: Whether the handshake is done.
        ended: Whether the peer has said that it will send no more.
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
        """Take bytes of the wire; the plain bytes of the next records. Afterwards `outgoing` may have bytes to be sent.

        Raises:
            ssl.SSLError: The peer speaks no TLS that we do, or has no certificate that we accept.
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
        """Bytes of the wire that were not decrypted yet."""
        return self._in.pending

    def encrypt(self, data: bytes) -> bytes:
        """The bytes of the wire for plain bytes; only after the handshake."""
        view = memoryview(data)
        at = 0
        while at < len(view):
            at += self._ssl.write(view[at:])
        return self._out.read()

    def outgoing(self) -> bytes:
        """Bytes of handshake and alerts that wait to be sent."""
        return self._out.read()

    def goodbye(self) -> bytes:
        """The bytes that tell the peer that we will send no more."""
        if self.established:
            with contextlib.suppress(ssl.SSLError):  # it wants the peer's goodbye, which we do not wait for
                self._ssl.unwrap()
        return self._out.read()


def _load(context: ssl.SSLContext, certificate: str, key: str, password: str | None) -> None:
    try:
        # Without a callback OpenSSL would ask for the password on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: password or "")
    except FileNotFoundError:
        missing = certificate if not pathlib.Path(certificate).exists() else key
        raise NetSettingsInvalid(f"there is no TLS file `{missing}`") from None
    except PermissionError:
        raise NetSettingsInvalid(f"the TLS files `{certificate}` and `{key}` may not be read by this user") from None
    except (ssl.SSLError, OSError) as exc:
        reason = getattr(exc, "reason", None) or "unreadable"
        raise NetSettingsInvalid(
            f"the TLS files `{certificate}` and `{key}` are no PEM certificate with its key ({reason})"
        ) from None


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except FileNotFoundError:
        raise NetSettingsInvalid(f"there is no file of authorities `{ca}`") from None
    except (ssl.SSLError, OSError):
        raise NetSettingsInvalid(f"`{ca}` is no PEM file of certificates") from None


def _load_throw_away(context: ssl.SSLContext) -> None:
    """A certificate that lives as long as the process: it hides the bytes and proves nothing."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mqguard")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The ssl module reads keys from files only; the directory is ours alone and goes at once.
    with tempfile.TemporaryDirectory(prefix="mqguard-") as folder:
        path = pathlib.Path(folder) / "throw-away.pem"
        path.touch(mode=0o600)
        path.write_bytes(pem)
        context.load_cert_chain(path)
