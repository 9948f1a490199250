"""Interface of the server for its connections."""

import ssl
from typing import Protocol, TypeVar

from mqguard.net.scheduler import Scheduler
from mqguard.net.settings import NetSettings
from mqguard.remoting.body_limits import FrameLimits
from mqguard.remoting.command import Command
from mqguard.rpc.calls import Event, Methods

L_contra = TypeVar("L_contra", contravariant=True)
"""The class of the connections."""


class LinkOwner(Protocol[L_contra]):
    """The server that a link belongs to."""

    settings: NetSettings
    context: ssl.SSLContext | None
    anonymous_limits: FrameLimits
    authenticated_limits: FrameLimits
    scheduler: Scheduler
    grpc_methods: Methods | None
    """The methods of gRPC; None if the listener does not serve it."""
    has_authentication: bool
    """True if connections are anonymous until they have authenticated."""

    def entered(self, link: L_contra) -> str | None:
        """Count an accepted connection; return the reason to drop it, None to keep it."""

    def settled(self, link: L_contra) -> str | None:
        """Count the client's address; return the reason to drop the connection, None to keep it."""

    def trusts_proxy_header(self, ip: str) -> bool:
        """Return True if PROXY headers from this address are accepted."""

    def connected(self, link: L_contra) -> None:
        """Report a link that is ready for frames."""

    def deliver(self, link: L_contra, commands: list[Command]) -> None:
        """Serve commands; must not raise."""

    def deliver_calls(self, link: L_contra, events: list[Event]) -> None:
        """Serve events of gRPC calls; must not raise."""

    def flush_soon(self, link: L_contra) -> None:
        """Request a call of `flush` at the end of this iteration."""

    def end_iteration_soon(self) -> None:
        """Request a commit at the end of this iteration, or of the next one."""

    def authenticated(self, link: L_contra) -> None:
        """Charge the connection to the user that it has authenticated as."""

    def hold(self, link: L_contra, change: int) -> None:
        """Count bytes that were received and not served; if too many, cut links, possibly the caller."""

    def blocked(self, link: L_contra) -> None:
        """Count a peer that does not read; if too many bytes wait, cut links, possibly this one."""

    def unblocked(self, link: L_contra) -> None:
        """Forget a peer that reads again, or is gone."""

    def log_dropped(self, link: L_contra, reason: str) -> None:
        """Log the reason to drop a link."""

    def log_refused(self, link: L_contra, reason: str) -> None:
        """Log the reason to refuse a frame."""

    def departed(self, link: L_contra) -> None:
        """Report the end of a link that was ready for frames."""

    def left(self, link: L_contra) -> None:
        """Forget a connection that has ended."""
