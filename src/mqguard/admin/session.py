"""A connection to one name server or broker that turns refusals into errors."""

import ssl
from typing import NamedTuple

from mqguard.admin.errors import AddressInvalid, PeerRefused
from mqguard.admin.known_brokers import KnownBrokers
from mqguard.config.secret import Credentials
from mqguard.net.client import RemotingClient
from mqguard.remoting.codes import SERVER_VERSION, LanguageCode, OwnCode, RequestCode
from mqguard.remoting.command import Command
from mqguard.remoting.headers.codec import Header, write

TIMEOUT_SECONDS = 5.0


class Manner(NamedTuple):
    """How connections are made.

    Attributes:
        credentials: Whose name to sign in; None signs nothing.
        tls: The context of encrypted connections; None speaks plainly.
        timeout: Seconds to wait for a connection and for each answer.
        known: The brokers that secrets and signatures may be sent to.
    """

    credentials: Credentials | None = None
    tls: ssl.SSLContext | None = None
    timeout: float = TIMEOUT_SECONDS
    known: KnownBrokers = KnownBrokers()


class Session:
    """Requests to one server in the name of one user.

    Args:
        address: `host:port` of the server.
        manner: How to connect.
        fingerprint: The SHA-256 of the certificate that the server must show, in hex; None takes any.

    Raises:
        AddressInvalid: The address is none.
        LinkRefused: The server cannot be reached.
    """

    def __init__(self, address: str, manner: Manner, fingerprint: str | None = None) -> None:
        self.address = address
        host, port = split(address)
        self._timeout = manner.timeout
        self._link = RemotingClient(host, port, manner.credentials, manner.tls, manner.timeout, fingerprint=fingerprint)

    def call(
        self,
        code: RequestCode | OwnCode,
        header: Header | None = None,
        body: bytes = b"",
        *,
        accept: frozenset[int] = frozenset({0}),
        more_seconds: float = 0.0,
    ) -> Command:
        """Ask and wait for the answer.

        Args:
            code: What to ask for.
            header: Its typed header.
            body: Its body.
            accept: Response codes that are no error.
            more_seconds: How much longer than usual the answer may take.

        Raises:
            PeerRefused: The answer has another code.
            LinkError: There is no answer.
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
    """Host and port of an address.

    Raises:
        AddressInvalid: It is none.
    """
    host, colon, port = address.strip().rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AddressInvalid(f"`{address}` is no address: write HOST:PORT, such as `127.0.0.1:9876`")
    return host, int(port)
