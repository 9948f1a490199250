"""Where a request comes from."""

import msgspec

from mqguard.model.channel import Channel


class Peer(msgspec.Struct, frozen=True, gc=False):
    """The source of a connection, as the sockets (or a trusted PROXY header) proved it.

    Attributes:
        ip: Source address as text, without brackets or zone (`10.1.2.3`, `2001:db8::1`); empty if there is none.
        port: Source port.
        channel: The connection itself; compared by identity.
        tls: Whether the connection is encrypted.
    """

    ip: str
    port: int
    channel: Channel
    tls: bool = False

    @property
    def address(self) -> str:
        """`ip:port`, the form in which clients are listed to administrators."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"
