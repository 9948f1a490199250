"""A listener: accepts connections, gives their commands to an application, and ends each turn of the event loop.

A turn: the scheduler serves the connections whose bytes have arrived, as far as its budget goes; then, once,
`end_of_turn` of the application (which commits its writes), and then every connection with answers gets one write.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from mqguard.net import limits, proxy_protocol, tls
from mqguard.net.acceptor import Acceptor
from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.link import ServerLink
from mqguard.net.places import Places
from mqguard.net.proxy_protocol import MAX_FRAME_BESIDE
from mqguard.net.scheduler import Account, Scheduler
from mqguard.net.settings import NetSettings
from mqguard.remoting import body_limits
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link

_log = logging.getLogger(__name__)

USER_SHARE: Final = 2
ADDRESS_SHARE: Final = 8
ANONYMOUS_SHARE: Final = 4
"""Parts of `input_limit` that one user, one address without authentication, and all of these may hold."""
_OUTPUT_SHARE: Final = 4
"""Part of `output_total_limit` that may wait for the connections of one user, or of one address."""


class Application(Protocol):
    """What serves the commands. All is called from the event-loop thread and must not block."""

    def connected(self, link: Link) -> None:
        """A client is ready to speak."""

    def commands(self, link: Link, commands: list[Command]) -> None:
        """Commands have arrived, in order. An exception closes this one connection."""

    def closed(self, link: Link) -> None:
        """A client that was connected is gone."""

    def end_of_turn(self) -> None:
        """All commands of this turn were given; what it sends now still leaves in this turn."""


class RemotingServer:
    """Listens on one port.

    Args:
        app: What serves the commands.
        settings: Limits and manners.
        scheduler: Divides the time of the event loop; listeners of one loop share it. None makes one.

    Raises:
        NetSettingsInvalid: A setting is none.

    Attributes:
        links: The open connections.
        dropped: Number of connections that were dropped because of a limit, a timeout or what they sent.
        frames_refused: Number of frames that were refused before they were decoded.
    """

    def __init__(self, app: Application, settings: NetSettings, scheduler: Scheduler | None = None) -> None:
        if not 4 <= settings.max_frame <= MAX_FRAME_BESIDE:
            raise NetSettingsInvalid(
                f"a largest frame of {settings.max_frame} bytes is not between 4 and {MAX_FRAME_BESIDE}"
            )
        self.settings = settings
        self.context: ssl.SSLContext | None = tls.server_context(settings.tls)
        self.authenticated_limits = body_limits.authenticated_limits(settings.max_message)
        self.anonymous_limits = (
            body_limits.anonymous_limits(settings.max_message) if settings.authentication else self.authenticated_limits
        )
        self.has_authentication = settings.authentication
        self.scheduler = Scheduler() if scheduler is None else scheduler
        self.links: set[ServerLink] = set()
        self._app = app
        self._believed = proxy_protocol.parse_networks(settings.proxy_protocol_peers, "proxy_protocol_peers")
        self._places = Places[ServerLink](settings.max_connections, settings.max_connections_per_address)
        self._listeners: list[asyncio.Server | Acceptor] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gate: limits.RateLimitedLog | None = None
        self._awake: list[ServerLink] = []
        self.is_turn_due = False
        self.dropped = self.frames_refused = 0
        self._held = 0
        self._blocked: set[ServerLink] = set()
        self._stopping = False
        self._empty: asyncio.Event | None = None
        times = (settings.idle_seconds, settings.handshake_seconds, settings.frame_seconds)
        stalls = (settings.anonymous_stall_seconds, settings.stall_seconds, settings.silent_seconds)
        self._interval = min(*times, *stalls, 40.0) / 4
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Begin to listen.

        Args:
            host: Address or name to listen at; `0.0.0.0` is every IPv4, `::` every IPv6 address.
            port: 0 takes any free one.

        Returns:
            The port that is listened at.

        Raises:
            OSError: The address cannot be had.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._gate = limits.RateLimitedLog(_log, loop.time)
        self.scheduler.attach(loop, self)
        self._empty = asyncio.Event()
        limits.allow_files(self.settings.max_connections)
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        bound = await self._listen(str(found[0][4][0]), port)
        for other in {str(one[4][0]) for one in found[1:]} - {str(found[0][4][0])}:
            # A name such as `localhost` may stand for an address that this machine does not have.
            try:
                await self._listen(other, bound)
            except OSError as exc:
                _log.warning("not listening at %s port %d: %s", other, bound, exc.strerror)
        self._sweeper = loop.call_later(self._interval, self._sweep)
        return bound

    async def _listen(self, ip: str, port: int) -> int:
        assert self._loop is not None  # noqa: S101, set by `start`
        listener = _bind(ip, port, self.settings)
        bound: int = listener.getsockname()[1]
        acceptor = Acceptor(self._loop, listener, self._accept, self._warn)
        try:
            acceptor.start()
        except NotImplementedError:  # the event loop of Windows
            server = await self._loop.create_server(self._accept, sock=listener, backlog=self.settings.backlog)
            self._listeners.append(server)
        else:
            self._listeners.append(acceptor)
        return bound

    async def stop(self, grace: float = 5.0) -> None:
        """Accept no more, answer what was asked, close every connection.

        Args:
            grace: Seconds that peers have to read their answers before they are cut.
        """
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for link in list(self.links):
            link.finish()
        if self.links and self._empty is not None:
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                for link in list(self.links):
                    link.abort()
                await asyncio.sleep(0)

    def reload_tls(self) -> None:
        """Read the TLS files again; connections that are open keep what they have.

        Raises:
            NetSettingsInvalid: A file cannot be read or is none of its kind; the old ones stay in use.
        """
        self.context = tls.server_context(self.settings.tls)

    def end_turn_soon(self) -> None:
        """Have `end_of_turn` called although nothing has arrived, for those who work by the clock."""
        self.is_turn_due = True
        self.scheduler.wake()

    # What links ask for

    def entered(self, link: ServerLink) -> str | None:
        """Count a new connection."""
        self.links.add(link)
        if self._stopping:
            return "the server stops"
        reason, evicted = self._places.enter(link)
        self._evict(evicted)
        return reason

    def settled(self, link: ServerLink) -> str | None:
        """Count the address of a connection."""
        link.is_settled = True
        reason, evicted = self._places.settle(link, is_anonymous=self.has_authentication)
        self._evict(evicted)
        if reason is None:
            self._charge(link, self.scheduler.account(link.peer.ip, is_anonymous=self.has_authentication))
        return reason

    def _evict(self, link: ServerLink | None) -> None:
        if link is not None:
            link.cut("it had not authenticated, and made room for another connection")

    def authenticated(self, link: ServerLink) -> None:
        """Let the user pay for what the connection uses from now on."""
        link.user = link.peer.channel.user
        reason = self._places.authenticate(link, link.user)
        self._charge(link, self.scheduler.account(link.user, is_anonymous=False))
        if reason is not None:
            link.cut(reason)

    def _charge(self, link: ServerLink, account: Account) -> None:
        link.account.hold(-link.held)
        link.account.links -= 1
        account.hold(link.held)
        account.links += 1
        link.account = account

    def trusts_proxy_header(self, ip: str) -> bool:
        """Whether PROXY headers from this address are believed."""
        return proxy_protocol.is_within(ip, self._believed)

    def connected(self, link: ServerLink) -> None:
        """Announce a link to the application."""
        try:
            self._app.connected(link)
        except Exception:  # noqa: BLE001, Rule: a fault inside costs at most one connection
            _log.exception("a new connection from %s failed inside", link.peer.address)
            link.close("a fault of ours")

    def deliver(self, link: ServerLink, commands: list[Command]) -> None:
        """Give commands to the application; its faults cost only this connection."""
        try:
            self._app.commands(link, commands)
        except Exception:  # noqa: BLE001, Rule: a fault inside costs at most one connection
            _log.exception("serving %s failed inside", link.peer.address)
            link.close("a fault of ours")
        self.is_turn_due = True

    def wake(self, link: ServerLink) -> None:
        """Flush the link at the end of this turn."""
        self._awake.append(link)
        if not self.is_turn_due:
            self.end_turn_soon()

    def hold(self, link: ServerLink, change: int) -> None:
        """Count bytes that were received and not served; the one that holds most of too many is cut."""
        self._held += change
        account = link.account
        account.hold(change)
        if change < 0:
            return
        limit = self.settings.input_limit
        if self._held > limit:
            self._shrink(lambda: self._held > limit, self.links, "of all connections", limit)
        if not link.is_anonymous:
            if account.held > limit // USER_SHARE:
                self._shrink_account(account, "of one user", limit // USER_SHARE)
            return
        if account.held > limit // ADDRESS_SHARE:
            self._shrink_account(account, "of one address", limit // ADDRESS_SHARE)
        most = limit // ANONYMOUS_SHARE
        if account.lane.held > most:
            anonymous = [other for other in self.links if other.is_anonymous]
            self._shrink(lambda: account.lane.held > most, anonymous, "of all anonymous connections", most)

    def _shrink_account(self, account: Account, whose: str, limit: int) -> None:
        links = [link for link in self.links if link.account is account]
        self._shrink(lambda: account.held > limit, links, whose, limit)

    @staticmethod
    def _shrink(is_over: Callable[[], bool], links: Iterable[ServerLink], whose: str, limit: int) -> None:
        while is_over() and (worst := limits.largest_consumer(links, lambda link: link.held)) is not None:
            worst.cut(f"unfinished frames {whose} hold more than {limit} bytes")

    def blocked(self, link: ServerLink) -> None:
        """Count a peer that does not read; for whom most waits of too much is cut."""
        self._blocked.add(link)
        self._bound_output()

    def _bound_output(self) -> None:
        """Cut slow readers until no account, and not all together, have too many answers that wait."""
        total = self.settings.output_total_limit
        by_account: dict[Account, set[ServerLink]] = {}
        for link in self._blocked:
            by_account.setdefault(link.account, set()).add(link)
        for links in by_account.values():
            self._shrink_output(links, total // _OUTPUT_SHARE)
        self._shrink_output(self._blocked, total)

    @staticmethod
    def _shrink_output(links: Iterable[ServerLink], limit: int) -> None:
        slow = {link for link in links if not link.closed}
        while sum(link.unsent for link in slow) > limit:
            worst = limits.largest_consumer(slow, lambda link: link.unsent)
            if worst is None:
                return
            slow.discard(worst)
            worst.cut("answers that wait for slow readers hold too much memory")

    def unblocked(self, link: ServerLink) -> None:
        """Forget a peer that does not read."""
        self._blocked.discard(link)

    def complain(self, link: ServerLink, reason: str) -> None:
        """Log why a link is being dropped."""
        self.dropped += 1
        self._warn("connection from %s dropped: %s", link.peer.address, reason)

    def refused(self, link: ServerLink, reason: str) -> None:
        """Log why a frame is refused."""
        self.frames_refused += 1
        self._warn("frame from %s refused: %s", link.peer.address, reason)

    def _warn(self, message: str, *values: object) -> None:
        if self._gate is not None:
            self._gate.warn(message, *values)

    def left(self, link: ServerLink) -> None:
        """Forget a connection and tell the application."""
        self.links.discard(link)
        self._places.leave(link)
        if self._stopping and not self.links and self._empty is not None:
            self._empty.set()

    def departed(self, link: ServerLink) -> None:
        """Tell the application of the end of a connection."""
        try:
            self._app.closed(link)
        except Exception:  # noqa: BLE001, Rule: a fault inside costs at most one connection
            _log.exception("the end of a connection from %s failed inside", link.peer.address)

    # The turn and the sweep

    def _accept(self) -> ServerLink:
        assert self._loop is not None  # noqa: S101, connections come after `start`
        return ServerLink(self, self._loop)

    def end_turn(self) -> None:
        """Commit, and write what was answered; called by the scheduler."""
        try:
            self._app.end_of_turn()
        except Exception:  # noqa: BLE001, Rule: a fault inside costs at most one connection
            _log.exception("the end of a turn failed inside")
        self.is_turn_due = False
        awake, self._awake = self._awake, []
        for link in awake:
            link.flush()
        if self._blocked:
            # What was written just now may wait for peers that did not read before.
            self._bound_output()

    def _sweep(self) -> None:
        """Drop connections that have been idle, or slow with a frame or a handshake, for too long."""
        settings, interval = self.settings, self._interval
        for link in list(self.links):
            liveness = link.liveness
            liveness.count_sweep(is_unfinished=link.is_unfinished)
            if link.closed:
                if liveness.slow * interval > settings.handshake_seconds:
                    link.abort()
                continue
            reason = liveness.overdue(settings, interval, is_anonymous=link.is_anonymous, is_ready=link.announced)
            if reason is not None:
                link.cut(reason)
                continue
            idle = (
                settings.idle_seconds if liveness.has_request else min(settings.idle_seconds, settings.silent_seconds)
            )
            if liveness.quiet * interval > idle:
                _log.info("connection from %s closed: idle for %g s", link.peer.address, idle)
                link.finish()
        if self._loop is not None and not self._stopping:
            self._sweeper = self._loop.call_later(interval, self._sweep)


def _bind(ip: str, port: int, settings: NetSettings) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: The address cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((ip, port))
        listener.listen(settings.backlog)
        listener.setblocking(False)  # noqa: FBT003 - the interface of sockets
    except OSError:
        listener.close()
        raise
    return listener
