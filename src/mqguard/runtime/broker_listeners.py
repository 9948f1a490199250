"""One listener for each broker of the cluster, which come and go with the brokers."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from mqguard.errors import MqguardError
from mqguard.net.server import RemotingServer
from mqguard.proxy.cluster.connections import split_address
from mqguard.proxy.cluster.directory import Broker
from mqguard.runtime.broker_ports import PortAssignment

_LOG = logging.getLogger(__name__)

MAX_LISTENERS: Final = 1_024
"""Maximum number of brokers with a listener, masters and slaves."""
RETRY_S: Final = 10.0
"""Seconds until the next attempt to listen on a port that is in use."""


class BrokerTarget:
    """The place of one broker, which changes when it moves.

    Attributes:
        key: Key of the broker, such as `broker-a/0` for the master.
        address: `host:port` of the broker.
        is_known: True while the name servers know the broker.
        port: The port at which the guard offers it; 0 before the guard listens.
    """

    def __init__(self, key: str, address: str) -> None:
        self.key = key
        self.address = address
        self.is_known = True
        self.port = 0

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Return the host and port to connect to."""
        return (split_address(self.address),)


CreateServer = Callable[[BrokerTarget], RemotingServer]
"""Creates the listener of a broker, which does not listen yet."""


class OnAddress(Protocol):
    """Receiver of the addresses of brokers."""

    def put(self, target: BrokerTarget) -> None:
        """Note that the guard offers a broker, or that the broker has moved."""

    def remove(self, target: BrokerTarget) -> None:
        """Note that a broker has left."""


class BrokerListeners:
    """The listeners.

    Args:
        loop: The event loop.
        host: The address to listen on.
        vip: Distance of the port of the VIP channel, None without one.
        ports: The port of each broker.
        create: Creates a listener.
        on_address: Gets the addresses of brokers for which the guard listens.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        vip: int | None,
        ports: PortAssignment,
        create: CreateServer,
        on_address: OnAddress,
    ) -> None:
        self._loop = loop
        self._host = host
        self._vip = vip
        self._ports = ports
        self._create = create
        self._on_address = on_address
        self._targets: dict[str, BrokerTarget] = {}
        self._servers: dict[str, RemotingServer] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    @property
    def servers(self) -> dict[str, RemotingServer]:
        """Return the listeners, by the key of their broker."""
        return dict(self._servers)

    @property
    def is_starting(self) -> bool:
        """True while a listener starts."""
        return bool(self._starting)

    @property
    def targets(self) -> dict[str, BrokerTarget]:
        """Return the brokers with a listener, or with one that starts, by their key."""
        return dict(self._targets)

    def changed(self, old: Broker | None, new: Broker | None) -> None:
        """Follow a change of the brokers (`proxy.cluster.directory.OnChange`)."""
        before = {} if old is None else {f"{old.name}/{number}": one for number, one in old.addresses.items()}
        after = {} if new is None else {f"{new.name}/{number}": one for number, one in new.addresses.items()}
        for key in before.keys() - after.keys():
            target = self._targets.get(key)
            if target is not None:
                # It may return; its clients see that it does not answer.
                target.is_known = False
                self._on_address.remove(target)
        for key, address in after.items():
            self._follow(key, address)

    def _follow(self, key: str, address: str) -> None:
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MAX_LISTENERS:
                _LOG.error("the broker %s is not served: there are %d others", key, MAX_LISTENERS)
                return
            target = self._targets[key] = BrokerTarget(key, address)
        elif target.address != address:
            self._on_address.remove(target)
            target.address = address
        target.is_known = True
        if key in self._servers:
            self._on_address.put(target)
        elif key not in self._starting and not self._stopping:
            self._starting[key] = self._loop.create_task(self._start(target))

    async def _start(self, target: BrokerTarget) -> None:
        wanted: int | None = None
        try:
            wanted = self._ports.get(target.key, lambda key: key not in self._targets)
            if wanted is None:
                _LOG.error("the broker %s is not served: all ports of `proxyBrokerPorts` are used", target.key)
                return
            server = self._create(target)
            target.port = await server.start(self._host, wanted, second=self._vip)
            self._servers[target.key] = server
            self._ports.put(target.key, target.port)
            if target.is_known:
                self._on_address.put(target)
            _LOG.info("clients reach the broker %s at %s on port %d", target.key, target.address, target.port)
        except (OSError, MqguardError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            _LOG.error("the broker %s is not served: listening on port %s failed: %s", target.key, wanted, why)
            self._loop.call_later(RETRY_S, self._retry, target)
        except Exception:  # noqa: BLE001 - the other brokers are served
            _LOG.exception("the broker %s is not served: internal error", target.key)
        finally:
            del self._starting[target.key]

    def _retry(self, target: BrokerTarget) -> None:
        if target.is_known:
            self._follow(target.key, target.address)

    async def stop(self, grace: float) -> None:
        """Stop all listeners.

        Args:
            grace: Seconds for peers to read their answers.
        """
        self._stopping = True
        for task in self._starting.values():
            task.cancel()
        async with asyncio.TaskGroup() as ends:
            for server in self._servers.values():
                ends.create_task(server.stop(grace))
