"""The acceptor: accepts many connections in one iteration of the event loop, within a bounded time.

The listeners of event loops accept one connection per iteration, or all that wait. If iterations are long, the first
way lets new clients wait for seconds, and the second way delays the clients that are connected.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

MAX_PER_TURN: Final = 128
BUDGET_S: Final = 0.003
"""Maximum time of an iteration in which connections are accepted."""
PAUSE_S: Final = 0.2
"""Pause after the system had no resources for another connection."""
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)
_clock = time.perf_counter


class Acceptor:
    """Accepts the connections of one listening socket.

    Args:
        loop: The event loop.
        listener: A socket that listens; it is closed with the acceptor.
        make_protocol: Creates the protocol of a connection.
        warn: Logs a line, with a bounded rate.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        warn: Callable[..., None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._make_protocol = make_protocol
        self._warn = warn
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False

    def start(self) -> None:
        """Start to accept connections.

        Raises:
            NotImplementedError: The event loop cannot watch sockets.
        """
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Stop accepting; the system refuses clients that were not accepted yet."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        end = _clock() + BUDGET_S
        for _ in range(MAX_PER_TURN):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                self._wait(exc)
                return
            connection.setblocking(False)  # noqa: FBT003 - the interface of sockets
            _Adoption(self._loop.connect_accepted_socket(self._make_protocol, connection), connection).go_on()
            if _clock() >= end:
                return

    def _wait(self, exc: OSError) -> None:
        self._warn("a connection could not be accepted: %s", exc.strerror)
        if exc.errno in _NO_ROOM:
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        if not self._is_closed:
            self.start()


class _Adoption:
    """Passes a socket to the event loop. A task for each would double the cost and need one more iteration."""

    def __init__(self, steps: Coroutine[Any, Any, object], connection: socket.socket) -> None:
        self._steps = steps
        self._connection = connection

    def go_on(self, _done: object = None) -> None:
        """Continue until the event loop must wait."""
        try:
            awaited = self._steps.send(None)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - the next connection must be accepted
            _log.exception("a connection could not be accepted: internal error")
            self._connection.close()
            return
        awaited.add_done_callback(self.go_on)
