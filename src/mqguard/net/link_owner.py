"""The server, as a connection sees it."""

import ssl
from typing import Protocol, TypeVar

from mqguard.net.scheduler import Scheduler
from mqguard.net.settings import NetSettings
from mqguard.remoting.body_limits import FrameLimits
from mqguard.remoting.command import Command

L_contra = TypeVar("L_contra", contravariant=True)
"""The class of the connections."""


class LinkOwner(Protocol[L_contra]):
    """What a link needs of the server it belongs to."""

    settings: NetSettings
    context: ssl.SSLContext | None
    anonymous_limits: FrameLimits
    authenticated_limits: FrameLimits
    scheduler: Scheduler
    has_authentication: bool
    """True if connections are anonymous until they have authenticated."""

    def entered(self, link: L_contra) -> str | None:
        """A connection was accepted; why it must go at once, None if it may stay."""

    def settled(self, link: L_contra) -> str | None:
        """The client's address is known; why it must go at once, None if it may stay."""

    def trusts_proxy_header(self, ip: str) -> bool:
        """Whether PROXY headers from this address are believed."""

    def connected(self, link: L_contra) -> None:
        """The link is ready for frames."""

    def deliver(self, link: L_contra, commands: list[Command]) -> None:
        """Serve commands; must not raise."""

    def wake(self, link: L_contra) -> None:
        """Have `flush` called at the end of this turn."""

    def end_turn_soon(self) -> None:
        """Have this turn committed, or the next one."""

    def authenticated(self, link: L_contra) -> None:
        """The connection has authenticated as another user than before."""

    def hold(self, link: L_contra, change: int) -> None:
        """Count bytes that were received and not served; where they are too many, links are cut, maybe the caller."""

    def blocked(self, link: L_contra) -> None:
        """A peer does not read; where too much waits for such peers, links are cut, maybe this one."""

    def unblocked(self, link: L_contra) -> None:
        """The peer reads again, or is gone."""

    def complain(self, link: L_contra, reason: str) -> None:
        """Log why a link is being dropped."""

    def refused(self, link: L_contra, reason: str) -> None:
        """Log why a frame is refused."""

    def departed(self, link: L_contra) -> None:
        """A link that was ready for frames is not any more."""

    def left(self, link: L_contra) -> None:
        """The connection is gone."""
