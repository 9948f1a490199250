"""All parts of `mqguard proxy` except its listeners: the guard, the cluster behind it, and the sessions of clients."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from mqguard.config import access_options, proxy_options, server_options
from mqguard.config.loader import Configuration
from mqguard.dispatch.access_requests import CHANGE_CODES, AccessProcessor, DenialProcessor
from mqguard.dispatch.request import Handler
from mqguard.model.process import Clock
from mqguard.net.relay import Relay, RelaySettings
from mqguard.net.server import Application, CallApplication
from mqguard.proxy.cluster.connections import Connections, NameServers
from mqguard.proxy.cluster.directory import Directory
from mqguard.proxy.sessions.client_registry import ClientRegistry
from mqguard.proxy.sessions.listener import SessionListener
from mqguard.proxy.sessions.lookups import Lookups
from mqguard.proxy.sessions.ports import Rewriting, Rules, SessionPorts, UpstreamOwner
from mqguard.proxy.sessions.rules import broker_rules, name_server_rules
from mqguard.proxy.sessions.upstream_frames import encode_unsigned, signer
from mqguard.remoting.command import Command, Reply
from mqguard.runtime import plugins, settings
from mqguard.runtime.access import OnAdminCreated
from mqguard.runtime.access_components import AccessComponents
from mqguard.runtime.broker_listeners import BrokerTarget
from mqguard.runtime.proxy_addresses import ProxyAddresses
from mqguard.runtime.proxy_grpc import GrpcProxy, with_grpc_limits
from mqguard.runtime.sharing.validity import CallValidityCheck, ValidityCheck

Addresses = Callable[[], Sequence[tuple[str, int]]]
"""Returns the host and port of each server that a session may connect to, the preferred one first."""


class ProxyComponents:
    """The parts of a guard in front of a cluster.

    Args:
        config: The configuration.
        loaded: The plugins of the configuration.
        data: The data directory, locked by this process.
        clock: The clock.
        first_start: Called if a Super user was created.

    Raises:
        ConfigInvalid: A setting cannot be used.
        StartFailed: A file cannot be written.
        MetadataStoreFailed: Users and policies cannot be opened.

    Attributes:
        access: Access control.
        addresses: The addresses of brokers and those of the guard.
        sessions: The sessions of each listener, by its key.
        clients: The connected clients.
        name_server_port: The port of the listener in place of the name servers; 0 before it listens.
    """

    def __init__(
        self,
        config: Configuration,
        loaded: plugins.LoadedPlugins,
        data: Path,
        clock: Clock,
        first_start: OnAdminCreated,
    ) -> None:
        self._config = config
        self._clock = clock
        with contextlib.ExitStack() as opened:
            self.access = AccessComponents(config, loaded, data, clock, first_start, opened, is_proxy=True)
            self._opened = opened.pop_all()
        host = config.get(server_options.BROKER_IP)
        ip = settings.resolve(host, config.source(server_options.BROKER_IP))
        self.addresses = ProxyAddresses(host, ip)
        self.sessions: dict[str, SessionListener] = {}
        self.clients = ClientRegistry(clock)
        self._handlers = self._access_handlers(clock)
        upstream = settings.upstream_settings(config)
        self._relay_settings = RelaySettings(
            tls=upstream.tls,
            connect_s=config.get(proxy_options.CONNECT_TIMEOUT) / 1000,
            silence_s=config.get(proxy_options.ANSWER_TIMEOUT) / 1000,
        )
        signs = upstream.credentials is not None and config.get(proxy_options.SIGN_REQUESTS)
        self._encode = signer(upstream.credentials) if signs and upstream.credentials else encode_unsigned
        self._upstream = upstream
        self._loop: asyncio.AbstractEventLoop | None = None
        self._grpc_application: Application | None = None
        self.name_server_port = 0

    def attach(self, loop: asyncio.AbstractEventLoop, end_iteration: Callable[[], None]) -> Directory:
        """Set the event loop of the requests, and return the brokers of the cluster, which are not polled yet.

        Args:
            loop: The event loop.
            end_iteration: Requests the end of an iteration without input.
        """
        self._loop = loop
        self.access.attach(loop, end_iteration)
        self.connections = Connections(with_grpc_limits(self._upstream), loop, on_request=self._serve)
        self._opened.callback(self.connections.close)
        pairs = self._config.get(server_options.NAMESRV_ADDR).pairs
        names = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs]
        self.name_servers = NameServers(self.connections, names)
        self.directory = Directory(self.name_servers)
        self.addresses.on_unknown = lambda _address: self.directory.refresh()
        self._opened.callback(self.directory.close)
        self.grpc = GrpcProxy(self._config, self.access, self._clock, self.directory, self.name_servers, end_iteration)
        self._opened.callback(self.grpc.close)
        return self.directory

    def _serve(self, address: str, command: Command) -> Reply | None:
        """Serve a request of a broker to the guard itself."""
        return self.grpc.backend.serve(address, command)

    @property
    def calls(self) -> CallApplication:
        """The server of gRPC calls."""
        check, calls = self._grpc_application, self.grpc.calls
        return CallValidityCheck(calls, check) if isinstance(check, ValidityCheck) else calls

    def name_server_sessions(self) -> Application:
        """Return what serves the clients of the listener that stands for the name servers."""
        pairs = self._config.get(server_options.NAMESRV_ADDR).pairs
        rules = name_server_rules(self._handlers, self.addresses.brokers)
        return self._application("namesrv", lambda: pairs, lambda: self.name_server_port, rules)

    def grpc_sessions(self) -> Application:
        """Return what serves clients of the remoting protocol at the port for gRPC: the same as at a name server's."""
        pairs = self._config.get(server_options.NAMESRV_ADDR).pairs
        rules = name_server_rules(self._handlers, self.addresses.brokers)
        self._grpc_application = self._application("grpc", lambda: pairs, lambda: self.name_server_port, rules)
        return self._grpc_application

    def broker_sessions(self, target: BrokerTarget) -> Application:
        """Return what serves the clients of the listener that stands for a broker."""
        lookups = Lookups(self.connections, lambda: target.address)
        rules = broker_rules(self._handlers, lookups, self.clients)
        return self._application(target.key, target.addresses, lambda: target.port, rules)

    def serves_name_servers(self, port: int) -> None:
        """Set the port of the listener in place of the name servers."""
        self.name_server_port = port
        self.addresses.name_servers = self.addresses.text(port)

    def _application(self, key: str, addresses: Addresses, port: Callable[[], int], rules: Rules) -> Application:
        loop = self._loop
        assert loop is not None  # noqa: S101, `attach` comes first

        def connect(owner: UpstreamOwner) -> Relay:
            relay = Relay(loop, self._relay_settings, owner)
            relay.connect(addresses())
            return relay

        ports = SessionPorts(
            self.access.admission,
            connect,
            self._encode,
            _once(lambda: self.addresses.rewriting(port())),
            self.access.suspension,
            [self.access.audit.end_iteration],
        )
        self.sessions[key] = sessions = SessionListener(ports, rules)
        follower = self.access.follower
        if follower is None:
            return sessions.application
        return ValidityCheck(sessions.application, follower, lambda _reason: sessions.flush())

    def _access_handlers(self, clock: Clock) -> dict[int, Handler]:
        """Return the handlers of requests about users, policies and decisions, which the guard answers itself."""
        access, exposure = self.access, settings.broker_settings(self._config).secret_exposure
        handlers = AccessProcessor(
            access.manager,
            access.audit.trail,
            access.key,
            exposure,
            clock,
            anonymous_administers=not self._config.get(access_options.AUTHENTICATION_ENABLED),
        ).handlers()
        if access.remote is not None:
            handlers = {**handlers, **dict.fromkeys(CHANGE_CODES, access.remote.forward)}
        return {**handlers, **DenialProcessor(access.guard.denials, access.manager).handlers()}

    def tick(self) -> None:
        """Do the work that is due by the clock; the caller must end the iteration afterwards."""
        try:
            self.grpc.tick()
            self.clients.tick()
        finally:
            # Denials are logged even if something fails.
            self.access.audit.tick()

    def close(self) -> None:
        """Close all connections to the cluster, and all files."""
        self._opened.close()


def _once(make: Callable[[], Rewriting]) -> Callable[[], Rewriting]:
    """Return a function that makes one object and returns it each time."""
    made: list[Rewriting] = []

    def get() -> Rewriting:
        if not made:
            made.append(make())
        return made[0]

    return get
