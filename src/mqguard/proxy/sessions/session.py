"""One client of a listener with its own connection to the server behind it."""

from collections.abc import Callable
from typing import Final

from mqguard.dispatch.request import INTERNAL, RequestRefused, error_reply
from mqguard.proxy.sessions.ports import ClientLink, Connect, UpstreamConnection
from mqguard.proxy.sessions.upstream_frames import encode_unsigned, without_credentials
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.relay_reader import RelayReader

MAX_WANTED: Final = 1_024
"""Maximum number of open requests of one client whose answers must be read."""
MAX_ASKED: Final = 1_024
"""Maximum number of requests of the server that one client may still answer. A further one replaces the oldest."""

OnAnswer = Callable[[Command], bytes]
"""Returns the frame for the client, given the answer of the server."""


class ClientSession:
    """A client, and its connection to the server, which is opened for the first admitted request.

    Args:
        link: The connection of the client.
        connect: Opens a connection to the server.
        on_output: Called when the first bytes for the server wait; `flush` must follow.
    """

    __slots__ = (
        "_asked",
        "_connect",
        "_expects_answer",
        "_link",
        "_on_output",
        "_out",
        "_reader",
        "_server",
        "_wanted",
    )

    def __init__(self, link: ClientLink, connect: Connect, on_output: Callable[["ClientSession"], None]) -> None:
        self._link = link
        self._connect = connect
        self._on_output = on_output
        self._out: list[bytes] = []
        self._expects_answer = False
        self._server: UpstreamConnection | None = None
        self._wanted: dict[int, OnAnswer] = {}
        # A dict keeps the order of insertion.
        self._asked: dict[int, None] = {}
        self._reader = RelayReader(self._wanted)
        link.on_output = self._client_blocked

    @property
    def is_connected(self) -> bool:
        """True if the session has a connection to the server."""
        return self._server is not None

    @property
    def pending(self) -> int:
        """The number of bytes of an unfinished frame of the server."""
        return self._reader.pending

    def send(self, frame: bytes, command: Command, on_answer: OnAnswer | None = None) -> None:
        """Give an admitted request to the server.

        Args:
            frame: The frame.
            command: The request.
            on_answer: Makes the answer for the client; without it, the server's answer is passed on unread.

        Raises:
            RequestRefused: Too many requests are open whose answers must be read.
        """
        if not command.flag & 2:
            if on_answer is not None:
                self._want(command.opaque, on_answer)
            elif command.opaque in self._wanted:
                raise RequestRefused(ResponseCode.SYSTEM_BUSY, f"the request number {command.opaque} is in use")
            self._expects_answer = True
        self._write(frame)

    def _want(self, opaque: int, on_answer: OnAnswer) -> None:
        if len(self._wanted) >= MAX_WANTED:
            raise RequestRefused(ResponseCode.SYSTEM_BUSY, f"{MAX_WANTED} requests of this connection are open")
        if opaque in self._wanted:
            raise RequestRefused(ResponseCode.SYSTEM_BUSY, f"the request number {opaque} is in use")
        self._wanted[opaque] = on_answer

    def answer(self, command: Command) -> bool:
        """Pass the client's answer on; return False if the server has not asked."""
        if command.opaque not in self._asked:
            return False
        del self._asked[command.opaque]
        self._write(encode_unsigned(command))
        return True

    def _write(self, frame: bytes) -> None:
        if not self._out:
            self._on_output(self)
        self._out.append(frame)

    def flush(self) -> None:
        """Write what waits for the server."""
        out = self._out
        if not out or self._link.closed:
            return
        self._out = []
        if self._server is None:
            self._server = self._connect(self)
        expects_answer, self._expects_answer = self._expects_answer, False
        self._server.write(out[0] if len(out) == 1 else b"".join(out), expects_answer=expects_answer)

    def close(self) -> None:
        """Close the connection to the server after everything was written that waits for it."""
        self._link.on_output = None
        if self._server is not None:
            if self._out:
                self._server.write(b"".join(self._out), expects_answer=False)
            self._server.close()
        self._out.clear()
        self._wanted.clear()

    def _client_blocked(self, is_blocked: bool) -> None:  # noqa: FBT001 - the only argument
        if self._server is None:
            return
        if is_blocked:
            self._server.pause_reading()
        else:
            self._server.resume_reading()

    # Called by the connection to the server

    def received(self, data: bytes) -> None:
        """Pass frames of the server on."""
        try:
            for part in self._reader.feed(data):
                if isinstance(part, bytes):
                    self._link.send(part)
                else:
                    self._take(part)
        except RemoteProtocolError as exc:
            self.ended(f"the server sent bytes that are not valid in the remoting protocol: {exc}")

    def blocked(self, *, is_blocked: bool) -> None:
        """Hold the requests of the client back while the server takes no bytes."""
        if is_blocked:
            self._link.hold_input()
        else:
            self._link.release_input()

    def ended(self, reason: str) -> None:
        """Close the connection of the client: it opens another one, or asks another broker."""
        if self._server is not None:
            self._server.close()
        self._link.close(reason)

    def _take(self, command: Command) -> None:
        if not command.is_response:
            if not command.is_oneway:
                if len(self._asked) >= MAX_ASKED:
                    del self._asked[next(iter(self._asked))]
                self._asked[command.opaque] = None
            self._link.send(without_credentials(command))
            return
        on_answer = self._wanted.pop(command.opaque)
        try:
            frame = on_answer(command)
        except Exception as exc:  # noqa: BLE001 - the client must get an answer
            failure = error_reply(command.code, exc)
            frame = encode_reply(command.opaque, failure.code, None, failure.remark or INTERNAL)
        self._link.send(frame)
