"""Settings of listeners."""

import dataclasses
import enum

from mqguard.remoting import body_limits


class TlsMode(enum.Enum):
    """Accepted connections: only plain ones, both, or only encrypted ones (Apache's `tls.server.mode`)."""

    DISABLED = "disabled"
    PERMISSIVE = "permissive"
    ENFORCING = "enforcing"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS of a listener.

    Attributes:
        mode: Accepted connections.
        certificate: PEM file of the certificate and its chain; None with `key` uses a temporary one.
        key: PEM file of the private key.
        key_password: Password of the key file.
        client_ca: PEM file of the authorities whose client certificates are accepted; None requests no certificate.
        require_client_certificate: True to refuse clients without a certificate.
    """

    mode: TlsMode = TlsMode.PERMISSIVE
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = dataclasses.field(default=None, repr=False)
    client_ca: str | None = None
    require_client_certificate: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """Limits and behaviour of a listener. Sizes are in bytes, times in seconds.

    Attributes:
        max_frame: Maximum size of a frame.
        max_message: Maximum size of a message body; its frame may be larger, for the header.
        authentication: True if clients can authenticate. If not, all have the limits of authenticated connections.
        idle_seconds: Maximum time without a byte in either direction.
        handshake_seconds: Maximum time of a TLS handshake or a PROXY header.
        frame_seconds: Maximum time for one frame to arrive.
        stall_seconds: Maximum time without a byte of a frame that has begun.
        anonymous_stall_seconds: The same for a connection that has not authenticated.
        min_rate: Minimum mean rate of an arriving frame, in bytes per second.
        rate_grace_seconds: First seconds of a frame that this rate leaves out.
        silent_seconds: Maximum time without a byte for a connection that has never sent a whole request.
        max_connections: Maximum number of connections. Half of them may be anonymous.
        max_connections_per_address: Maximum number of connections from one address (IPv6: from one /64 network). Half
            of them may be anonymous.
        frames_per_iteration: Maximum number of frames of one connection that are served before others are.
        output_high_water: Unsent bytes of one connection above which it is not read.
        output_limit: Unsent bytes of one connection above which it is dropped.
        output_total_limit: Maximum of unsent bytes of all connections above their high-water mark. At the limit, the
            connection with most is dropped. A user, or an anonymous address, may have a quarter of it.
        slow_reader_seconds: Maximum time of a connection above the high-water mark.
        input_limit: Maximum of bytes that were received and not served. At the limit, the connection with most is
            dropped. A user may hold half of it, all anonymous connections a quarter, one anonymous address an eighth.
        proxy_protocol_peers: Addresses and CIDR ranges whose PROXY protocol headers are accepted.
        tls: TLS on the same port.
        backlog: Connections that the system queues before they are accepted.
        reuse_port: True if several processes share the port.
        keeps_frames: True to add the bytes of its frame to each command.
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
    frames_per_iteration: int = 256
    output_high_water: int = 1024 * 1024
    output_limit: int = 64 * 1024 * 1024
    output_total_limit: int = 512 * 1024 * 1024
    slow_reader_seconds: float = 30.0
    input_limit: int = 256 * 1024 * 1024
    proxy_protocol_peers: tuple[str, ...] = ()
    tls: TlsSettings = TlsSettings()
    backlog: int = 4096
    reuse_port: bool = False
    keeps_frames: bool = False
