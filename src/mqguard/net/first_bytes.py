"""The first bytes of a connection: a PROXY header, a TLS handshake, and those that show its protocol."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mqguard.model.peer import Peer
from mqguard.net import proxy_protocol, tls
from mqguard.net.grpc_protocol import START
from mqguard.net.link_owner import LinkOwner
from mqguard.net.settings import TlsMode
from mqguard.rpc.calls import Methods

_PROXY_IS_CLEAR = 3
"""Bytes after which a PROXY header cannot be the start of HTTP/2 any more."""


class NewLink(Protocol):
    """A connection whose first bytes arrive."""

    peer: Peer
    is_settled: bool

    def cut(self, reason: str) -> None:
        """Drop the connection and log the reason."""

    def begin_tls(self, session: tls.TlsSession, data: bytes) -> None:
        """Decrypt all bytes from now on; `FirstBytes.take_plain` gets the first plain ones."""

    def begin_remoting(self, data: bytes) -> None:
        """Read frames of the remoting protocol from now on."""

    def begin_grpc(self, methods: Methods, data: bytes) -> None:
        """Read gRPC calls from now on."""


N = TypeVar("N", bound=NewLink)


class FirstBytes(Generic[N]):
    """Examines the first bytes of one connection, until its protocol is known.

    Args:
        owner: The server.
        link: The connection.
    """

    __slots__ = ("_kept", "_link", "_owner", "_step")

    def __init__(self, owner: LinkOwner[N], link: N) -> None:
        self._owner = owner
        self._link = link
        self._kept = b""
        self._step: Callable[[bytes], None] = self._find_proxy_header

    @property
    def is_unfinished(self) -> bool:
        """True if bytes have arrived that do not show yet what follows."""
        return bool(self._kept)

    def take(self, data: bytes) -> None:
        """Take the next bytes."""
        data, self._kept = self._kept + data, b""
        self._step(data)

    def take_plain(self, data: bytes) -> None:
        """Take the next bytes that were decrypted, and find their protocol."""
        data, self._kept = self._kept + data, b""
        self._find_protocol(data)

    def _find_proxy_header(self, data: bytes) -> None:
        link = self._link
        if proxy_protocol.may_begin(data):
            if link.is_settled:
                if len(data) < _PROXY_IS_CLEAR:
                    self._kept = data
                else:
                    link.cut("it sent a PROXY protocol header and its address is not in `proxyProtocolPeers`")
                return
            try:
                header = proxy_protocol.read(data)
            except proxy_protocol.ProxyHeaderInvalid as exc:
                link.cut(f"its PROXY protocol header is not valid: {exc}")
                return
            if header is None:
                self._kept = data
                return
            data = data[header.size :]
            if header.ip is not None:
                link.peer = Peer(header.ip, header.port, link.peer.channel, listener=link.peer.listener)
        reason = None if link.is_settled else self._owner.settled(link)
        if reason is not None:
            link.cut(reason)
            return
        self._step = self._find_tls
        if data:
            self._find_tls(data)

    def _find_tls(self, data: bytes) -> None:
        if data[0] == tls.HANDSHAKE_BYTE:
            if self._owner.context is None:
                self._link.cut("it sent a TLS handshake, and `tls.server.mode` is disabled")
            else:
                self._link.begin_tls(tls.TlsSession(self._owner.context), data)
        elif self._owner.settings.tls.mode is TlsMode.ENFORCING:
            self._link.cut("it did not use TLS, and `tls.server.mode` is enforcing")
        else:
            self._step = self._find_protocol
            self._find_protocol(data)

    def _find_protocol(self, data: bytes) -> None:
        methods = self._owner.grpc_methods
        if methods is not None and START.startswith(data[: len(START)]):
            if len(data) < len(START):
                self._kept = data
            else:
                self._link.begin_grpc(methods, data)
        elif data.startswith(proxy_protocol.HTTP):
            self._link.cut("it sent an HTTP request, and this port serves only the remoting protocol of RocketMQ")
        else:
            self._link.begin_remoting(data)


def ignore(data: bytes) -> None:
    """Drop bytes that arrive after the end of a connection."""
