"""A connection to one name server or broker; error responses become exceptions."""

import ssl
from pathlib import Path
from typing import NamedTuple

from mqguard.admin.errors import AddressInvalid, PeerRefused
from mqguard.admin.known_brokers import KnownBrokers
from mqguard.config.secret import Credentials
from mqguard.net.client import RemotingClient, certificate_fingerprint
from mqguard.net.tls import client_context
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, OwnCode, RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import Header, write

TIMEOUT_SECONDS = 5.0


class ConnectionOptions(NamedTuple):
    """Options of connections to servers.

    Attributes:
        credentials: Credentials that sign requests; None sends unsigned requests.
        tls: TLS context; None connects without encryption.
        timeout: Maximum seconds to wait for a connection and for each answer.
        known: Brokers that secrets and signatures may be sent to.
    """

    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    timeout: float = TIMEOUT_SECONDS
    known: KnownBrokers = KnownBrokers()


class Session:
    """Connection to one server in the name of one user.

    Args:
        address: Address of the server, `host:port`.
        options: Options of the connection.
        fingerprint: SHA-256 in hex of the certificate that the server must show; None accepts any certificate.

    Raises:
        AddressInvalid: The address is not valid.
        LinkRefused: The server cannot be reached.
    """

    def __init__(self, address: str, options: ConnectionOptions, fingerprint: str | None = None) -> None:
        self.address = address
        host, port = split(address)
        self._timeout = options.timeout
        self._link = RemotingClient(
            host, port, options.credentials, options.tls, options.timeout, fingerprint=fingerprint
        )

    def call(
        self,
        code: RequestCode | OwnCode,
        header: Header | None = None,
        body: bytes = b"",
        *,
        accept: frozenset[int] = frozenset({0}),
        more_seconds: float = 0.0,
    ) -> Command:
        """Send a request and wait for the response.

        Args:
            code: Request code.
            header: Typed header of the request.
            body: Body of the request.
            accept: Response codes that are not errors.
            more_seconds: Seconds that the response may take beyond the timeout.

        Raises:
            PeerRefused: The response has another code.
            LinkError: The server did not respond.
        """
        ext = {} if header is None else write(header)
        command = Command(code, 0, 0, SERVER_VERSION, LanguageCode.PYTHON, None, ext, body)
        answer = self._link.call(command, self._timeout + more_seconds)
        if answer.code not in accept:
            raise PeerRefused(answer.code, answer.remark or "")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


def split(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    Raises:
        AddressInvalid: The text is not a valid address.
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AddressInvalid(f"`{address}` is not a valid address: write HOST:PORT, such as `127.0.0.1:9876`")
    return host, int(port)


def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Return a TLS context for connections to servers.

    Args:
        ca: File with the trusted certificates; None accepts any certificate.

    Raises:
        NetSettingsInvalid: The file cannot be read.
    """
    return client_context(None if ca is None else str(ca))


def shown_fingerprint(address: str, context: ssl.SSLContext, timeout: float) -> str:
    """Return the SHA-256 in hex of the certificate that a server shows now.

    Raises:
        AddressInvalid: The address is not valid.
        LinkRefused: The server cannot be reached, or the TLS handshake fails.
    """
    return certificate_fingerprint(*split(address), context, timeout) or ""
