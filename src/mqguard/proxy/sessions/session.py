"""One client of a listener with its own connection to the server behind it."""

import logging
from collections.abc import Callable
from typing import Final

from mqguard.dispatch.request import INTERNAL, error_reply
from mqguard.proxy.sessions.ports import CheckRequest, ClientLink, Connect, Rewriting, UpstreamConnection
from mqguard.proxy.sessions.upstream_frames import encode_unsigned
from mqguard.remoting.codes import FLAG_ONEWAY
from mqguard.remoting.command import Command, RemoteProtocolError
from mqguard.remoting.frame import encode_reply
from mqguard.remoting.relay_reader import RelayReader, read_server_frame

_LOG = logging.getLogger(__name__)

MAX_OPEN: Final = 8_192
"""Maximum number of open requests of one client. A further one replaces the oldest, whose answer is dropped then."""
MAX_ASKED: Final = 1_024
"""Maximum number of requests of the server that one client may still answer. A further one replaces the oldest."""
_SUCCESS: Final = b'{"code":0,'
_HEADER: Final = 8

OnAnswer = Callable[[bytes], bytes]
"""Returns the frame for the client, given that of the server."""


class ClientSession:
    """A client, and its connection to the server, which is opened for the first admitted request.

    Args:
        link: The connection of the client.
        connect: Opens a connection to the server.
        rewriting: Changes answers and requests of the server.
        on_output: Called when the first bytes for the server wait; `flush` must follow.
        check_request: Checks the requests of the server.
    """

    __slots__ = (
        "_asked", "_check_request", "_connect", "_expects_answer", "_link", "_local", "_on_output", "_open", "_out",
        "_reader", "_rewriting", "_server",
    )  # fmt: skip

    def __init__(
        self,
        link: ClientLink,
        connect: Connect,
        rewriting: Rewriting,
        on_output: Callable[["ClientSession"], None],
        check_request: CheckRequest,
    ) -> None:
        self._check_request = check_request
        self._link = link
        self._connect = connect
        self._rewriting = rewriting
        self._on_output = on_output
        self._out: list[bytes] = []
        self._expects_answer = False
        self._server: UpstreamConnection | None = None
        # Dicts keep the order of insertion.
        self._open: dict[int, int | OnAnswer] = {}
        self._asked: dict[int, None] = {}
        self._reader = RelayReader()
        self._local = ""
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
            on_answer: Makes the answer for the client; without it, the answer is changed by the rules of its code.
        """
        if not command.flag & FLAG_ONEWAY:
            waiting = self._open
            if len(waiting) >= MAX_OPEN:
                del waiting[next(iter(waiting))]
            waiting[command.opaque] = command.code if on_answer is None else on_answer
            self._expects_answer = True
        self._write(frame)

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
        self._open.clear()
        if self._local:
            self._rewriting.disconnected(self._local)
            self._local = ""

    def _client_blocked(self, is_blocked: bool) -> None:  # noqa: FBT001 - the only argument
        if self._server is None:
            return
        if is_blocked:
            self._server.pause_reading()
        else:
            self._server.resume_reading()

    # Called by the connection to the server

    def opened(self, local: str) -> None:
        """Note the guard's own address of the connection, which the server names in lists of clients."""
        if not self._link.closed:
            self._local = local
            self._rewriting.connected(local, self._link.peer.address)

    def received(self, data: bytes) -> None:
        """Pass frames of the server on."""
        try:
            data, frames = self._reader.feed(data)
            start = at = 0
            for at, split, end, opaque in frames:
                code = None if opaque is None else self._open.pop(opaque, None)
                if isinstance(code, int) and self._is_unchanged(data, at, code):
                    continue
                if start < at:
                    self._link.send(data[start:at])
                start = end
                changed = self._changed(data, at, split, end, opaque, code)
                if changed:
                    self._link.send(changed)
            if frames and start < frames[-1][2]:
                self._link.send(data[start : frames[-1][2]])
        except RemoteProtocolError as exc:
            self.ended(f"the server sent bytes that are not valid in the remoting protocol: {exc}")

    def _is_unchanged(self, data: bytes, at: int, code: int) -> bool:
        return code not in self._rewriting.answers and data.startswith(_SUCCESS, at + _HEADER)

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

    def _changed(
        self, data: bytes, at: int, split: int, end: int, opaque: int | None, code: int | OnAnswer | None
    ) -> bytes:
        """Return a frame of the server as the client gets it, nothing if it gets none."""
        frame = data[at:end]
        if opaque is None:
            return self._to_client(read_server_frame(data, at, split, end), frame)
        if code is None:
            _LOG.debug("dropped an answer for %s: no open request has the number %d", self._link.peer.address, opaque)
            return b""
        try:
            return self._rewriting.answer(code, frame) if isinstance(code, int) else code(frame)
        except Exception as exc:  # noqa: BLE001 - the client must get an answer, and never an unchanged one
            failure = error_reply(code if isinstance(code, int) else 0, exc)
            return encode_reply(opaque, failure.code, None, failure.remark or INTERNAL)

    def _to_client(self, command: Command, frame: bytes) -> bytes:
        """Return a request of the server as the client gets it, and note that the client may answer it."""
        try:
            self._check_request(self._link, command)
            changed = self._rewriting.to_client(frame)
        except Exception as exc:  # noqa: BLE001 - the server must get an answer
            _LOG.warning("request %d of the server to %s is not passed on", command.code, self._link.peer.address)
            failure = error_reply(command.code, exc)
            if not command.is_oneway:
                self._write(encode_reply(command.opaque, failure.code, None, failure.remark))
                self.flush()
            return b""
        if not command.is_oneway:
            if len(self._asked) >= MAX_ASKED:
                del self._asked[next(iter(self._asked))]
            self._asked[command.opaque] = None
        return changed
