"""The gRPC clients: their settings, their streams, and the connection of each one as brokers see it.

A client is known by its user and the id that it has chosen. So two users may use the same id.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from mqguard.guard.admitted_request import AdmittedRequest
from mqguard.model.peer import Channel, Peer
from mqguard.model.process import Clock
from mqguard.proxy.grpc.ports import Backend
from mqguard.proxy.grpc.settings import ProxySettings
from mqguard.proxy.grpc.statuses import CallRefused
from mqguard.remoting.command import Command
from mqguard.remoting.frame import read_frame
from mqguard.remoting.link import NO_WORK, WorkQueue
from mqguard.rpc.calls import GrpcCall
from mqguard.rpc.protocol import messages_pb2 as pb

MAX_STREAMS: Final = 64
"""Maximum Telemetry streams of one client. It has one for each address of its brokers."""
LITE_TYPES: Final = frozenset({pb.LITE_PUSH_CONSUMER, pb.LITE_SIMPLE_CONSUMER})

MAX_REVIEWED: Final = 128
"""Maximum clients whose rights are checked again in one call of `review`."""

OnCommand = Callable[["GrpcClient", Command], None]
"""Receiver of the requests of brokers to a client."""


class Question(NamedTuple):
    """A question of a broker to a client, without an answer.

    Attributes:
        nonce: The text by which the client's answer names it.
        kind: Name of the field of the answer.
        opaque: Number of the broker's request.
        asked_ms: Monotonic time.
    """

    nonce: str
    kind: str
    opaque: int
    asked_ms: int


class GrpcClient:
    """One client. Brokers see it as a connection (`remoting.link.Link`).

    Attributes:
        client_id: The id that it has chosen.
        owner: The user to whom it belongs, or the address without one.
        access: The admitted call with its settings.
        settings: The parts of its settings that the server needs; None before the brokers know it.
        size: Their bytes.
        streams: Its open Telemetry streams; the last one is the newest.
        questions: The questions to it that have no answer yet, by their nonces; the first one is the oldest.
        seen_ms: Monotonic time of its last call about itself.
        language: Number of its language in the remoting protocol.
        peer: Its address. The channel is its own, since one connection may have several clients.
        closed: True once it is forgotten.
    """

    def __init__(self, client_id: str, access: AdmittedRequest, peer: Peer, on_command: OnCommand) -> None:
        self.client_id = client_id
        self.owner = access.owner
        self.access = access
        self.settings: pb.Settings | None = None
        self.size = 0
        self.streams: dict[GrpcCall, None] = {}
        self.questions: dict[str, Question] = {}
        self.seen_ms = 0
        self.language = 0
        self.peer = Peer(peer.ip, peer.port, Channel(), peer.tls, peer.listener)
        self.closed = False
        self._on_command = on_command

    @property
    def group(self) -> str:
        """Its group, empty for a producer."""
        return "" if self.settings is None else self.settings.subscription.group.name

    @property
    def is_lite(self) -> bool:
        """True if the client consumes lite topics."""
        return self.settings is not None and self.settings.client_type in LITE_TYPES

    @property
    def work(self) -> WorkQueue:
        """Work of its requests: none is left, because each part is done at once."""
        return NO_WORK

    def send(self, frame: bytes) -> None:
        """Take a request of a broker. An answer that comes late has no receiver."""
        command = read_frame(frame)
        if not command.is_response:
            self.send_command(command)

    def send_command(self, command: Command) -> None:
        """Take a request of a broker."""
        if not self.closed:
            self._on_command(self, command)

    def close(self, reason: str) -> None:
        """Do nothing: a client without heartbeats is forgotten by itself."""

    def tell(self, command: pb.TelemetryCommand) -> bool:
        """Send a command on the newest stream; return False if the client has none."""
        for stream in reversed(self.streams):
            if stream.is_open:
                stream.send(command.SerializeToString())
                return True
        return False


class GrpcClients:
    """All clients.

    Args:
        backend: The brokers.
        settings: Limits.
        clock: Clock.
        on_command: Receiver of the requests of brokers to clients.
    """

    def __init__(self, backend: Backend, settings: ProxySettings, clock: Clock, on_command: OnCommand) -> None:
        self._backend = backend
        self._settings = settings
        self._clock = clock
        self._on_command = on_command
        self._clients: dict[tuple[str, str], GrpcClient] = {}
        self._of_owner: Counter[str] = Counter()
        self._bytes = 0
        self._bytes_of: Counter[str] = Counter()
        self._by_stream: dict[GrpcCall, GrpcClient] = {}
        self._version = 0
        self._unreviewed: list[GrpcClient] = []

    def __len__(self) -> int:
        return len(self._clients)

    def find(self, owner: str, client_id: str) -> GrpcClient | None:
        """Return the client of a sender, None if it has not sent its settings."""
        return self._clients.get((owner, client_id))

    def register(self, client_id: str, access: AdmittedRequest, peer: Peer) -> GrpcClient:
        """Return the client of a sender, which is new perhaps.

        Raises:
            CallRefused: There are too many clients.
        """
        key = access.owner, client_id
        client = self._clients.get(key)
        if client is None:
            if (
                len(self._clients) >= self._settings.max_clients
                or self._of_owner[access.owner] >= self._settings.max_clients_of_one
            ):
                raise CallRefused(pb.TOO_MANY_REQUESTS, "too many clients are connected")
            client = self._clients[key] = GrpcClient(client_id, access, peer, self._on_command)
            self._of_owner[access.owner] += 1
            self._backend.connected(client)
        client.seen_ms = self._clock.monotonic_ms()
        return client

    def configure(self, client: GrpcClient, settings: pb.Settings) -> None:
        """Keep the settings of a client."""
        if client.closed:
            return
        size = settings.ByteSize()
        self._bytes += size - client.size
        self._bytes_of[client.owner] += size - client.size
        client.size, client.settings = size, settings

    def require_room(self, client: GrpcClient, size: int) -> None:
        """Check that there is room for the new settings of a client.

        Args:
            client: The client.
            size: Bytes of its new settings.

        Raises:
            CallRefused: The settings of its user's clients, or those of all clients, have too many bytes together.
        """
        added = size - client.size
        if self._bytes_of[client.owner] + added > self._settings.max_settings_of_one:
            raise CallRefused(pb.TOO_MANY_REQUESTS, "the settings of the clients of this user are too large together")
        if self._bytes + added > self._settings.max_settings:
            raise CallRefused(pb.TOO_MANY_REQUESTS, "the settings of all clients are too large together")

    def open_stream(self, client: GrpcClient, stream: GrpcCall) -> None:
        """Note a Telemetry stream of a client.

        Raises:
            CallRefused: The stream belongs to another client, or the client has too many.
        """
        if self._by_stream.setdefault(stream, client) is not client:
            raise CallRefused(pb.BAD_REQUEST, "the stream belongs to another client")
        if stream not in client.streams and len(client.streams) >= MAX_STREAMS:
            del self._by_stream[stream]
            raise CallRefused(pb.TOO_MANY_REQUESTS, f"the client has more than {MAX_STREAMS} streams")
        client.streams[stream] = None

    def settings_on(self, stream: GrpcCall) -> pb.Settings | None:
        """Return the settings that a client has got on a stream, None if there are none."""
        client = self._by_stream.get(stream)
        return None if client is None else client.settings

    def access_on(self, stream: GrpcCall) -> AdmittedRequest | None:
        """Return the admitted call with the settings of the client of a stream, None without a client."""
        client = self._by_stream.get(stream)
        return None if client is None else client.access

    def streams(self) -> list[GrpcCall]:
        """Return the streams of all clients."""
        return list(self._by_stream)

    def end_stream(self, stream: GrpcCall) -> None:
        """Forget a stream that has ended."""
        client = self._by_stream.pop(stream, None)
        if client is not None:
            client.streams.pop(stream, None)
            client.seen_ms = self._clock.monotonic_ms()

    def remove(self, client: GrpcClient) -> None:
        """Forget a client."""
        if client.closed:
            return
        client.closed = True
        del self._clients[client.owner, client.client_id]
        self._bytes -= client.size
        self._bytes_of[client.owner] -= client.size
        if not self._bytes_of[client.owner]:
            del self._bytes_of[client.owner]
        self._of_owner[client.owner] -= 1
        if not self._of_owner[client.owner]:
            del self._of_owner[client.owner]
        for stream in client.streams:
            self._by_stream.pop(stream, None)
        self._backend.left(client)

    def review(self, version: int) -> None:
        """End the streams of clients that may not use them any more. A call does a bounded number of them.

        Args:
            version: Version of users and policies.
        """
        if version != self._version:
            self._version = version
            self._unreviewed = self.all()
        for _ in range(min(MAX_REVIEWED, len(self._unreviewed))):
            client = self._unreviewed.pop()
            if client.closed or client.access.still_allowed():
                continue
            refusal = pb.Status(code=pb.UNAUTHORIZED, message="the rights of the client have changed")
            for stream in list(client.streams):
                stream.send(pb.TelemetryCommand(status=refusal).SerializeToString())
                stream.end()
            self.remove(client)

    def all(self) -> list[GrpcClient]:
        """Return all clients."""
        return list(self._clients.values())

    def expire(self) -> None:
        """Forget clients that have ended without a word."""
        before = self._clock.monotonic_ms() - self._settings.client_timeout_ms
        for client in self.all():
            if client.seen_ms < before and not any(stream.is_open for stream in client.streams):
                self.remove(client)
