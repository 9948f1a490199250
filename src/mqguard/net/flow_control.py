"""Back-pressure of a connection, from its peer and from its application."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class ReaderTimer(Protocol):
    """The time that a peer has until it reads its answers (`liveness.SlowReaderTimer`)."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End: the peer reads again."""

    def bound(self, unsent: int) -> None:
        """Drop the connection if too many bytes wait."""

    def watch(self, unsent: int, *, is_blocked: bool) -> None:
        """Start or stop the time for answers that the peer does not accept."""


class FlowControl(asyncio.Protocol):
    """The two reasons for which no request of a connection is served: one of its sides takes no more bytes.

    Attributes:
        on_output: Called with True when the peer stops to read its answers, and with False when it reads again.
    """

    __slots__ = ("_blocked", "_grace", "_is_input_held", "_is_unread", "on_output")

    _grace: ReaderTimer

    def __init__(self) -> None:
        self._blocked = self._is_unread = self._is_input_held = False
        self.on_output: Callable[[bool], None] | None = None

    def hold_input(self) -> None:
        """Serve no further requests of the peer until `release_input`, and stop to read them."""
        self._is_input_held = self._blocked = True
        self._update_reading()

    def release_input(self) -> None:
        """Continue to serve requests."""
        if self._is_input_held:
            self._is_input_held = False
            self._blocked = self._is_unread
            self._continue()

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read its answers."""
        self._is_unread = self._blocked = True
        self._update_reading()
        self._grace.start()
        if self.on_output is not None:
            self.on_output(True)  # noqa: FBT003 - the only argument

    def resume_writing(self) -> None:
        """Continue with a peer that reads again."""
        self._is_unread = False
        self._blocked = self._is_input_held
        self._grace.stop()
        self._continue()
        if self.on_output is not None:
            self.on_output(False)  # noqa: FBT003 - the only argument

    def _continue(self) -> None:
        """Serve the input that has waited, if nothing blocks it any more."""
        raise NotImplementedError

    def _update_reading(self) -> None:
        """Read from the peer only while its input can be served."""
        raise NotImplementedError
