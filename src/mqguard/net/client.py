"""A blocking client of one server, for the command line, `admin` and tests."""

import collections
import hashlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Self

import msgspec

from mqguard.auth.authentication import sign
from mqguard.config.secret import Credentials
from mqguard.net.errors import LinkClosed, LinkRefused, LinkTimeout
from mqguard.remoting.codes import SERVER_VERSION, ResponseCode
from mqguard.remoting.command import Command, RemoteProtocolError, Reply
from mqguard.remoting.connection import Answered, Asked, ClientConnection
from mqguard.remoting.signed_content import ACCESS_KEY, SIGNATURE, signed_content

_CHUNK = 256 * 1024

Handler = Callable[[Command], Reply | None]
"""Function that serves a request of the server; it returns None to send no answer."""


class RemotingClient:
    """A connection to one name server or broker. One thread uses it at a time.

    Args:
        host: Address or name, IPv6 with or without brackets.
        port: Port.
        credentials: The credentials that requests are signed with; None leaves them unsigned.
        tls: The context of an encrypted connection (`tls.client_context`); None does not encrypt.
        timeout: Seconds to wait for a connection and for each answer.
        handler: Serves requests of the server while the client waits for answers; without one they are refused.
        fingerprint: The SHA-256 of the required server certificate, in hex; None accepts any certificate.

    Raises:
        LinkRefused: The server cannot be reached, or the TLS handshake fails.
    """

    def __init__(
        self,
        host: str,
        port: int,
        credentials: Credentials | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 5.0,
        handler: Handler | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self._address = f"{host}:{port}"
        self._credentials = credentials
        self._timeout = timeout
        self._handler = handler
        self._connection = ClientConnection()
        self._asked: collections.deque[Command] = collections.deque()
        self._answers: dict[int, Command] = {}
        self._socket = _connect(host.strip("[]"), port, tls, timeout)
        if fingerprint is not None and _fingerprint(self._socket) != fingerprint:
            self._socket.close()
            raise LinkRefused(f"`{self._address}` shows another certificate than the one that is pinned")

    def call(self, command: Command, timeout: float | None = None) -> Command:
        """Send a request and return its answer, whatever its code.

        Args:
            command: The request; its `opaque` is chosen here.
            timeout: Seconds to wait, instead of those of the client.

        Raises:
            LinkTimeout: The server did not answer in time; the connection can still be used.
            LinkClosed: The server closed the connection or violated the protocol.
        """
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        opaque, frame = self._connection.request(signed(command, self._credentials))
        self._write(frame, deadline)
        try:
            while opaque not in self._answers:
                self._read(deadline)
                self._serve(deadline)
        finally:
            self._connection.forget(opaque)
        return self._answers.pop(opaque)

    def wait(self, seconds: float) -> None:
        """Serve requests of the server for some time.

        Raises:
            LinkClosed: The server closed the connection or violated the protocol.
        """
        deadline = time.monotonic() + seconds
        try:
            while True:
                self._read(deadline)
                self._serve(time.monotonic() + self._timeout)
        except LinkTimeout:
            return

    def close(self) -> None:
        """Close the connection; a second call has no effect."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _serve(self, deadline: float) -> None:
        while self._asked:
            request = self._asked.popleft()
            reply = (
                Reply(ResponseCode.REQUEST_CODE_NOT_SUPPORTED, remark=f" request type {request.code} not supported")
                if self._handler is None
                else self._handler(request)
            )
            if reply is not None and not request.is_oneway:
                self._write(self._connection.answer(request, reply), deadline)

    def _write(self, frame: bytes, deadline: float) -> None:
        try:
            self._socket.settimeout(_remaining(deadline))
            self._socket.sendall(frame)
        except TimeoutError:
            # Part of a frame may have been sent: the server would read the next frame as its rest.
            self.close()
            raise LinkTimeout(f"`{self._address}` does not read the request") from None
        except OSError as exc:
            raise LinkClosed(f"`{self._address}` has closed the connection ({reason_text(exc)})") from None

    def _read(self, deadline: float) -> None:
        try:
            self._socket.settimeout(_remaining(deadline))
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            raise LinkTimeout(f"`{self._address}` did not answer in time") from None
        except OSError as exc:
            raise LinkClosed(f"`{self._address}` has closed the connection ({reason_text(exc)})") from None
        if not data:
            raise LinkClosed(f"`{self._address}` has closed the connection")
        try:
            events = self._connection.receive(data)
        except RemoteProtocolError as exc:
            self.close()
            raise LinkClosed(
                f"`{self._address}` sent bytes that are not valid in the remoting protocol: {exc}"
            ) from exc
        for event in events:
            match event:
                case Answered(opaque, command):
                    self._answers[opaque] = command
                case Asked(command):
                    self._asked.append(command)


def signed(command: Command, credentials: Credentials | None) -> Command:
    """Return the request with its signature; without credentials, return it unchanged."""
    if credentials is None:
        return command
    version = command.version or SERVER_VERSION
    ext = {**command.ext, ACCESS_KEY: credentials.name}
    ext[SIGNATURE] = sign(credentials.secret, signed_content(ext, command.body, version))
    return msgspec.structs.replace(command, ext=ext, version=version)


def reason_text(exc: OSError) -> str:
    """Return why a connection failed, for a message."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return exc.verify_message
    return (exc.strerror or getattr(exc, "reason", None) or str(exc) or type(exc).__name__).lower()


def certificate_fingerprint(host: str, port: int, tls: ssl.SSLContext, timeout: float) -> str | None:
    """Return the SHA-256 of a server's certificate in hex; only the handshake is sent.

    Raises:
        LinkRefused: The server cannot be reached, or the TLS handshake fails.
    """
    with _connect(host.strip("[]"), port, tls, timeout) as link:
        return _fingerprint(link)


def _fingerprint(link: socket.socket) -> str | None:
    """Return the SHA-256 of the peer's certificate, None on a plain connection."""
    shown = link.getpeercert(binary_form=True) if isinstance(link, ssl.SSLSocket) else None
    return None if shown is None else hashlib.sha256(shown).hexdigest()


def _connect(host: str, port: int, context: ssl.SSLContext | None, timeout: float) -> socket.socket:
    try:
        plain = socket.create_connection((host, port), timeout)
    except OSError as exc:
        raise LinkRefused(f"`{host}:{port}` cannot be reached ({reason_text(exc)})") from None
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError as exc:
        plain.close()
        raise LinkRefused(f"no TLS with `{host}:{port}` ({reason_text(exc)})") from None


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
