"""The source of a request."""

import msgspec

from mqguard.model.channel import Channel


class Peer(msgspec.Struct, frozen=True, gc=False):
    """The source of a connection, from the sockets or a trusted PROXY header.

    Attributes:
        ip: Source address as text, without brackets or zone (`10.1.2.3`, `2001:db8::1`); empty if there is none.
        port: Source port.
        channel: The connection itself; compared by identity.
        tls: True if the connection is encrypted.
    """

    ip: str
    port: int
    channel: Channel
    tls: bool = False

    @property
    def address(self) -> str:
        """`ip:port`, the form of clients in lists for administrators."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"
