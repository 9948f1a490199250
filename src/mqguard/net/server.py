"""A listener: accepts connections, passes their commands to an application, and writes the answers.

An iteration of the event loop has three steps. The scheduler serves connections whose bytes have arrived, within its
budget. Then the application's `end_of_iteration` is called once and commits its writes. Then each connection with
answers gets one write.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from mqguard.net import limits, proxy_protocol, tls
from mqguard.net.acceptor import Acceptor
from mqguard.net.connection_limits import ConnectionLimits
from mqguard.net.errors import NetSettingsInvalid
from mqguard.net.link import ServerLink
from mqguard.net.proxy_protocol import MAX_FRAME_BYTES
from mqguard.net.scheduler import Account, Scheduler
from mqguard.net.settings import NetSettings
from mqguard.remoting import body_limits
from mqguard.remoting.command import Command
from mqguard.remoting.link import Link
from mqguard.rpc.calls import Event, Methods

_log = logging.getLogger(__name__)

USER_SHARE: Final = 2
ADDRESS_SHARE: Final = 8
ANONYMOUS_SHARE: Final = 4
"""Parts of `input_limit` that one user, one address without authentication, and all of these may hold."""
_OUTPUT_SHARE: Final = 4
"""Part of `output_total_limit` that may wait for the connections of one user, or of one address."""
_PAIR_ATTEMPTS: Final = 100
"""Maximum number of free ports that are tried, until a second port at its distance is free too."""


class Application(Protocol):
    """Serves the commands. All methods are called in the event-loop thread and must not block."""

    def connected(self, link: Link) -> None:
        """Note a client that is ready to send commands."""

    def commands(self, link: Link, commands: list[Command]) -> None:
        """Serve commands, in order. An exception closes only this connection."""

    def closed(self, link: Link) -> None:
        """Forget a client that has disconnected."""

    def end_of_iteration(self) -> None:
        """Commit: all commands of this iteration were passed. Answers that it sends are still written in it."""


class CallApplication(Protocol):
    """Serves gRPC calls, as `Application` serves commands."""

    methods: Methods

    def calls(self, link: Link, events: list[Event]) -> None:
        """Serve events of calls, in order. An exception closes only this connection."""

    def end_calls(self) -> None:
        """End the calls that wait for something, such as a message: the server stops. Clients know it already."""


class RemotingServer:
    """Listens on one port, or on two that serve the same.

    Args:
        app: Serves the commands.
        settings: Limits and behaviour.
        scheduler: Divides the time of the event loop; listeners of one loop share it. None creates one.
        calls: Serves gRPC calls on the same port; None if the port serves none.

    Raises:
        NetSettingsInvalid: A setting is not valid.

    Attributes:
        links: The open connections.
        held: Bytes that were received and not served.
        slow_readers: Connections whose peers do not read their answers.
        dropped: Number of connections that were dropped because of a limit, a timeout or what they sent.
        frames_refused: Number of frames that were refused before they were decoded.
    """

    def __init__(
        self,
        app: Application,
        settings: NetSettings,
        scheduler: Scheduler | None = None,
        calls: CallApplication | None = None,
    ) -> None:
        if not 4 <= settings.max_frame <= MAX_FRAME_BYTES:
            raise NetSettingsInvalid(
                f"a maximum frame of {settings.max_frame} bytes is not between 4 and {MAX_FRAME_BYTES}"
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
        self._calls = calls
        self.grpc_methods = None if calls is None else calls.methods
        self._proxy_peers = proxy_protocol.parse_networks(settings.proxy_protocol_peers, "proxy_protocol_peers")
        self._places = ConnectionLimits[ServerLink](settings.max_connections, settings.max_connections_per_address)
        self._listeners: list[Acceptor] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drop_log: limits.RateLimitedLog | None = None
        self._to_flush: list[ServerLink] = []
        self.is_iteration_due = False
        self.dropped = self.frames_refused = 0
        self.held = 0
        self.slow_readers: set[ServerLink] = set()
        self._stopping = False
        self._empty: asyncio.Event | None = None
        times = (settings.idle_seconds, settings.handshake_seconds, settings.frame_seconds)
        stalls = (settings.anonymous_stall_seconds, settings.stall_seconds, settings.silent_seconds)
        self._interval = min(*times, *stalls, 40.0) / 4
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, *, second: int | None = None) -> int:
        """Start to listen.

        Args:
            host: Address or name to listen on; `0.0.0.0` is every IPv4, `::` every IPv6 address.
            port: The port; 0 takes any free one.
            second: Distance of a second port that serves the same, such as -2; None for only one port.

        Returns:
            The (first) port of the listener.

        Raises:
            OSError: The address cannot be used.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._drop_log = limits.RateLimitedLog(_log, loop.time)
        self.scheduler.attach(loop, self)
        self._empty = asyncio.Event()
        limits.allow_files(self.settings.max_connections)
        found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ip = str(found[0][4][0])
        sockets = _bind_ports(ip, port, second, self.settings)
        ports: list[int] = [one.getsockname()[1] for one in sockets]
        for other in {str(one[4][0]) for one in found[1:]} - {ip}:
            # A name such as `localhost` may resolve to an address that this machine does not have.
            for bound in ports:
                try:
                    sockets.append(_bind(other, bound, self.settings))
                except OSError as exc:
                    _log.warning("not listening on %s port %d: %s", other, bound, exc.strerror)
        for listener in sockets:
            acceptor = Acceptor(loop, listener, self._accept, self._warn)
            acceptor.start()
            self._listeners.append(acceptor)
        self._sweeper = loop.call_later(self._interval, self._sweep)
        return ports[0]

    async def stop(self, grace: float = 5.0) -> None:
        """Stop accepting, answer all requests, close every connection.

        Args:
            grace: Seconds for peers to read their answers before they are dropped.
        """
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for link in list(self.links):
            link.leave()
        self._end_calls()
        if self.links and self._empty is not None:
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                for link in list(self.links):
                    link.abort()
                await asyncio.sleep(0)

    def _end_calls(self) -> None:
        try:
            if self._calls is not None:
                self._calls.end_calls()
        except Exception:  # noqa: BLE001 - the server must stop
            _log.exception("open calls were not ended: internal error")

    def reload_tls(self) -> None:
        """Read the TLS files again; open connections keep their certificate.

        Raises:
            NetSettingsInvalid: A file cannot be read or is not valid; the old ones stay in use.
        """
        self.context = tls.server_context(self.settings.tls)

    def end_iteration_soon(self) -> None:
        """Request a call of `end_of_iteration` even if no bytes arrive, for work that is due by the clock."""
        self.is_iteration_due = True
        self.scheduler.wake()

    # Called by links (`LinkOwner`)

    def entered(self, link: ServerLink) -> str | None:
        """Count a new connection."""
        self.links.add(link)
        if self._stopping:
            return "the server is stopping"
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
            link.cut("too many connections are open, and this one had not authenticated")

    def authenticated(self, link: ServerLink) -> None:
        """Charge the user for what the connection uses from now on."""
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
        """Return True if PROXY headers from this address are accepted."""
        return proxy_protocol.is_within(ip, self._proxy_peers)

    def connected(self, link: ServerLink) -> None:
        """Announce a link to the application."""
        try:
            self._app.connected(link)
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("a new connection from %s failed: internal error", link.peer.address)
            link.close("internal error")

    def deliver(self, link: ServerLink, commands: list[Command]) -> None:
        """Pass commands to the application; an exception closes only this connection."""
        try:
            self._app.commands(link, commands)
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("serving %s failed: internal error", link.peer.address)
            link.close("internal error")
        self.is_iteration_due = True

    def deliver_calls(self, link: ServerLink, events: list[Event]) -> None:
        """Pass events of calls to the application; an exception closes only this connection."""
        try:
            if self._calls is not None:
                self._calls.calls(link, events)
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("serving %s failed: internal error", link.peer.address)
            link.close("internal error")
        self.is_iteration_due = True

    def flush_soon(self, link: ServerLink) -> None:
        """Flush the link at the end of this iteration."""
        self._to_flush.append(link)
        if not self.is_iteration_due:
            self.end_iteration_soon()

    def hold(self, link: ServerLink, change: int) -> None:
        """Count bytes that were received and not served; if too many, cut the link that holds most."""
        self.held += change
        account = link.account
        account.hold(change)
        if change < 0:
            return
        limit = self.settings.input_limit
        if self.held > limit:
            self._shrink(lambda: self.held > limit, self.links, "of all connections", limit)
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
            worst.cut(f"incomplete frames {whose} hold more than {limit} bytes")

    def blocked(self, link: ServerLink) -> None:
        """Count a peer that does not read; if too many bytes wait, cut the link with most of them."""
        self.slow_readers.add(link)
        self._bound_output()

    def _bound_output(self) -> None:
        """Cut slow readers until neither one account nor all together have too many answers waiting."""
        total = self.settings.output_total_limit
        by_account: dict[Account, set[ServerLink]] = {}
        for link in self.slow_readers:
            by_account.setdefault(link.account, set()).add(link)
        for links in by_account.values():
            self._shrink_output(links, total // _OUTPUT_SHARE)
        self._shrink_output(self.slow_readers, total)

    @staticmethod
    def _shrink_output(links: Iterable[ServerLink], limit: int) -> None:
        slow = {link for link in links if not link.closed}
        while sum(link.unsent for link in slow) > limit:
            worst = limits.largest_consumer(slow, lambda link: link.unsent)
            if worst is None:
                return
            slow.discard(worst)
            worst.cut("answers for clients that read slowly hold too much memory")

    def unblocked(self, link: ServerLink) -> None:
        """Forget a peer that did not read."""
        self.slow_readers.discard(link)

    def log_dropped(self, link: ServerLink, reason: str) -> None:
        """Log the reason to drop a link."""
        self.dropped += 1
        self._warn("connection from %s dropped: %s", link.peer.address, reason)

    def log_refused(self, link: ServerLink, reason: str) -> None:
        """Log the reason to refuse a frame."""
        self.frames_refused += 1
        self._warn("frame from %s refused: %s", link.peer.address, reason)

    def _warn(self, message: str, *values: object) -> None:
        if self._drop_log is not None:
            self._drop_log.warn(message, *values)

    def left(self, link: ServerLink) -> None:
        """Forget a connection."""
        self.links.discard(link)
        self._places.leave(link)
        if self._stopping and not self.links and self._empty is not None:
            self._empty.set()

    def departed(self, link: ServerLink) -> None:
        """Report the end of a connection to the application."""
        try:
            self._app.closed(link)
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("the end of the connection from %s failed: internal error", link.peer.address)

    # End of an iteration, and the sweep

    def _accept(self) -> ServerLink:
        assert self._loop is not None  # noqa: S101, connections come after `start`
        return ServerLink(self, self._loop)

    def end_iteration(self) -> None:
        """Commit, and write the answers; called by the scheduler."""
        try:
            self._app.end_of_iteration()
        except Exception:  # noqa: BLE001 - an internal error costs at most one connection
            _log.exception("the commit of an iteration failed: internal error")
        self.is_iteration_due = False
        links, self._to_flush = self._to_flush, []
        for link in links:
            link.flush()
        if self.slow_readers:
            # Peers that did not read before may not read these answers either.
            self._bound_output()

    def _sweep(self) -> None:
        """Drop connections that have been idle, or slow with a frame or a handshake, for too long."""
        settings, interval = self.settings, self._interval
        for link in list(self.links):
            liveness = link.liveness
            liveness.count_sweep(is_unfinished=link.is_unfinished)
            if link.closed:
                if liveness.unfinished_sweeps * interval > settings.handshake_seconds:
                    link.abort()
                continue
            reason = liveness.overdue(settings, interval, is_anonymous=link.is_anonymous, is_ready=link.announced)
            if reason is not None:
                link.cut(reason)
                continue
            idle = (
                settings.idle_seconds if liveness.has_request else min(settings.idle_seconds, settings.silent_seconds)
            )
            if liveness.idle_sweeps * interval > idle:
                _log.info("connection from %s closed: idle for %g s", link.peer.address, idle)
                link.leave()
        if self._loop is not None and not self._stopping:
            self._sweeper = self._loop.call_later(interval, self._sweep)


def check_port(host: str, port: int) -> None:
    """Check that a port is free. Another process may take it before a server listens there.

    Args:
        host: See `RemotingServer.start`.
        port: The port; 0 is always free.

    Raises:
        OSError: The address or the port cannot be used.
    """
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    _bind(str(found[0][4][0]), port, NetSettings()).close()


def _bind_ports(ip: str, port: int, second: int | None, settings: NetSettings) -> list[socket.socket]:
    """Return sockets that listen on a port, and on the one at the distance `second`.

    Raises:
        OSError: One of them cannot be used. With port 0, no pair of free ones was found.
    """
    attempts = _PAIR_ATTEMPTS if port == 0 else 1
    while True:
        first = _bind(ip, port, settings)
        if second is None:
            return [first]
        attempts -= 1
        try:
            return [first, _bind(ip, first.getsockname()[1] + second, settings)]
        except OSError:
            first.close()
            if attempts == 0:
                raise


def _bind(ip: str, port: int, settings: NetSettings) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: The address cannot be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
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
