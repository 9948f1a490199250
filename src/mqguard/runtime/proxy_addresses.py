"""The addresses of brokers, of the guard and of clients, for all listeners of a guard in front of a cluster."""

import logging
from collections.abc import Callable

from mqguard.proxy.sessions.addresses import AddressMap, advertised
from mqguard.proxy.sessions.ports import Rewriting
from mqguard.proxy.sessions.rewriting import ANSWERS, Rewriter
from mqguard.runtime.broker_listeners import BrokerTarget

_LOG = logging.getLogger(__name__)


class ProxyAddresses:
    """The addresses (`runtime.broker_listeners.OnAddress`).

    Args:
        host: The host under which clients reach the guard.
        ip: Its IP address.

    Attributes:
        brokers: The addresses of brokers and those of the guard.
        name_servers: The address of the guard for the name servers; empty before it listens.
        clients: The clients by the guard's addresses of its connections.
        on_unknown: Receives each address of a broker in a route that the guard does not offer.
    """

    def __init__(self, host: str, ip: str) -> None:
        self._host = f"[{host}]" if ":" in host else host
        self._ip = ip
        self.brokers = AddressMap()
        self.name_servers = ""
        self.clients: dict[str, str] = {}
        self.on_unknown: Callable[[str], None] = lambda _address: None

    def put(self, target: BrokerTarget) -> None:
        """Note that the guard offers a broker, or that the broker has moved."""
        try:
            self.brokers.put(target.address, advertised(self.text(target.port), self._ip))
        except ValueError as exc:
            _LOG.error("the broker %s is left out of routes: %s", target.key, exc)

    def remove(self, target: BrokerTarget) -> None:
        """Note that a broker has left."""
        self.brokers.remove(target.address)

    def text(self, port: int) -> str:
        """Return an address of the guard."""
        return f"{self._host}:{port}"

    def rewriting(self, port: int) -> Rewriting:
        """Return the changes of what the server of a listener sends.

        Args:
            port: The port of the listener.
        """
        return _ListenerRewriting(self, port)


class _ListenerRewriting(Rewriter):
    """The changes of what one server sends, and the clients of its connections."""

    answers = ANSWERS

    def __init__(self, addresses: ProxyAddresses, port: int) -> None:
        super().__init__(
            addresses.brokers,
            advertised(addresses.text(port), addresses._ip),  # noqa: SLF001 - of the same module
            name_servers=addresses.name_servers,
            client=addresses.clients.get,
            on_unknown=addresses.on_unknown,
        )
        self._clients = addresses.clients

    def connected(self, local: str, client: str) -> None:
        """Note the client for which the guard has opened a connection."""
        self._clients[local] = client

    def disconnected(self, local: str) -> None:
        """Forget a connection of the guard."""
        self._clients.pop(local, None)
