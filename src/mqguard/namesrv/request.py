"""A request as the name server's handlers see it."""

from collections.abc import Callable
from typing import Protocol

from mqguard.guard.context import Access
from mqguard.remoting.command import Command, Reply
from mqguard.remoting.link import Link


class Request(Protocol):
    """One admitted request."""

    @property
    def command(self) -> Command:
        """What was sent."""
        ...  # pragma: no cover

    @property
    def link(self) -> Link:
        """Where it came from."""
        ...  # pragma: no cover

    @property
    def access(self) -> Access:
        """Who sent it, and what it may do."""
        ...  # pragma: no cover


Handler = Callable[[Request], Reply | None]
"""Serves one request code."""
