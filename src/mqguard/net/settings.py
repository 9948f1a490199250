"""What can be set about sockets."""

import dataclasses
import enum

from mqguard.remoting import body_limits


class TlsMode(enum.Enum):
    """Who may speak: only plain peers, both, or only encrypted ones (Java's `tls.server.mode`)."""

    DISABLED = "disabled"
    PERMISSIVE = "permissive"
    ENFORCING = "enforcing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS of a listener.

    Attributes:
        mode: Who may speak.
        certificate: PEM file of the certificate and its chain; None together with `key` makes a throw-away one.
        key: PEM file of the private key.
        key_password: Password of the key file.
        client_ca: PEM file of the authorities whose client certificates are accepted; None asks for none.
        require_client_certificate: Whether a client without a certificate is refused.
    """

    mode: TlsMode = TlsMode.PERMISSIVE
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = dataclasses.field(default=None, repr=False)
    client_ca: str | None = None
    require_client_certificate: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """Limits and manners of a listener. Sizes are bytes, times seconds.

    Attributes:
        max_frame: Largest frame that is accepted.
        max_message: Largest body of a message; its frame has room for a header beside it.
        authentication: True if clients can authenticate. If not, the limits of authenticated connections hold for all.
        idle_seconds: A connection without a byte either way for this long is closed.
        handshake_seconds: Longest that a TLS handshake or a PROXY header may take.
        frame_seconds: Longest that one frame may take to arrive.
        stall_seconds: Longest time without a byte of a frame that has begun.
        anonymous_stall_seconds: The same for a connection that has not authenticated.
        min_rate: Bytes a second with which a frame must arrive at least, on the average.
        rate_grace_seconds: Seconds of a frame that this average leaves out.
        silent_seconds: A connection that has never sent a whole request is closed after so long without a byte.
        max_connections: Most connections at a time. Half of them may be anonymous.
        max_connections_per_address: Most connections at a time from one address, IPv6 from one /64 network. Half of
            them may be anonymous.
        frames_per_turn: Most frames of one connection that are handled before others have their turn.
        output_high_water: Unsent bytes of one connection from which on it is not read any more.
        output_limit: Unsent bytes of one connection at which it is cut.
        output_total_limit: Unsent bytes of all connections above their high-water mark together; the one that has
            most is cut. A user, or an address of connections that have not authenticated, may have a quarter of it.
        slow_reader_seconds: How long a connection may stay above the high-water mark before it is cut.
        input_limit: Bytes that were received and not served, all connections together; the one that holds most is cut.
            A user may hold half of it, anonymous connections a quarter, and those of one address an eighth.
        proxy_protocol_peers: Addresses and CIDR ranges whose PROXY protocol headers are believed.
        tls: TLS on the same port.
        backlog: Connections that the system queues before they are accepted.
        reuse_port: Whether several processes share the port.
    """

    max_frame: int = 16 * 1024 * 1024
    max_message: int = body_limits.MAX_MESSAGE
    authentication: bool = True
    idle_seconds: float = 120.0
    handshake_seconds: float = 10.0
    frame_seconds: float = 120.0
    stall_seconds: float = 30.0
    anonymous_stall_seconds: float = 10.0
    min_rate: int = 1024
    rate_grace_seconds: float = 10.0
    silent_seconds: float = 30.0
    max_connections: int = 16_384
    max_connections_per_address: int = 4_096
    frames_per_turn: int = 256
    output_high_water: int = 1024 * 1024
    output_limit: int = 64 * 1024 * 1024
    output_total_limit: int = 512 * 1024 * 1024
    slow_reader_seconds: float = 30.0
    input_limit: int = 256 * 1024 * 1024
    proxy_protocol_peers: tuple[str, ...] = ()
    tls: TlsSettings = TlsSettings()
    backlog: int = 4096
    reuse_port: bool = False
