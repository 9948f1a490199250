"""A name server's face, put together."""

from mqguard.dispatch.request import Handler
from mqguard.model.clock import Clock
from mqguard.namesrv.kv import KvTable
from mqguard.namesrv.processors.brokers import BrokerRegistrationProcessor
from mqguard.namesrv.processors.configuration import Configured
from mqguard.namesrv.processors.kv import KeyValues
from mqguard.namesrv.processors.routes import RouteProcessor
from mqguard.namesrv.routes import RouteTable
from mqguard.remoting.link import Link


class NameServer:
    """Everything of a name server but sockets and the guard.

    Args:
        routes: Brokers and topics.
        kv: Key-value configuration.
        clock: Tells the time.
        configuration: What is told of the configuration over the wire, without secrets; no key can be changed there.
    """

    def __init__(self, routes: RouteTable, kv: KvTable, clock: Clock, configuration: dict[str, str]) -> None:
        self._routes = routes
        self._kv = kv
        self._clock = clock
        self._configuration = configuration

    def handlers(self) -> dict[int, Handler]:
        """Handler by request code."""
        parts = (
            RouteProcessor(self._routes, self._kv).handlers(),
            BrokerRegistrationProcessor(self._routes, self._kv, self._clock).handlers(),
            KeyValues(self._kv).handlers(),
            Configured(self._configuration).handlers(),
        )
        return {code: handler for part in parts for code, handler in part.items()}

    def closed(self, link: Link) -> None:
        """Forget the brokers that registered over a connection that is gone."""
        self._routes.leave(link.peer.channel)

    def tick(self) -> None:
        """Forget brokers that fell silent; call it every second or so."""
        self._routes.expire(self._clock.now_ms())
